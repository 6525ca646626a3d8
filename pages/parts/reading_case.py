"""One case of a reader study: the image alone, then the same with the model's answer."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from core import registry
from core.errors import UsageError
from core.evaluation.reading import Reading
from core.figures.style import score_words
from core.records import ScreeningResult, Study
from core.services.reader_study import ReaderStudy, call_of
from core.task import Task
from pages.parts.frame import grade_name, label_name
from pages.parts.picture import Look, frame_picture, sheet_bytes
from pages.parts.source import read
from pages.parts.words import t

_READ = "reading.read"


def question_words(task: Task, label: str) -> str:
    """What the reader is asked of the whole image."""
    name = grade_name(task, label) if task.kind == "grader" else label_name(task, label)
    return t("{label}: yes or no?", label=name)


def show_case(task: Task, study: ReaderStudy, readings: Sequence[Reading]) -> None:
    """The next half of a case.

    Raises:
        ScreeningError: The image cannot be read, or was deleted.
    """
    is_aided = bool(readings) and not readings[-1].is_done
    place = len(readings) - 1 if is_aided else len(readings)
    image, reference = _read_once(study, place)
    left, right = st.columns([6, 5], gap="medium")
    with left.container(border=True):
        if is_aided:
            result = _screened_once(study, place, image)
            alt = t("The image of the case, and the same with the explanation of the score.")
            st.image(sheet_bytes(result, Look()), width="stretch", alt=alt)
        else:
            st.image(frame_picture(image.frame)[0], width="stretch", alt=t("The image of the case, without the model."))
    with right.container(border=True):
        st.markdown("### " + t("Case {n} of {total}", n=place + 1, total=study.plan.n))
        if is_aided:
            model, score = call_of(result, study.plan.label)
            _show_model(model, score)
            before = t("Yes") if readings[-1].blind else t("No")
            st.markdown(t("Your answer without the model: **{answer}**. And now?", answer=before))
        else:
            st.markdown(t("First without the model."))
        st.markdown("#### " + question_words(task, study.plan.label))
        started = st.session_state.setdefault(f"reading.started.{study.token}.{place}.{is_aided}", time.monotonic())
        keep = partial(study.answer_aided, model, score) if is_aided else partial(study.answer_blind, reference)
        with st.container(horizontal=True):
            for words, icon, answer, key in ((t("Yes"), "check", True, "Y"), (t("No"), "close", False, "N")):
                st.button(
                    words,
                    icon=f":material/{icon}:",
                    key=f"reading.answer.{key}",
                    shortcut=key,
                    on_click=_answer,
                    args=(keep, answer, started),
                )
        st.caption(t("The time runs from when the image is shown. Keys: Y and N."))


def _show_model(model: bool | None, score: float | None) -> None:
    if model is None or score is None:
        st.info(t("The model refused this image and gives no answer."), icon=":material/info:")
        return
    words = t("at or above the operating point") if model else t("below the operating point")
    icon = ":red[:material/error:]" if model else ":green[:material/check_circle:]"
    st.markdown(f"{icon} " + t("The model: score {score}, {words}.", score=score_words(score), words=words))


def _answer(keep: Callable[[bool, float], None], answer: bool, started: float) -> None:
    keep(answer, time.monotonic() - started)


def _read_once(study: ReaderStudy, place: int) -> tuple[Study, bool]:
    """Image and reference of a case; one at a time stays in memory.

    Raises:
        ScreeningError: The image cannot be read, or was deleted.
    """
    key, state = (study.token, place), st.session_state
    if state.get(_READ, (None,))[0] != key:
        with st.spinner(t("Reading the case"), show_time=True):
            try:
                data, reference = study.case(place)
            except OSError as error:
                raise UsageError("the image was deleted with its evaluation") from error
            state[_READ] = (key, read(data).study, reference, None)
    _, image, reference, _ = state[_READ]
    return image, reference


def _screened_once(study: ReaderStudy, place: int, image: Study) -> ScreeningResult:
    """The model's answer, checks taken as confirmed: the reader sees the image."""
    key, _, reference, result = st.session_state[_READ]
    if result is None:
        from core import screening  # loads torch

        plan = study.plan
        manifest = registry.manifest_of(plan.task, plan.model)
        if manifest is None or manifest.weights.sha256 != plan.weights_sha256:
            raise UsageError("other weights were installed since this study began")
        with st.spinner(t("Asking the model"), show_time=True):
            model = screening.load(plan.task, plan.model)
            point = None if registry.task(plan.task).kind == "detector" else plan.point
            result = screening.screen(image, model, confirmed=True, point=point)
        st.session_state[_READ] = (key, image, reference, result)
    screened: ScreeningResult = result
    return screened
