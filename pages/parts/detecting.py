"""Held-out results of a detector: average precision, presence and FROC of each finding, beside the mean box."""

import streamlit as st

from core import registry
from core.errors import UsageError
from core.evaluation.boxes import BoxReports, LabelBoxes, held_out_boxes
from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.boxes import box_froc_alt, box_froc_figure
from core.figures.style import number, patients_line, with_interval
from core.manifest import Manifest
from core.metrics.proportions import Interval
from core.task import Task
from pages.parts.boxes import is_tested_on_patients, patient_metrics
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.frame import held_out_name, label_name
from pages.parts.grading import show_intervals
from pages.parts.method import show_rows
from pages.parts.words import t, translator


def show_detecting(task: Task, manifest: Manifest) -> None:
    """Headline figures, average precision and FROC, and a table of all findings."""
    try:
        with st.spinner(t("Measuring")):
            reports = _reports(task.id, manifest.model, manifest.version, manifest)
    except UsageError as error:
        show_error(error)
        return
    report = reports.detector
    st.caption(
        t(
            "{cases}, {n}. 95 % intervals by bootstrap over patients.",
            cases=held_out_name(manifest).capitalize(),
            n=patients_line(translator(), report.n_images, report.n_patients),
        )
        + (f" · {t(manifest.statement)}" if manifest.statement else "")
    )
    _show_untested(task, manifest)
    shown = (
        (t("Mean average precision, IoU 0.5"), report.mean_average_precision_50),
        (t("The same of the mean box"), reports.mean_boxes.mean_average_precision_50),
        (t("Mean average precision, IoU 0.5 to 0.95"), report.mean_average_precision),
        (t("Mean average recall"), report.mean_average_recall),
    )
    show_intervals(shown)
    left, right = st.columns(2, gap="medium")
    with left:
        _show_bars(task, reports)
    with right:
        _show_froc(task, reports)
    _show_table(task, reports)
    _show_real_films(task, manifest)


@st.cache_resource(max_entries=4, show_spinner=False)
def _reports(task_id: str, model: str, version: str, _manifest: Manifest) -> BoxReports:
    # Shared by all sessions: these are the model's own published results, resampled once for each version of them.
    return held_out_boxes(registry.WEIGHTS / task_id / model, _manifest)


def _show_untested(task: Task, manifest: Manifest) -> None:
    """Which findings no real film was there to test."""
    untested = [label_name(task, label) for label in manifest.labels if not is_tested_on_patients(manifest, label)]
    if untested:
        st.warning(
            t("Never tested on a real film: {findings}.", findings=", ".join(untested)), icon=":material/warning:"
        )


def _show_bars(task: Task, reports: BoxReports) -> None:
    found = [
        (label_name(task, own.label), own.boxes.average_precision_50)
        for own in reports.labels
        if own.boxes.average_precision_50 is not None
    ]
    if not found:
        return
    values = [[getattr(own, limit) for _, own in found] for limit in ("value", "low", "high")]
    data = ([name for name, _ in found], *values)
    title, n = t("Average precision of each finding, IoU 0.5"), reports.detector.n_images
    figure = bar_with_intervals_figure(
        *data, title=title, axis_title=t("Average precision"), n_cases=n, t=translator(), dark=is_dark()
    )
    alt = bar_with_intervals_alt(*data, title=title, n_cases=n, t=translator())
    show_chart(figure, f"{task.id}.average_precision", alt)


def _show_froc(task: Task, reports: BoxReports) -> None:
    place = st.selectbox(
        t("Finding"),
        range(len(reports.labels)),
        format_func=lambda place: label_name(task, reports.labels[place].label),
        key=f"{task.id}.performance.label",
        persist_state="session",
    )
    own = reports.labels[place]
    if own.boxes.froc is None:
        st.info(t("No held-out film has this finding."), icon=":material/info:")
        return
    name = label_name(task, own.label)
    figure = box_froc_figure(name, own.boxes.froc, own.mean_box.froc, translator(), is_dark())
    show_chart(figure, f"{task.id}.froc", box_froc_alt(name, own.boxes.froc, translator()))


def _show_table(task: Task, reports: BoxReports) -> None:
    st.markdown(f"**{t('Each finding')}**")
    heads = (
        *(t("Finding"), t("Boxes"), t("Films with it"), t("Average precision"), t("Mean box")),
        *(t("AUROC of presence"), t("Threshold"), t("Sensitivity"), t("Specificity")),
    )
    show_rows(heads, [_row(task, own) for own in reports.labels])
    st.caption(
        t(
            "Average precision at IoU 0.5. Mean box: the same had every film been answered with the mean box of the finding, "
            "because places vary little. Presence, sensitivity and specificity are of whole films: the highest score of the "
            "finding's boxes against whether the film has it."
        )
    )


def _show_real_films(task: Task, manifest: Manifest) -> None:
    """AUROC of presence on films that nobody drew on; nothing where the model card has none."""
    found = [metric for metric in patient_metrics(manifest) if metric.name == "presence_auroc"]
    if not found:
        return
    st.markdown(f"**{t('On real films')}**")
    rows = []
    for metric in found:
        assert metric.low is not None
        assert metric.high is not None
        value = Interval(metric.value, metric.low, metric.high)
        rows.append((label_name(task, metric.label), _words(value), str(metric.n)))
    show_rows((t("Finding"), t("AUROC of presence"), t("Films")), rows)
    st.caption(
        t(
            "Films as they are, of patients that were not trained on, by words mined from their reports: wrong in about one film "
            "in ten, and wider or narrower than the finding. Each finding against all other films."
        )
    )


def _row(task: Task, own: LabelBoxes) -> tuple[str, ...]:
    at = own.at_point
    return (
        label_name(task, own.label),
        str(own.boxes.n_reference),
        str(own.boxes.n_with_reference),
        _words(own.boxes.average_precision_50),
        _words(own.mean_box.average_precision_50),
        _words(own.boxes.presence_auroc),
        number(own.point.cut_off),
        _words(at.sensitivity if at else None),
        _words(at.specificity if at else None),
    )


def _words(interval: Interval | None) -> str:
    return "–" if interval is None else with_interval(interval, translator())
