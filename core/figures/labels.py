"""What the figures of several labels share: what is drawn of a label, the title lines, and room for a long legend."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.figures.style import new_figure, patients_line, plain, with_interval
from core.i18n import Translator
from core.metrics.lesions import LesionReport
from core.metrics.proportions import Interval
from core.metrics.segmentation import PixelMetrics, SegmentationReport

UNIT_RANGE = [-0.01, 1.01]  # a curve along the edge keeps its full width
SYMBOLS = ("circle", "square")  # colour alone tells no labels apart
_HEIGHT_PX = 500
_LEGEND_LINE_PX = 24


@dataclass(frozen=True)
class DrawnLabel:
    """One label as figures draw it.

    Attributes:
        id: A key of `LABEL_COLOURS`.
        name: What the reader calls it.
        pixels: All images, for curves.
        at_point: The operating point.
        rule: The trivial rule on the same images.
        lesions: The same images.
    """

    id: str
    name: str
    pixels: SegmentationReport
    at_point: PixelMetrics
    rule: SegmentationReport
    lesions: LesionReport


def label_figure(traces: list[go.Scatter], dark: bool, title: list[str]) -> go.Figure:
    """A figure with room for the legend, one line an entry."""
    entries = sum(trace.showlegend is not False for trace in traces)
    figure = new_figure(traces, dark, title, _HEIGHT_PX + _LEGEND_LINE_PX * entries)
    figure.update_layout(legend={"orientation": "v"})
    return figure


def cases_lines(labels: Sequence[DrawnLabel], t: Translator) -> tuple[str, str]:
    """How many images, and how many hold each lesion."""
    first = labels[0].pixels
    holding = ", ".join(
        f"{plain(label.name)} {label.pixels.n_images - label.pixels.n_without_positives}" for label in labels
    )
    return patients_line(t, first.n_images, first.n_patients), t("Images with: {counts}", counts=holding)


def interval_words(interval: Interval | None, t: Translator) -> str:
    """An estimate with its interval; a dash where there is none."""
    return "\u2013" if interval is None else with_interval(interval, t, 3)


def hover(*lines: str) -> str:
    """Lines of a hover label without plotly's second box."""
    return "<br>".join(lines) + "<extra></extra>"
