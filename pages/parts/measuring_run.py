"""How far an evaluation is: progress, time left, cancel; looked at every second while something runs."""

import streamlit as st

from core.errors import MESSAGES, BusyError, ScreeningError
from core.services.evaluations import CHECK, Evaluation, Evaluations, Step
from pages.parts.errors import show_error
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
        if told is None:
            st.progress(0.0, t("Starting"))
        else:
            words = phases.get(told.phase, "")
            if told.total:
                words += " · " + t("{done} of {total}", done=f"{told.done:,}", total=f"{told.total:,}")
            if told.seconds_left is not None and told.done < told.total:
                words += " · " + t("about {time} left", time=_time(told.seconds_left))
            st.progress(min(1.0, told.done / told.total) if told.total else 0.0, words)
        st.caption(
            t("It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.")
        )
        if st.button(t("Cancel"), icon=":material/stop_circle:", key="measuring.cancel"):
            store.stop(evaluation)
            st.rerun()


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return t("{n} s", n=max(1, round(seconds)))
    return t("{n} min", n=minutes) if minutes < 90 else t("{n} h", n=f"{seconds / 3600:.1f}")


def show_stopped(store: Evaluations, evaluation: Evaluation) -> None:
    """It was cancelled, or killed: what was answered is kept."""
    with st.container(border=True):
        st.markdown("#### :material/pause_circle: " + t("Stopped"))
        st.markdown(t("What was read and answered is kept: going on takes it over."))
        if st.button(t("Go on"), icon=":material/play_arrow:", key="measuring.resume", type="primary"):
            start_step(store, evaluation, "run" if (evaluation.folder / CHECK).is_file() else "check")


def show_failed(store: Evaluations, evaluation: Evaluation) -> None:
    """What was wrong."""
    told = store.progress(evaluation)
    if told is not None and told.code in MESSAGES:
        show_error(ScreeningError(told.code, told.got))
    else:
        with st.container(border=True):
            st.markdown("#### :red[:material/error:] " + t("The evaluation ended unexpectedly."))
            st.markdown(t("Next step: {step}", step=t("Start it again; if it happens again, run the self-check.")))


def start_step(store: Evaluations, evaluation: Evaluation, step: Step) -> None:
    """Start a step and draw the page anew."""
    try:
        store.start(evaluation, step)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()
