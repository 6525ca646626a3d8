"""Headline figures of a model, and the one threshold that everything else follows."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.evaluation.score_report import ModelReport, ScoreReport
from core.evaluation.scores import DELONG
from core.figures.style import number
from core.metrics.operating_point import OperatingPointMetrics
from core.metrics.proportions import Interval
from pages.parts.evaluation_threshold import CARD, CASES, YOUDEN, choose_rule, choose_threshold
from pages.parts.method import show_rows
from pages.parts.plain import plain
from pages.parts.words import t

_LEAST_PREVALENCE = 0.01  # per cent
_DIGITS = 3


@dataclass(frozen=True)
class Chosen:
    """What the reader set.

    Attributes:
        threshold: None while it is Youden's.
        prevalence: None while it is that of the table.
        point: What follows.
    """

    threshold: float | None
    prevalence: float | None
    point: OperatingPointMetrics


def show_point(report: ScoreReport, model: ModelReport, key: str, card: Mapping[str, float] | None = None) -> Chosen:
    """Headline figures, threshold, prevalence, and the table that follows them.

    Args:
        report: Of the table.
        model: On show.
        key: Of its widgets.
        card: Named thresholds of a model card, chosen before these cases were seen; the slider starts at the first.
    """
    _show_headline(report, model)
    with st.container(border=True):
        rule = choose_rule(model, key, card or {})
        left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
        with left:
            threshold = choose_threshold(model, key, card or {}, rule)
        with right:
            prevalence = _choose_prevalence(model, key)
        chosen = Chosen(threshold.value, prevalence, model.at(threshold.value, prevalence))
        _show_origin(threshold.origin)
        _show_measures(chosen.point)
        _show_limits(model)
    return chosen


def _show_headline(report: ScoreReport, model: ModelReport) -> None:
    columns = st.columns(5)
    for column, (name, interval) in zip(
        columns,
        ((t("AUROC"), model.roc.auroc), (t("Average precision"), model.precision_recall.average_precision)),
        strict=False,
    ):
        column.metric(
            name,
            number(interval.value, _DIGITS),
            _limits(interval),
            delta_color="off",
            delta_arrow="off",
            help=plain(name),
        )
    _show_brier(columns[2], model)
    n_positive = t("{n} positive", n=f"{model.roc.n_positive:,}")
    columns[3].metric("n", f"{model.n:,}", n_positive, delta_color="off", delta_arrow="off", help=plain("n"))
    patients = "–" if model.table.patient is None else f"{model.n_patients:,}"
    columns[4].metric(t("Patients"), patients, help=plain(t("Patients")))
    if report.method == DELONG:
        st.caption(t("95 % interval of the AUROC: DeLong, every row another patient."))
    else:
        st.caption(t("95 % interval of the AUROC: DeLong, clustered by patient (Obuchowski 1997)."))


def _show_brier(column: DeltaGenerator, model: ModelReport) -> None:
    if model.calibration is None:
        column.metric(t("Brier score"), "–", t("no probabilities"), delta_color="off", delta_arrow="off")
        return
    column.metric(
        t("Brier score"),
        number(model.calibration.brier_score, _DIGITS),
        t("baseline {value}", value=number(model.calibration.brier_of_prevalence, _DIGITS)),
        delta_color="off",
        delta_arrow="off",
        help=t(
            "Mean squared error of the probabilities; lower is better. Baseline: the prevalence stated for every case."
        ),
    )


def _choose_prevalence(model: ModelReport, key: str) -> float | None:
    start = min(max(round(100 * model.prevalence, 2), _LEAST_PREVALENCE), 100 - _LEAST_PREVALENCE)
    prevalence = st.number_input(
        t("Prevalence, %"),
        _LEAST_PREVALENCE,
        100 - _LEAST_PREVALENCE,
        start,
        1.0,
        format="%.2f",
        key=f"{key}.prevalence",
        persist_state="session",
    )
    return None if prevalence == start else float(prevalence) / 100


def _show_origin(origin: str) -> None:
    if origin == YOUDEN:
        words = t(
            "Youden's threshold was chosen on these very cases: sensitivity and specificity look better than they are."
        )
    elif origin == CASES:
        words = t(
            "This threshold was chosen on these very cases: sensitivity and specificity look better than they are."
        )
    elif origin == CARD:
        st.markdown(":green[:material/verified:] " + t("Threshold of the card, chosen before these cases were seen."))
        return
    else:
        words = t("A threshold set by hand. It counts only if it was fixed before these cases were seen.")
        st.markdown(":material/tune: " + words)
        return
    st.markdown(":orange[:material/warning:] " + words)


def _show_measures(point: OperatingPointMetrics) -> None:
    """Every figure of the threshold with its interval and the cases behind it."""
    called = point.n_true_positive + point.n_false_positive
    not_called = point.n_true_negative + point.n_false_negative
    rows = [
        (t("Sensitivity"), point.sensitivity, (point.n_true_positive, point.n_positive)),
        (t("Specificity"), point.specificity, (point.n_true_negative, point.n_negative)),
        (t("Positive predictive value"), point.ppv, (point.n_true_positive, called)),
        (t("Negative predictive value"), point.npv, (point.n_true_negative, not_called)),
        (t("Positive likelihood ratio"), point.lr_positive, None),
        (t("Negative likelihood ratio"), point.lr_negative, None),
    ]
    cells = [(name, *_cells(interval), _counts(counts)) for name, interval, counts in rows]
    show_rows([t("Statistic"), t("Value"), t("95 % interval"), t("Cases")], cells)
    st.caption(
        t(
            "Predictive values hold at a prevalence of {prevalence} %: where fewer have the finding, fewer alarms are right.",
            prevalence=number(100 * point.prevalence),
        )
    )


def _show_limits(model: ModelReport) -> None:
    if model.n_patients < model.n:
        st.caption(
            t(
                "Several rows of one patient: the intervals of AUROC, its curve, sensitivity, specificity and accuracy know it; "
                "the others take every row for another patient and are too narrow."
            )
        )


def _cells(interval: Interval | None) -> tuple[str, str]:
    return ("–", t("undefined")) if interval is None else (number(interval.value, _DIGITS), _limits(interval))


def _limits(interval: Interval) -> str:
    return f"{number(interval.low, _DIGITS)}–{number(interval.high, _DIGITS)}"


def _counts(counts: tuple[int, int] | None) -> str:
    return "" if counts is None else t("{part} of {whole}", part=f"{counts[0]:,}", whole=f"{counts[1]:,}")
