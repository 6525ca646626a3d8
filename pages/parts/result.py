"""The right column: the answer in words, its numbers, the checks, the next step and what can be saved."""

import hashlib
import json
from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.figures.scores import score_bar_alt, score_bar_figure
from core.figures.style import number, score_words
from core.manifest import Estimate, Manifest, OperatingPoint
from core.metrics.proportions import Interval
from core.records import Finding, ScreeningResult
from core.reports.result_json import to_json
from core.screening import operating_point
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.checks import show_checks, show_confirmation, show_refusal
from pages.parts.frame import held_out_name
from pages.parts.held_out import held_out, share_at_or_above
from pages.parts.picture import overlay_to_save
from pages.parts.road import Choices
from pages.parts.viewer import read_look
from pages.parts.words import percent, t, translator

NextStep = Callable[[ScreeningResult], None]


def show_result(
    task: Task, manifest: Manifest, result: ScreeningResult, choices: Choices, show_next_step: NextStep
) -> None:
    """Everything about one image that is not the image."""
    if result.gate.outcome == "refused":
        show_refusal(result)
        show_checks(result)
        return
    if not result.gate.shows_score:
        show_confirmation(task.id, result)
        show_checks(result)
        return
    _show_answer(task, manifest, result, operating_point(manifest, choices.point))
    show_checks(result)
    show_next_step(result)
    _show_downloads(task.id, result)


def _show_answer(task: Task, manifest: Manifest, result: ScreeningResult, point: OperatingPoint) -> None:
    findings = result.prediction.findings if result.prediction else ()
    with st.container(border=True, key=f"{task.id}.answer"):
        for index, finding in enumerate(findings):
            _show_finding(task, manifest, finding, point, index, is_only=len(findings) == 1)
        columns = st.columns(3)
        total_ms = sum(result.timings_ms.values())
        _show_estimate(columns[0], t("Sensitivity"), point.sensitivity)
        _show_estimate(columns[1], t("Specificity"), point.specificity)
        columns[2].metric(t("Time"), f"{total_ms:.0f} ms", help=t("From the file to the explanation."))
        st.caption(
            t(
                "Sensitivity and specificity at this operating point: {cases}, n = {n}.",
                cases=held_out_name(manifest),
                n=point.n,
            )
        )


def _show_finding(
    task: Task, manifest: Manifest, finding: Finding, point: OperatingPoint, index: int, *, is_only: bool
) -> None:
    words = t("Above the operating point") if finding.positive else t("Below the operating point")
    icon = ":red[:material/error:]" if finding.positive else ":green[:material/check_circle:]"
    side = {"L": t("Left"), "R": t("Right")}.get(finding.laterality or "", "")
    title = words if is_only or not side else f"{side}: {words}"
    st.markdown(f"{'###' if is_only else '####'} {icon} {title}")
    st.markdown(_meaning(task, manifest, finding))
    band = Interval(point.threshold, point.threshold_low, point.threshold_high)
    numbers = (finding.probability, point.threshold, band, translator())
    show_chart(
        score_bar_figure(*numbers, is_dark()), f"{task.id}.score.{index}", score_bar_alt(*numbers), has_buttons=False
    )


def _meaning(task: Task, manifest: Manifest, finding: Finding) -> str:
    score = t("Score {score}.", score=score_words(finding.probability))
    cases = held_out(task.id, manifest)
    if cases is None:
        return score
    label = next(t(label.name) for label in task.labels if label.id == finding.label)
    shares = share_at_or_above(cases, finding.probability)
    return (
        score
        + " "
        + t(
            "In the {cases}, {positives} with and {negatives} without the finding ({label}) scored this high or higher.",
            cases=held_out_name(manifest),
            positives=percent(shares[0]),
            negatives=percent(shares[1]),
            label=label,
        )
    )


def _show_estimate(place: DeltaGenerator, name: str, estimate: Estimate) -> None:
    interval = f"{number(estimate.low)}–{number(estimate.high)}"
    place.metric(name, number(estimate.value), interval, delta_color="off", delta_arrow="off")


def _show_downloads(task_id: str, result: ScreeningResult) -> None:
    """Names carry hashes of the image and of this answer, so that two results never share a file."""
    look = read_look(task_id, result.study)
    record = json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False)
    answer = hashlib.sha256(f"{record}{look}".encode()).hexdigest()
    stem = f"{task_id}_{result.study.file_sha256[:12]}_{answer[:8]}"
    left, right = st.columns(2)
    left.download_button(
        t("Overlay (PNG)"),
        lambda: overlay_to_save(result, look),
        f"{stem}_overlay.png",
        "image/png",
        key=f"{task_id}.save.overlay",
        icon=":material/image:",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        t("Result (JSON)"),
        record,
        f"{stem}.json",
        "application/json",
        key=f"{task_id}.save.json",
        icon=":material/data_object:",
        on_click="ignore",
        width="stretch",
    )
