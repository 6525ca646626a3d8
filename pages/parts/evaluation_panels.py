"""Curves, counts, calibration and groups of a measured table; decisions, recalibration and models after them."""

from collections.abc import Mapping
from itertools import pairwise

import streamlit as st

from core.evaluation.score_report import ModelReport, ScoreReport, confusion_of
from core.evaluation.scores import FEW
from core.figures.calibration import calibration_alt, calibration_figure
from core.figures.confusion import confusion_alt, confusion_figure
from core.figures.curves import precision_recall_alt, precision_recall_figure, roc_alt, roc_figure
from core.figures.decision import decision_alt, decision_figure
from core.figures.forest import ForestRow, forest_alt, forest_figure
from core.figures.scores import score_histogram_alt, score_histogram_figure
from core.figures.style import threshold_words, with_interval
from core.metrics.confusion import report_matrix
from core.metrics.operating_point import OperatingPointMetrics
from pages.parts.case_filter import CaseFilter
from pages.parts.chart import is_dark, show_chart
from pages.parts.classification import show_classification
from pages.parts.evaluation_comparisons import show_comparisons
from pages.parts.evaluation_point import Chosen
from pages.parts.evaluation_recalibration import show_recalibration
from pages.parts.method import show_rows
from pages.parts.words import literal, t, translator

_MOST_GROUPS = 30  # of a drawing


def show_panels(
    model: ModelReport,
    chosen: Chosen,
    key: str,
    card: Mapping[str, float] | None = None,
    cases: CaseFilter | None = None,
) -> None:
    """Figures that follow the threshold.

    Args:
        model: On show.
        chosen: See `show_point`.
        key: Of its widgets and pictures.
        card: See `show_point`.
        cases: Follows what is clicked; None = there are no cases to see.
    """
    words, dark, point = translator(), is_dark(), chosen.point
    _show_card(model, card or {})
    left, right = st.columns(2, gap="medium")
    with left:
        figure, alt = roc_figure(model.roc, words, dark, point), roc_alt(model.roc, words, point)
        show_chart(figure, f"{key}.roc", alt, on_click=cases and cases.near_threshold)
        _show_histogram(model, point, key, cases)
    with right:
        recall = model.precision_recall
        alt = precision_recall_alt(recall, words, point)
        show_chart(precision_recall_figure(recall, words, dark, point), f"{key}.pr", alt)
        _show_confusion(model, point, key, cases)
    left, right = st.columns(2, gap="medium")
    with left:
        _show_calibration(model, key, cases)
    with right:
        _show_groups(model, key, cases)


def show_consequences(report: ScoreReport, model: ModelReport, chosen: Chosen, key: str) -> None:
    """What the threshold is worth, what a recalibration would change, and how models compare.

    Args:
        report, model, chosen, key: See `show_panels`.
    """
    _show_decisions(model, chosen, key)
    show_recalibration(model, key)
    show_comparisons(report, chosen.threshold)


def _show_histogram(model: ModelReport, point: OperatingPointMetrics, key: str, cases: CaseFilter | None) -> None:
    figure = score_histogram_figure(model.histogram, point, translator(), is_dark())
    edges = [float(edge) for edge in model.histogram.edges]
    on_click = cases and cases.in_bins(list(pairwise(edges)))
    show_chart(figure, f"{key}.scores", score_histogram_alt(point, translator()), on_click=on_click)


def _show_confusion(model: ModelReport, point: OperatingPointMetrics, key: str, cases: CaseFilter | None) -> None:
    data = (confusion_of(point), [t("Negative"), t("Positive")], translator())
    accuracy = None if model.n_patients == model.n else point.accuracy
    figure = confusion_figure(*data, is_dark(), accuracy, is_clickable=cases is not None)
    show_chart(figure, f"{key}.confusion", confusion_alt(*data, accuracy), on_click=cases and cases.in_cell)


def _show_calibration(model: ModelReport, key: str, cases: CaseFilter | None) -> None:
    if model.calibration is None:
        st.info(t("No calibration: these scores are no probabilities from 0 to 1."), icon=":material/info:")
        return
    data = (model.calibration, translator())
    on_click = cases and cases.in_bins([(own.low, own.high) for own in model.calibration.bins])
    show_chart(calibration_figure(*data, is_dark()), f"{key}.calibration", calibration_alt(*data), on_click=on_click)


def _show_groups(model: ModelReport, key: str, cases: CaseFilter | None) -> None:
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
    on_click = cases and cases.in_group([row.name for row in rows])
    show_chart(forest_figure(*data, is_dark()), f"{key}.groups", forest_alt(*data), on_click=on_click)
    words = t("Lowest first. Fewer than {few} positive or negative rows are too few to tell anything.", few=FEW)
    if len(rows) > _MOST_GROUPS:
        words += " " + t("The first {shown} of {n} groups.", shown=_MOST_GROUPS, n=len(rows))
    st.caption(words)


def _show_decisions(model: ModelReport, chosen: Chosen, key: str) -> None:
    """What the threshold is worth beside others, and the classes one by one."""
    st.subheader(t("Decisions"))
    left, right = st.columns(2, gap="medium")
    with left:
        _show_decision_curve(model, chosen, key)
    with right:
        accuracy = None if model.n_patients == model.n else chosen.point.accuracy
        show_classification(report_matrix(confusion_of(chosen.point)), (t("Negative"), t("Positive")), accuracy)
        st.caption(
            t(
                "Likelihood ratios stand in the table of the threshold. Precision and F1 are those of these cases, whatever the "
                "prevalence above."
            )
        )


def _show_decision_curve(model: ModelReport, chosen: Chosen, key: str) -> None:
    curve = model.decision(chosen.prevalence)
    if curve is None:
        st.info(t("No decision curve: these scores are no probabilities from 0 to 1."), icon=":material/info:")
        return
    data = (curve, translator())
    figure = decision_figure(*data, is_dark(), chosen.point)
    show_chart(figure, f"{key}.decision", decision_alt(*data, chosen.point))
    st.caption(
        t(
            "Net benefit: true positives a patient, less the false ones weighed by the odds of the threshold (Vickers and Elkin "
            "2006). It counts only where the probabilities are calibrated; drawn without intervals."
        )
    )


def _show_card(model: ModelReport, card: Mapping[str, float]) -> None:
    """The thresholds of the card beside the one that these cases would choose."""
    if not card:
        return
    st.subheader(t("Thresholds of the card on these cases"))
    named = [(literal(name), threshold) for name, threshold in card.items()]
    named.append((t("Youden's on these very cases"), model.youden))
    rows = []
    for name, threshold in named:
        own = model.at(threshold, None)
        intervals = (with_interval(interval, translator()) for interval in (own.sensitivity, own.specificity))
        rows.append((name, threshold_words(threshold), *intervals))
    show_rows((t("Operating point"), t("Threshold"), t("Sensitivity"), t("Specificity")), rows)
