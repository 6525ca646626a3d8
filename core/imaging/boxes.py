"""Boxes and measured lines drawn on a picture: coloured, with a dark rim that keeps them visible on bright bone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from core.records import Box, Line

_RIM = "#000000"
_TICK = 4  # half the length of the stroke at the end of a line, in widths of the line


@dataclass(frozen=True)
class DrawnBox:
    """One box as it is drawn.

    Attributes:
        box_xyxy: Pixels of the picture.
        colour: "#rrggbb".
        text: Tag at its upper left corner, plain ASCII: the same in every language.
        is_strong: Twice as thick, for the one that is explained.
    """

    box_xyxy: Box
    colour: str
    text: str
    is_strong: bool = False


def draw_boxes(picture: NDArray[np.uint8], boxes: Sequence[DrawnBox], letters: float = 1.0) -> NDArray[np.uint8]:
    """Outline boxes, each with its tag; the first is drawn last, so that the highest score lies on top.

    Args:
        picture: uint8 (H, W, 3).
        boxes: Highest score first.
        letters: Size of the tags beside what a screen needs; paper needs more.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    width = _width(picture)
    for drawn in reversed(boxes):
        _outline(pen, drawn, width)
    taken: list[Box] = []
    font = ImageFont.load_default(letters * max(10, 6 * width))
    for drawn in boxes:
        taken.append(_tag(pen, drawn, font, taken, image.size))
    return np.asarray(image)


def draw_lines(picture: NDArray[np.uint8], lines: Sequence[tuple[Line, str]]) -> NDArray[np.uint8]:
    """Level lines with a stroke at each end, as a width is marked on a film.

    Args:
        picture: uint8 (H, W, 3).
        lines: Each with its colour as "#rrggbb", pixels of the picture.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    width = _width(picture)
    for colour_of_rim, extra in ((True, 2), (False, 0)):
        for (x0, y0, x1, y1), colour in lines:
            fill, reach = _RIM if colour_of_rim else colour, _TICK * width
            pen.line((x0, y0, x1, y1), fill=fill, width=width + extra)
            for x, y in ((x0, y0), (x1, y1)):
                pen.line((x, y - reach, x, y + reach), fill=fill, width=width + extra)
    return np.asarray(image)


def ink(colour: str) -> str:
    """Black or white, whichever is read better on a colour (WCAG 2.2, relative luminance)."""
    shares = [value / 255 for value in ImageColor.getrgb(colour)[:3]]
    light = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return _RIM if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#FFFFFF"


def _width(picture: NDArray[np.uint8]) -> int:
    """Of a line, by the size of the picture."""
    return max(1, round(max(picture.shape) / 400))


def _outline(pen: ImageDraw.ImageDraw, drawn: DrawnBox, width: int) -> None:
    x0, y0, x1, y1 = drawn.box_xyxy
    inner = (2 if drawn.is_strong else 1) * width
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_RIM, width=inner + 2)
    pen.rectangle((x0, y0, x1, y1), outline=drawn.colour, width=inner)


def _tag(
    pen: ImageDraw.ImageDraw,
    drawn: DrawnBox,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    taken: Sequence[Box],
    size: tuple[int, int],
) -> Box:
    """Write the tag in the box's upper left corner, lower where another tag lies there; returns its place."""
    left, top, right, bottom = pen.textbbox((0, 0), drawn.text, font=font)
    across, down = right - left + 6, bottom - top + 6
    x = min(max(drawn.box_xyxy[0], 0), size[0] - across)
    y = min(max(drawn.box_xyxy[1], 0), size[1] - down)
    while any(x < other[2] and other[0] < x + across and y < other[3] and other[1] < y + down for other in taken):
        y += down
    place = (x, y, x + across, y + down)
    pen.rectangle(place, fill=drawn.colour, outline=_RIM)
    pen.text((x + 3 - left, y + 3 - top), drawn.text, fill=ink(drawn.colour), font=font)
    return place
