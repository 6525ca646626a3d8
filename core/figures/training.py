"""How a network was trained: its losses, and what was found on the validation fold, epoch by epoch."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.figures.labels import hover
from core.figures.style import HIGHLIGHT, NEGATIVE, NEUTRAL, POSITIVE, new_figure, number, plain, theme
from core.i18n import Translator

_HEIGHT_PX = 400
Values = Sequence[float | None]


def epochs_figure(
    title: str, axis: str, lines: Mapping[str, Values], kept_epoch: int, t: Translator, dark: bool
) -> go.Figure:
    """Numbers of every epoch, with the kept one marked.

    Args:
        title: Of the figure.
        axis: Of the numbers.
        lines: Values by name, all of the same epochs; None leaves a gap.
        kept_epoch: Index of the epoch whose weights are published.
        t: The reader's words.
        dark: Theme.
    """
    colours = (theme(dark).accent, HIGHLIGHT, POSITIVE, NEUTRAL, NEGATIVE)
    dashes = ("solid", "dash", "dot", "dashdot", "longdash")
    traces = [
        go.Scatter(
            x=list(range(1, len(values) + 1)),
            y=list(values),
            mode="lines+markers",
            line={"color": colours[place % len(colours)], "dash": dashes[place % len(dashes)], "width": 3},
            marker={"size": 6},
            name=plain(name),
            hovertemplate=hover(plain(name), t("Epoch") + " %{x}", "%{y:.3f}"),
        )
        for place, (name, values) in enumerate(lines.items())
    ]
    figure = new_figure(traces, dark, [title, _kept(lines, kept_epoch, t)], _HEIGHT_PX)
    figure.add_vline(kept_epoch + 1, line={"color": theme(dark).text, "width": 1, "dash": "dot"})
    figure.update_xaxes(title=t("Epoch"))
    figure.update_yaxes(title=axis, rangemode="tozero")
    figure.update_layout(showlegend=True)
    return figure


def epochs_alt(title: str, lines: Mapping[str, Values], kept_epoch: int, t: Translator) -> str:
    """What `epochs_figure` shows, in words: every line at the kept epoch."""
    readings = [
        t(
            "{label}: {values}.",
            label=name,
            values="\u2013" if (value := values[kept_epoch]) is None else number(value, 3),
        )
        for name, values in lines.items()
    ]
    return " ".join([f"{title}, {_kept(lines, kept_epoch, t)}.", *readings])


def _kept(lines: Mapping[str, Values], kept_epoch: int, t: Translator) -> str:
    total = max(map(len, lines.values()))
    return t("n = {total} epochs, kept: {kept}", total=total, kept=kept_epoch + 1)
