"""The right column: the answer in words, its numbers, the checks, the next step and what can be saved."""

import hashlib
import json

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.figures.grades import class_probabilities_alt, class_probabilities_figure
from core.figures.scores import score_bar_alt, score_bar_figure
from core.figures.style import number, score_words
from core.manifest import ADOPTED, Estimate, Manifest, OperatingPoint
from core.metrics.proportions import Interval
from core.records import Finding, ScreeningResult
from core.reports.result_json import to_json
from core.screening import operating_point
from core.task import Task
from pages.parts.boxes import show_called
from pages.parts.chart import is_dark, show_chart
from pages.parts.checks import show_checks, show_confirmation, show_refusal
from pages.parts.exports import show_case_exports
from pages.parts.frame import grade_name, held_out_name, label_name
from pages.parts.held_out import held_out, share_at_or_above
from pages.parts.masks import show_found, show_mask_downloads
from pages.parts.picture import overlay_to_save
from pages.parts.plain import plain
from pages.parts.recording import note
from pages.parts.road import Choices
from pages.parts.unmeasured import show_measure_it
from pages.parts.view import TaskView
from pages.parts.viewer import read_look
from pages.parts.words import percent, t, translator


def show_result(task: Task, manifest: Manifest, result: ScreeningResult, choices: Choices, view: TaskView) -> None:
    """Everything about one image that is not the image."""
    if result.gate.outcome == "refused":
        show_refusal(result)
        show_checks(result)
        return
    if not result.gate.shows_score:
        show_confirmation(task.id, result)
        show_checks(result)
        return
    _show_answer(task, manifest, result, operating_point(manifest, result.operating_point), view)
    show_checks(result)
    view.show_next_step(result)
    _show_downloads(task, manifest, result)


def _show_answer(
    task: Task, manifest: Manifest, result: ScreeningResult, point: OperatingPoint, view: TaskView
) -> None:
    findings = result.prediction.findings if result.prediction else ()
    with st.container(border=True, key=f"{task.id}.answer"):
        if task.kind == "segmenter":
            show_found(task, result)
        if task.kind == "detector":
            show_called(task, manifest, result)
            st.markdown(view.tell_measures(task, result, 0))
        for index, finding in enumerate(findings if task.kind not in ("segmenter", "detector") else ()):
            show_headline(task, finding, is_only=len(findings) == 1)
            st.markdown(
                " ".join(filter(None, (_meaning(task, manifest, finding), view.tell_measures(task, result, index))))
            )
            if finding.probabilities is None or len(findings) == 1:
                _show_score_bar(task.id, finding, point, index)
        if task.kind == "grader":
            show_grades(task, findings, f"{task.id}.grades")
        columns = st.columns(3)
        total_ms = sum(result.timings_ms.values())
        _show_estimate(columns[0], t("Sensitivity"), point.sensitivity)
        _show_estimate(columns[1], t("Specificity"), point.specificity)
        columns[2].metric(t("Time"), f"{total_ms:.0f} ms", help=t("From the file to the explanation."))
        if point.sensitivity is None:
            show_measure_it(task.id, point)
        else:
            st.caption(_about_point(task, manifest, point))


def _about_point(task: Task, manifest: Manifest, point: OperatingPoint) -> str:
    is_adopted = point.id.startswith(ADOPTED)
    cases = {"cases": t("the cases it was adopted on") if is_adopted else held_out_name(manifest), "n": point.n}
    if task.kind == "segmenter":
        return t(
            "Sensitivity and specificity of single pixels for {label} at its operating point: {cases}, n = {n}.",
            label=label_name(task, point.label),
            **cases,
        )
    if task.kind == "detector":
        return t(
            "Sensitivity and specificity for {label}, whole films, at its operating point: {cases}, n = {n}.",
            label=label_name(task, point.label),
            **cases,
        )
    if task.kind != "grader":
        return t("Sensitivity and specificity at this operating point: {cases}, n = {n}.", **cases)
    return t(
        "Sensitivity and specificity for {grade} at this operating point: {cases}, n = {n}.",
        grade=grade_name(task, point.label),
        **cases,
    )


