"""What temperature, Platt's line and isotonic steps would do to the probabilities of a model."""

import streamlit as st

from core.evaluation.score_recalibration import RecalibrationTrial
from core.evaluation.score_report import ModelReport
from core.evaluation.scores import FEW
from core.figures.calibration import recalibration_alt, recalibration_figure
from core.figures.style import number
from core.metrics.calibration import CalibrationReport
from core.metrics.proportions import Interval
from core.metrics.recalibration import PlattMap, Recalibration, TemperatureMap
from pages.parts.chart import is_dark, show_chart
from pages.parts.method import show_rows
from pages.parts.words import t, translator

_DIGITS = 3
_FIRST = "platt"


def show_recalibration(model: ModelReport, key: str) -> None:
    """Nothing for scores that are no probabilities: the panel of the calibration says so."""
    if model.calibration is None:
        return
    st.subheader(t("Recalibration"))
    trial = model.recalibration
    if trial is None:
        words = t(
            "No recalibration: it takes {few} positive and {few} negative rows in each half of the patients.",
            few=FEW,
        )
        st.info(words, icon=":material/info:")
        return
    st.markdown(
        t(
            "Fitted on one random half of the patients (n = {n_fitted}, {n_fitted_positive} positive), shown on the other "
            "(n = {n}, {n_positive} positive).",
            n_fitted=f"{trial.n_fitted:,}",
            n_fitted_positive=f"{trial.n_fitted_positive:,}",
            n=f"{trial.before.n_cases:,}",
            n_positive=f"{trial.before.n_positive:,}",
        )
    )
    _show_maps(trial)
    left, right = st.columns(2, gap="medium", vertical_alignment="center")
    with left:
        _show_figure(trial, key)
    with right:
        _show_reading(trial)


def _names() -> dict[str, str]:
    return {"temperature": t("Temperature"), "platt": t("Platt's line"), "isotonic": t("Isotonic")}


def _show_maps(trial: RecalibrationTrial) -> None:
    rows = [(t("As they came"), "–", *_cells(trial.before))]
    for method, name in _names().items():
        own = trial.maps.get(method)
        cells = ("–",) * 5 if own is None else (_parameters(own.fitted), *_cells(own.after))
        rows.append((name, *cells))
    heads = (t("Probabilities"), t("Map"), t("Brier score"), t("Calibration error"), t("Slope"), t("Intercept"))
    show_rows(heads, rows)


def _show_reading(trial: RecalibrationTrial) -> None:
    st.caption(
        t(
            "Best: Brier score and calibration error low, slope 1, intercept 0, with 95 % intervals. Isotonic steps follow "
            "chance below about 1,000 cases. A map that is used moves the threshold, too."
        )
    )
    if len(trial.maps) < len(_names()):
        st.caption(
            t("A dash: on these rows no such map is the most likely one, or the scores do not rise with the label.")
        )


def _show_figure(trial: RecalibrationTrial, key: str) -> None:
    names = {method: name for method, name in _names().items() if method in trial.maps}
    if not names:
        return
    chosen = st.segmented_control(
        t("Map"),
        list(names),
        format_func=names.__getitem__,
        key=f"{key}.map",
        persist_state="session",
        default=_FIRST if _FIRST in names else next(iter(names)),
        required=True,
        label_visibility="collapsed",
    )
    data = (trial.before, trial.maps[str(chosen)].after, names[str(chosen)], translator())
    show_chart(recalibration_figure(*data, is_dark()), f"{key}.recalibration", recalibration_alt(*data))


def _parameters(fitted: Recalibration) -> str:
    if isinstance(fitted, TemperatureMap):
        return f"T = {number(fitted.temperature)}"
    if isinstance(fitted, PlattMap):
        return t("slope {slope}, intercept {intercept}", slope=number(fitted.slope), intercept=number(fitted.intercept))
    return t("{n} knots", n=len(fitted.knots))


def _cells(report: CalibrationReport) -> tuple[str, ...]:
    scores = (report.brier_score, report.expected_calibration_error)
    return (*(number(score, _DIGITS) for score in scores), _interval(report.slope), _interval(report.intercept))


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    low, high = number(interval.low), number(interval.high)
    return t("{value} ({low} to {high})", value=number(interval.value), low=low, high=high)
