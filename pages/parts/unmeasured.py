"""What is said of a model that nobody has measured here, and where it can be measured."""

import streamlit as st

from core.manifest import OperatingPoint
from pages.parts.menu import show_link
from pages.parts.words import t


def no_operating_point() -> str:
    """Why there is no next step."""
    return t("Without a measured operating point the score says nothing about what to do.")


def show_measure_it(task_id: str, point: OperatingPoint) -> None:
    """Below a score that no operating point answers, or one whose threshold was only stated."""
    if point.threshold is None:
        st.info(
            t("This model has no operating point: a score stands alone until it is measured."), icon=":material/info:"
        )
    else:
        st.info(t("The threshold is the one its maker stated; nobody has measured it here."), icon=":material/info:")
    _show_link(f"{task_id}.measure")


def show_unmeasured() -> None:
    """In the place of held-out results."""
    st.info(t("These weights were brought from outside and came without held-out results."), icon=":material/info:")
    _show_link("performance.measure")


def _show_link(key: str) -> None:
    with st.container(key=key):
        show_link("evaluate", t("Measure it on the Evaluation page to get an operating point"), "query_stats")
