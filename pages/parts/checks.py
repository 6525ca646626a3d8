"""The checks before the score: one line each, and what a person must see before a doubtful score."""

from collections.abc import Sequence

import streamlit as st

from core.records import Check, Gate, ScreeningResult
from core.registry import tasks
from pages.parts.menu import has_page, show_link
from pages.parts.road import confirm
from pages.parts.words import t

_ICONS = {
    "passed": ":green[:material/check_circle:]",
    "confirm": ":orange[:material/help:]",
    "refused": ":red[:material/cancel:]",
}
_ORDER = ("refused", "confirm", "passed")


def show_checks(result: ScreeningResult) -> None:
    """All checks, those with a question first."""
    show_gate(result.gate, result.study.notes)


def show_gate(gate: Gate, notes: Sequence[str] = ()) -> None:
    """The same of a gate alone, with what the reader of the file noted."""
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{t('Checks before the score')}**", width="content")
            passed = sum(check.outcome == "passed" for check in gate.checks)
            st.caption(t("{passed} of {n} passed", passed=passed, n=len(gate.checks)), width="content")
        st.markdown("  \n".join(map(_line, sorted(gate.checks, key=lambda check: _ORDER.index(check.outcome)))))
        for note in notes:
            st.caption(t(note))
        if gate.confirmed:
            st.caption(t("The questions were confirmed by the reader; the saved result says so."))


def _line(check: Check) -> str:
    words = {"passed": "", "confirm": t("question"), "refused": t("refused")}[check.outcome]
    line = f"{_ICONS[check.outcome]} {t(check.message, **check.values)}"
    return f"{line} · *{words}*" if words else f":small[{line}]"


def show_confirmation(task_id: str, result: ScreeningResult) -> None:
    """Instead of a score: the reasons for doubt, and a button that names what it does."""
    with st.container(border=True):
        st.markdown("### :orange[:material/help:] " + t("Please confirm first"))
        st.markdown(t("The checks raised questions, so score and overlay stay hidden:"))
        st.markdown("\n".join(f"- {t(check.message, **check.values)}" for check in result.gate.reasons))
        st.button(
            t("I have read this: show the score"),
            key=f"{task_id}.confirm",
            on_click=confirm,
            args=(task_id, result),
            type="primary",
            icon=":material/visibility:",
        )
        st.caption(t("The confirmation is recorded in the saved result."))


def show_refusal(result: ScreeningResult) -> None:
    """Instead of a score: why this image is not examined, and where it belongs."""
    with st.container(border=True):
        st.markdown("### :red[:material/block:] " + t("Not examined"))
        st.markdown(t("This image does not fit this page, so there is no score:"))
        st.markdown("\n".join(f"- {t(check.message, **check.values)}" for check in result.gate.reasons))
        suggested = tasks().get(result.gate.suggested_task or "")
        if suggested and has_page(suggested.id):
            show_link(suggested.id, t("Open the page for it: {task}", task=t(suggested.title)), suggested.icon)
