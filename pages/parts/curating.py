"""Page "Curation": which step a curation is at, and what the page shows of it."""

from pathlib import Path

import streamlit as st

from core import registry
from core.errors import BusyError
from core.services.curations import Curation, Curations
from pages.parts.curating_new import show_new
from pages.parts.curating_result import show_result
from pages.parts.errors import show_error
from pages.parts.job_progress import show_bar, show_failure
from pages.parts.settings import settings
from pages.parts.words import literal, t

ADDRESS = "curation"  # key of the address that holds the token
_EVERY_S = 1.0


@st.cache_resource(show_spinner=False)
def curations() -> Curations:
    """Of this installation."""
    return Curations(settings().curation.store)


def show_curating() -> None:
    """The curation in the address; without one the form for a new one."""
    st.title(t("Curation"))
    st.markdown(
        t(
            "A hospital's own files become a labelled data set: what belongs together, why anything is left out, and a split by "
            "patient. Nothing leaves this machine."
        )
    )
    store = curations()
    curation = store.find(st.query_params.get(ADDRESS, ""))
    if curation is None:
        curation = show_new(store)
        if curation is not None:
            st.query_params[ADDRESS] = curation.token
            _start(store, curation)
        return
    _show_plan(curation)
    stage = store.stage(curation)
    if stage == "running":
        _show_running(store, curation)
    elif stage == "done":
        show_result(curation)
    else:
        _show_rest(store, curation, stage)
    _show_end(store, curation)


def _show_plan(curation: Curation) -> None:
    plan = curation.plan
    if plan.phantoms:
        source = t("phantom hospital of {n} patients", n=plan.phantoms)
    else:
        source = literal(Path(plan.server_folder).name) if plan.server_folder else t("uploaded archive")
    facts = [source] + ([t("test from {year} on", year=plan.test_year)] if plan.test_year else [])
    st.subheader(t(registry.task(plan.task).title))
    st.caption(" · ".join(facts))


@st.fragment(run_every=_EVERY_S)
def _show_running(store: Curations, curation: Curation) -> None:
    """Progress; the whole page is drawn anew when it ends."""
    if store.stage(curation) != "running":
        st.rerun()
    phases = {
        "making": t("Making the phantom hospital"),
        "unpacking": t("Unpacking the archive"),
        "reading": t("Reading and checking the files"),
        "writing": t("Writing the data set"),
    }
    with st.container(border=True):
        show_bar(store.progress(curation), phases)
        st.caption(
            t("It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.")
        )
        if st.button(t("Cancel"), icon=":material/stop_circle:", key="curating.cancel"):
            store.stop(curation)
            st.rerun()


def _show_rest(store: Curations, curation: Curation, stage: str) -> None:
    """It failed, was cancelled or has not begun."""
    if stage == "failed":
        show_failure(store.progress(curation), t("The curation ended unexpectedly."))
    elif stage == "stopped":
        st.info(t("Stopped. A curation starts from the beginning."), icon=":material/pause_circle:")
    if st.button(t("Start again"), icon=":material/replay:", key="curating.start", type="primary"):
        _start(store, curation)


def _start(store: Curations, curation: Curation) -> None:
    try:
        store.start(curation)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()


def _show_end(store: Curations, curation: Curation) -> None:
    """Another one, or this one away."""
    st.divider()
    with st.container(horizontal=True):
        if st.button(t("New curation"), icon=":material/add:", key="curating.new"):
            del st.query_params[ADDRESS]
            st.rerun()
        with st.popover(t("Delete this curation and its files"), icon=":material/delete:"):
            st.markdown(t("Uploads and the data set are gone then; nothing brings them back."))
            if st.button(t("Delete it"), type="primary", key="curating.delete"):
                store.delete(curation)
                del st.query_params[ADDRESS]
                st.rerun()
    st.caption(t("Uploads and the data set lie on this machine, and are deleted a day after they were last used."))
