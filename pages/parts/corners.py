"""The switch that paints the corners of every image black."""

import streamlit as st

from pages.parts.words import t

_KEY = "corners_hidden"


def corners_hidden() -> bool:
    """Whether this session hides them."""
    return bool(st.session_state.get(_KEY, False))


def show_corners_switch() -> None:
    """For burned-in names on a projector; on every page, and in every picture that is saved."""
    st.toggle(
        t("Hide the corners of images"),
        key=_KEY,
        persist_state="session",
        help=t(
            "Devices write names into the corners of an image. Black corners keep them off a projector; "
            "the score does not change. A name elsewhere in the image stays visible."
        ),
    )
