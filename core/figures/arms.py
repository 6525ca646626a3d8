"""Arms of an experiment below each other: what was published, and what was measured under each protocol."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.figures.labels import hover
from core.figures.style import HIGHLIGHT, NEGATIVE, NEUTRAL, POSITIVE, new_figure, number, plain, theme
from core.i18n import Translator

_ROW_PX, _AROUND_PX = 30, 190
_SPREAD = 0.8  # of the distance between two arms that the series of one take
_SYMBOLS = ("circle", "square", "triangle-up", "cross", "star")


@dataclass(frozen=True)
class ArmPoint:
    """One number of an arm.

    Attributes:
        low, high: Interval, None where there is none.
    """

    arm: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ArmSeries:
    """Numbers of all arms that were come by in one way.

    Attributes:
        name: Already in the reader's language.
        is_published: Drawn as a diamond, without an interval.
    """

    name: str
    points: tuple[ArmPoint, ...]
    is_published: bool = False


def arms_figure(
    arms: Sequence[str], series: Sequence[ArmSeries], *, title: Sequence[str], axis: str, t: Translator, dark: bool
) -> go.Figure:
    """Points with intervals, the first arm on top.

    Args:
        arms: In order.
        series: The published one first.
        title: Lines, already in the reader's language.
        axis: Of the numbers, which are shares.
        t: The reader's words.
        dark: Theme.
    """
    colours = (theme(dark).accent, NEUTRAL, theme(dark).text, NEGATIVE, POSITIVE)
    middle, step = (len(series) - 1) / 2, _SPREAD / len(series)
    traces = []
    for place, own in enumerate(series):
        kind = place % len(_SYMBOLS)
        looks = (
            {"symbol": "diamond", "color": HIGHLIGHT}
            if own.is_published
            else {"symbol": _SYMBOLS[kind], "color": colours[kind]}
        )
        points = [point for point in own.points if point.arm in arms]
        traces.append(
            go.Scatter(
                x=[point.value for point in points],
                y=[arms.index(point.arm) + (place - middle) * step for point in points],
                error_x={
                    "type": "data",
                    "array": [(point.value if point.high is None else point.high) - point.value for point in points],
                    "arrayminus": [point.value - (point.value if point.low is None else point.low) for point in points],
                    "thickness": 2,
                },
                mode="markers",
                marker={"size": 12, **looks},
                name=plain(own.name),
                hovertext=[f"{plain(point.arm)}: {_words(point)}" for point in points],
                hovertemplate=hover(plain(own.name), "%{hovertext}"),
            )
        )
    figure = new_figure(traces, dark, list(title), _AROUND_PX + _ROW_PX * len(series) * len(arms))
    figure.update_xaxes(title=axis, range=[-0.02, 1.02])  # an interval of few seeds may reach farther, a share does not
    figure.update_yaxes(
        range=[len(arms) - 0.5, -0.5],
        tickvals=list(range(len(arms))),
        ticktext=[plain(arm) for arm in arms],
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(showlegend=True)
    return figure


def arms_alt(arms: Sequence[str], series: Sequence[ArmSeries], title: str, t: Translator) -> str:
    """What `arms_figure` shows, in words."""
    lines = [title + "."]
    for arm in arms:
        told = [f"{own.name} {_words(point)}" for own in series for point in own.points if point.arm == arm]
        lines.append(t("{label}: {values}.", label=arm, values=", ".join(told) or "\u2013"))
    return " ".join(lines)


def _words(point: ArmPoint) -> str:
    if point.low is None or point.high is None:
        return number(point.value, 3)
    return f"{number(point.value, 3)} ({number(point.low, 3)}\u2013{number(point.high, 3)})"
