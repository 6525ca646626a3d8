"""Previous and next: samples or uploaded files one after the other, by button or key."""

import streamlit as st

from core import registry
from pages.parts.source import SAMPLE, UPLOAD
from pages.parts.words import t


def show_steps(task_id: str) -> None:
    """Two buttons with the keys P and N; nothing where there is one image only."""
    place = _place(task_id)
    if place is None:
        return
    key, choices, now = place
    at = choices.index(now)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        _show_step(t("Previous image"), "navigate_before", f"{task_id}.previous", "P", (key, choices, at - 1))
        st.caption(t("{place} of {n}", place=at + 1, n=len(choices)), width="content")
        _show_step(t("Next image"), "navigate_next", f"{task_id}.next", "N", (key, choices, at + 1))


def _place(task_id: str) -> tuple[str, list[object], object] | None:
    """Widget that chooses the image, what it offers, and what is chosen."""
    state = st.session_state
    source = state.get(f"{task_id}.source", SAMPLE)
    if source == SAMPLE:
        key, choices = f"{task_id}.sample", list[object](registry.part(task_id, "phantom").SAMPLES)
    elif source == UPLOAD:
        files = state.get(f"{task_id}.upload") or []
        key, choices = f"{task_id}.file.{len(files)}", list[object](range(len(files)))
    else:
        return None
    chosen = state.get(key)
    return (key, choices, chosen) if len(choices) > 1 and chosen in choices else None


def _show_step(words: str, icon: str, key: str, shortcut: str, step: tuple[str, list[object], int]) -> None:
    target, choices, place = step
    st.button(
        words,
        icon=f":material/{icon}:",
        key=key,
        shortcut=shortcut,
        on_click=_go,
        args=(target, choices[place % len(choices)]),
    )


def _go(key: str, choice: object) -> None:
    st.session_state[key] = choice
