"""ROC and precision-recall curves, and curves over the epochs of a training."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.figures.style import (
    HIGHLIGHT,
    NEUTRAL,
    Theme,
    cases_line,
    class_colours,
    new_figure,
    number,
    patients_line,
    plain,
    theme,
    threshold_words,
    with_interval,
)
from core.i18n import Translator
from core.metrics.grading import GradingReport
from core.metrics.one_vs_rest import ClassCurve
from core.metrics.operating_point import OperatingPointMetrics
from core.metrics.precision_recall import PrecisionRecallCurve
from core.metrics.roc import RocCurve

_HEIGHT_PX = 500
_LOG_HEIGHT_PX = 380
_UNIT_RANGE = [-0.01, 1.01]  # a curve along the edge keeps its full width
_LEGEND_LINE_PX = 24
_DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")  # colour alone tells no classes apart


def roc_figure(curve: RocCurve, t: Translator, dark: bool, point: OperatingPointMetrics | None = None) -> go.Figure:
    """ROC curve with its band, the line of chance and, where given, the operating point."""
    colours = theme(dark)
    traces = [
        _band(curve, t, colours),
        _chance([0, 1], [0, 1], t),
        go.Scatter(
            x=curve.fpr,
            y=curve.tpr,
            customdata=np.column_stack([_finite(curve.thresholds), 1 - curve.fpr]),
            mode="lines",
            line={"color": colours.accent, "width": 3},
            name=t("ROC curve"),
            hovertemplate=_hover(
                t("Threshold") + " %{customdata[0]:.3f}",
                t("Sensitivity") + " %{y:.3f}",
                t("Specificity") + " %{customdata[1]:.3f}",
            ),
        ),
    ]
    if point is not None:
        label = t("Operating point {threshold}", threshold=threshold_words(point.threshold))
        hover = _hover(
            label,
            t("Sensitivity {interval}", interval=with_interval(point.sensitivity, t)),
            t("Specificity {interval}", interval=with_interval(point.specificity, t)),
        )
        traces.append(_point(1 - point.specificity.value, point.sensitivity.value, label, hover, colours))
    title = [
        t("ROC curve"),
        t("AUROC {interval}", interval=with_interval(curve.auroc, t, 3)),
        cases_line(t, curve.n_positive, curve.n_negative),
    ]
    figure = new_figure(traces, dark, title, _HEIGHT_PX)
    figure.update_xaxes(title=t("1 \u2212 specificity (false-positive rate)"), range=_UNIT_RANGE)
    figure.update_yaxes(title=t("Sensitivity (true-positive rate)"), range=_UNIT_RANGE)
    return figure


def roc_alt(curve: RocCurve, t: Translator, point: OperatingPointMetrics | None = None) -> str:
    """What `roc_figure` shows, in words."""
    words = t(
        "ROC curve, area {auroc}, {cases}.",
        auroc=with_interval(curve.auroc, t, 3),
        cases=cases_line(t, curve.n_positive, curve.n_negative),
    )
    if point is None:
        return words
    return f"{words} " + t(
        "At the operating point {threshold} sensitivity is {sensitivity} and specificity {specificity}.",
        threshold=threshold_words(point.threshold),
        sensitivity=with_interval(point.sensitivity, t),
        specificity=with_interval(point.specificity, t),
    )


def precision_recall_figure(
    curve: PrecisionRecallCurve, t: Translator, dark: bool, point: OperatingPointMetrics | None = None
) -> go.Figure:
    """Precision-recall curve with the prevalence as the line of chance and, where given, the operating point."""
    colours = theme(dark)
    traces = [
        _chance([0, 1], [curve.prevalence, curve.prevalence], t),
        go.Scatter(
            x=curve.recall,
            y=curve.precision,
            customdata=_finite(curve.thresholds)[:, np.newaxis],
            mode="lines",
            line={"color": colours.accent, "width": 3, "shape": "vh"},
            name=t("Precision-recall curve"),
            hovertemplate=_hover(
                t("Threshold") + " %{customdata[0]:.3f}", t("Recall") + " %{x:.3f}", t("Precision") + " %{y:.3f}"
            ),
        ),
    ]
    if point is not None and (precision := _precision(point)) is not None:
        label = t("Operating point {threshold}", threshold=threshold_words(point.threshold))
        hover = _hover(
            label,
            t("Recall {interval}", interval=with_interval(point.sensitivity, t)),
            t("Precision {value}", value=number(precision)),
        )
        traces.append(_point(point.sensitivity.value, precision, label, hover, colours))
    title = [
        t("Precision-recall curve"),
        t("Average precision {interval}", interval=with_interval(curve.average_precision, t, 3)),
        cases_line(t, curve.n_positive, curve.n_negative),
        t("Prevalence {prevalence}", prevalence=number(curve.prevalence)),
    ]
    figure = new_figure(traces, dark, title, _HEIGHT_PX)
    figure.update_xaxes(title=t("Recall (sensitivity)"), range=_UNIT_RANGE)
    figure.update_yaxes(title=t("Precision"), range=_UNIT_RANGE)
    return figure


def precision_recall_alt(curve: PrecisionRecallCurve, t: Translator, point: OperatingPointMetrics | None = None) -> str:
    """What `precision_recall_figure` shows, in words."""
    words = t(
        "Precision-recall curve, average precision {average}, prevalence {prevalence}, {cases}.",
        average=with_interval(curve.average_precision, t, 3),
        prevalence=number(curve.prevalence),
        cases=cases_line(t, curve.n_positive, curve.n_negative),
    )
    if point is None or (precision := _precision(point)) is None:
        return words
    return f"{words} " + t(
        "At the operating point {threshold} recall is {recall} and precision {precision}.",
        threshold=threshold_words(point.threshold),
        recall=with_interval(point.sensitivity, t),
        precision=number(precision),
    )


def one_vs_rest_figure(report: GradingReport, class_names: Sequence[str], t: Translator, dark: bool) -> go.Figure:
    """ROC curve of each class against the rest, with its AUROC in the legend; a class too rare for a curve has none.

    Args:
        report: Of a grader.
        class_names: What the reader calls each class, lowest first.
        t: The reader's words.
        dark: Theme.
    """
    colours = class_colours(len(class_names), dark)
    traces = [_chance([0, 1], [0, 1], t)]
    for i, (name, metrics) in enumerate(zip(class_names, report.per_class, strict=True)):
        if metrics.curve is not None:
            line = {"color": colours[i], "width": 3, "dash": _DASHES[i % len(_DASHES)]}
            traces.append(_class_curve(metrics.curve, plain(name), line, t))
    title = [t("Each class against the rest")]
    if report.macro_auroc is not None:
        title.append(t("Macro AUROC {interval}", interval=with_interval(report.macro_auroc, t, 3)))
    title.append(patients_line(t, report.n, report.n_groups))
    figure = new_figure(traces, dark, title, _HEIGHT_PX + _LEGEND_LINE_PX * len(traces))
    figure.update_layout(legend={"orientation": "v"})
    figure.update_xaxes(title=t("1 \u2212 specificity (false-positive rate)"), range=_UNIT_RANGE)
    figure.update_yaxes(title=t("Sensitivity (true-positive rate)"), range=_UNIT_RANGE)
    return figure


def one_vs_rest_alt(report: GradingReport, class_names: Sequence[str], t: Translator) -> str:
    """What `one_vs_rest_figure` shows, in words."""
    head = t("ROC curves of each class against the rest, {cases}.", cases=patients_line(t, report.n, report.n_groups))
    areas = [
        t("{label}: area {auroc}.", label=name, auroc=with_interval(metrics.curve.auroc, t, 3))
        for name, metrics in zip(class_names, report.per_class, strict=True)
        if metrics.curve is not None
    ]
    if report.macro_auroc is None:
        return " ".join([head, *areas])
    return " ".join([head, *areas, t("Macro AUROC {auroc}.", auroc=with_interval(report.macro_auroc, t, 3))])


def epoch_curve_figure(
    values: Sequence[float], *, title: str, axis_title: str, guess: float, t: Translator, dark: bool
) -> go.Figure:
    """One number of a training log against the epoch, with the line of a blind guess.

    Args:
        values: One an epoch, the first first.
        title, axis_title: Already in the reader's language.
        guess: What equal probabilities for all classes give.
        t: The reader's words.
        dark: Theme.
    """
    epochs = list(range(1, len(values) + 1))
    line = go.Scatter(
        x=epochs,
        y=list(values),
        mode="lines+markers",
        line={"color": theme(dark).accent, "width": 3},
        name=axis_title,
        hovertemplate=_hover(t("Epoch") + " %{x}", plain(axis_title) + " %{y:.3f}"),
    )
    blind = _chance([epochs[0], epochs[-1]], [guess, guess], t)
    blind.name = t("Blind guess {value}", value=number(guess, 3))
    figure = new_figure([blind, line], dark, [title], _LOG_HEIGHT_PX)
    figure.update_xaxes(title=t("Epoch"))
    figure.update_yaxes(title=axis_title)
    return figure


def epoch_curve_alt(values: Sequence[float], *, title: str, guess: float, t: Translator) -> str:
    """What `epoch_curve_figure` shows, in words."""
    return t(
        "{title}: from {first} in epoch 1 to {last} in epoch {n}; a blind guess gives {guess}.",
        title=title,
        first=number(values[0], 3),
        last=number(values[-1], 3),
        n=len(values),
        guess=number(guess, 3),
    )


def _class_curve(curve: ClassCurve, name: str, line: dict[str, object], t: Translator) -> go.Scatter:
    words = t("{label}: AUROC {interval}", label=name, interval=with_interval(curve.auroc, t))
    cases = cases_line(t, curve.n_positive, curve.n_negative)
    hover = _hover(name, t("Sensitivity") + " %{y:.3f}", t("1 \u2212 specificity") + " %{x:.3f}", cases)
    return go.Scatter(x=curve.fpr, y=curve.tpr, mode="lines", line=line, name=words, hovertemplate=hover)


def _band(curve: RocCurve, t: Translator, colours: Theme) -> go.Scatter:
    """A closed outline: up the lower limit, back down the upper one."""
    return go.Scatter(
        x=np.concatenate([curve.band_fpr, curve.band_fpr[::-1]]),
        y=np.concatenate([curve.band_low, curve.band_high[::-1]]),
        fill="toself",
        fillcolor=colours.band,
        mode="none",
        hoverinfo="skip",
        name=t("95 % band"),
    )


def _chance(x: list[float], y: list[float], t: Translator) -> go.Scatter:
    line = {"color": NEUTRAL, "width": 2, "dash": "dot"}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=t("Chance"))


def _precision(point: OperatingPointMetrics) -> float | None:
    """Among the cases drawn, whatever prevalence was stated; None where nobody is called positive."""
    called = point.n_true_positive + point.n_false_positive
    return point.n_true_positive / called if called else None


def _point(x: float, y: float, label: str, hover: str, colours: Theme) -> go.Scatter:
    marker = {"size": 15, "symbol": "diamond", "color": HIGHLIGHT, "line": {"color": colours.text, "width": 2}}
    return go.Scatter(x=[x], y=[y], mode="markers", marker=marker, name=label, hovertemplate=hover)


def _hover(*lines: str) -> str:
    """Lines of a hover label without plotly's second box."""
    return "<br>".join(lines) + "<extra></extra>"


def _finite(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds as JSON can carry them: the first one, infinity, becomes a value above every score."""
    return np.append(np.nextafter(thresholds[1], np.inf), thresholds[1:])
