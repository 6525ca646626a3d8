"""A new reader study: task, question, cases and initials."""

import streamlit as st

from core import registry
from core.services.evaluations import Evaluation
from core.services.reader_study import MOST_CASES, ReaderStudies, questions_of
from pages.parts.measuring import ADDRESS, evaluations
from pages.parts.reading_case import question_words
from pages.parts.road import installed_manifest
from pages.parts.words import t

STUDY = "study"  # key of the address that holds the token
_N_CASES = 20


def show_new(store: ReaderStudies) -> None:
    """The form; with an evaluation in the address its images are read, else phantoms.

    Raises:
        ScreeningError: A manifest is wrong, or the evaluation holds no images any more.
    """
    st.markdown(t("Answer each case blind, then with the model, and see what the model changes."))
    evaluation = evaluations().find(st.query_params.get(ADDRESS, ""))
    with st.container(border=True, width=860):
        task_id = evaluation.plan.task if evaluation else _choose_task()
        manifest = registry.manifest_of(task_id, evaluation.plan.model) if evaluation else installed_manifest(task_id)
        task, labels = registry.task(task_id), [] if manifest is None else list(questions_of(manifest))
        if manifest is None or not labels:
            st.info(t("This task has no model with an operating point."), icon=":material/info:")
            return
        label = st.selectbox(
            t("What is asked"),
            labels,
            format_func=lambda own: question_words(task, own),
            key=f"reading.label.{task_id}",
            persist_state="session",
        )
        _say_source(evaluation)
        left, right = st.columns(2)
        n = left.number_input(t("Cases"), 1, MOST_CASES, _N_CASES, key="reading.n", persist_state="session")
        reader = right.text_input(
            t("Initials of the reader, no name"), key="reading.reader", max_chars=4, persist_state="session"
        ).strip()
        is_ready = reader.isascii() and reader.isalpha()
        if st.button(
            t("Begin"), icon=":material/play_arrow:", type="primary", key="reading.begin", disabled=not is_ready
        ):
            try:
                made = store.create(manifest, str(label), reader, int(n), evaluation)
            except OSError:
                st.error(t("The folder cannot be written: the disk is full, or the program may not write there."))
                return
            st.query_params.pop(ADDRESS, None)
            st.query_params[STUDY] = made.token
            st.rerun()


def _choose_task() -> str:
    tasks = registry.tasks()
    return str(
        st.selectbox(
            t("Task"),
            list(tasks),
            format_func=lambda task_id: t(tasks[task_id].title),
            key="reading.task",
            persist_state="session",
        )
    )


def _say_source(evaluation: Evaluation | None) -> None:
    if evaluation is None:
        st.caption(
            t(
                "Cases are new phantoms in random order; their truth is known. To read your own images, finish an evaluation "
                "of them and follow its link to the reader study."
            )
        )
    else:
        st.caption(t("Cases are images of your evaluation in random order, judged against its labels."))
