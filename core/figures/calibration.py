"""The reliability diagram, of one report and of one before and after a map."""

import plotly.graph_objects as go

from core.figures.style import HIGHLIGHT, NEUTRAL, cases_line, new_figure, number, theme, with_interval
from core.i18n import Translator
from core.metrics.calibration import CalibrationReport

_HEIGHT_PX = 620
_TWO_HEIGHT_PX = 520
_GAP = 0.05  # between the two panels, share of the height
_COUNTS_TOP = 0.22  # the counts take the lowest fifth


def calibration_figure(report: CalibrationReport, t: Translator, dark: bool) -> go.Figure:
    """Observed share against stated probability a bin, with intervals; below it how many cases each bin holds."""
    title = [
        t("Calibration"),
        t("Slope {interval}", interval=_slope_words(report, t)),
        t("Intercept {interval}", interval=with_interval(report.intercept, t)),
        t(
            "Brier score {brier}, calibration error {ece}",
            brier=number(report.brier_score, 3),
            ece=number(report.expected_calibration_error, 3),
        ),
        cases_line(t, report.n_positive, report.n_negative),
    ]
    figure = new_figure([_perfect(t), _observed(report, t, dark), _counts(report, t, dark)], dark, title, _HEIGHT_PX)
    figure.update_layout(
        xaxis={"title": t("Stated probability"), "range": [-0.01, 1.01], "anchor": "y2"},
        yaxis={
            "title": t("Observed share (95 % CI)"),
            "range": [-0.02, 1.02],
            "domain": [_COUNTS_TOP + _GAP, 1],
        },
        yaxis2={"title": t("Cases"), "domain": [0, _COUNTS_TOP], "rangemode": "tozero", "anchor": "x"},
        bargap=0,
    )
    return figure


def calibration_alt(report: CalibrationReport, t: Translator) -> str:
    """What `calibration_figure` shows, in words."""
    return t(
        "Calibration in {n_bins} bins: slope {slope}, intercept {intercept}, Brier score {brier}, {cases}.",
        n_bins=len(report.bins),
        slope=_slope_words(report, t),
        intercept=with_interval(report.intercept, t),
        brier=number(report.brier_score, 3),
        cases=cases_line(t, report.n_positive, report.n_negative),
    )


def recalibration_figure(
    before: CalibrationReport, after: CalibrationReport, method: str, t: Translator, dark: bool
) -> go.Figure:
    """Observed share against stated probability of the same cases before and after a map, with intervals.

    Args:
        before, after: Of the cases that the map was not fitted on.
        method: Its name, already in the reader's language.
        t: The reader's words.
        dark: Theme.
    """
    title = [
        t("Calibration before and after"),
        t("Slope before {interval}", interval=_slope_words(before, t)),
        t("Slope after {interval}", interval=_slope_words(after, t)),
        cases_line(t, before.n_positive, before.n_negative),
    ]
    first, second = _observed(before, t, dark), _observed(after, t, dark)
    first.update(name=t("Before"), line={"color": HIGHLIGHT, "width": 2, "dash": "dash"})
    first.update(marker={"size": 9, "symbol": "square"})
    second.update(name=method)
    figure = new_figure([_perfect(t), first, second], dark, title, _TWO_HEIGHT_PX)
    figure.update_xaxes(title=t("Stated probability"), range=[-0.01, 1.01])
    figure.update_yaxes(title=t("Observed share (95 % CI)"), range=[-0.02, 1.02])
    return figure


def recalibration_alt(before: CalibrationReport, after: CalibrationReport, method: str, t: Translator) -> str:
    """What `recalibration_figure` shows, in words."""
    return t(
        "Calibration before and after {method}: slope {slope} and {slope_after}, Brier score {brier} and {brier_after}, {cases}.",
        method=method,
        slope=_slope_words(before, t),
        slope_after=_slope_words(after, t),
        brier=number(before.brier_score, 3),
        brier_after=number(after.brier_score, 3),
        cases=cases_line(t, before.n_positive, before.n_negative),
    )


def _slope_words(report: CalibrationReport, t: Translator) -> str:
    return t("undefined (classes separated)") if report.slope is None else with_interval(report.slope, t)


def _perfect(t: Translator) -> go.Scatter:
    line = {"color": NEUTRAL, "width": 2, "dash": "dot"}
    return go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", name=t("Perfect calibration"))


def _observed(report: CalibrationReport, t: Translator, dark: bool) -> go.Scatter:
    colours = theme(dark)
    observed = [b.observed for b in report.bins]
    return go.Scatter(
        x=[b.mean_probability for b in report.bins],
        y=[o.value for o in observed],
        error_y={
            "type": "data",
            "array": [o.high - o.value for o in observed],
            "arrayminus": [o.value - o.low for o in observed],
            "thickness": 2,
        },
        mode="markers+lines",
        marker={"size": 9},
        line={"color": colours.accent, "width": 2},
        name=t("Observed"),
        text=[
            t(
                "{n_positive} of {n} positive: {interval}",
                n_positive=b.n_positive,
                n=b.n_cases,
                interval=with_interval(b.observed, t),
            )
            for b in report.bins
        ],
        hovertemplate=t("Mean probability") + " %{x:.3f}<br>%{text}<extra></extra>",
    )


def _counts(report: CalibrationReport, t: Translator, dark: bool) -> go.Bar:
    least_width = 0.01  # a bin of equal probabilities stays visible
    return go.Bar(
        x=[(b.low + b.high) / 2 for b in report.bins],
        y=[b.n_cases for b in report.bins],
        width=[max(b.high - b.low, least_width) for b in report.bins],
        customdata=[[b.low, b.high] for b in report.bins],
        marker={"color": NEUTRAL, "line": {"color": theme(dark).surface, "width": 1}},
        yaxis="y2",
        showlegend=False,
        hovertemplate=t("Cases") + ": %{y}<br>%{customdata[0]:.3f} \u2013 %{customdata[1]:.3f}<extra></extra>",
    )
