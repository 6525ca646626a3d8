"""Bars of several series beside each other at the same places: classes, or arms."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.figures.labels import hover
from core.figures.style import HIGHLIGHT, NEGATIVE, NEUTRAL, POSITIVE, new_figure, number, plain, theme
from core.i18n import Translator

_ROW_PX, _AROUND_PX = 26, 170
_PATTERNS = ("", "/", "x", ".", "-", "+")  # colour alone tells no series apart
Values = Sequence[float | None]


def grouped_figure(
    places: Sequence[str],
    series: Mapping[str, Values],
    *,
    title: Sequence[str],
    axis: str,
    dark: bool,
    digits: int = 3,
    reference: float | None = None,
) -> go.Figure:
    """Horizontal bars, the first place on top.

    Args:
        places: Names of the rows.
        series: By name one value a place; None = not measured.
        title: Lines, already in the reader's language.
        axis: Of the numbers.
        dark: Theme.
        digits: Behind the point, in the bar's label.
        reference: A value drawn as a dotted line.
    """
    colours = (theme(dark).accent, HIGHLIGHT, POSITIVE, NEUTRAL, NEGATIVE)
    bars = [
        go.Bar(
            x=list(values),
            y=[plain(place) for place in places],
            orientation="h",
            name=plain(name),
            marker={"color": colours[at % len(colours)], "pattern_shape": _PATTERNS[at % len(_PATTERNS)]},
            text=["" if value is None else number(value, digits) for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=hover(plain(name), "%{y}: %{text}"),
        )
        for at, (name, values) in enumerate(series.items())
    ]
    figure = new_figure(bars, dark, list(title), _AROUND_PX + _ROW_PX * max(1, len(series)) * len(places))
    figure.update_xaxes(title=axis, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_layout(showlegend=len(series) > 1, barmode="group", bargap=0.25)
    if reference is not None:
        figure.add_vline(x=reference, line={"color": theme(dark).text, "width": 2, "dash": "dot"})
    return figure


def grouped_alt(places: Sequence[str], series: Mapping[str, Values], title: str, t: Translator, digits: int = 3) -> str:
    """What `grouped_figure` shows, in words."""
    told = [f"{title}."]
    for at, place in enumerate(places):
        values = [f"{name} {_words(own[at], digits)}" for name, own in series.items()]
        told.append(t("{label}: {values}.", label=place, values=", ".join(values)))
    return " ".join(told)


def _words(value: float | None, digits: int) -> str:
    return "\u2013" if value is None else number(value, digits)
