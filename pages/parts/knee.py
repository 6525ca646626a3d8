"""What the knee page adds to the common body: a row for each knee, what a grade means, advice, method."""

import math
from collections.abc import Mapping

import streamlit as st

from core import registry
from core.figures.style import number
from core.metrics.grades import expected_grade
from core.records import ScreeningResult, Study
from core.task import Task
from pages.parts.advice import show_advice
from pages.parts.knee_method import show_method
from pages.parts.picture import region_sheet
from pages.parts.plain import plain
from pages.parts.settings import settings
from pages.parts.task_page import show_task
from pages.parts.unmeasured import no_operating_point
from pages.parts.view import TaskView
from pages.parts.viewer import read_look
from pages.parts.words import t


def show_knee_page() -> None:
    """The knee task."""
    own_tab = (t("Both knees"), show_knees)
    show_task(TaskView("knee_djd", own_tab, show_next_step, show_method, tell_truth, tell_measures=tell_measures))


def tell_truth(truth: Mapping[str, object]) -> str:
    """Grades of a sample."""
    labels = registry.task("knee_djd").labels
    right, left = (t(labels[int(str(truth[f"grade_{side}"]))].name) for side in ("right", "left"))
    return t("Truth of this phantom: right knee {right}, left knee {left}", right=right, left=left)


def tell_measures(task: Task, result: ScreeningResult, index: int) -> str:
    """Uptake beside the grade."""
    ratio = result.prediction.measures["uptake_ratio"][index] if result.prediction else math.nan
    if not math.isfinite(ratio):
        return t("Uptake cannot be measured: no shaft was found.")
    return t("Uptake: **{ratio} times** that of the shafts beside the knee.", ratio=number(ratio, 1))


def show_next_step(result: ScreeningResult) -> None:
    """A grade is a reason to look, not a diagnosis."""
    findings = result.prediction.findings if result.prediction else ()
    is_positive = any(finding.positive for finding in findings)
    if any(finding.positive is None for finding in findings):
        advice = no_operating_point()
    elif is_positive:
        advice = t("Raised uptake of a knee is a reason to examine it and to look at a radiograph.")
    else:
        advice = t("Low uptake does not rule out arthritis: uptake shows bone turnover, not cartilage.")
    show_advice([advice, t("This software cannot diagnose.")], is_warning=is_positive)


def show_knees(study: Study | None, result: ScreeningResult | None) -> None:
    """One row a knee: region, map, expected grade, uptake and what the grade means."""
    st.markdown(
        t("Anterior view: the image's left is the patient's right. A left knee is mirrored before the network sees it.")
    )
    if result is None or result.prediction is None or not result.gate.shows_score:
        st.info(t("This tab needs an image with a score."), icon=":material/info:")
        return
    for index in range(len(result.prediction.findings)):
        with st.container(border=True):
            _show_knee(result, index)


def _show_knee(result: ScreeningResult, index: int) -> None:
    assert result.prediction is not None
    finding = result.prediction.findings[index]
    task = registry.task(result.provenance.task)
    side = t("Right knee") if finding.laterality == "R" else t("Left knee")
    label = task.labels[finding.grade or 0]
    picture, words = st.columns([5, 6], gap="medium")
    with picture:
        alt = t("{side}: the region, and the same with its explanation.", side=side)
        st.image(region_sheet(result, read_look(task.id, result.study), index), width="stretch", alt=alt)
    with words:
        st.markdown(f"#### {side}: {t(label.name)}")
        st.markdown(information(label.id))
        expected = float(expected_grade([list((finding.probabilities or {}).values())])[0])
        ratio = result.prediction.measures["uptake_ratio"][index]
        left, right = st.columns(2)
        uptake = number(ratio, 1) if math.isfinite(ratio) else "–"
        shown = ((t("Expected grade, 0 to 4"), number(expected, 1)), (t("Uptake, times the shafts"), uptake))
        for column, (name, value) in zip((left, right), shown, strict=True):
            column.metric(name, value, border=True, help=plain(name))


def information(label_id: str) -> str:
    """The line of the installation's settings for a grade, else ours."""
    own = settings().knee_information.get(label_id)
    lines = {
        "normal": t("Uptake of the knee as in other joints of the skeleton."),
        "minimal": t("Slightly raised uptake: often age, load or early wear."),
        "mild": t("Clearly raised uptake at the joint line: compare with pain and with a radiograph."),
        "moderate": t("Strongly raised uptake: degenerative disease is likely to be active; a radiograph is advised."),
        "severe": t("Very strong uptake: exclude fracture, infection and tumour before calling it degenerative."),
    }
    return own or lines[label_id]
