"""A model's number against a measured one, subject by subject."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.figures.style import HIGHLIGHT, NEUTRAL, POSITIVE, TEXT_PX, new_figure, number, plain, theme, with_interval
from core.i18n import Translator
from core.metrics.proportions import Interval

_HEIGHT_PX = 540
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
_MOST_NAMED = 12  # subjects in the legend; more would push the plot off the screen
_LABEL_PX = 20  # room for the names of the thresholds above the plot
_MARGIN = 0.05  # beside the outermost point, share of the width


def agreement_figure(
    x: ArrayLike,
    y: ArrayLike,
    subjects: Sequence[str],
    thresholds: Sequence[float],
    correlation: Interval,
    *,
    title: str,
    x_title: str,
    y_title: str,
    unit: str,
    t: Translator,
    dark: bool,
) -> go.Figure:
    """Scatter of predicted against measured values; every subject has its own colour and symbol.

    Args:
        x: (n,), measured, finite.
        y: (n,), predicted, finite.
        subjects: (n,), pseudonyms; shown in hover labels, and in the legend while there are few.
        thresholds: Published cuts of the measured value, at least one, drawn as dotted lines.
        correlation: Spearman's, from `spearman_interval`.
        title, x_title, y_title: Already in the reader's language; the unit belongs in the axis titles.
        unit: Of the measured value, beside each threshold.
        t: The reader's words.
        dark: Theme.

    Raises:
        UsageError: The lengths differ, or there is no point or no threshold.
    """
    measured, predicted = _points(x, y, subjects, thresholds)
    names = list(dict.fromkeys(subjects))
    lines = [
        title,
        t("Spearman correlation {interval}", interval=with_interval(correlation, t)),
        t("n = {n}, subjects: {n_subjects}", n=measured.size, n_subjects=len(names)),
    ]
    traces = [
        _subject(name, measured[members], predicted[members], i, x_title, y_title, dark, len(names) <= _MOST_NAMED)
        for i, name in enumerate(names)
        for members in [np.array([subject == name for subject in subjects])]
    ]
    figure = new_figure(traces, dark, lines, _HEIGHT_PX)
    figure.update_layout(margin={"t": figure.layout.margin.t + _LABEL_PX})
    low, high = min(measured.min(), *thresholds), max(measured.max(), *thresholds)
    margin = _MARGIN * (high - low)
    figure.update_xaxes(title=x_title, range=[float(low - margin), float(high + margin)])
    figure.update_yaxes(title=y_title)
    for threshold in thresholds:
        figure.add_vline(x=threshold, line={"color": NEUTRAL, "width": 2, "dash": "dot"})
        figure.add_annotation(
            x=threshold,
            y=1,
            yref="paper",
            yanchor="bottom",
            text=f"{threshold:g}\u202f{unit}",
            showarrow=False,
            font={"size": TEXT_PX - 1},
        )
    return figure


def agreement_alt(
    x: ArrayLike,
    y: ArrayLike,
    subjects: Sequence[str],
    thresholds: Sequence[float],
    correlation: Interval,
    *,
    title: str,
    unit: str,
    t: Translator,
) -> str:
    """What `agreement_figure` shows, in words: the correlation, and the mean prediction between the thresholds."""
    measured, predicted = _points(x, y, subjects, thresholds)
    head = t(
        "{title}: Spearman correlation {interval}, n = {n}, subjects: {n_subjects}.",
        title=title,
        interval=with_interval(correlation, t),
        n=measured.size,
        n_subjects=len(set(subjects)),
    )
    edges = [-np.inf, *sorted(thresholds), np.inf]
    parts = [head]
    for low, high in pairwise(edges):
        inside = predicted[(measured >= low) & (measured < high)]
        if inside.size:
            words = {"mean": number(float(inside.mean())), "n": inside.size}
            parts.append(_between(low, high, unit, t) + ": " + t("mean prediction {mean}, n = {n}.", **words))
    return " ".join(parts)


def _between(low: float, high: float, unit: str, t: Translator) -> str:
    if np.isinf(low):
        return t("Below {high} {unit}", high=f"{high:g}", unit=unit)
    if np.isinf(high):
        return t("From {low} {unit}", low=f"{low:g}", unit=unit)
    return t("From {low} to below {high} {unit}", low=f"{low:g}", high=f"{high:g}", unit=unit)


def _subject(
    name: str,
    measured: NDArray[np.float64],
    predicted: NDArray[np.float64],
    index: int,
    x_title: str,
    y_title: str,
    dark: bool,
    is_named: bool,
) -> go.Scatter:
    colours = theme(dark)
    palette = (colours.accent, HIGHLIGHT, POSITIVE, NEUTRAL)  # 4 and 7 have no divisor in common: 28 different markers
    return go.Scatter(
        x=measured,
        y=predicted,
        mode="markers",
        marker={
            "size": 11,
            "symbol": _SYMBOLS[index % len(_SYMBOLS)],
            "color": palette[index % len(palette)],
            "line": {"color": colours.surface, "width": 1},
        },
        name=plain(name),
        showlegend=is_named,
        hovertemplate=f"{plain(name)}<br>{plain(x_title)} %{{x:.0f}}<br>{plain(y_title)} %{{y:.2f}}<extra></extra>",
    )


def _points(
    x: ArrayLike, y: ArrayLike, subjects: Sequence[str], thresholds: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    measured, predicted = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if measured.size == 0 or not measured.shape == predicted.shape == (len(subjects),) or not thresholds:
        raise UsageError(
            f"{measured.size} and {predicted.size} values of {len(subjects)} subjects with {len(thresholds)} thresholds"
        )
    return measured, predicted
