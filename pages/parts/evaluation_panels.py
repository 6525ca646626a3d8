"""Curves, counts, calibration, groups and models of a measured table."""

import streamlit as st

from core.evaluation.score_report import ModelReport, ScoreReport, confusion_of
from core.evaluation.scores import FEW
from core.figures.calibration import calibration_alt, calibration_figure
from core.figures.confusion import confusion_alt, confusion_figure
from core.figures.curves import precision_recall_alt, precision_recall_figure, roc_alt, roc_figure
from core.figures.forest import ForestRow, forest_alt, forest_figure
from core.figures.scores import score_histogram_alt, score_histogram_figure
from core.figures.style import number, with_interval
from core.metrics.operating_point import OperatingPointMetrics
from pages.parts.chart import is_dark, show_chart
from pages.parts.method import show_rows
from pages.parts.words import literal, t, translator

_MOST_GROUPS = 30  # of a drawing


def show_panels(report: ScoreReport, model: ModelReport, point: OperatingPointMetrics, key: str) -> None:
    """Everything below the threshold."""
    words, dark = translator(), is_dark()
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(roc_figure(model.roc, words, dark, point), f"{key}.roc", roc_alt(model.roc, words, point))
        _show_histogram(model, point, key)
    with right:
        recall = model.precision_recall
        alt = precision_recall_alt(recall, words, point)
        show_chart(precision_recall_figure(recall, words, dark, point), f"{key}.pr", alt)
        _show_confusion(model, point, key)
    left, right = st.columns(2, gap="medium")
    with left:
        _show_calibration(model, key)
    with right:
        _show_groups(model, key)
    _show_comparisons(report)


def _show_histogram(model: ModelReport, point: OperatingPointMetrics, key: str) -> None:
    figure = score_histogram_figure(model.histogram, point, translator(), is_dark())
    show_chart(figure, f"{key}.scores", score_histogram_alt(point, translator()))


def _show_confusion(model: ModelReport, point: OperatingPointMetrics, key: str) -> None:
    data = (confusion_of(point), [t("Negative"), t("Positive")], translator())
    accuracy = None if model.n_patients == model.n else point.accuracy
    figure = confusion_figure(*data, is_dark(), accuracy)
    show_chart(figure, f"{key}.confusion", confusion_alt(*data, accuracy))


def _show_calibration(model: ModelReport, key: str) -> None:
    if model.calibration is None:
        st.info(t("No calibration: these scores are no probabilities from 0 to 1."), icon=":material/info:")
        return
    data = (model.calibration, translator())
    show_chart(calibration_figure(*data, is_dark()), f"{key}.calibration", calibration_alt(*data))


def _show_groups(model: ModelReport, key: str) -> None:
    """Lowest AUROC first, groups that are too few last."""
    if not model.subgroups:
        st.info(
            t("No groups: with a column group every site, device or age group is measured alone."),
            icon=":material/info:",
        )
        return
    rows = [
        ForestRow(own.name, own.n_positive, own.n - own.n_positive, own.is_few, own.auroc) for own in model.subgroups
    ]
    rows.sort(key=lambda row: (row.auroc is None, row.is_few, row.auroc.value if row.auroc else 0))
    data = (rows[:_MOST_GROUPS], model.roc.auroc, translator())
    show_chart(forest_figure(*data, is_dark()), f"{key}.groups", forest_alt(*data))
    words = t("Lowest first. Fewer than {few} positive or negative rows are too few to tell anything.", few=FEW)
    if len(rows) > _MOST_GROUPS:
        words += " " + t("The first {shown} of {n} groups.", shown=_MOST_GROUPS, n=len(rows))
    st.caption(words)


def _show_comparisons(report: ScoreReport) -> None:
    if len(report.models) == 1:
        return
    st.subheader(t("Models compared"))
    if not report.comparisons:
        st.info(t("A comparison needs the column patient, and one row a patient and model."), icon=":material/info:")
        return
    heads = (t("First model"), t("Second model"), t("Patients"), t("AUROC of the first"), t("AUROC of the second"))
    rows = [
        (
            *(literal(name) for name in own.models),
            f"{own.n:,}",
            *(with_interval(auroc, translator(), 3) for auroc in own.aurocs),
            with_interval(own.difference, translator(), 3),
            _p_words(own.p_value),
        )
        for own in report.comparisons
    ]
    show_rows((*heads, t("Difference"), "p"), rows)
    st.caption(
        t(
            "DeLong's paired test on the patients that both models answered. Many comparisons find something by chance: p is not "
            "corrected for their number."
        )
    )


def _p_words(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return "<\u202f0.001" if p_value < 0.001 else number(p_value, 3)
