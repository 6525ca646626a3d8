"""Drawing of a network as rows of blocks: height follows the size of the maps, width their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import plotly.graph_objects as go

from core.figures.style import HIGHLIGHT, NEUTRAL, new_figure, theme
from core.i18n import Translator

_HEIGHT_PX = 260
_ROW_PX, _ROW = 210, 2.9  # what each further branch adds, in pixels and in units of the drawing
_GAP, _JOIN = 0.42, 0.9
_AIR = 0.04  # between a block and its arrow

Point = tuple[float, float]


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


def network_figure(
    title: str, blocks: Sequence[Block], t: Translator, dark: bool, *, branches: Sequence[Sequence[Block]] = ()
) -> go.Figure:
    """Blocks from left to right with arrows between them; the explained layers stand out.

    `branches` run one above the other and join in the first of `blocks`.
    """
    figure = new_figure([], dark, [title], _HEIGHT_PX + _ROW_PX * max(len(branches) - 1, 0))
    middles = [_ROW * ((len(branches) - 1) / 2 - row) for row in range(len(branches))]
    ends = [_draw_row(figure, branch, (0.0, y), dark) for branch, y in zip(branches, middles, strict=True)]
    start = max(ends) + _JOIN if ends else 0.0
    for x, y in zip(ends, middles, strict=True):
        _draw_arrow(figure, (x, y), (start, 0.0))
    end = _draw_row(figure, blocks, (start, 0.0), dark)
    reach = max(middles, default=0.0)
    figure.update_layout(margin={"l": 10, "r": 10, "b": 10})
    figure.update_xaxes(visible=False, range=[-0.25, end + 0.25], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-1.45 - reach, 1.3 + reach], fixedrange=True)
    return figure


def _draw_row(figure: go.Figure, blocks: Sequence[Block], start: Point, dark: bool) -> float:
    """A row of blocks around the height of `start`; returns where it ends."""
    x, y = start
    for index, block in enumerate(blocks):
        if index:
            _draw_arrow(figure, (x, y), (x + _GAP, y))
            x += _GAP
        x = _draw_block(figure, block, (x, y), dark)
    return x


def _draw_block(figure: go.Figure, block: Block, start: Point, dark: bool) -> float:
    """One block with its words; returns its right edge."""
    colours = theme(dark)
    x, y = start
    width, half = 0.25 + 0.07 * log2(block.channels + 1), 0.1 + 0.115 * log2(block.size)
    figure.add_shape(
        type="rect",
        x0=x,
        x1=x + width,
        y0=y - half,
        y1=y + half,
        line={"color": colours.text, "width": 1},
        fillcolor=HIGHLIGHT if block.is_explained else colours.accent,
    )
    maps = f"{block.channels} × {block.size}²" if block.size > 1 else f"{block.channels}"
    label = {"x": x + width / 2, "showarrow": False, "align": "center", "font": {"size": 12}}
    figure.add_annotation(y=y + half, text=f"<b>{block.name}</b>", yanchor="bottom", **label)
    figure.add_annotation(y=y - half, text=f"{block.detail}<br>{maps}", yanchor="top", **label)
    return x + width


def _draw_arrow(figure: go.Figure, tail: Point, head: Point) -> None:
    arrow = {"axref": "x", "ayref": "y", "showarrow": True, "arrowhead": 2, "arrowcolor": NEUTRAL, "text": ""}
    figure.add_annotation(x=head[0] - _AIR, y=head[1], ax=tail[0] + _AIR, ay=tail[1], **arrow)
