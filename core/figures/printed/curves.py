"""ROC, precision-recall and reliability curves, and the scores of both classes, on paper."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from core.figures.printed.style import ACCENT, GRID, INK, LINE_WIDTH_PT, SURFACE, Panel
from core.figures.style import (
    HIGHLIGHT,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    cases_line,
    number,
    threshold_words,
    with_interval,
)
from core.metrics.calibration import CalibrationReport
from core.metrics.histogram import ScoreHistogram
from core.metrics.operating_point import OperatingPointMetrics
from core.metrics.precision_recall import PrecisionRecallCurve
from core.metrics.roc import RocCurve

_UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_EDGE = 0.015  # a line along the edge keeps its full width
_BAND_ALPHA = 0.18
_COUNTS_SHARE = 0.24  # of the height of a reliability diagram
_LEAST_BIN = 0.01  # a bin of equal probabilities stays visible


def draw_roc(panel: Panel, curve: RocCurve, point: OperatingPointMetrics | None = None) -> None:
    """ROC curve with its band, the line of chance and, where given, the operating point."""
    t = panel.t
    head = [
        t("ROC curve"),
        t("AUROC {interval}", interval=with_interval(curve.auroc, t, 3)),
        cases_line(t, curve.n_positive, curve.n_negative),
    ]
    entries = [(t("95 % band"), ACCENT, "area"), (t("Chance"), NEUTRAL, "dots")]
    axes = _unit_axes(panel, head, [*entries, *_point_entry(panel, point)])
    axes.fill_between(curve.band_fpr, curve.band_low, curve.band_high, color=ACCENT, alpha=_BAND_ALPHA, linewidth=0)
    axes.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=LINE_WIDTH_PT)
    axes.plot(curve.fpr, curve.tpr, color=ACCENT, linewidth=LINE_WIDTH_PT)
    if point is not None:
        _draw_point(axes, 1 - point.specificity.value, point.sensitivity.value, panel)
    panel.name_axes(axes, t("1 \u2212 specificity (false-positive rate)"), t("Sensitivity (true-positive rate)"))


def draw_precision_recall(
    panel: Panel, curve: PrecisionRecallCurve, point: OperatingPointMetrics | None = None
) -> None:
    """Precision-recall curve with the prevalence as the line of chance and, where given, the operating point."""
    t = panel.t
    head = [
        t("Precision-recall curve"),
        t("Average precision {interval}", interval=with_interval(curve.average_precision, t, 3)),
        cases_line(t, curve.n_positive, curve.n_negative),
    ]
    chance = t("Prevalence {prevalence}", prevalence=number(curve.prevalence))
    axes = _unit_axes(panel, head, [(chance, NEUTRAL, "dots"), *_point_entry(panel, point)])
    axes.plot([0, 1], [curve.prevalence] * 2, color=NEUTRAL, linestyle=":", linewidth=LINE_WIDTH_PT)
    axes.plot(curve.recall, curve.precision, color=ACCENT, linewidth=LINE_WIDTH_PT, drawstyle="steps-pre")
    if point is not None and (called := point.n_true_positive + point.n_false_positive):
        _draw_point(axes, point.sensitivity.value, point.n_true_positive / called, panel)
    panel.name_axes(axes, t("Recall (sensitivity)"), t("Precision"))


def draw_calibration(panel: Panel, report: CalibrationReport) -> None:
    """Observed share against stated probability a bin, with intervals; below it how many cases each bin holds."""
    t = panel.t
    slope = t("undefined (classes separated)") if report.slope is None else with_interval(report.slope, t)
    brier, error = number(report.brier_score, 3), number(report.expected_calibration_error, 3)
    head = [
        t("Calibration"),
        t("Slope {interval}", interval=slope),
        t("Brier score {brier}, calibration error {ece}", brier=brier, ece=error),
        cases_line(t, report.n_positive, report.n_negative),
    ]
    top = panel.head(head) + panel.line
    panel.legend(top - panel.line, [(t("Observed"), ACCENT, "line"), (t("Perfect calibration"), NEUTRAL, "dots")])
    left, bottom = _left(panel), 2.6 * panel.line
    counts_height = _COUNTS_SHARE * (panel.height - top - bottom)
    middle = panel.height - bottom - counts_height
    axes = panel.axes(
        left=left, top=top + 0.2 * panel.line, right=_right(panel), bottom=bottom + counts_height + 0.5 * panel.line
    )
    counts = panel.axes(left=left, top=middle, right=_right(panel), bottom=bottom)
    mean = [own.mean_probability for own in report.bins]
    observed = [own.observed for own in report.bins]
    axes.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=LINE_WIDTH_PT)
    axes.errorbar(
        mean,
        [own.value for own in observed],
        yerr=[[own.value - own.low for own in observed], [own.high - own.value for own in observed]],
        color=ACCENT,
        linewidth=LINE_WIDTH_PT,
        elinewidth=0.7 * LINE_WIDTH_PT,
        marker="o",
        markersize=0.5 * panel.size_pt,
    )
    _set_unit(panel, axes, "y")
    counts.bar(
        [(own.low + own.high) / 2 for own in report.bins],
        [own.n_cases for own in report.bins],
        width=[max(own.high - own.low, _LEAST_BIN) for own in report.bins],
        color=NEUTRAL,
        edgecolor=SURFACE,
        linewidth=0.5,
    )
    most = max(own.n_cases for own in report.bins)
    counts.set_ylim(0, 1.1 * most)
    panel.ticks(counts, "y", [0, most], ["0", str(most)])
    _set_unit(panel, counts, "x")
    axes.set_xlim(-_EDGE, 1 + _EDGE)
    panel.ticks(axes, "x", [], [])
    panel.name_axes(axes, "", t("Observed share (95 % CI)"))
    panel.name_axes(counts, t("Stated probability"), t("Cases"))


def draw_histogram(panel: Panel, histogram: ScoreHistogram, point: OperatingPointMetrics) -> None:
    """Scores of negative and positive cases on one grid of bins, with the operating point."""
    t = panel.t
    head = [
        t("Scores by reference"),
        t("Sensitivity {interval}", interval=with_interval(point.sensitivity, t)),
        t("Specificity {interval}", interval=with_interval(point.specificity, t)),
        cases_line(t, point.n_positive, point.n_negative),
    ]
    label = t("operating point {threshold}", threshold=threshold_words(point.threshold))
    entries = [(t("Negative"), NEGATIVE, "area"), (t("Positive"), POSITIVE, "area"), (label, INK, "dots")]
    axes = _axes(panel, head, entries)
    edges = histogram.edges
    most = 0.0
    for counts, n, colour, hatch in (
        (histogram.negatives, histogram.n_negative, NEGATIVE, ""),
        (histogram.positives, histogram.n_positive, POSITIVE, "////"),  # tells the classes apart without colour
    ):
        share = 100 * counts / n
        most = max(most, float(share.max()))
        axes.bar(
            edges[:-1],
            share,
            width=np.diff(edges),
            align="edge",
            color=colour,
            alpha=0.65,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.3,
        )
    axes.axvline(point.threshold, color=INK, linestyle=":", linewidth=LINE_WIDTH_PT)
    low, high = min(float(edges[0]), point.threshold), max(float(edges[-1]), point.threshold)
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.08 * most)
    _round_ticks(panel, axes, "x", low, high)
    _round_ticks(panel, axes, "y", 0, 1.08 * most)
    panel.name_axes(axes, t("Score"), t("Per cent of each class"))


def _axes(panel: Panel, head: Sequence[str], entries: Sequence[tuple[str, str, str]]) -> Axes:
    top = panel.head(head)
    panel.legend(top, entries)
    axes = panel.axes(left=_left(panel), top=top + 1.3 * panel.line, right=_right(panel), bottom=2.6 * panel.line)
    axes.grid(color=GRID, linewidth=0.5)
    return axes


def _unit_axes(panel: Panel, head: Sequence[str], entries: Sequence[tuple[str, str, str]]) -> Axes:
    axes = _axes(panel, head, entries)
    for axis in ("x", "y"):
        _set_unit(panel, axes, axis)
    return axes


def _set_unit(panel: Panel, axes: Axes, axis: str) -> None:
    (axes.set_xlim if axis == "x" else axes.set_ylim)(-_EDGE, 1 + _EDGE)
    panel.ticks(axes, axis, _UNIT, [f"{value:g}" for value in _UNIT])
    axes.grid(color=GRID, linewidth=0.5)


def _round_ticks(panel: Panel, axes: Axes, axis: str, low: float, high: float) -> None:
    """Four to seven ticks at round numbers."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
    values = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    panel.ticks(
        axes, axis, values.tolist(), [f"{value:g}".replace("-", "\u2212") for value in np.round(values, 12) + 0.0]
    )


def _left(panel: Panel) -> float:
    """Room for the ticks and the title of the y axis, inches."""
    return 2.9 * panel.line


def _right(panel: Panel) -> float:
    return 0.6 * panel.line


def _point_entry(panel: Panel, point: OperatingPointMetrics | None) -> list[tuple[str, str, str]]:
    if point is None:
        return []
    words = panel.t("operating point {threshold}", threshold=threshold_words(point.threshold))
    return [(words, HIGHLIGHT, "diamond")]


def _draw_point(axes: Axes, x: float, y: float, panel: Panel) -> None:
    axes.plot(
        [x],
        [y],
        marker="D",
        color=HIGHLIGHT,
        markeredgecolor=INK,
        markeredgewidth=0.8,
        markersize=0.8 * panel.size_pt,
        zorder=5,
        clip_on=False,
    )
