"""The pixels of a segmenter on held-out images, label by label: all images together, and one by one."""

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import hex_to_rgb

from core.figures.labels import SYMBOLS, UNIT_RANGE, DrawnLabel, cases_lines, hover, interval_words, label_figure
from core.figures.style import LABEL_COLOURS, NEUTRAL, number, plain, theme, with_interval
from core.i18n import Translator
from core.metrics.pixel_histogram import PixelCurve
from core.metrics.proportions import Interval

_BAND_OPACITY = 0.16

Points = Callable[[PixelCurve], tuple[NDArray[np.float64], NDArray[np.float64]]]


def pixel_roc_figure(labels: Sequence[DrawnLabel], t: Translator, dark: bool) -> go.Figure:
    """ROC curve of the pixels of all images together, the trivial rule dashed, the operating points marked.

    Args:
        labels: At least one, all of the same images; a label that no image holds has no curve.
        t: The reader's words.
        dark: Theme.
    """
    traces = [_line([0, 1], [0, 1], t("Chance"), NEUTRAL)]
    for label in labels:
        names = (
            t("{label}: AUROC {interval}", label=plain(label.name), interval=interval_words(label.pixels.auroc, t)),
            t(
                "{label}, trivial rule: {interval}",
                label=plain(label.name),
                interval=interval_words(label.rule.auroc, t),
            ),
        )
        axes = (t("1 \u2212 specificity") + " %{x:.3f}", t("Sensitivity") + " %{y:.3f}")
        traces += _curves(label, names, lambda curve: (curve.fpr, curve.recall), axes, t)
    for label in labels:
        at = label.at_point
        if at.sensitivity is not None and at.specificity is not None:
            words = (
                t("Sensitivity {interval}", interval=with_interval(at.sensitivity, t)),
                t("Specificity {interval}", interval=with_interval(at.specificity, t, 3)),
            )
            traces.append(_operating_point(label, 1 - at.specificity.value, at.sensitivity.value, words, t, dark))
    figure = label_figure(traces, dark, [t("ROC curve of the pixels"), *cases_lines(labels, t)])
    figure.update_xaxes(title=t("1 \u2212 specificity (false-positive rate)"), range=UNIT_RANGE)
    figure.update_yaxes(title=t("Sensitivity (true-positive rate)"), range=UNIT_RANGE)
    return figure


def pixel_roc_alt(labels: Sequence[DrawnLabel], t: Translator) -> str:
    """What `pixel_roc_figure` shows, in words."""
    head = t("ROC curves of the pixels of all images together, {cases}.", cases=cases_lines(labels, t)[0])
    areas = [
        t(
            "{label}: area {auroc}; trivial rule {rule}.",
            label=label.name,
            auroc=interval_words(label.pixels.auroc, t),
            rule=interval_words(label.rule.auroc, t),
        )
        for label in labels
    ]
    return " ".join([head, *areas])


def pixel_precision_recall_figure(labels: Sequence[DrawnLabel], t: Translator, dark: bool) -> go.Figure:
    """Precision-recall curve of the pixels of all images together, with the share of lesion pixels as the line of chance.

    Arguments as of `pixel_roc_figure`.
    """
    traces = []
    for label in labels:
        average, by_rule = (interval_words(report.average_precision, t) for report in (label.pixels, label.rule))
        names = (
            t("{label}: AP {interval}", label=plain(label.name), interval=average),
            t("{label}, trivial rule: {interval}", label=plain(label.name), interval=by_rule),
        )
        axes = (t("Recall") + " %{x:.3f}", t("Precision") + " %{y:.3f}")
        traces += _curves(label, names, lambda curve: (curve.recall, curve.precision), axes, t)
        if label.pixels.curve is not None:
            share = label.pixels.curve.prevalence
            name = t("{label}: prevalence {share}", label=plain(label.name), share=number(share, 4))
            traces.append(_line([0, 1], [share, share], name, LABEL_COLOURS[label.id]))
    for label in labels:
        at = label.at_point
        if at.sensitivity is not None and at.precision is not None:
            words = (
                t("Recall {interval}", interval=with_interval(at.sensitivity, t)),
                t("Precision {value}", value=with_interval(at.precision, t)),
            )
            traces.append(_operating_point(label, at.sensitivity.value, at.precision.value, words, t, dark))
    title = [t("Precision-recall curve of the pixels"), t("AP: average precision"), *cases_lines(labels, t)]
    figure = label_figure(traces, dark, title)
    figure.update_xaxes(title=t("Recall (sensitivity)"), range=UNIT_RANGE)
    figure.update_yaxes(title=t("Precision"), range=UNIT_RANGE)
    return figure


def pixel_precision_recall_alt(labels: Sequence[DrawnLabel], t: Translator) -> str:
    """What `pixel_precision_recall_figure` shows, in words."""
    head = t("Precision-recall curves of the pixels of all images together, {cases}.", cases=cases_lines(labels, t)[0])
    areas = [
        t(
            "{label}: average precision {average}; trivial rule {rule}; prevalence {share}.",
            label=label.name,
            average=interval_words(label.pixels.average_precision, t),
            rule=interval_words(label.rule.average_precision, t),
            share="\u2013" if label.pixels.curve is None else number(label.pixels.curve.prevalence, 4),
        )
        for label in labels
    ]
    return " ".join([head, *areas])


