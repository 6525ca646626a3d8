"""Labelled images in, statistics out: which step an evaluation is at, and what the page shows of it."""

import streamlit as st

from core.errors import ScreeningError
from core.services.evaluations import CHECK, Evaluation, Evaluations
from pages.parts.errors import show_error
from pages.parts.measuring_check import show_check
from pages.parts.measuring_mapping import show_mapping
from pages.parts.measuring_new import show_new
from pages.parts.measuring_result import show_result
from pages.parts.measuring_run import show_failed, show_running, show_stopped, start_step
from pages.parts.menu import go_to
from pages.parts.settings import settings
from pages.parts.words import t

ADDRESS = "evaluation"  # key of the address that holds the token


@st.cache_resource(show_spinner=False)
def evaluations() -> Evaluations:
    """Of this installation."""
    return Evaluations(settings().evaluation.store)


def show_images() -> None:
    """The step that the evaluation in the address is at; without one the form for a new one."""
    store = evaluations()
    evaluation = store.find(st.query_params.get(ADDRESS, ""))
    if evaluation is None:
        evaluation = show_new(store)
        if evaluation is not None:
            st.query_params[ADDRESS] = evaluation.token
            st.rerun()
        return
    try:
        _show_stage(store, evaluation)
    except ScreeningError as error:
        show_error(error)
    _show_end(store, evaluation)


def _show_stage(store: Evaluations, evaluation: Evaluation) -> None:
    stage = store.stage(evaluation)
    if stage == "planned":
        show_mapping(store, evaluation)
    elif stage in ("checking", "running"):
        show_running(store, evaluation)
    elif stage == "checked":
        show_check(store, evaluation)
    elif stage == "stopped":
        show_stopped(store, evaluation)
    elif stage == "failed":
        show_failed(store, evaluation)
        if not (evaluation.folder / CHECK).is_file():
            show_mapping(store, evaluation)
        elif st.button(t("Start again"), icon=":material/replay:", key="measuring.again"):
            start_step(store, evaluation, "run")
    else:
        show_result(evaluation)


def _show_end(store: Evaluations, evaluation: Evaluation) -> None:
    """Another one, or this one away."""
    st.divider()
    with st.container(horizontal=True):
        if st.button(t("New evaluation"), icon=":material/add:", key="measuring.new"):
            del st.query_params[ADDRESS]
            st.rerun()
        if store.stage(evaluation) == "done" and st.button(
            t("Read these cases in a reader study"), icon=":material/compare:", key="measuring.read_cases"
        ):
            go_to("reader_study", {ADDRESS: evaluation.token})
        with st.popover(t("Delete this evaluation and its images"), icon=":material/delete:"):
            st.markdown(t("Images, answers and notes are gone then; nothing brings them back."))
            if st.button(t("Delete it"), type="primary", key="measuring.delete"):
                store.delete(evaluation)
                del st.query_params[ADDRESS]
                st.rerun()
    st.caption(t("Uploaded images and answers lie on this machine, and are deleted a day after they were last used."))
