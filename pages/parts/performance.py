"""Tab "Performance": every number from the held-out results that ride with the weights."""

import streamlit as st

from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.calibration import calibration_alt, calibration_figure
from core.figures.confusion import confusion_alt, confusion_figure
from core.figures.curves import precision_recall_alt, precision_recall_figure, roc_alt, roc_figure
from core.figures.scores import score_distribution_alt, score_distribution_figure
from core.figures.style import number
from core.manifest import Manifest
from core.metrics.calibration import calibration_report
from core.metrics.confusion import classification_report, confusion_matrix
from core.metrics.delong import auroc_interval
from core.metrics.operating_point import OperatingPointMetrics, operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.classification import show_classification
from pages.parts.detecting import show_detecting
from pages.parts.frame import grade_name, held_out_name
from pages.parts.grading import show_grading
from pages.parts.held_out import HeldOut, curve_of, held_out
from pages.parts.plain import plain
from pages.parts.segmenting import show_segmenting
from pages.parts.unmeasured import show_unmeasured
from pages.parts.view import TaskView
from pages.parts.words import t, translator


def show_performance(view: TaskView, task: Task, manifest: Manifest) -> None:
    """Grades first where labels are grades; then threshold and prevalence, and everything that follows them."""
    if manifest.provenance.is_brought:
        show_unmeasured()
        return
    if task.kind == "segmenter":
        show_segmenting(task, manifest)
        return
    if task.kind == "detector":
        show_detecting(task, manifest)
        return
    if task.kind == "grader":
        show_grading(task, manifest)
        view.show_real_cases(task, manifest)
    label = _choose_label(task, manifest)
    cases = held_out(task.id, manifest, label)
    if cases is None:
        st.info(t("These weights came without held-out results, so nothing can be shown here."), icon=":material/info:")
        return
    _show_cases(manifest, cases)
    point = _show_threshold(task.id, manifest, label, cases)
    curve = curve_of(task.id, manifest.provenance.held_out_sha256, label, cases)
    words, dark = translator(), is_dark()
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(roc_figure(curve, words, dark, point), f"{task.id}.roc", roc_alt(curve, words, point))
        _show_observers(task.id, cases)
        _show_distribution(task.id, cases, point.threshold)
    with right:
        recall = precision_recall_curve(cases.y_true, cases.y_score)
        alt = precision_recall_alt(recall, words, point)
        show_chart(precision_recall_figure(recall, words, dark, point), f"{task.id}.pr", alt)
        _show_confusion(task, label, cases, point.threshold)
    report = calibration_report(cases.y_true, cases.y_score)
    show_chart(calibration_figure(report, words, dark), f"{task.id}.calibration", calibration_alt(report, words))


def _choose_label(task: Task, manifest: Manifest) -> str:
    """The label whose curves are shown; no question where there is one."""
    labels = list(dict.fromkeys(point.label for point in manifest.operating_points))
    if len(labels) == 1:
        return labels[0]
    st.subheader(t("One operating point"))
    names = {label: t("{grade} against the rest", grade=grade_name(task, label)) for label in labels}
    chosen = st.segmented_control(
        t("Operating point"),
        labels,
        format_func=names.__getitem__,
        key=f"{task.id}.performance.label",
        persist_state="session",
        default=labels[0],
        required=True,
    )
    return str(chosen or labels[0])


def _show_cases(manifest: Manifest, cases: HeldOut) -> None:
    st.caption(
        t(
            "{cases}, n = {n}: {n_positive} with and {n_negative} without the finding. Intervals are 95 % intervals.",
            cases=held_out_name(manifest).capitalize(),
            n=len(cases.y_true),
            n_positive=cases.n_positive,
            n_negative=len(cases.y_true) - cases.n_positive,
        )
        + (f" · {t(manifest.statement)}" if manifest.statement else "")
    )


def _show_threshold(task_id: str, manifest: Manifest, label: str, cases: HeldOut) -> OperatingPointMetrics:
    """The slider starts at the model's own operating point; the prevalence at that of the cases."""
    own = next(point for point in manifest.operating_points if point.label == label).cut_off
    share = cases.n_positive / len(cases.y_true)
    with st.container(border=True):
        left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
        with left:
            threshold = st.slider(
                t("Threshold (the model's operating point: {threshold})", threshold=number(own)),
                0.0,
                1.0,
                round(own, 2),
                0.01,
                key=f"{task_id}.performance.threshold.{label}",
                persist_state="session",
            )
        with right:
            prevalence = st.number_input(
                t("Prevalence, %"),
                0.1,
                99.9,
                round(100 * share, 1),
                1.0,
                format="%.1f",
                key=f"{task_id}.performance.prevalence.{label}",
                persist_state="session",
            )
        # The slider has two digits; left alone it means the exact operating point.
        exact = own if threshold == round(own, 2) else threshold
        point = operating_point_metrics(cases.y_true, cases.y_score, exact, prevalence / 100)
        shown = (
            (t("Sensitivity"), point.sensitivity),
            (t("Specificity"), point.specificity),
            (t("Positive predictive value"), point.ppv),
            (t("Negative predictive value"), point.npv),
        )
        for column, (name, interval) in zip(st.columns(4), shown, strict=True):
            with column:
                _show_interval(name, interval)
        st.caption(
            t("Predictive values hold for the prevalence above: where fewer have the finding, fewer alarms are right.")
        )
    return point


def _show_interval(name: str, interval: Interval | None) -> None:
    if interval is None:
        st.metric(name, "–", t("nobody"), delta_color="off", delta_arrow="off", help=plain(name))
        return
    st.metric(
        name,
        number(interval.value),
        f"{number(interval.low)}–{number(interval.high)}",
        delta_color="off",
        delta_arrow="off",
        help=plain(name),
    )


def _show_observers(task_id: str, cases: HeldOut) -> None:
    """The model beside the ideal observer: how much of what the image can tell it has found."""
    if cases.y_ideal is None:
        return
    names = [t("This model"), t("Ideal observer")]
    areas = [auroc_interval(cases.y_true, scores) for scores in (cases.y_score, cases.y_ideal)]
    values = ([a.value for a in areas], [a.low for a in areas], [a.high for a in areas])
    title = t("AUROC beside the ideal observer's")
    figure = bar_with_intervals_figure(
        names, *values, title=title, axis_title="AUROC", n_cases=len(cases.y_true), t=translator(), dark=is_dark()
    )
    figure.update_xaxes(range=[0.5, 1.0])
    alt = bar_with_intervals_alt(names, *values, title=title, n_cases=len(cases.y_true), t=translator())
    show_chart(figure, f"{task_id}.observers", alt)
    st.caption(
        t(
            "The ideal observer is a logistic regression on the phantom's true marker values: "
            "no reader of the image can do better."
        )
    )


def _show_distribution(task_id: str, cases: HeldOut, threshold: float) -> None:
    data = (cases.y_true, cases.y_score, threshold, translator())
    show_chart(score_distribution_figure(*data, is_dark()), f"{task_id}.distribution", score_distribution_alt(*data))


def _show_confusion(task: Task, label: str, cases: HeldOut, threshold: float) -> None:
    name = grade_name(task, label)
    names = [t("Without: {label}", label=name), name]
    called = [int(score >= threshold) for score in cases.y_score]
    ids = ("negative", label)
    matrix = confusion_matrix(cases.y_true, called, ids)
    alt = confusion_alt(matrix, names, translator())
    show_chart(confusion_figure(matrix, names, translator(), is_dark()), f"{task.id}.confusion", alt)
    show_classification(classification_report(cases.y_true, called, ids), names)
