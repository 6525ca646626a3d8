"""Corners painted over: names that a device burned into an image stay off a projector."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Pixel = TypeVar("Pixel", np.float32, np.uint8)
WIDTH, HEIGHT = 0.32, 0.16  # shares of a side; devices write their lines of text at the edges of the four corners


def hide_corners(display: NDArray[Pixel]) -> NDArray[Pixel]:
    """A copy whose four corners are black.

    Args:
        display: Display values in [0, 1] or bytes, (H, W) or (H, W, 3).
    """
    rows, columns = display.shape[:2]
    down, across = round(HEIGHT * rows), round(WIDTH * columns)
    hidden = display.copy()
    for vertical in (slice(0, down), slice(rows - down, rows)):
        for horizontal in (slice(0, across), slice(columns - across, columns)):
            hidden[vertical, horizontal] = 0
    return hidden