def image_auroc_figure(labels: Sequence[DrawnLabel], t: Translator, dark: bool) -> go.Figure:
    """AUROC of every image that holds the lesion, from the lowest to the highest, with the mean and its interval.

    Arguments as of `pixel_roc_figure`.
    """
    traces, lowest = [], 0.5
    for place, label in enumerate(labels):
        areas = _image_areas(label)
        lowest = min([lowest, *areas])
        marker = {"size": 9, "symbol": SYMBOLS[place % len(SYMBOLS)], "color": LABEL_COLOURS[label.id]}
        traces.append(
            go.Scatter(
                x=list(range(1, len(areas) + 1)),
                y=areas,
                mode="markers",
                marker=marker,
                name=t("{label}: images {n}", label=plain(label.name), n=len(areas)),
                hovertemplate=hover(plain(label.name), "AUROC %{y:.3f}"),
            )
        )
        mean = label.pixels.image_auroc.mean
        if mean is not None:
            traces += _mean_traces(label, mean, len(areas), t)
    figure = label_figure(traces, dark, [t("AUROC of each image"), cases_lines(labels, t)[0], *_undefined(labels, t)])
    figure.update_xaxes(title=t("Images with the lesion, lowest AUROC first"), rangemode="tozero")
    figure.update_yaxes(title="AUROC", range=[lowest - 0.02, 1.02])
    return figure


def image_auroc_alt(labels: Sequence[DrawnLabel], t: Translator) -> str:
    """What `image_auroc_figure` shows, in words."""
    means = [
        t(
            "{label}: mean {mean}, single images from {low} to {high}.",
            label=label.name,
            mean=interval_words(label.pixels.image_auroc.mean, t),
            low=number(min(areas), 3),
            high=number(max(areas), 3),
        )
        for label in labels
        if (areas := _image_areas(label))
    ]
    head = t("AUROC of each image, {cases}.", cases=cases_lines(labels, t)[0])
    return " ".join([head, *means, *(f"{line}." for line in _undefined(labels, t))])


def _curves(
    label: DrawnLabel, names: tuple[str, str], points: Points, axes: tuple[str, str], t: Translator
) -> list[go.Scatter]:
    """The network's curve, and that of the rule, dashed; none where a kind of pixel is missing."""
    traces = []
    for report, name, dash in zip((label.pixels, label.rule), names, ("solid", "dash"), strict=True):
        if report.curve is not None:
            x, y = points(report.curve)
            traces.append(
                go.Scatter(
                    x=x,
                    y=y,
                    customdata=np.minimum(report.curve.thresholds, 1.0)[:, np.newaxis],  # JSON has no infinity
                    mode="lines",
                    line={"color": LABEL_COLOURS[label.id], "width": 3 if dash == "solid" else 2, "dash": dash},
                    name=name,
                    hovertemplate=hover(name, t("Threshold") + " %{customdata[0]:.3f}", *axes),
                )
            )
    return traces


def _operating_point(
    label: DrawnLabel, x: float, y: float, words: tuple[str, str], t: Translator, dark: bool
) -> go.Scatter:
    point = t("Operating point {threshold}", threshold=number(label.at_point.threshold, 3))
    outline = {"color": theme(dark).text, "width": 2}
    return go.Scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 13, "symbol": "diamond", "color": LABEL_COLOURS[label.id], "line": outline},
        cliponaxis=False,  # the specificity of a rare lesion lies at the edge
        name=f"{plain(label.name)}: {point}",
        showlegend=False,
        hovertemplate=hover(plain(label.name), point, *words),
    )


def _line(x: list[float], y: list[float], name: str, colour: str) -> go.Scatter:
    """The line of chance."""
    line = {"color": colour, "width": 2, "dash": "dot"}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=name)


def _image_areas(label: DrawnLabel) -> list[float]:
    return sorted(area for area in label.pixels.image_auroc.values if area is not None)


def _undefined(labels: Sequence[DrawnLabel], t: Translator) -> list[str]:
    """What is said of images that can have no AUROC."""
    return [
        t("{label}: {n} images without it have no AUROC", label=plain(label.name), n=n)
        for label in labels
        if (n := label.pixels.image_auroc.n_undefined)
    ]


def _mean_traces(label: DrawnLabel, mean: Interval, n: int, t: Translator) -> list[go.Scatter]:
    """The mean as a line across all images, and its interval as a band."""
    colour = LABEL_COLOURS[label.id]
    red, green, blue = hex_to_rgb(colour)
    band = go.Scatter(
        x=[0, n + 1, n + 1, 0],
        y=[mean.low, mean.low, mean.high, mean.high],
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, {_BAND_OPACITY})",
        mode="none",
        hoverinfo="skip",
        showlegend=False,
    )
    name = t("{label}: mean {interval}", label=plain(label.name), interval=with_interval(mean, t, 3))
    line = {"color": colour, "width": 2}
    return [band, go.Scatter(x=[0, n + 1], y=[mean.value] * 2, mode="lines", line=line, hoverinfo="skip", name=name)]
