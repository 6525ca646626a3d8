"""Presentation mode: big type, no sidebar, no names of files; by button or with `?present=1`."""

import streamlit as st

from pages.parts.markup import apply_presentation_style
from pages.parts.words import t

_STATE, _ADDRESS = "presenting", "present"


def is_presenting() -> bool:
    """Whether this session presents; the address begins it, and a change of page keeps it."""
    if st.query_params.get(_ADDRESS) == "1":
        st.session_state[_STATE] = True
    return bool(st.session_state.get(_STATE, False))


def show_presentation_head() -> None:
    """Style, the line that stands on every page, and the way out."""
    apply_presentation_style()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption("Fivefold · " + t("research use, not a medical device"), width="content")
        st.button(
            t("End the presentation"),
            icon=":material/close_fullscreen:",
            key="presentation.end",
            type="tertiary",
            on_click=_end,
        )


def show_presentation_start() -> None:
    """The button that begins it."""
    st.button(
        t("Presentation mode"),
        icon=":material/slideshow:",
        key="presentation.start",
        on_click=_start,
        width="stretch",
        help=t("Big type, no sidebar and no names of files. On a task page the keys P and N go through the images."),
    )


def _start() -> None:
    st.query_params[_ADDRESS] = "1"


def _end() -> None:
    st.session_state[_STATE] = False
    st.query_params.pop(_ADDRESS, None)
