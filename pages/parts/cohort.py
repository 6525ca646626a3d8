"""Images of the PACS into a folder of the server, for an evaluation: a list of accession numbers, or days."""

from datetime import date
from pathlib import Path

import streamlit as st

from core.errors import MESSAGES, BusyError, ScreeningError
from core.services.pacs.cohort import FETCHED, NOT_FOUND
from core.services.pacs.cohorts import Cohort, Cohorts
from pages.parts.errors import show_error
from pages.parts.pacs import has_pacs
from pages.parts.settings import settings
from pages.parts.words import t

ADDRESS = "cohort"  # key of the address that holds the token
NUMBERS, DAYS = "numbers", "days"
_EVERY_S = 1.0
_FOLDER = "cohorts"  # below the store of evaluations, which is kept for a day too


@st.cache_resource(show_spinner=False)
def cohorts(store: Path, target: Path) -> Cohorts:
    """Of this installation."""
    return Cohorts(store / _FOLDER, target)


def show_cohort(task_id: str) -> None:
    """The form, or how far the cohort in the address is; nothing where this installation has no PACS or no folder for it."""
    own = settings()
    if own.evaluation.root is None or not has_pacs():
        return
    store = cohorts(own.evaluation.store, own.evaluation.root)
    cohort = store.find(st.query_params.get(ADDRESS, ""))
    with st.expander(t("Fetch images from the PACS"), icon=":material/cloud_download:", expanded=cohort is not None):
        try:
            if cohort is None:
                _show_form(store, task_id)
            else:
                _show_state(store, cohort)
        except ScreeningError as error:
            show_error(error)


def _show_form(store: Cohorts, task_id: str) -> None:
    st.caption(
        t(
            "The images go into a folder on the server as the archive has them, with names and ids, and stay there until "
            "they are deleted there."
        )
    )
    names = {NUMBERS: t("Accession numbers"), DAYS: t("Days")}
    kind = st.segmented_control(
        t("Which studies"),
        list(names),
        format_func=names.__getitem__,
        key="cohort.kind",
        default=NUMBERS,
        required=True,
    )
    numbers, days = "", None
    if kind == NUMBERS:
        numbers = st.text_area(t("Accession numbers, one a line"), key="cohort.numbers", height=120)
    else:
        today = date.today()
        chosen = st.date_input(t("First and last day"), (today, today), max_value=today, key="cohort.days")
        days = chosen if isinstance(chosen, tuple) and len(chosen) == 2 else None
    name = st.text_input(t("Name of the folder"), key="cohort.name", max_chars=40, placeholder="hip_2026")
    is_ready = bool(name and (numbers.strip() if kind == NUMBERS else days))
    if st.button(t("Fetch"), icon=":material/cloud_download:", key="cohort.create", disabled=not is_ready):
        cohort = store.create(task_id, name, numbers, days)
        st.query_params[ADDRESS] = cohort.token
        store.start(cohort)
        st.rerun()


def _show_state(store: Cohorts, cohort: Cohort) -> None:
    stage = store.stage(cohort)
    if stage == "running":
        _show_running(store, cohort)
        return
    if stage == "done":
        _show_done(store, cohort)
    elif stage == "failed":
        told = store.progress(cohort)
        if told is not None and told.code in MESSAGES:
            show_error(ScreeningError(told.code, told.got))
    if stage != "done":
        st.markdown(t("What was fetched is kept: going on fetches the rest."))
    with st.container(horizontal=True):
        words = t("Ask again for what is missing") if stage == "done" else t("Go on")
        if st.button(words, icon=":material/play_arrow:", key="cohort.resume"):
            _start(store, cohort)
        if st.button(t("Another list"), icon=":material/add:", key="cohort.new"):
            del st.query_params[ADDRESS]
            st.rerun()


@st.fragment(run_every=_EVERY_S)
def _show_running(store: Cohorts, cohort: Cohort) -> None:
    """Progress; the whole page is drawn anew when it ends."""
    if store.stage(cohort) != "running":
        st.rerun()
    told = store.progress(cohort)
    share = told.done / told.total if told is not None and told.total else 0.0
    words = t("Fetching from the PACS ...")
    if told is not None and told.total:
        words += " " + t("{done} of {total}", done=f"{told.done:,}", total=f"{told.total:,}")
    st.progress(min(1.0, share), words)
    st.caption(
        t("It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.")
    )
    if st.button(t("Stop"), icon=":material/stop_circle:", key="cohort.stop"):
        store.stop(cohort)
        st.rerun()


def _show_done(store: Cohorts, cohort: Cohort) -> None:
    counts = store.counts(cohort)
    n_failed = counts.total() - counts[FETCHED] - counts[NOT_FOUND]
    st.success(
        t("Images in the folder {name}: {n}. Choose it above.", name=f"`{cohort.plan.name}`", n=f"{counts[FETCHED]:,}"),
        icon=":material/check_circle:",
    )
    if counts[NOT_FOUND]:
        st.markdown(t("Requests without a study or an image of this kind: {n}.", n=f"{counts[NOT_FOUND]:,}"))
    if n_failed:
        st.markdown(t("Images that could not be fetched or read: {n}.", n=f"{n_failed:,}"))
    if counts[NOT_FOUND] or n_failed:
        st.caption(t("The table cohort.csv in the folder tells which, by their line in the list."))


def _start(store: Cohorts, cohort: Cohort) -> None:
    try:
        store.start(cohort)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()
