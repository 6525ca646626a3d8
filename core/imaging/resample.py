"""Crops and sizes: one way to cut a box out of a frame, with antialiasing and padding."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.records import Box


def grown(box_xyxy: Box, factor: float) -> Box:
    """The box with its sides `factor` times as long around the same middle."""
    x0, y0, x1, y1 = box_xyxy
    across, down = (x1 - x0) * (factor - 1) / 2, (y1 - y0) * (factor - 1) / 2
    return (x0 - across, y0 - down, x1 + across, y1 + down)


def crop_resize(pixels: NDArray[np.float32], box_xyxy: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Cut `box_xyxy` and resize it to `size` with an antialiasing bilinear filter; outside the frame the edge value continues.

    Args:
        pixels: float32 (H, W).
        box_xyxy: Pixels of the frame, may be fractional and may leave the frame.
        size: (height, width) of the result.

    Returns:
        float32 (height, width).
    """
    rows, columns = pixels.shape
    x0, y0, x1, y1 = box_xyxy
    left, top = max(0, int(np.ceil(-x0))), max(0, int(np.ceil(-y0)))
    right, bottom = max(0, int(np.ceil(x1 - columns))), max(0, int(np.ceil(y1 - rows)))
    padded = np.pad(pixels, ((top, bottom), (left, right)), mode="edge")
    shifted = (x0 + left, y0 + top, x1 + left, y1 + top)
    return np.asarray(Image.fromarray(padded).resize(size[::-1], Image.Resampling.BILINEAR, box=shifted))


def fit_within(pixels: NDArray[np.float32], longest: int) -> tuple[NDArray[np.float32], float]:
    """A copy whose longest side is at most `longest`.

    Args:
        pixels: float32 (H, W) or (H, W, C).
        longest: Pixels.

    Returns:
        The copy, and the factor that leads from its coordinates back to those of `pixels`.
    """
    rows, columns = pixels.shape[:2]
    factor = max(rows, columns) / longest
    if factor <= 1:
        return pixels, 1.0
    size = (max(1, round(rows / factor)), max(1, round(columns / factor)))
    whole = (0, 0, columns, rows)
    if pixels.ndim == 3:
        channels = [crop_resize(pixels[:, :, index], whole, size) for index in range(pixels.shape[2])]
        return np.stack(channels, axis=2), factor
    return crop_resize(pixels, whole, size), factor
