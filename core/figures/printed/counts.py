"""The confusion matrix and the forest plot on paper."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from core.figures.confusion import cell_colour, ink
from core.figures.forest import ForestRow
from core.figures.printed.style import ACCENT, GRID, INK, LINE_WIDTH_PT, SURFACE, Panel, cut
from core.figures.style import NEUTRAL, number, percent, with_interval
from core.metrics.confusion import ConfusionMatrix
from core.metrics.proportions import Interval

_ROW_LINES = 2.3  # height of a row of the forest, in lines
_SPARE = 0.02  # of the axis beside the outermost limits


def draw_confusion(
    panel: Panel, matrix: ConfusionMatrix, names: Sequence[str], accuracy: Interval | None = None
) -> None:
    """Counts with the per cent of their row (reference); colour follows the per cent.

    Args:
        panel: To fill.
        matrix: Counts.
        names: What the reader calls each label, in the order of the matrix.
        accuracy: With an interval that knows patients; None = every case is another patient.
    """
    t, size = panel.t, len(names)
    head = [
        t("Confusion matrix"),
        t("Accuracy {interval}", interval=with_interval(accuracy or matrix.accuracy, t)),
        t("n = {n}, per cent of each row", n=matrix.n_cases),
    ]
    top = panel.head(head)
    left = 5.2 * panel.line
    axes = panel.axes(left=left, top=top + 0.5 * panel.line, right=0.6 * panel.line, bottom=2.6 * panel.line)
    share = matrix.counts / np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    colours = LinearSegmentedColormap.from_list("share", [SURFACE, ACCENT])
    axes.pcolormesh(np.arange(size + 1), np.arange(size + 1), share, cmap=colours, vmin=0, vmax=1, edgecolor="white")
    axes.set_ylim(size, 0)
    axes.set_xlim(0, size)
    for row, column in np.ndindex(*share.shape):
        cell = float(share[row, column])
        colour = ink(cell_colour(cell, dark=False))
        panel.label(axes, column + 0.5, row + 0.4, str(matrix.counts[row, column]), scale=1.3, colour=colour)
        panel.label(axes, column + 0.5, row + 0.68, percent(cell), colour=colour)
    places = [place + 0.5 for place in range(size)]
    room = (panel.width - left) / size
    short = [cut(name, min(room, left - 1.5 * panel.line), 0.9 * panel.size_pt, t.language) for name in names]
    panel.ticks(axes, "x", places, short)
    panel.ticks(axes, "y", places, short)
    panel.name_axes(axes, t("Predicted"), t("Reference"))


def forest_height(rows: Sequence[ForestRow], panel_line: float) -> float:
    """Height in inches that a forest plot of these rows needs, for lines of `panel_line` inches."""
    return (7.5 + _ROW_LINES * len(rows)) * panel_line


def draw_forest(panel: Panel, rows: Sequence[ForestRow], overall: Interval) -> None:
    """AUROC of every group on one axis, first row on top, with the AUROC of all cases as a dotted line.

    Args:
        panel: To fill; see `forest_height`.
        rows: At least one.
        overall: AUROC of all cases.
    """
    t = panel.t
    head = [
        t("AUROC of each group"),
        t("All cases {interval}", interval=with_interval(overall, t, 3)),
        t("95 % CI, groups: {n}", n=len(rows)),
    ]
    top = panel.head(head) + 0.5 * panel.line
    panel.legend(top - 0.5 * panel.line, [(t("Group"), ACCENT, "line"), (t("Too few in a class"), NEUTRAL, "line")])
    left, right, bottom = 0.30 * panel.width, 0.29 * panel.width, 2.6 * panel.line
    axes = panel.axes(left=left, top=top + 0.8 * panel.line, right=right, bottom=bottom)
    drawn = [row.auroc for row in rows if row.auroc is not None]
    least = max(0.0, min([overall.low, 0.5, *(auroc.low for auroc in drawn)]))
    axes.set_xlim(least - _SPARE, 1 + _SPARE)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, linewidth=0.5)
    axes.axvline(overall.value, color=INK, linestyle=":", linewidth=LINE_WIDTH_PT)
    height = (panel.height - top - 0.8 * panel.line - bottom) / len(rows)
    for place, row in enumerate(rows):
        colour = NEUTRAL if row.is_few else ACCENT
        y = top + 0.8 * panel.line + (place + 0.5) * height - panel.line
        panel.write(0, y, row.name, width=left - 0.8 * panel.line)
        cases = t("n = {n}, {n_positive} pos.", n=row.n_positive + row.n_negative, n_positive=row.n_positive)
        panel.write(0, y + panel.line, cases, scale=0.9, width=left - 0.8 * panel.line)
        x, room = panel.width - right + 0.6 * panel.line, right - 0.6 * panel.line
        panel.write(
            x, y + panel.line / 2, t("too few in a class") if row.auroc is None else _short(row.auroc), width=room
        )
        if row.auroc is not None:
            axes.plot([row.auroc.low, row.auroc.high], [place] * 2, color=colour, linewidth=LINE_WIDTH_PT)
            face = "white" if row.is_few else colour
            axes.plot(
                [row.auroc.value], [place], "s", color=colour, markerfacecolor=face, markersize=0.6 * panel.size_pt
            )
    ticks = [value / 10 for value in range(11) if least - _SPARE <= value / 10]
    panel.ticks(axes, "x", ticks, [f"{value:g}" for value in ticks])
    panel.ticks(axes, "y", [], [])
    panel.name_axes(axes, t("AUROC"), "")


def _short(auroc: Interval) -> str:
    value, low, high = (number(x) for x in (auroc.value, auroc.low, auroc.high))
    return f"{value} ({low}\u2013{high})"
