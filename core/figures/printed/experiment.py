"""Figures of an experiment on paper and on slides: its arms, its losses epoch by epoch, and a grid of maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.figures.arms import ArmSeries
from core.figures.printed.style import ACCENT, GRID, INK, LINE_WIDTH_PT, Panel
from core.figures.style import HIGHLIGHT, NEGATIVE, NEUTRAL, POSITIVE

_COLOURS = (ACCENT, NEUTRAL, INK, NEGATIVE, POSITIVE)
_MARKERS = "os^Pv"
_DASHES = ("-", "--", ":", "-.")
_SPREAD = 0.8  # of the distance between two arms that the series of one take
_NAMES = 0.3  # of the width, for the names of arms
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
Values = Sequence[float | None]


def draw_arms(panel: Panel, arms: Sequence[str], series: Sequence[ArmSeries], head: Sequence[str], axis: str) -> None:
    """Points with intervals, the first arm on top; see `core.figures.arms.arms_figure`.

    Args:
        panel: To fill.
        arms: In order.
        series: The published one first.
        head: Title lines.
        axis: Of the numbers, which are shares.
    """
    looks = [
        ("D", HIGHLIGHT) if own.is_published else (_MARKERS[at % 5], _COLOURS[at % 5]) for at, own in enumerate(series)
    ]
    entries = [(own.name, colour, "line") for own, (_, colour) in zip(series, looks, strict=True)]
    top = panel.head(head) + 0.4 * panel.line
    for entry in entries:  # one a line: names of protocols are long
        panel.legend(top, [entry])
        top += panel.line
    left = _NAMES * panel.width
    axes = panel.axes(left=left, top=top + 0.4 * panel.line, right=0.3 * panel.line, bottom=2.6 * panel.line)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, linewidth=0.5)
    middle, step = (len(series) - 1) / 2, _SPREAD / len(series)
    for at, (own, (marker, colour)) in enumerate(zip(series, looks, strict=True)):
        for point in own.points:
            y = arms.index(point.arm) + (at - middle) * step
            if point.low is not None and point.high is not None:
                axes.plot([max(0, point.low), min(1, point.high)], [y, y], color=colour, linewidth=LINE_WIDTH_PT)
            axes.plot([point.value], [y], marker, color=colour, markersize=0.75 * panel.size_pt)
    panel.ticks(axes, "x", _TICKS, [f"{value:g}" for value in _TICKS])
    panel.ticks(axes, "y", list(range(len(arms))), list(arms))
    panel.name_axes(axes, axis, "")


def draw_epochs(panel: Panel, lines: Mapping[str, Values], head: Sequence[str], axis: str) -> None:
    """A number of every epoch.

    Args:
        panel: To fill.
        lines: By name, the first epoch first; None leaves a gap.
        head: Title lines.
        axis: Of the numbers.
    """
    top = panel.head(head) + 0.4 * panel.line
    looks = [(_COLOURS[at % 5], _DASHES[at // 5 % 4]) for at in range(len(lines))]
    for name, (colour, _) in zip(lines, looks, strict=True):
        panel.legend(top, [(name, colour, "line")])
        top += panel.line
    axes = panel.axes(
        left=3.4 * panel.line, top=top + 0.4 * panel.line, right=0.3 * panel.line, bottom=2.6 * panel.line
    )
    axes.grid(color=GRID, linewidth=0.5)
    for values, (colour, dash) in zip(lines.values(), looks, strict=True):
        numbers = np.array([np.nan if value is None else value for value in values])
        axes.plot(np.arange(1, len(numbers) + 1), numbers, dash, color=colour, linewidth=LINE_WIDTH_PT, marker=".")
    (first, last), (low, high) = axes.get_xlim(), axes.get_ylim()
    epochs = [value for value in axes.get_xticks() if first <= value <= last and value == round(value)]
    heights = [value for value in axes.get_yticks() if low <= value <= high]
    panel.ticks(axes, "x", epochs, [f"{value:g}" for value in epochs])
    panel.ticks(axes, "y", heights, [f"{value:g}" for value in heights])
    panel.name_axes(axes, panel.t("Epoch"), axis)


def draw_cells(
    panel: Panel,
    cells: Sequence[Sequence[NDArray[np.uint8]]],
    rows: Sequence[str],
    columns: Sequence[str],
    head: Sequence[str],
) -> None:
    """A grid of pictures with names of its rows and columns.

    Args:
        panel: To fill.
        cells: By row and column uint8 (S, S, 3).
        rows, columns: Names.
        head: Title lines.
    """
    top, left, gap = panel.head(head) + 1.8 * panel.line, 0.16 * panel.width, 0.4 * panel.line
    pitch = (panel.width - left) / len(columns)
    side = min(pitch, (panel.height - top) / len(rows)) - gap
    for row, own in enumerate(cells):
        y = top + row * (side + gap)
        panel.write(0, y + side / 2 - panel.line / 2, rows[row], width=left - gap)
        for column, picture in enumerate(own):
            x = left + column * pitch
            if row == 0:
                panel.write(x, top - 1.2 * panel.line, columns[column], scale=0.9, width=pitch - gap)
            axes = panel.axes(left=x, top=y, right=panel.width - x - side, bottom=panel.height - y - side)
            axes.set_axis_off()
            axes.imshow(picture, interpolation="nearest", aspect="auto")
