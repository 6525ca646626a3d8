"""Rectangles and ellipses that a reader drew in colour on a copy of the film: back to boxes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, find_objects, label

from core.errors import UsageError
from core.records import Box

SATURATION = 90  # between the strongest and the weakest channel: films are grey, and JPEG tints them less
MIN_SIDE_PX = 6
MIN_LIKENESS = 0.88  # overlap of a filled mark with the rectangle or the ellipse of its box
MIN_HOLLOW = 0.25  # share of a filled mark that its line leaves free
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")


@dataclass(frozen=True)
class Marks:
    """Marks of one picture: colour and box_xyxy of each, and how many coloured spots were left out by reason."""

    boxes: tuple[tuple[str, Box], ...]
    left_out: Mapping[str, int]


def read_marks(picture: NDArray[np.uint8]) -> Marks:
    """Boxes of the drawn marks, along the middle of their lines, sorted by colour and then from above.

    Closed rectangles and ellipses count. Arrows, letters, open lines and marks of one colour that touch each other are left out
    and counted.

    Args:
        picture: uint8 (H, W, 3), a grey film with marks in pure colours.

    Raises:
        UsageError: Another type or shape.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise UsageError(f"a marked picture {picture.dtype} {picture.shape}; wanted: uint8 (H, W, 3)")
    numbers = _colour_numbers(picture)
    boxes, left_out = [], Counter[str]()
    for number, colour in enumerate(COLOURS):
        drawn = binary_closing(np.pad(numbers == number, 2), np.ones((3, 3), bool))[
            2:-2, 2:-2
        ]  # JPEG breaks thin lines
        pieces, _ = label(drawn, np.ones((3, 3), int))
        for index, where in enumerate(find_objects(pieces), start=1):
            piece = pieces[where] == index
            if min(piece.shape) < MIN_SIDE_PX:
                left_out["too small"] += 1
                continue
            if reason := _no_mark(piece):
                left_out[reason] += 1
                continue
            boxes.append((colour, _along_line(piece, where)))
    return Marks(tuple(boxes), dict(left_out))


def _colour_numbers(picture: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Index into COLOURS of every pixel, -1 where it is grey: int8 (H, W)."""
    channels = picture.astype(np.int16)
    high, low = channels.max(axis=2), channels.min(axis=2)
    strong = channels > ((high + low) // 2)[..., None]  # which channels make the colour
    code = strong @ np.array([4, 2, 1])
    numbers = np.array([-1, 4, 2, 3, 0, 5, 1, -1], np.int8)[code]
    return np.where(high - low >= SATURATION, numbers, np.int8(-1))


def _no_mark(piece: NDArray[np.bool_]) -> str:
    """Why a piece is no closed rectangle or ellipse; empty when it is one."""
    filled = binary_fill_holes(piece)
    if (filled & ~piece).sum() < MIN_HOLLOW * filled.sum():
        return "not a closed line"
    rows, columns = piece.shape
    y, x = (np.arange(n) - (n - 1) / 2 for n in (rows, columns))
    ellipse = np.square(2 * y / rows)[:, None] + np.square(2 * x / columns) <= 1
    likeness = max(filled.mean(), (filled & ellipse).sum() / (filled | ellipse).sum())
    return "" if likeness >= MIN_LIKENESS else "neither rectangle nor ellipse"


def _along_line(piece: NDArray[np.bool_], where: tuple[slice, slice]) -> Box:
    """Box of the piece, moved in by half the thickness of its line."""
    outline = binary_fill_holes(piece)
    outline &= ~binary_erosion(outline)
    half = piece.sum() / max(int(outline.sum()), 1) / 2
    rows, columns = where
    return (columns.start + half, rows.start + half, columns.stop - half, rows.stop - half)
