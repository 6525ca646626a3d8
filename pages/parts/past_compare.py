"""Several screenings side by side: of one patient and task as a course over time."""

from collections.abc import Sequence

import streamlit as st

from core import registry
from core.figures.course import CoursePoint, score_course_alt, score_course_figure
from core.figures.style import number, threshold_words
from core.reports.result_json import KeptScore, scores_of
from core.services.history import Kept
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.frame import grade_name, label_name
from pages.parts.method import show_rows
from pages.parts.past_result import side_words
from pages.parts.words import t, translator

Slot = tuple[str, str | None]


def show_comparison(chosen: Sequence[Kept]) -> None:
    """The chosen screenings, the earliest first."""
    st.subheader(t("{n} screenings side by side", n=len(chosen)))
    if len({row.task for row in chosen}) > 1:
        st.info(t("Scores of different tasks do not compare: choose screenings of one task."), icon=":material/info:")
        return
    task, patients = registry.task(chosen[0].task), {row.pseudonym for row in chosen}
    for statement in dict.fromkeys(row.statement for row in chosen):
        if statement:
            st.badge(t(statement), icon=":material/warning:", color="orange")
    if len({row.weights_sha256 for row in chosen}) > 1:
        st.warning(t("Different weights answered: their scores do not compare."), icon=":material/update:")
    slots = list(dict.fromkeys(slot for row in chosen for slot in scores_of(row.result)))
    if not slots:
        st.info(t("None of them shows a score."), icon=":material/info:")
        return
    slot = _choose_slot(task, slots)
    scores = [scores_of(row.result).get(slot) for row in chosen]
    left, right = st.columns(2, gap="medium")
    with left:
        if len(patients) == 1 and None not in patients:
            _show_course(_slot_name(task, slot), chosen, scores)
        else:
            st.info(
                t("Not of one patient, as far as the hashes tell: there is a table and no course."),
                icon=":material/group:",
            )
    with right:
        _show_table(chosen, scores)


def _choose_slot(task: Task, slots: Sequence[Slot]) -> Slot:
    """Which finding, and which side, is compared."""
    if len(slots) == 1:
        return slots[0]
    names = [_slot_name(task, slot) for slot in slots]
    place = st.selectbox(
        t("Finding"), range(len(slots)), format_func=names.__getitem__, key=f"past.slot.{task.id}.{len(slots)}"
    )
    return slots[int(place or 0)]


def _slot_name(task: Task, slot: Slot) -> str:
    label, side = slot
    name = grade_name(task, label) if task.kind == "grader" else label_name(task, label)
    return f"{name}, {t('Left') if side == 'L' else t('Right')}" if side else name


def _show_course(name: str, chosen: Sequence[Kept], scores: Sequence[KeptScore | None]) -> None:
    points = [
        CoursePoint(row.time, score.value, score.threshold, score.positive)
        for row, score in zip(chosen, scores, strict=True)
        if score is not None
    ]
    if points:
        words = translator()
        figure = score_course_figure(points, name, words, is_dark())
        show_chart(figure, "past.course", score_course_alt(points, name, words))
    st.caption(t("The time is that of the screening: dates of examinations are not read."))


def _show_table(chosen: Sequence[Kept], scores: Sequence[KeptScore | None]) -> None:
    rows = []
    for row, score in zip(chosen, scores, strict=True):
        if score is None:
            numbers = ("–", "–", t("No score was shown") if not row.has_score else "–")
        else:
            threshold = "–" if score.threshold is None else threshold_words(score.threshold)
            numbers = (number(score.value, 3), threshold, side_words(score.positive))
        rows.append((f"{row.time:%Y-%m-%d %H:%M}", *numbers, row.file_sha256[:8], row.weights_sha256[:8]))
    show_rows([t("Time (UTC)"), t("Score"), t("Operating point"), t("Answer"), t("File"), t("Weights")], rows)