def show_headline(task: Task, finding: Finding, *, is_only: bool) -> None:
    """The grade where there is one, else the side of the operating point."""
    words = {
        True: t("Above the operating point"),
        False: t("Below the operating point"),
        None: t("Score {score}", score=score_words(finding.probability)),
    }[finding.positive]
    if finding.grade is not None:
        words = t(task.labels[finding.grade].name)
    icon = {
        True: ":red[:material/error:]",
        False: ":green[:material/check_circle:]",
        None: ":gray[:material/speed:]",
    }[finding.positive]
    side = {"L": t("Left"), "R": t("Right")}.get(finding.laterality or "", "")
    title = words if is_only or not side else f"{side}: {words}"
    st.markdown(f"{'###' if is_only else '####'} {icon} {title}")


def _show_score_bar(task_id: str, finding: Finding, point: OperatingPoint, index: int) -> None:
    if point.threshold is None or point.threshold_low is None or point.threshold_high is None:
        return  # the two ends of the bar are sides of a threshold
    band = Interval(point.threshold, point.threshold_low, point.threshold_high)
    numbers = (finding.probability, point.threshold, band, translator())
    show_chart(
        score_bar_figure(*numbers, is_dark()), f"{task_id}.score.{index}", score_bar_alt(*numbers), has_buttons=False
    )


def show_grades(task: Task, findings: tuple[Finding, ...], key: str) -> None:
    """Probabilities of all grades, a row a region; `key` names the figure."""
    sides = {"L": t("Left"), "R": t("Right"), None: t("Answer")}
    rows = [(sides[finding.laterality], list((finding.probabilities or {}).values())) for finding in findings]
    data = (rows, [t(label.name) for label in task.labels], translator())
    figure = class_probabilities_figure(*data, is_dark())
    show_chart(figure, key, class_probabilities_alt(*data), has_buttons=False)


def say_score(task: Task, finding: Finding) -> str:
    """The score in words; of a grade on which side of the operating point, which the headline does not say."""
    score, grade = score_words(finding.probability), grade_name(task, finding.label)
    if finding.grade is None:
        return t("Score {score}.", score=score)
    if finding.positive is None:
        return t("Score for {grade}: {score}.", grade=grade, score=score)
    if finding.positive:
        return t("Score for {grade}: {score}, at or above the operating point.", grade=grade, score=score)
    return t("Score for {grade}: {score}, below the operating point.", grade=grade, score=score)


def _meaning(task: Task, manifest: Manifest, finding: Finding) -> str:
    """The score in words, and how many held-out cases scored this high."""
    words, grade = say_score(task, finding), grade_name(task, finding.label)
    cases = held_out(task.id, manifest, finding.label)
    if cases is None:
        return words
    positives, negatives = (percent(share) for share in share_at_or_above(cases, finding.probability))
    known = {"cases": held_out_name(manifest), "positives": positives, "negatives": negatives}
    if finding.grade is not None:
        return f"{words} " + t(
            "In the {cases}, {positives} of those at this grade or worse and {negatives} of the others "
            "scored this high or higher.",
            **known,
        )
    return f"{words} " + t(
        "In the {cases}, {positives} with and {negatives} without the finding ({label}) scored this high or higher.",
        label=grade,
        **known,
    )


def _show_estimate(place: DeltaGenerator, name: str, estimate: Estimate | None) -> None:
    if estimate is None:
        place.metric(name, "–", t("not measured"), delta_color="off", delta_arrow="off", help=plain(name))
        return
    interval = f"{number(estimate.low)}–{number(estimate.high)}"
    place.metric(name, number(estimate.value), interval, delta_color="off", delta_arrow="off", help=plain(name))


def _show_downloads(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """Names carry hashes of the image and of this answer, so that two results never share a file."""
    task_id, look = task.id, read_look(task.id, result.study)
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
        on_click=note,
        args=("export", stem),
        width="stretch",
    )
    right.download_button(
        t("Result (JSON)"),
        record,
        f"{stem}.json",
        "application/json",
        key=f"{task_id}.save.json",
        icon=":material/data_object:",
        on_click=note,
        args=("export", stem),
        width="stretch",
    )
    show_case_exports(manifest, result, look, stem)
    show_mask_downloads(task, result, stem)
