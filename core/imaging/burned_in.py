"""Does a picture look as if somebody had written on it? A line of letters is thin, sharp and as bright or dark as can be."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EXTREME, _CONTRAST = 0.25, 0.45  # of the range of the picture: how near its end, and how far from what lies beside
_NEAR_PX = 7  # a stroke is thinner than this, or it is in one of the smaller copies of the picture
_HEIGHT_PX, _WIDTH_PX = (5, 48), (1, 64)
_FILL = (0.15, 0.95)  # of the box around a letter
_LETTERS = 4
_GAP, _SLACK, _LOWEST = 1.2, 0.3, 0.5  # times the height of the letter before
_SMALLEST_PX = 64
_COVERED = 0.15  # of the picture by strokes: more is noise as well
_MOST = 4000  # pieces of one copy: more are noise, in which a line of four would be found by chance

Piece = tuple[int, int, int, int]
"""top, bottom, left, right in pixels, half open."""


def looks_written(pixels: NDArray[np.generic]) -> bool:
    """Whether a line of at least four letters or digits stands in a picture; single marks such as L and R do not count.

    A rule of thumb that errs on the side of caution where a picture has drawn scales: it looks for pieces of one height side
    by side, as bright or as dark as the picture gets, with an edge of less than seven pixels, at full size and in copies
    of a half and a quarter.

    Args:
        pixels: (H, W), or (H, W, 3) whose channels are looked at together.
    """
    grey = np.asarray(pixels, dtype=np.float32)
    grey = grey.max(axis=2) if grey.ndim == 3 else grey
    low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return False
    grey = (grey - low) / (high - low)
    return any(_has_line(_letters(copy)) for shown in (grey, 1 - grey) for copy in _copies(shown))


def _copies(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The picture at full size, a half and a quarter, each pixel the brightest of those it stands for."""
    copies = [grey]
    while len(copies) < 3 and min(copies[-1].shape) >= 2 * _SMALLEST_PX:
        height, width = (side // 2 * 2 for side in copies[-1].shape)
        copies.append(copies[-1][:height, :width].reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3)))
    return copies


def _letters(grey: NDArray[np.float32]) -> list[Piece]:
    """Pieces that are as large, as thin and as bright as letters, from left to right."""
    is_stroke = (grey >= 1 - _EXTREME) & (grey - ndimage.minimum_filter(grey, _NEAR_PX) >= _CONTRAST)
    labels, n = ndimage.label(is_stroke, structure=np.ones((3, 3), np.int8))
    if is_stroke.mean() > _COVERED or n > 25 * _MOST:
        return []
    areas = np.bincount(labels.ravel())
    found = []
    for place, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        is_letter = _HEIGHT_PX[0] <= height <= _HEIGHT_PX[1] and _WIDTH_PX[0] <= width <= min(_WIDTH_PX[1], 2 * height)
        if is_letter and _FILL[0] <= areas[place] / (height * width) <= (1 if width <= 3 else _FILL[1]):
            found.append((rows.start, rows.stop, columns.start, columns.stop))
    return sorted(found, key=lambda piece: piece[2]) if len(found) <= _MOST else []


def _has_line(pieces: list[Piece]) -> bool:
    """Whether four pieces of about one height stand side by side."""
    longest: list[int] = []
    for place, (top, bottom, left, _) in enumerate(pieces):
        height = bottom - top
        behind = [
            longest[before]
            for before, (other_top, other_bottom, _, other_right) in enumerate(pieces[:place])
            if abs(other_bottom - bottom) <= _SLACK * height
            and _LOWEST * height <= other_bottom - other_top <= height / _LOWEST
            and -1 <= left - other_right <= _GAP * max(height, other_bottom - other_top)
        ]
        longest.append(1 + max(behind, default=0))
    return max(longest, default=0) >= _LETTERS
