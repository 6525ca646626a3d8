"""Numbers about a picture that a gate can judge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_erosion,
    find_objects,
    gaussian_filter,
    gaussian_gradient_magnitude,
    grey_opening,
    label,
    laplace,
)

from core.imaging.display import apply_percentiles, percentiles, to_grey
from core.imaging.resample import fit_within
from core.records import Frame

Array = NDArray[np.float32]
WORKING_SIDE, FINE_SIDE = 512, 1100
CLIP_CONTRAST, CLIP_RATIO = 0.12, 5.2  # of the display range, and over the local root mean square of small detail

EDGE_SHARE = 0.7  # of the way from the 95th percentile to the brightest 0.2 %


@dataclass(frozen=True)
class Quality:
    """Facts about one frame.

    Attributes:
        short_side: Pixels of the original.
        aspect: Long side over short side.
        is_blank: All pixels (almost) equal.
        sharpness: 99.5th percentile of |Laplacian| over the contrast, on a slightly smoothed copy of 512 pixels.
        noise_share: Share of the variance that neighbouring pixels do not share; near 1 = pure noise.
        brightness_gap: How far the brightest 0.2 % stand above the rest, in units of the rest's range: metal, or dense bone.
        edge_steepness: Median slope along the border of what stands out so, in those units a pixel of a 512-pixel copy: metal
            ends at once, bone does not.
    """

    short_side: int
    aspect: float
    is_blank: bool
    sharpness: float
    noise_share: float
    brightness_gap: float
    edge_steepness: float


def measure(frame: Frame) -> Quality:
    """Measure one frame."""
    rows, columns = frame.pixels.shape[:2]
    grey = to_grey(frame)
    reduced = fit_within(grey, WORKING_SIDE)[0]
    small = apply_percentiles(reduced, 0.5, 99.5)
    variance = float(small.var())
    is_blank = bool(np.ptp(grey) == 0 or variance < 1e-7)
    smooth = gaussian_filter(small, 1.0)
    low, high, brightest = percentiles(grey, [5, 95, 99.8])
    spread = float(np.subtract(*np.percentile(small, [95, 5])))
    return Quality(
        short_side=min(rows, columns),
        aspect=max(rows, columns) / min(rows, columns),
        is_blank=is_blank,
        sharpness=float(np.percentile(np.abs(laplace(smooth)), 99.5)) / (spread + 1e-6),
        noise_share=0.0 if is_blank else float((small - smooth).var()) / variance,
        brightness_gap=(brightest - high) / (high - low + 1e-6),
        edge_steepness=0.0 if is_blank else _edge_steepness(reduced),
    )


def _edge_steepness(grey: Array) -> float:
    low, high, brightest = np.percentile(grey, [5, 95, 99.8])
    bright = grey > high + EDGE_SHARE * (brightest - high)
    edge = bright & ~binary_erosion(bright)
    if brightest <= high or not edge.any():
        return 0.0
    return float(np.median(gaussian_gradient_magnitude(grey, 1.0)[edge]) / (high - low + 1e-6))


def count_metal_clips(frame: Frame) -> int:
    """Small compact objects that stand out of their surroundings like nothing else nearby: clips, wires, markers."""
    grey = apply_percentiles(fit_within(to_grey(frame), FINE_SIDE)[0], 0.5, 99.5)
    detail = grey - grey_opening(grey, size=(9, 9))
    local = np.sqrt(gaussian_filter(np.square(detail), 12)) + 0.005
    objects, _ = label(detail > CLIP_CONTRAST, np.ones((3, 3)))
    count = 0
    for index, place in enumerate(find_objects(objects), start=1):
        height, width = (side.stop - side.start for side in place)
        area = int((objects[place] == index).sum())
        stands_out = float(detail[place].max() / local[place].mean()) > CLIP_RATIO
        count += stands_out and 8 <= area <= 150 and max(height, width) <= 30
    return count
