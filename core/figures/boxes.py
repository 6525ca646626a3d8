"""FROC of one finding whose boxes are found, beside what the mean box alone finds."""

import plotly.graph_objects as go

from core.figures.labels import UNIT_RANGE, label_figure
from core.figures.lesions import froc_reading, froc_traces, set_fp_axis
from core.figures.style import NEUTRAL, plain, theme
from core.i18n import Translator
from core.metrics.lesions import FrocCurve


def box_froc_figure(name: str, model: FrocCurve, mean_box: FrocCurve | None, t: Translator, dark: bool) -> go.Figure:
    """Share of the boxes found against false boxes per image, with readings and their intervals.

    Args:
        name: Of the finding.
        model, mean_box: Curves on the same images.
        t: The reader's words.
        dark: Theme.
    """
    colour = theme(dark).accent
    traces = froc_traces(name, t("Model: boxes {n}", n=model.n_lesions), model, colour, "circle", t)
    if mean_box is not None:
        traces += froc_traces(t("Mean box"), t("Mean box"), mean_box, NEUTRAL, "square", t)
    title = [t("Boxes found (FROC)"), plain(name), t("Found: IoU 0.5 or more; images {n}", n=model.n_images)]
    figure = label_figure(traces, dark, title)
    set_fp_axis(figure, t)
    figure.update_yaxes(title=t("Sensitivity (share of the boxes found)"), range=UNIT_RANGE)
    return figure


def box_froc_alt(name: str, model: FrocCurve, t: Translator) -> str:
    """What `box_froc_figure` shows, in words."""
    readings = "; ".join(froc_reading(point, t) for point in model.points)
    return t("Boxes found against false boxes per image, {label}: {readings}.", label=name, readings=readings)
