"""Drawing a box on an image with the mouse."""

from typing import Any

import plotly.graph_objects as go
from PIL import Image

from core.figures.style import HIGHLIGHT
from core.records import Box

_GRID = 24  # invisible points a side: plotly reports a box only where it can select something


def ordered(x: Any, y: Any) -> Box:
    """The box between two corners in any order."""
    return (float(min(x)), float(min(y)), float(max(x)), float(max(y)))


def box_figure(
    picture: Image.Image, factor: float, box: Box | None, height_px: int, colour: str = HIGHLIGHT, dash: str = "solid"
) -> go.Figure:
    """An image with its axes in pixels of the frame and a box outlined; a drag over it selects another one.

    Args:
        picture: As shown.
        factor: Pixels of the frame for one of the picture.
        box: In pixels of the frame, None = not yet one.
        height_px: Of the figure.
        colour: Of the outline.
        dash: Of the outline, as plotly names it.
    """
    columns, rows = picture.width * factor, picture.height * factor
    steps = [(i + 0.5) / _GRID for i in range(_GRID)]
    grid = go.Scatter(
        x=[columns * across for _ in steps for across in steps],
        y=[rows * down for down in steps for _ in steps],
        mode="markers",
        marker={"opacity": 0, "size": 2},
        hoverinfo="none",
        showlegend=False,
    )
    figure = go.Figure(grid)
    figure.add_layout_image(
        source=picture, x=0, y=0, sizex=columns, sizey=rows, xref="x", yref="y", sizing="stretch", layer="below"
    )
    if box is not None:
        x0, y0, x1, y1 = box
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_shape(type="rect", x0=x0, y0=y0, x1=x1, y1=y1, line=line)
    figure.update_layout(
        height=height_px,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        dragmode="select",
        paper_bgcolor="black",
        plot_bgcolor="black",
        xaxis={"range": [0, columns], "visible": False, "constrain": "domain"},
        yaxis={"range": [rows, 0], "visible": False, "scaleanchor": "x", "constrain": "domain"},
        newselection={"line": {"color": HIGHLIGHT, "width": 2, "dash": "solid"}},
    )
    return figure
