"""What the chest page adds to the common body: boxes, the width of the heart, a panel of all findings, advice, method."""

import math
from collections.abc import Mapping

import streamlit as st

from core import registry
from core.clinical.heart import MAX_RATIO, is_enlarged, is_judged
from core.errors import ScreeningError, WeightsError
from core.figures.style import number
from core.manifest import Manifest
from core.records import ScreeningResult, Study
from core.task import Task
from pages.parts.advice import show_advice
from pages.parts.boxes import show_all_boxes, show_thresholds
from pages.parts.chest_method import show_method
from pages.parts.chest_panel import show_panel
from pages.parts.errors import show_error
from pages.parts.frame import label_name
from pages.parts.picture import boxes_picture
from pages.parts.road import installed_manifest
from pages.parts.task_page import show_task
from pages.parts.thresholds import moved
from pages.parts.view import TaskView
from pages.parts.viewer import read_look
from pages.parts.words import t

TASK_ID = "chest_lesions"


def show_chest_page() -> None:
    """The chest task."""
    own_tab = (t("Boxes"), show_boxes)
    show_task(TaskView(TASK_ID, own_tab, show_next_step, show_method, tell_truth, tell_measures=tell_measures))


def tell_truth(truth: Mapping[str, object]) -> str:
    """Findings and ratio of a sample."""
    labels = registry.task(TASK_ID).labels
    there = [t(label.name) for label in labels if truth[label.id]]
    return t(
        "Truth of this phantom: {findings}; cardiothoracic ratio {ratio}",
        findings=", ".join(there) or t("no finding"),
        ratio=number(float(str(truth["cardiothoracic_ratio"]))),
    )


def tell_measures(task: Task, result: ScreeningResult, index: int) -> str:
    """The cardiothoracic ratio, and whether it may be judged."""
    measures = result.prediction.measures if result.prediction else {}
    if "cardiothoracic_ratio" not in measures:
        return t("Cardiothoracic ratio: not measured, the network that finds heart and lungs is not installed.")
    (ratio,), view = measures["cardiothoracic_ratio"], result.study.tags.get("ViewPosition", "")
    if not math.isfinite(ratio):
        return t("Cardiothoracic ratio: not measurable, no heart between two lungs was found.")
    values = {"ratio": number(ratio), "limit": number(MAX_RATIO)}
    if not is_judged(view):
        return t("Cardiothoracic ratio **{ratio}**: AP film, the heart is magnified, so it is not judged.", **values)
    if is_enlarged(ratio, view):
        return t("Cardiothoracic ratio **{ratio}**: above {limit}, the heart is enlarged on a PA film.", **values)
    return t("Cardiothoracic ratio **{ratio}**: not above {limit}.", **values)


def show_next_step(result: ScreeningResult) -> None:
    """A box is a reason to look, not a diagnosis."""
    findings = result.prediction.findings if result.prediction else ()
    is_positive = any(finding.positive for finding in findings)
    if is_positive:
        advice = t("A box is a reason for a radiologist to look at this place first.")
    else:
        advice = t("No box does not mean a healthy chest: only seven findings are sought.")
    show_advice([advice, t("This software cannot diagnose.")], is_warning=is_positive)


def show_boxes(study: Study | None, result: ScreeningResult | None) -> None:
    """All boxes, the thresholds, the maps of all boxes as one picture, and every finding on a phantom of its own."""
    task = registry.task(TASK_ID)
    manifest = _manifest()
    if manifest is None:
        return
    if result is None or result.prediction is None or not result.gate.shows_score:
        st.info(t("The list of boxes needs an image with a score."), icon=":material/info:")
    else:
        show_all_boxes(task, result)
        show_thresholds(task, moved(manifest), result)
        _show_all_maps(task, manifest, result)
    show_panel(task, manifest)


def _manifest() -> Manifest | None:
    try:
        return installed_manifest(TASK_ID)
    except WeightsError as error:
        show_error(error)
        return None


def _show_all_maps(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """The maps of all called boxes, each stretched inside its box: asked for, because each box costs a pass."""
    called = [finding for finding in result.prediction.findings if finding.positive] if result.prediction else []
    if result.explanation is None or not called:
        return
    if not st.toggle(t("Maps of all called boxes in one picture"), key=f"{task.id}.all_boxes", persist_state="session"):
        return
    from core import screening  # torch is loaded by now

    try:
        with st.spinner(t("Explaining {n} boxes ...", n=len(called)), show_time=True):
            model = screening.load(task.id, manifest.model)
            together = screening.explain_all_boxes(result, model, result.explanation.method)
    except ScreeningError as error:
        show_error(error)
        return
    names = ", ".join(dict.fromkeys(label_name(task, finding.label) for finding in called))
    with st.columns([3, 2])[0]:
        alt = t("The film with the maps of all called boxes: {findings}.", findings=names)
        st.image(boxes_picture(result, together, read_look(task.id, result.study)), width="stretch", alt=alt)
    st.caption(
        t(
            "Each map is stretched to the whole range of colours inside its own box and hidden outside it: weak evidence looks "
            "as strong as strong evidence. For the eye only."
        )
    )
