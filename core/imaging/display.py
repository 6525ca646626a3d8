"""From modality values to display values in [0, 1]."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.records import Box, Frame

_BAND = 256


def bands(n_rows: int) -> Iterator[slice]:
    """Rows of a picture, some at a time: intermediate values of a photograph of 12 million pixels would take gigabytes."""
    yield from (slice(start, start + _BAND) for start in range(0, n_rows, _BAND))


def apply_window(pixels: NDArray[np.float32], center: float, width: float) -> NDArray[np.float32]:
    """The linear VOI window of DICOM PS3.3 C.11.2.1.2, to [0, 1].

    Args:
        pixels: float32 (H, W) in modality units.
        center: Window center.
        width: Window width, at least 1.
    """
    if width == 1:  # the standard's formula divides by width - 1: a width of one is a step
        return (pixels > center - 0.5).astype(np.float32)
    return np.clip((pixels - (center - 0.5)) / (width - 1) + 0.5, 0, 1).astype(np.float32)


def percentiles(pixels: NDArray[np.float32], shares: list[float]) -> list[float]:
    """Percentiles of a frame; of every second, third ... pixel where there are more than a million, for speed."""
    step = max(1, round(np.sqrt(pixels.size / 1e6)))
    return [float(value) for value in np.percentile(pixels[::step, ::step], shares)]


def apply_percentiles(pixels: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Stretch the `low`..`high` percentiles to [0, 1]; a constant image becomes zeros."""
    floor, ceiling = percentiles(pixels, [low, high])
    if ceiling <= floor:
        return np.zeros_like(pixels, dtype=np.float32)
    return np.clip((pixels - floor) / (ceiling - floor), 0, 1).astype(np.float32)


def to_grey(frame: Frame) -> NDArray[np.float32]:
    """The frame as grey values in its own units; colour by the luminance of ITU-R BT.601.

    Returns:
        float32 (H, W).
    """
    if frame.unit == "rgb":
        red, green, blue = (frame.pixels[:, :, channel].astype(np.float32) for channel in range(3))
        return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return frame.pixels.astype(np.float32, copy=False)


def to_display(frame: Frame, window: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """Display values of a frame: `window`, else the file's own window, else the 0.5-99.5 percentiles.

    Returns:
        float32 (H, W) grey or (H, W, 3) colour, in [0, 1].
    """
    if frame.unit == "rgb":
        return np.divide(frame.pixels, 255, dtype=np.float32)
    pixels = to_grey(frame)
    chosen = window or frame.window
    return apply_window(pixels, *chosen) if chosen else apply_percentiles(pixels, 0.5, 99.5)


def regions_window(frame: Frame, boxes: Sequence[Box]) -> tuple[float, float]:
    """One window (center, width) for several regions, from 0 to the 99.5th percentile of the brightest: sides stay comparable.

    Args:
        frame: Counts.
        boxes: Regions; parts outside the frame are left out.
    """
    grey, highest = to_grey(frame), 1.0
    for x0, y0, x1, y1 in boxes:
        part = grey[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))]
        highest = max(highest, float(np.percentile(part, 99.5))) if part.size else highest
    return highest / 2, highest + 1  # the standard's formula divides by width - 1


def to_bytes(display: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Display values in [0, 1] as uint8, rounded."""
    result = np.empty(display.shape, np.uint8)
    for rows in bands(len(display)):
        result[rows] = np.clip(display[rows], 0, 1) * 255 + 0.5
    return result
