"""Whole lesions found by a segmenter against its false alarms."""

from collections.abc import Sequence
from math import log10

import numpy as np
import plotly.graph_objects as go

from core.figures.labels import SYMBOLS, UNIT_RANGE, DrawnLabel, cases_lines, hover, label_figure
from core.figures.style import LABEL_COLOURS, plain, with_interval
from core.i18n import Translator
from core.metrics.lesions import FrocCurve, FrocPoint

_FP_TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8)
_FP_LEAST = 0.01  # a logarithmic axis has no 0: fewer false positives lie here, left of the picture


def froc_figure(labels: Sequence[DrawnLabel], min_area_px: int, t: Translator, dark: bool) -> go.Figure:
    """Share of the lesions found against false positives per image, with readings and their intervals.

    A curve ends where called pieces begin to merge, so that a lower threshold gives fewer false positives.

    Args:
        labels: See `pixel_roc_figure`.
        min_area_px: Smaller called pieces count as nothing.
        t: The reader's words.
        dark: Theme.
    """
    traces = []
    for place, label in enumerate(labels):
        if label.lesions.froc is not None:
            legend = t("{label}: lesions {n}", label=plain(label.name), n=label.lesions.froc.n_lesions)
            symbol = SYMBOLS[place % len(SYMBOLS)]
            traces += froc_traces(label.name, legend, label.lesions.froc, LABEL_COLOURS[label.id], symbol, t)
    title = [t("Whole lesions (FROC)"), *_hit_rule(min_area_px, t), *cases_lines(labels, t)]
    figure = label_figure(traces, dark, title)
    set_fp_axis(figure, t)
    figure.update_yaxes(title=t("Sensitivity (share of the lesions found)"), range=UNIT_RANGE)
    return figure


def set_fp_axis(figure: go.Figure, t: Translator) -> None:
    """The logarithmic axis of false positives per image."""
    figure.update_xaxes(
        title=t("False positives per image (logarithmic)"),
        type="log",
        tickvals=_FP_TICKS,
        ticktext=[f"{tick:g}" for tick in _FP_TICKS],
        range=[log10(0.9 * _FP_TICKS[0]), log10(1.1 * _FP_TICKS[-1])],
    )


def froc_alt(labels: Sequence[DrawnLabel], min_area_px: int, t: Translator) -> str:
    """What `froc_figure` shows, in words."""
    head = t("Lesions found against false positives per image, {cases}.", cases=cases_lines(labels, t)[0])
    rule = ". ".join(_hit_rule(min_area_px, t)) + "."
    readings = [
        t(
            "{label}, lesions {n}: {readings}.",
            label=label.name,
            n=label.lesions.n_lesions,
            readings="; ".join(froc_reading(point, t) for point in label.lesions.froc.points),
        )
        for label in labels
        if label.lesions.froc is not None
    ]
    return " ".join([head, rule, *readings])


def _hit_rule(min_area_px: int, t: Translator) -> tuple[str, str]:
    return (
        t("Found: a called piece of {n} pixels or more touches it", n=min_area_px),
        t("False positive: such a piece that touches no lesion"),
    )


def froc_reading(point: FrocPoint, t: Translator) -> str:
    """One reading with its interval, in words."""
    if point.sensitivity is None:
        return t("not measured at {fp}", fp=f"{point.fp_per_image:g}")
    return t("{sensitivity} at {fp}", sensitivity=with_interval(point.sensitivity, t), fp=f"{point.fp_per_image:g}")


def froc_traces(name: str, legend: str, froc: FrocCurve, colour: str, symbol: str, t: Translator) -> list[go.Scatter]:
    """The curve as steps, so that its readings lie on it, and the readings."""
    end = froc.fp_per_image.size - int(froc.fp_per_image[::-1].argmax())
    curve = go.Scatter(
        x=np.maximum(np.maximum.accumulate(froc.fp_per_image[:end]), _FP_LEAST),
        y=froc.sensitivity[:end],
        customdata=np.minimum(froc.thresholds[:end], 1.0)[:, np.newaxis],
        mode="lines",
        line={"color": colour, "width": 3, "shape": "hv"},
        name=legend,
        hovertemplate=hover(
            plain(name),
            t("Threshold") + " %{customdata[0]:.3f}",
            t("False positives per image") + " %{x:.2f}",
            t("Sensitivity") + " %{y:.3f}",
        ),
    )
    read = [(point, point.sensitivity) for point in froc.points if point.sensitivity is not None]
    readings = go.Scatter(
        x=[point.fp_per_image for point, _ in read],
        y=[found.value for _, found in read],
        error_y={
            "type": "data",
            "array": [found.high - found.value for _, found in read],
            "arrayminus": [found.value - found.low for _, found in read],
            "thickness": 2,
        },
        mode="markers",
        marker={"size": 12, "symbol": symbol, "color": colour},
        text=[froc_reading(point, t) for point, _ in read],
        name=plain(name),
        showlegend=False,
        hovertemplate=hover(plain(name), "%{text}"),
    )
    return [curve, readings]
