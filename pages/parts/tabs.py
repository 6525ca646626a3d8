"""The tabs below the result. Only the open one is computed; a change of tab does not run the page above again."""

import streamlit as st

from core.manifest import Manifest
from core.records import ScreeningResult, Study
from core.task import Task
from pages.parts.card import show_card
from pages.parts.explanation_check import show_explanation_check
from pages.parts.performance import show_performance
from pages.parts.view import TaskView
from pages.parts.words import LANGUAGE, t


def show_tabs(
    view: TaskView, task: Task, manifest: Manifest, study: Study | None, result: ScreeningResult | None
) -> None:
    """Performance, explanation check, the task's own, model card, method; the one that was open last."""
    # Read here and not in the fragment: a default that changes from one of its runs to the next takes back the reader's click.
    _show_tabs(view, task, manifest, study, result, st.session_state.get(_place(task), 0))


def _place(task: Task) -> str:
    """Where the session keeps the open tab."""
    return f"{task.id}.tab"


@st.fragment
def _show_tabs(
    view: TaskView,
    task: Task,
    manifest: Manifest,
    study: Study | None,
    result: ScreeningResult | None,
    first: int,
) -> None:
    own_title, show_own = view.own_tab
    titles = [t("Performance"), t("Explanation check"), own_title, t("Model card"), t("Method")]
    # A tab's state is its title, which changes with the language: the place is remembered instead.
    key = f"{task.id}.tabs.{st.session_state.get(LANGUAGE)}"
    tabs = st.tabs(titles, default=titles[first], key=key, on_change="rerun")
    index = next((i for i, tab in enumerate(tabs) if tab.open), 0)
    st.session_state[_place(task)] = index
    shows = (
        lambda: show_performance(view, task, manifest),
        lambda: show_explanation_check(task, manifest, result),
        lambda: show_own(study, result),
        lambda: show_card(task, manifest),
        lambda: view.show_method(task, manifest),
    )
    with tabs[index]:
        shows[index]()
