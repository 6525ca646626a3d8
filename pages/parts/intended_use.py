"""The first screen of a session: what this software is for, and what it is not for."""

import streamlit as st

from core.manifest import DEMO_STATEMENT
from pages.parts.words import t

_ACCEPTED = "intended_use.accepted"


def is_accepted() -> bool:
    """Whether a person of this session has read it."""
    return bool(st.session_state.get(_ACCEPTED, False))


def show_intended_use() -> None:
    """Stands in place of every page until it is accepted."""
    with st.container(width=960):
        st.title(t("Before you begin"))
        st.markdown(t("Fivefold is for research and teaching. Please read what it is and what it is not."))
        left, right = st.columns(2, gap="medium")
        with left.container(border=True, height="stretch"):
            st.markdown("#### :green[:material/check_circle:] " + t("What it is"))
            _show_lines(
                t("A research tool that screens medical images for five tasks and explains each answer."),
                t("A way for a hospital to measure the models on its own labelled images."),
                t("A score with its operating point, its interval and the data that it comes from."),
            )
        with right.container(border=True, height="stretch"):
            st.markdown("#### :red[:material/cancel:] " + t("What it is not"))
            _show_lines(
                t("Not a medical device: no authority has cleared it."),
                t("Not a diagnosis: decisions belong to a doctor who knows the patient."),
                t("Not a way to rule a disease out: a score below the operating point can miss it."),
            )
        words = t(
            "Some models were trained on phantoms and have never seen a patient. Where that is so, the page says:"
        )
        st.warning(f"{words} **{t(DEMO_STATEMENT)}**", icon=":material/warning:")
        st.button(
            t("I have read this: research use only"),
            type="primary",
            icon=":material/check:",
            key="intended_use.accept",
            on_click=_accept,
        )


def _show_lines(*lines: str) -> None:
    st.markdown("\n".join(f"- {line}" for line in lines))


def _accept() -> None:
    st.session_state[_ACCEPTED] = True
