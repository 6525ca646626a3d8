"""Page "Reader study": a new one, its cases one by one, and what the model changed."""

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.services.reader_study import ReaderStudies, ReaderStudy
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.reading_case import question_words, show_case
from pages.parts.reading_new import STUDY, show_new
from pages.parts.reading_result import show_result
from pages.parts.settings import settings
from pages.parts.words import t


@st.cache_resource(show_spinner=False)
def reader_studies() -> ReaderStudies:
    """Of this installation."""
    return ReaderStudies(settings().reader_study.store)


def show_reading() -> None:
    """The study in the address; without one the form for a new one."""
    st.title(t("Reader study"))
    store = reader_studies()
    study = store.find(st.query_params.get(STUDY, ""))
    try:
        if study is None:
            show_new(store)
            return
        task = registry.task(study.plan.task)
        _show_head(task, study)
        readings = study.readings()
        n_done = sum(reading.is_done for reading in readings)
        if n_done < study.plan.n:
            st.progress(n_done / study.plan.n, t("{done} of {total} read", done=n_done, total=study.plan.n))
            show_case(task, study, readings)
        if n_done:
            show_result(study, readings, is_whole=n_done == study.plan.n)
    except ScreeningError as error:
        show_error(error)
    _show_end(store, study)


def _show_head(task: Task, study: ReaderStudy) -> None:
    plan = study.plan
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        facts = [t(task.title), question_words(task, plan.label), t("reader {initials}", initials=plan.reader)]
        st.caption(" · ".join([*facts, t("weights {version}", version=plan.version)]), width="content")
        if plan.statement:
            st.badge(t(plan.statement), icon=":material/warning:", color="orange")


def _show_end(store: ReaderStudies, study: ReaderStudy | None) -> None:
    """Another one, or this one away."""
    if study is None:
        return
    st.divider()
    with st.container(horizontal=True):
        st.button(t("New reader study"), icon=":material/add:", key="reading.new", on_click=_forget_address)
        with st.popover(t("Delete this study"), icon=":material/delete:"):
            st.markdown(t("Its answers are gone then; nothing brings them back."))
            if st.button(t("Delete it"), type="primary", key="reading.delete"):
                store.delete(study)
                _forget_address()
                st.rerun()
    st.caption(
        t(
            "Every answer is kept at once. Keep the address of this page to come back; "
            "a study is deleted 30 days after it was last used."
        )
    )


def _forget_address() -> None:
    st.query_params.pop(STUDY, None)
