"""A model's number against a measured one, subject by subject."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Agreement:
    """What is compared. Words are already in the reader's language.

    Attributes:
        x: (n,), measured, finite.
        y: (n,), predicted, finite.
        subjects: (n,), pseudonyms; shown in hover labels, and in the legend while there are few.
        thresholds: Published cuts of the measured value, at least one, drawn as dotted lines.
        correlation: Spearman's, from `spearman_interval`.
        title: Of the figure.
        unit: Of the measured value, beside each threshold.
    """

    x: ArrayLike
    y: ArrayLike
    subjects: Sequence[str]
    thresholds: Sequence[float]
    correlation: Interval
    title: str
    unit: str


def agreement_figure(data: Agreement, *, x_title: str, y_title: str, t: Translator, dark: bool) -> go.Figure:
    """Scatter of predicted against measured values; every subject has its own colour and symbol.

    Args:
        data: What is compared.
        x_title, y_title: Already in the reader's language, with their units.
        t: The reader's words.
        dark: Theme.

    Raises:
        UsageError: The lengths differ, or there is no point or no threshold.
    """
    measured, predicted = _points(data)
    names = list(dict.fromkeys(data.subjects))
    lines = [
        data.title,
        t("Spearman correlation {interval}", interval=with_interval(data.correlation, t)),
        t("n = {n}, subjects: {n_subjects}", n=measured.size, n_subjects=len(names)),
    ]
    traces = [
        _subject(name, measured[members], predicted[members], i, x_title, y_title, dark, len(names) <= _MOST_NAMED)
        for i, name in enumerate(names)
        for members in [np.array([subject == name for subject in data.subjects])]
    ]
    figure = new_figure(traces, dark, lines, _HEIGHT_PX)
    figure.update_layout(margin={"t": figure.layout.margin.t + _LABEL_PX})
    low, high = min(measured.min(), *data.thresholds), max(measured.max(), *data.thresholds)
    margin = _MARGIN * (high - low)
    figure.update_xaxes(title=x_title, range=[float(low - margin), float(high + margin)])
    figure.update_yaxes(title=y_title)
    for threshold in data.thresholds:
        figure.add_vline(x=threshold, line={"color": NEUTRAL, "width": 2, "dash": "dot"})
        figure.add_annotation(
            x=threshold,
            y=1,
            yref="paper",
            yanchor="bottom",
            text=f"{threshold:g}\u202f{data.unit}",
            showarrow=False,
            font={"size": TEXT_PX - 1},
        )
    return figure


def agreement_alt(data: Agreement, t: Translator) -> str:
    """What `agreement_figure` shows, in words: the correlation, and the mean prediction between the thresholds."""
    measured, predicted = _points(data)
    head = t(
        "{title}: Spearman correlation {interval}, n = {n}, subjects: {n_subjects}.",
        title=data.title,
        interval=with_interval(data.correlation, t),
        n=measured.size,
        n_subjects=len(set(data.subjects)),
    )
    edges = [-np.inf, *sorted(data.thresholds), np.inf]
    parts = [head]
    for low, high in pairwise(edges):
        inside = predicted[(measured >= low) & (measured < high)]
        if inside.size:
            words = {"mean": number(float(inside.mean())), "n": inside.size}
            parts.append(_between(low, high, data.unit, t) + ": " + t("mean prediction {mean}, n = {n}.", **words))
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


def _points(data: Agreement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    measured, predicted = np.asarray(data.x, dtype=np.float64), np.asarray(data.y, dtype=np.float64)
    n_subjects, n_thresholds = len(data.subjects), len(data.thresholds)
    if measured.size == 0 or not measured.shape == predicted.shape == (n_subjects,) or not n_thresholds:
        raise UsageError(
            f"{measured.size} and {predicted.size} values of {n_subjects} subjects with {n_thresholds} thresholds"
        )
    return measured, predicted
