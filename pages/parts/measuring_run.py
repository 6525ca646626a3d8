"""How far an evaluation is: progress, time left, cancel; looked at every second while something runs."""

import streamlit as st

from core.errors import BusyError
from core.services.evaluations import CHECK, Evaluation, Evaluations, Step
from pages.parts.errors import show_error
from pages.parts.job_progress import show_bar, show_failure
from pages.parts.words import t

_EVERY_S = 1.0


@st.fragment(run_every=_EVERY_S)
def show_running(store: Evaluations, evaluation: Evaluation) -> None:
    """Progress of the step that runs; the whole page is drawn anew when it ends."""
    if store.stage(evaluation) not in ("checking", "running"):
        st.rerun()
    told = store.progress(evaluation)
    phases = {
        "unpacking": t("Unpacking the archive"),
        "reading": t("Reading the images"),
        "loading": t("Loading the model"),
        "answering": t("Answering the cases"),
        "measuring": t("Measuring"),
    }
    with st.container(border=True):
        show_bar(told, phases)
        st.caption(
            t("It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.")
        )
        if st.button(t("Cancel"), icon=":material/stop_circle:", key="measuring.cancel"):
            store.stop(evaluation)
            st.rerun()


def show_stopped(store: Evaluations, evaluation: Evaluation) -> None:
    """It was cancelled, or killed: what was answered is kept."""
    with st.container(border=True):
        st.markdown("#### :material/pause_circle: " + t("Stopped"))
        st.markdown(t("What was read and answered is kept: going on takes it over."))
        if st.button(t("Go on"), icon=":material/play_arrow:", key="measuring.resume", type="primary"):
            start_step(store, evaluation, "run" if (evaluation.folder / CHECK).is_file() else "check")


def show_failed(store: Evaluations, evaluation: Evaluation) -> None:
    """What was wrong."""
    show_failure(store.progress(evaluation), t("The evaluation ended unexpectedly."))


def start_step(store: Evaluations, evaluation: Evaluation, step: Step) -> None:
    """Start a step and draw the page anew."""
    try:
        store.start(evaluation, step)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()
