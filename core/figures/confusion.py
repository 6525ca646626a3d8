"""The confusion matrix as a picture."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import find_intermediate_color, hex_to_rgb

from core.figures.style import TEXT_PX, new_figure, patients_line, percent, plain, theme, with_interval
from core.i18n import Translator
from core.metrics.confusion import ConfusionMatrix
from core.metrics.grading import GradingReport
from core.metrics.proportions import Interval, wilson_interval

_CELL_PX = 90
_TITLE_LINE_PX = 22
_AXIS_PX = 124  # both axis titles and the names, and the margin above the title
_BLACK, _WHITE = "#000000", "#FFFFFF"  # on any colour one of the two has a contrast of at least 4.5


def confusion_figure(
    matrix: ConfusionMatrix,
    label_names: Sequence[str],
    t: Translator,
    dark: bool,
    accuracy: Interval | None = None,
    *,
    is_clickable: bool = False,
) -> go.Figure:
    """Counts with the per cent of their row (reference), first label at the top left; colour follows the per cent.

    Args:
        matrix: Counts.
        label_names: What the reader calls each label, in the order of the matrix.
        t: The reader's words.
        dark: Theme.
        accuracy: With an interval that knows which cases belong to one patient; None = every case is another patient.
        is_clickable: With a point on every cell that can be chosen; its customdata are row and column.
    """
    title = [
        t("Confusion matrix"),
        t("Accuracy {interval}", interval=with_interval(accuracy or matrix.accuracy, t)),
        t("n = {n}, per cent of each row", n=matrix.n_cases),
    ]
    figure = _draw(matrix, label_names, title, t, dark, are_independent=accuracy is None)
    if is_clickable:
        _add_points(figure, [plain(name) for name in label_names])
    return figure


def _add_points(figure: go.Figure, names: list[str]) -> None:
    """Points that nobody sees: a heatmap alone cannot be chosen from."""
    cells = [(row, column) for row in range(len(names)) for column in range(len(names))]
    unseen = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[names[column] for _, column in cells],
        y=[names[row] for row, _ in cells],
        customdata=cells,
        text=[figure.data[0].text[row][column] for row, column in cells],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        marker={"size": _CELL_PX - 10, "opacity": 0, "symbol": "square"},
        selected=unseen,
        unselected=unseen,
        showlegend=False,
    )


def confusion_alt(
    matrix: ConfusionMatrix, label_names: Sequence[str], t: Translator, accuracy: Interval | None = None
) -> str:
    """What `confusion_figure` shows, in words."""
    head = t(
        "Confusion matrix, accuracy {accuracy}, n = {n}.",
        accuracy=with_interval(accuracy or matrix.accuracy, t),
        n=matrix.n_cases,
    )
    return " ".join([head, *_row_words(matrix, label_names, t)])


def grading_confusion_figure(report: GradingReport, class_names: Sequence[str], t: Translator, dark: bool) -> go.Figure:
    """As `confusion_figure`, with the intervals of the report, which know that one patient may have several cases.

    Args:
        report: Of a grader.
        class_names: What the reader calls each class, lowest first.
        t: The reader's words.
        dark: Theme.
    """
    title = [t("Confusion matrix"), t("Accuracy {interval}", interval=with_interval(report.accuracy, t))]
    if report.weighted_kappa is not None:
        title.append(t("Weighted kappa {interval}", interval=with_interval(report.weighted_kappa, t)))
    title += [patients_line(t, report.n, report.n_groups), t("Per cent of each row")]
    return _draw(report.confusion, class_names, title, t, dark, are_independent=report.n == report.n_groups)


def grading_confusion_alt(report: GradingReport, class_names: Sequence[str], t: Translator) -> str:
    """What `grading_confusion_figure` shows, in words."""
    head = t(
        "Confusion matrix, accuracy {accuracy}, at most one class off {off_by_one}, {cases}.",
        accuracy=with_interval(report.accuracy, t),
        off_by_one=with_interval(report.off_by_one, t),
        cases=patients_line(t, report.n, report.n_groups),
    )
    rows = _row_words(report.confusion, class_names, t)
    if report.weighted_kappa is None:
        return " ".join([head, *rows])
    kappa = t("Quadratic weighted kappa {interval}.", interval=with_interval(report.weighted_kappa, t))
    return " ".join([head, kappa, *rows])


def cell_colour(share: float, dark: bool) -> tuple[float, float, float]:
    """Colour of a cell, red, green and blue from 0 to 255."""
    colours = theme(dark)
    red, green, blue = find_intermediate_color(hex_to_rgb(colours.surface), hex_to_rgb(colours.accent), share)
    return red, green, blue


def ink(background: tuple[float, float, float]) -> str:
    """Black or white, whichever is read better on `background` (contrast of WCAG 2.2, section 1.4.3)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else _WHITE


def _draw(
    matrix: ConfusionMatrix,
    label_names: Sequence[str],
    title: list[str],
    t: Translator,
    dark: bool,
    *,
    are_independent: bool,
) -> go.Figure:
    """The matrix under a title; `are_independent` cases have Wilson's interval of each cell in its hover label."""
    names = [plain(name) for name in label_names]
    counts, share = matrix.counts, _row_share(matrix)
    colours = theme(dark)
    heatmap = go.Heatmap(
        x=names,
        y=names,
        z=share,
        zmin=0,
        zmax=1,
        colorscale=[[0, colours.surface], [1, colours.accent]],
        showscale=False,
        xgap=3,
        ygap=3,
        text=_hover_words(matrix, names, t, are_independent),
        hovertemplate="%{text}<extra></extra>",
    )
    figure = new_figure([heatmap], dark, title, _AXIS_PX + _TITLE_LINE_PX * len(title) + _CELL_PX * len(names))
    for row, column in np.ndindex(*counts.shape):
        cell = float(share[row, column])
        figure.add_annotation(
            x=names[column],
            y=names[row],
            text=f"<b>{counts[row, column]}</b><br>{percent(cell)}",
            showarrow=False,
            font={"color": ink(cell_colour(cell, dark)), "size": TEXT_PX + 1},
        )
    figure.update_xaxes(title=t("Predicted"), type="category", showgrid=False)
    figure.update_yaxes(title=t("Reference"), type="category", showgrid=False, autorange="reversed")
    return figure


def _row_words(matrix: ConfusionMatrix, label_names: Sequence[str], t: Translator) -> list[str]:
    return [
        t(
            "{label}: {correct} of {support} predicted correctly.",
            label=name,
            correct=int(matrix.counts[i, i]),
            support=int(matrix.counts[i].sum()),
        )
        for i, name in enumerate(label_names)
    ]


def _row_share(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    support = matrix.counts.sum(axis=1, keepdims=True)
    share = np.zeros(matrix.counts.shape)
    np.divide(matrix.counts, support, out=share, where=support > 0)
    return share


def _hover_words(matrix: ConfusionMatrix, names: list[str], t: Translator, are_independent: bool) -> list[list[str]]:
    words = [["" for _ in names] for _ in names]
    for row, column in np.ndindex(*matrix.counts.shape):
        count, support = int(matrix.counts[row, column]), int(matrix.counts[row].sum())
        lines = [t("Reference: {label}", label=names[row]), t("Predicted: {label}", label=names[column])]
        lines.append(t("{count} of {support} cases", count=count, support=support))
        if support and are_independent:
            lines.append(t("share {interval}", interval=with_interval(wilson_interval(count, support), t)))
        words[row][column] = "<br>".join(lines)
    return words
