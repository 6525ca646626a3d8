"""Page "Batch": many images of one task, screened by a job that goes on when the page is closed."""

from pathlib import Path

import streamlit as st

from core import registry
from core.errors import MESSAGES, BusyError, ScreeningError
from core.services.batches import Batch, Batches
from pages.parts.batching_new import show_new
from pages.parts.batching_result import show_table
from pages.parts.errors import show_error
from pages.parts.frame import show_badge
from pages.parts.job_progress import show_bar
from pages.parts.settings import settings
from pages.parts.words import literal, t

ADDRESS = "batch"  # key of the address that holds the token
_EVERY_S = 1.0


@st.cache_resource(show_spinner=False)
def batches() -> Batches:
    """Of this installation."""
    return Batches(settings().batch.store)


def show_batching() -> None:
    """The batch in the address; without one the form for a new one."""
    st.title(t("Batch screening"))
    st.markdown(t("Screen a folder or an archive of images, and take the answers along as one table."))
    store = batches()
    batch = store.find(st.query_params.get(ADDRESS, ""))
    if batch is None:
        batch = show_new(store)
        if batch is not None:
            st.query_params[ADDRESS] = batch.token
            _start(store, batch)
        return
    _show_plan(batch)
    stage = store.stage(batch)
    if stage == "running":
        _show_running(store, batch)
    else:
        _show_rest(store, batch, stage)
    _show_end(store, batch)


def _show_plan(batch: Batch) -> None:
    plan = batch.plan
    facts = [plan.model, literal(Path(plan.server_folder).name) if plan.server_folder else t("Upload")]
    facts += [t("questions are confirmed")] if plan.confirmed else []
    facts += [t("kept in the history")] if plan.has_history else []
    st.subheader(t(registry.task(plan.task).title))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" · ".join(facts), width="content")
        manifest = registry.manifest_of(plan.task, plan.model)
        if manifest is not None:
            show_badge(manifest, in_full=True)


@st.fragment(run_every=_EVERY_S)
def _show_running(store: Batches, batch: Batch) -> None:
    """Progress, and what is answered so far; the whole page is drawn anew when it ends."""
    if store.stage(batch) != "running":
        st.rerun()
    phases = {
        "unpacking": t("Unpacking the archive"),
        "loading": t("Loading the model"),
        "answering": t("Screening the images"),
    }
    with st.container(border=True):
        show_bar(store.progress(batch), phases)
        if st.button(t("Stop"), icon=":material/stop_circle:", key="batching.stop"):
            store.stop(batch)
            st.rerun()
        st.caption(
            t("It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.")
        )
    show_table(batch, is_done=False)


def _show_rest(store: Batches, batch: Batch, stage: str) -> None:
    if stage == "failed":
        told = store.progress(batch)
        if told is not None and told.code in MESSAGES:
            show_error(ScreeningError(told.code, told.got))
        else:
            st.error(t("The batch ended unexpectedly."))
    if stage != "done":
        if stage == "stopped":
            st.markdown(t("What was answered is kept: going on takes it over."))
        if st.button(t("Go on"), icon=":material/play_arrow:", type="primary", key="batching.start"):
            _start(store, batch)
    show_table(batch, is_done=stage == "done")


def _start(store: Batches, batch: Batch) -> None:
    try:
        if store.stage(batch) != "done":
            store.start(batch)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()


def _show_end(store: Batches, batch: Batch) -> None:
    """Another one, or this one away."""
    st.divider()
    with st.container(horizontal=True):
        if st.button(t("New batch"), icon=":material/add:", key="batching.new"):
            del st.query_params[ADDRESS]
            st.rerun()
        with st.popover(t("Delete this batch and its images"), icon=":material/delete:", key="batching.ask"):
            st.markdown(t("Images and answers are gone then; nothing brings them back. What the history keeps stays."))
            if st.button(t("Delete it"), type="primary", key="batching.delete"):
                store.delete(batch)
                del st.query_params[ADDRESS]
                st.rerun()
    st.caption(t("Uploaded images and answers lie on this machine, and are deleted a day after they were last used."))
