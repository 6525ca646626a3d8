"""What the retina page adds to the common body: lesions with their list, the map of one kind, advice, method."""

from collections.abc import Mapping

import streamlit as st

from core import registry
from core.records import ScreeningResult, Study
from pages.parts.advice import show_advice
from pages.parts.agreement import show_agreement
from pages.parts.masks import show_lesions
from pages.parts.retina_method import show_method
from pages.parts.task_page import show_task
from pages.parts.time_points import show_time_points
from pages.parts.view import TaskView
from pages.parts.words import t


def show_retina_page() -> None:
    """The retina task."""
    show_task(TaskView("retina_lesions", (t("Lesions"), show_list), show_next_step, show_method, tell_truth))


def tell_truth(truth: Mapping[str, object]) -> str:
    """Lesions of a sample."""
    return t(
        "Truth of this phantom: haemorrhages {haemorrhages}, microaneurysms {microaneurysms}, hard exudates {exudates}",
        haemorrhages=str(truth["n_haemorrhages"]),
        microaneurysms=str(truth["n_microaneurysms"]),
        exudates=str(truth["n_exudates"]),
    )


def show_next_step(result: ScreeningResult) -> None:
    """A mask is a reason to look, not a diagnosis."""
    findings = result.prediction.findings if result.prediction else ()
    is_positive = any(finding.positive for finding in findings)
    if is_positive:
        advice = t("Suspected lesions are a reason to have the retina examined by an ophthalmologist.")
    else:
        advice = t("No mask does not rule out retinopathy: small lesions are missed.")
    show_advice([advice, t("This software cannot diagnose.")], is_warning=is_positive)


def show_list(study: Study | None, result: ScreeningResult | None) -> None:
    """Every lesion of the photograph, the masks of a second network beside ours, and several photographs of one eye."""
    task = registry.task("retina_lesions")
    if result is None or result.prediction is None or not result.gate.shows_score:
        st.info(t("The list of lesions needs an image with a score."), icon=":material/info:")
    else:
        show_lesions(task, result)
        show_agreement(task, result)
    show_time_points(task, study)
