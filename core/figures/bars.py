"""Several estimates side by side: models, explanation checks, subgroups."""

from collections.abc import Sequence

import plotly.graph_objects as go

from core.errors import UsageError
from core.figures.style import NEUTRAL, new_figure, number, plain, theme, with_interval
from core.i18n import Translator
from core.metrics.proportions import Interval

_ROW_PX = 44


def bar_with_intervals_figure(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    title: str,
    axis_title: str,
    n_cases: int,
    t: Translator,
    dark: bool,
    reference: float | None = None,
) -> go.Figure:
    """Horizontal bars with 95 % intervals, first name on top.

    Args:
        names: What is compared.
        values, lows, highs: Estimates and their limits, one a name.
        title, axis_title: Already in the reader's language; the unit belongs in `axis_title`.
        n_cases: Cases behind every bar.
        t: The reader's words.
        dark: Theme.
        reference: Value of no effect or of the published model, drawn as a dotted line.

    Raises:
        UsageError: The lengths differ or there is no bar.
    """
    intervals = _intervals(names, values, lows, highs)
    colours = theme(dark)
    bars = go.Bar(
        x=[i.value for i in intervals],
        y=[plain(name) for name in names],
        orientation="h",
        width=0.6,
        marker={"color": colours.accent},
        error_x={
            "type": "data",
            "array": [i.high - i.value for i in intervals],
            "arrayminus": [i.value - i.low for i in intervals],
            "color": colours.text,
            "thickness": 2,
        },
        text=[with_interval(i, t, 3) for i in intervals],
        textposition="none",
        hovertemplate="%{y}<br>%{text}<extra></extra>",
        showlegend=False,
    )
    figure = new_figure([bars], dark, [title, t("95 % CI, n = {n}", n=n_cases)], 170 + _ROW_PX * len(intervals))
    figure.update_xaxes(title=axis_title, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    if reference is not None:
        figure.add_vline(x=reference, line={"color": NEUTRAL, "width": 2, "dash": "dot"})
    return figure


def bar_with_intervals_alt(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    title: str,
    n_cases: int,
    t: Translator,
) -> str:
    """What `bar_with_intervals_figure` shows, in words; errors as there."""
    intervals = _intervals(names, values, lows, highs)
    parts = [f"{name} {with_interval(interval, t)}" for name, interval in zip(names, intervals, strict=True)]
    return f"{title}, n = {number(n_cases, 0)}: {'; '.join(parts)}."


def _intervals(
    names: Sequence[str], values: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> list[Interval]:
    if not names or {len(values), len(lows), len(highs)} != {len(names)}:
        raise UsageError(f"{len(names)} names for {len(values)}, {len(lows)} and {len(highs)} numbers")
    return [Interval(*numbers) for numbers in zip(values, lows, highs, strict=True)]
