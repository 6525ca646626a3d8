"""Held-out results of a grader: all its grades at once, beside the ideal observer."""

from collections.abc import Sequence

import streamlit as st

from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.confusion import grading_confusion_alt, grading_confusion_figure
from core.figures.curves import one_vs_rest_alt, one_vs_rest_figure
from core.figures.grades import class_recall_alt, class_recall_figure
from core.figures.style import number
from core.manifest import Manifest
from core.metrics.grading import GradingReport
from core.metrics.proportions import Interval
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.frame import held_out_name
from pages.parts.held_out import graded, report_of
from pages.parts.plain import plain
from pages.parts.words import t, translator


def show_grading(task: Task, manifest: Manifest) -> None:
    """Agreement, confusion, recall and curves of every grade."""
    cases = graded(task.id, manifest)
    if cases is None:
        return
    sha = manifest.provenance.held_out_sha256
    report = report_of(task.id, sha, "model", cases)
    ideal = report_of(task.id, sha, "ideal", cases) if cases.ideal else None
    st.caption(
        t(
            "{cases}, n = {n}, patients: {patients}. 95 % intervals by bootstrap over patients.",
            cases=held_out_name(manifest).capitalize(),
            n=report.n,
            patients=report.n_groups,
        )
        + (f" · {t(manifest.statement)}" if manifest.statement else "")
    )
    _show_agreement(report)
    names = [t(label.name) for label in task.labels]
    data = (report, names, translator())
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(
            grading_confusion_figure(*data, is_dark()), f"{task.id}.grades.confusion", grading_confusion_alt(*data)
        )
        if ideal is not None:
            _show_ideal(task.id, report, ideal)
    with right:
        show_chart(one_vs_rest_figure(*data, is_dark()), f"{task.id}.grades.roc", one_vs_rest_alt(*data))
        show_chart(class_recall_figure(*data, is_dark()), f"{task.id}.grades.recall", class_recall_alt(*data))


def _show_agreement(report: GradingReport) -> None:
    shown = (
        (t("Accuracy"), report.accuracy),
        (t("Within one grade"), report.off_by_one),
        (t("Weighted kappa"), report.weighted_kappa),
        (t("Macro AUROC"), report.macro_auroc),
        (t("Mean error, grades"), report.mean_absolute_error),
    )
    show_intervals(shown)
    st.caption(t("Weighted kappa: agreement beyond chance; a grade further off weighs by the square of its distance."))


def show_intervals(shown: Sequence[tuple[str, Interval | None]]) -> None:
    """Numbers with their intervals in one row."""
    for column, (name, interval) in zip(st.columns(len(shown)), shown, strict=True):
        if interval is None:
            column.metric(name, "–", help=plain(name))
            continue
        limits = f"{number(interval.low)}–{number(interval.high)}"
        column.metric(name, number(interval.value), limits, delta_color="off", delta_arrow="off", help=plain(name))


def _show_ideal(task_id: str, report: GradingReport, ideal: GradingReport) -> None:
    """How much of what the image can tell the model has found."""
    pairs = [
        (t("Accuracy"), report.accuracy, ideal.accuracy),
        (t("Weighted kappa"), report.weighted_kappa, ideal.weighted_kappa),
        (t("Macro AUROC"), report.macro_auroc, ideal.macro_auroc),
    ]
    names, found = [], []
    for name, model, observer in pairs:
        for who, interval in ((t("model"), model), (t("ideal observer"), observer)):
            if interval is not None:
                names.append(f"{name}, {who}")
                found.append(interval)
    values = ([i.value for i in found], [i.low for i in found], [i.high for i in found])
    title = t("Beside the ideal observer")
    figure = bar_with_intervals_figure(
        names, *values, title=title, axis_title=t("Value"), n_cases=report.n, t=translator(), dark=is_dark()
    )
    figure.update_xaxes(range=[0, 1])
    alt = bar_with_intervals_alt(names, *values, title=title, n_cases=report.n, t=translator())
    show_chart(figure, f"{task_id}.grades.observers", alt)
    st.caption(
        t(
            "The ideal observer is a logistic regression on the phantom's true marker values: "
            "no reader of the image can do better."
        )
    )
