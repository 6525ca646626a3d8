"""Drawing of a network as a row of blocks: height follows the size of the maps, width their number."""

from dataclasses import dataclass
from math import log2

import plotly.graph_objects as go

from core.figures.style import HIGHLIGHT, NEUTRAL, new_figure, theme
from core.i18n import Translator

_HEIGHT_PX = 300
_GAP = 0.42


@dataclass(frozen=True)
class Block:
    """One stage.

    Attributes:
        name: Line above the block.
        detail: Lines below it.
        size: Side of its maps in pixels.
        channels: Number of maps.
        is_explained: The layer whose activations explanations use.
    """

    name: str
    detail: str
    size: int
    channels: int
    is_explained: bool = False


def network_figure(title: str, blocks: list[Block], t: Translator, dark: bool) -> go.Figure:
    """Blocks from left to right with arrows between them; the explained layer stands out."""
    colours = theme(dark)
    figure = new_figure([], dark, [title], _HEIGHT_PX)
    x = 0.0
    for index, block in enumerate(blocks):
        width, half = 0.25 + 0.07 * log2(block.channels + 1), 0.1 + 0.115 * log2(block.size)
        colour = HIGHLIGHT if block.is_explained else colours.accent
        figure.add_shape(
            type="rect",
            x0=x,
            x1=x + width,
            y0=-half,
            y1=half,
            line={"color": colours.text, "width": 1},
            fillcolor=colour,
        )
        middle = x + width / 2
        below = (
            f"{block.detail}<br>{block.channels} × {block.size}²"
            if block.size > 1
            else f"{block.detail}<br>{block.channels}"
        )
        label = {"x": middle, "showarrow": False, "align": "center", "font": {"size": 12}}
        figure.add_annotation(y=half, text=f"<b>{block.name}</b>", yanchor="bottom", **label)
        figure.add_annotation(y=-half, text=below, yanchor="top", **label)
        if index + 1 < len(blocks):
            arrow = {"axref": "x", "ayref": "y", "showarrow": True, "arrowhead": 2, "arrowcolor": NEUTRAL, "text": ""}
            figure.add_annotation(x=x + width + _GAP - 0.04, ax=x + width + 0.04, y=0, ay=0, **arrow)
        x += width + _GAP
    figure.update_xaxes(visible=False, range=[-0.25, x - _GAP + 0.25], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-1.45, 1.3], fixedrange=True)
    return figure
