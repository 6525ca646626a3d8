"""A forest plot: one measure of several groups, each with its interval and number of cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import east_asian_width

import plotly.graph_objects as go

from core.errors import UsageError
from core.figures.style import NEUTRAL, TEXT_PX, cases_line, new_figure, number, plain, theme, with_interval
from core.i18n import Translator
from core.metrics.proportions import Interval

_ROW_PX = 68
_AROUND_PX = 190  # title, axis and legend
_WIDEST = 20  # letters of a name that half a page has room for; the whole one stands in the hover label
_SPARE = 0.02  # of the axis beside the outermost limits


@dataclass(frozen=True)
class ForestRow:
    """One group.

    Attributes:
        name: As written by whoever made the table.
        n_positive, n_negative: Cases.
        is_few: Too few in a class to tell anything: drawn hollow and grey, and said.
        auroc: None where there are too few for any.
    """

    name: str
    n_positive: int
    n_negative: int
    is_few: bool
    auroc: Interval | None


def forest_figure(rows: Sequence[ForestRow], overall: Interval, t: Translator, dark: bool) -> go.Figure:
    """AUROC of every group on one axis, first row on top, with the AUROC of all cases as a dotted line.

    Args:
        rows: At least one.
        overall: AUROC of all cases.
        t: The reader's words.
        dark: Theme.

    Raises:
        UsageError: There is no row.
    """
    _check(rows)
    colours = theme(dark)
    ticks = [_tick(row, t) for row in rows]
    drawn = [(place, row, row.auroc) for place, row in enumerate(rows) if row.auroc is not None]
    least = max(0.0, min([overall.low, 0.5, *(auroc.low for _, _, auroc in drawn)]))
    traces = []
    for is_few, colour, symbol, name in (
        (False, colours.accent, "square", t("Group")),
        (True, NEUTRAL, "square-open", t("Too few in a class")),
    ):
        own = [(place, row, auroc) for place, row, auroc in drawn if row.is_few is is_few]
        if own:
            traces.append(_points(own, name, colour, symbol, t))
    title = [
        t("AUROC of each group"),
        t("All cases {interval}", interval=with_interval(overall, t, 3)),
        t("95 % CI, groups: {n}", n=len(rows)),
    ]
    figure = new_figure(traces, dark, title, _AROUND_PX + _ROW_PX * len(rows))
    figure.update_xaxes(title="AUROC", range=[least - _SPARE, 1 + _SPARE])
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        ticktext=ticks,
        tickfont={"size": TEXT_PX - 2},
        showgrid=False,
        zeroline=False,
    )
    figure.add_vline(x=overall.value, line={"color": colours.text, "width": 2, "dash": "dot"})
    figure.update_layout(showlegend=True, legend={"y": -80 / (_ROW_PX * len(rows))})
    for place, row in enumerate(rows):
        if row.auroc is None:
            _say_too_few(figure, place, t)
    return figure


def forest_alt(rows: Sequence[ForestRow], overall: Interval, t: Translator) -> str:
    """What `forest_figure` shows, in words; errors as there."""
    _check(rows)
    head = t(
        "AUROC of each group; all cases {overall}, groups: {n}.", overall=with_interval(overall, t, 3), n=len(rows)
    )
    return " ".join([head, *(_row_words(row, row.name, t) + "." for row in rows)])


def _check(rows: Sequence[ForestRow]) -> None:
    if not rows:
        raise UsageError("a forest plot without a group")


def _points(
    rows: list[tuple[int, ForestRow, Interval]], name: str, colour: str, symbol: str, t: Translator
) -> go.Scatter:
    return go.Scatter(
        x=[auroc.value for _, _, auroc in rows],
        y=[place for place, _, _ in rows],
        error_x={
            "type": "data",
            "array": [auroc.high - auroc.value for _, _, auroc in rows],
            "arrayminus": [auroc.value - auroc.low for _, _, auroc in rows],
            "thickness": 2,
        },
        mode="markers",
        marker={"size": 11, "symbol": symbol, "color": colour, "line": {"width": 2, "color": colour}},
        name=name,
        hovertext=[_row_words(row, plain(row.name), t) for _, row, _ in rows],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _short(auroc: Interval) -> str:
    value, low, high = (number(x) for x in (auroc.value, auroc.low, auroc.high))
    return f"{value} ({low}\u2013{high})"


def _row_words(row: ForestRow, name: str, t: Translator) -> str:
    words = t("no AUROC") if row.auroc is None else with_interval(row.auroc, t, 3)
    cases = cases_line(t, row.n_positive, row.n_negative)
    return f"{name}: {words}, {cases}" + (", " + t("too few in a class") if row.is_few else "")


def _tick(row: ForestRow, t: Translator) -> str:
    """Name, estimate and cases in three lines: beside the points there is no room for them on half a page."""
    cases = t("n = {n}, {n_positive} pos.", n=row.n_positive + row.n_negative, n_positive=row.n_positive)
    lines = [f"<b>{plain(_cut(row.name))}</b>", *([] if row.auroc is None else [_short(row.auroc)]), cases]
    return "<br>".join(lines)


def _cut(name: str) -> str:
    """The beginning of a long name; a Chinese or Korean letter is as wide as two others."""
    widths = list(accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in name))
    if not widths or widths[-1] <= _WIDEST:
        return name
    return name[: sum(width < _WIDEST for width in widths)] + "\u2026"


def _say_too_few(figure: go.Figure, place: int, t: Translator) -> None:
    figure.add_annotation(
        x=0.5,
        xref="x domain",
        y=place,
        text=t("too few in a class"),
        showarrow=False,
        font={"size": TEXT_PX - 1},
    )
