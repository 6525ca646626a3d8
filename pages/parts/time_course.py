"""Photographs of one eye after screening: side by side, their areas as a course, and how far their masks agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.errors import ScreeningError
from core.evaluation.time_points import MAX_TIME_POINTS, TimePoint, dice_between
from core.figures.style import number
from core.figures.time_points import AreaCourse, area_course_alt, area_course_figure
from core.manifest import Manifest
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.method import show_rows
from pages.parts.road import confirm_gate, is_confirmed
from pages.parts.words import t, translator


@dataclass(frozen=True)
class Screened:
    """What the session keeps of a photograph; far less than its pixels."""

    point: TimePoint
    plain: bytes
    marked: bytes


Kept = Screened | ScreeningError


def _is_scored(task: Task, answer: Kept) -> bool:
    if isinstance(answer, ScreeningError):
        return False
    point = answer.point
    return point.gate.outcome == "accepted" or is_confirmed(task.id, point.file_sha256, point.gate)


def show_row(task: Task, names: Sequence[str], answers: Sequence[Kept]) -> None:
    """The photographs side by side, with masks where they are scored and reasons where they are not."""
    columns = st.columns(MAX_TIME_POINTS)
    for place, (name, answer) in enumerate(zip(names, answers, strict=True)):
        with columns[place]:
            st.markdown(f"**{t('Time point {n}', n=place + 1)}**")
            if name:
                st.text(name)
            if isinstance(answer, ScreeningError):
                show_error(answer)
            elif _is_scored(task, answer):
                st.image(answer.marked, width="stretch", alt=t("Photograph {n} with its masks.", n=place + 1))
            else:
                st.image(answer.plain, width="stretch", alt=t("Photograph {n}. No masks are shown yet.", n=place + 1))
                _show_reasons(task, answer.point, place)


def _show_reasons(task: Task, point: TimePoint, place: int) -> None:
    """Why a photograph is not scored, or not yet."""
    st.markdown(f":orange[{t('Not scored')}]")
    st.markdown("\n".join(f"- {t(check.message, **check.values)}" for check in point.gate.reasons))
    if point.gate.outcome == "needs_confirmation":
        st.button(
            t("I have read this: show the score"),
            key=f"{task.id}.times.confirm.{place}",
            on_click=confirm_gate,
            args=(task.id, point.file_sha256, point.gate),
        )


def show_comparison(task: Task, manifest: Manifest, answers: Sequence[Kept]) -> None:
    """Areas as a course and as a table, and how far the masks agree."""
    points = [answer.point if isinstance(answer, Screened) and _is_scored(task, answer) else None for answer in answers]
    scored = [point for point in points if point is not None]
    if not scored:
        st.info(t("None of the photographs is scored."), icon=":material/info:")
        return
    courses = [
        AreaCourse(
            label.id, t(label.name), tuple(None if point is None else point.shares[label.id] for point in points)
        )
        for label in task.labels
    ]
    words = translator()
    left, right = st.columns(2, gap="medium")
    with left:
        figure = area_course_figure(courses, words, is_dark())
        show_chart(figure, f"{task.id}.area_course", area_course_alt(courses, words))
    with right:
        rows = [
            (t("Time point {n}", n=place), *(_cell(point, label.id) for label in task.labels))
            for place, point in enumerate(points, start=1)
        ]
        n_pairs = len(scored) * (len(scored) - 1) // 2
        dice = [dice_between(scored, label.id) for label in task.labels]
        means = ("–" if value is None else number(value, 3) for value in dice)
        rows.append((t("Dice of two photographs, mean (pairs: {n})", n=n_pairs), *means))
        show_rows([t("Share of the field of view · places"), *(t(label.name) for label in task.labels)], rows)
        st.caption(
            t(
                "Dice compares the masks within the field of view as it lies; nothing is registered, so an eye that moved lowers "
                "it like a changed mask does. Two empty masks count as 1. The reference's photographs of one eye differ mainly "
                "in contrast: a change of area between them is a change of the picture, not of the eye."
            )
        )
        if manifest.statement:
            st.caption(t(manifest.statement))


def _cell(point: TimePoint | None, label: str) -> str:
    if point is None:
        return t("not scored")
    return f"{number(100 * point.shares[label], 3)}\u202f% · {point.n_places[label]}"
