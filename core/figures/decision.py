"""The decision curve."""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.figures.style import (
    HIGHLIGHT,
    NEUTRAL,
    POSITIVE,
    cases_line,
    new_figure,
    number,
    percent,
    theme,
    threshold_words,
)
from core.i18n import Translator
from core.metrics.decision_curve import DecisionCurve, net_benefit_at
from core.metrics.operating_point import OperatingPointMetrics

_HEIGHT_PX = 500
_BELOW = 0.3  # of the greatest net benefit: how far below 0 the figure reaches; treating all falls without end


def decision_figure(curve: DecisionCurve, t: Translator, dark: bool, point: OperatingPointMetrics) -> go.Figure:
    """Net benefit over threshold probabilities beside treating all and none; the point is marked where it has a net benefit.

    Args:
        curve: Of the model.
        t: The reader's words.
        dark: Theme.
        point: At the prevalence of the curve.
    """
    traces = [
        _line(curve, curve.treat_none, t("Treat none"), {"color": NEUTRAL, "width": 2, "dash": "dot"}, t),
        _line(curve, curve.treat_all, t("Treat all"), {"color": POSITIVE, "width": 2, "dash": "dash"}, t),
        _line(curve, curve.net_benefit, t("Model"), {"color": theme(dark).accent, "width": 3}, t),
    ]
    if (benefit := net_benefit_at(point)) is not None:
        label = t("Operating point {threshold}", threshold=threshold_words(point.threshold))
        line = {"color": theme(dark).text, "width": 2}
        marker = {"size": 15, "symbol": "diamond", "color": HIGHLIGHT, "line": line}
        hover = f"{label}<br>{t('Net benefit')} {number(benefit, 3)}<extra></extra>"
        traces.append(
            go.Scatter(x=[point.threshold], y=[benefit], mode="markers", marker=marker, name=label, hovertemplate=hover)
        )
    title = [
        t("Decision curve"),
        t("Prevalence {prevalence}", prevalence=number(curve.prevalence, 3)),
        cases_line(t, curve.n_positive, curve.n_negative),
    ]
    top = max(curve.prevalence, float(curve.net_benefit.max()))
    figure = new_figure(traces, dark, title, _HEIGHT_PX)
    figure.update_xaxes(title=t("Threshold probability"), range=[0, 1])
    figure.update_yaxes(title=t("Net benefit"), range=[-_BELOW * top, 1.05 * top])
    return figure


def decision_alt(curve: DecisionCurve, t: Translator, point: OperatingPointMetrics) -> str:
    """What `decision_figure` shows, in words."""
    useful = curve.thresholds[curve.is_useful]
    words = t(
        "Decision curve at a prevalence of {prevalence}: the model is worth more than treating all or none at {share} of the "
        "thresholds, {cases}.",
        prevalence=number(curve.prevalence, 3),
        share=percent(useful.size / curve.thresholds.size),
        cases=cases_line(t, curve.n_positive, curve.n_negative),
    )
    if useful.size:
        words += " " + t(
            "The lowest of them is {low}, the highest {high}.", low=number(useful[0]), high=number(useful[-1])
        )
    if (benefit := net_benefit_at(point)) is None:
        return words
    return f"{words} " + t(
        "At the operating point {threshold} the net benefit is {benefit}.",
        threshold=threshold_words(point.threshold),
        benefit=number(benefit, 3),
    )


def _line(
    curve: DecisionCurve, benefit: NDArray[np.float64], name: str, line: dict[str, object], t: Translator
) -> go.Scatter:
    hover = f"{name}<br>{t('Threshold')} %{{x:.2f}}<br>{t('Net benefit')} %{{y:.3f}}<extra></extra>"
    return go.Scatter(x=curve.thresholds, y=benefit, mode="lines", line=line, name=name, hovertemplate=hover)
