"""How many of each: horizontal bars of counts, side by side where there are several groups."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.errors import UsageError
from core.figures.style import NEUTRAL, new_figure, plain, theme
from core.i18n import Translator

_BAR_PX, _GAP_PX, _AROUND_PX = 24, 16, 130
_FEW = 6  # counts up to here get a tick each: ticks at halves would show the same number twice
MAX_NAME = 34  # letters of a line of a name: longer ones would leave no room for the bars on a phone


def counts_figure(
    names: Sequence[str], groups: Mapping[str, Sequence[int]], *, title: Sequence[str], axis: str, dark: bool
) -> go.Figure:
    """A bar a name and group, the first name on top, with its number at its end.

    Args:
        names: What is counted.
        groups: Counts in the order of `names`, by the name of the group; one group has no legend.
        title: Lines.
        axis: What one is, with its unit.
        dark: Theme.

    Raises:
        UsageError: No name, or a group of another length.
    """
    _check(names, groups)
    colours = [theme(dark).accent, NEUTRAL, *[None] * len(groups)]
    words = ["<br>".join(_lines(plain(name))) for name in names]
    bars = [
        go.Bar(
            x=list(counts),
            y=words,
            orientation="h",
            name=plain(group),
            marker={"color": colour},
            text=[f"{n:,}" for n in counts],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,}<extra>" + plain(group) + "</extra>",
            showlegend=len(groups) > 1,
        )
        for (group, counts), colour in zip(groups.items(), colours, strict=False)
    ]
    height = _AROUND_PX + len(names) * (_BAR_PX * len(groups) + _GAP_PX) + (30 if len(groups) > 1 else 0)
    figure = new_figure(bars, dark, list(title), height)
    figure.update_layout(barmode="group", bargap=0.3, legend={"traceorder": "normal", "y": -60 / (height - 120)})
    most = max(max(counts) for counts in groups.values())
    figure.update_xaxes(title=axis, rangemode="tozero", tickformat=",d", dtick=1 if most <= _FEW else None, nticks=6)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return figure


def counts_alt(names: Sequence[str], groups: Mapping[str, Sequence[int]], title: str, t: Translator) -> str:
    """What `counts_figure` shows, in words; errors as there."""
    _check(names, groups)
    own = [
        f"{group}: " + ", ".join(f"{name} {counts[i]:,}" for i, name in enumerate(names))
        for group, counts in groups.items()
    ]
    return t("{title}. {counts}.", title=title, counts="; ".join(own))


def _check(names: Sequence[str], groups: Mapping[str, Sequence[int]]) -> None:
    if not names or not groups or any(len(counts) != len(names) for counts in groups.values()):
        raise UsageError(f"{len(names)} names for groups of {[len(counts) for counts in groups.values()]}")


def _lines(name: str) -> list[str]:
    """A name in lines of at most MAX_NAME letters, broken at blanks."""
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > MAX_NAME:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
