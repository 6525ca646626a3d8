"""Curves of a spine whose vertebrae are marked: a smooth line through their centres, angles between the most tilted of them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_smoothing_spline

from core.errors import UsageError
from core.metrics.boxes import checked_boxes
from core.records import Box

MIN_VERTEBRAE = 5  # fewer do not tell a curve
MIN_COBB_DEG = 10.0  # Scoliosis Research Society
STIFFNESS = 2.0  # of the centre line, in distances between vertebrae cubed: flattens a wave of 16 vertebrae by 5 %
N_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """One curve of a spine.

    Attributes:
        box: Around the vertebrae from the upper to the lower end of the curve, pixels.
        angle_deg: Between the centre line's normals at both ends, as a Cobb angle is, without sign.
        ends: Numbers of the first and last vertebra, counted from above and from 0.
    """

    box: Box
    angle_deg: float
    ends: tuple[int, int]


def yolo_boxes(boxes: ArrayLike, image_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes in pixels, float64 (n, 4), of boxes given as (class, centre x, centre y, width, height) in fractions.

    Raises:
        UsageError: Not (n, 5), not finite, or a box that lies outside the picture.
    """
    given = np.asarray(boxes, dtype=np.float64)
    if given.size == 0:
        return np.zeros((0, 4))
    if given.ndim != 2 or given.shape[1] != 5 or not np.isfinite(given).all():
        raise UsageError(f"boxes of shape {given.shape}; wanted: class, centre x, centre y, width and height")
    centre, half = given[:, 1:3], given[:, 3:5] / 2
    if (half <= 0).any() or (centre < 0).any() or (centre > 1).any():
        raise UsageError("a box outside the picture; wanted: fractions of its width and height")
    rows, columns = image_shape
    size = np.array([columns, rows, columns, rows])
    return np.clip(np.hstack([centre - half, centre + half]), 0, 1) * size


def curve_boxes(vertebra_boxes: ArrayLike, image_shape: tuple[int, int]) -> tuple[Curve, ...]:
    """Curves above 10 degrees, from above.

    The tilt of the spine is that of a smooth line through the centres of the boxes. A curve runs between two neighbouring
    extremes of the tilt; its angle is their difference. Upright boxes do not show how end plates lie, so it is like a Cobb
    angle (Cobb 1948), not one.

    Args:
        vertebra_boxes: Boxes of one spine in any order, (n, 5) as `yolo_boxes` wants them.
        image_shape: Rows and columns of the image; angles need its true shape.

    Returns:
        The curves; none where fewer than five vertebrae are marked.

    Raises:
        UsageError: See `yolo_boxes`.
    """
    boxes = checked_boxes(yolo_boxes(vertebra_boxes, image_shape))
    boxes = boxes[np.argsort(boxes[:, 1] + boxes[:, 3], kind="stable")]
    y = (boxes[:, 1] + boxes[:, 3]) / 2
    boxes = boxes[np.concatenate([[True], np.diff(y) > 0])] if len(boxes) else boxes
    if len(boxes) < MIN_VERTEBRAE:
        return ()
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    pitch = float(np.median(np.diff(y)))
    line = make_smoothing_spline(y, x, lam=STIFFNESS * pitch**3)
    at = np.linspace(y[0], y[-1], N_POINTS)
    tilt = np.rad2deg(np.arctan(line(at, nu=1)))
    turns = _extremes(tilt)
    curves = []
    for start, end in pairwise(turns):
        angle = abs(float(tilt[end] - tilt[start]))
        if angle > MIN_COBB_DEG:
            first, last = (int(np.abs(y - at[index]).argmin()) for index in (start, end))
            part = boxes[first : last + 1]
            low, high = part[:, :2].min(axis=0), part[:, 2:].max(axis=0)
            curves.append(Curve((float(low[0]), float(low[1]), float(high[0]), float(high[1])), angle, (first, last)))
    return tuple(curves)


def _extremes(tilt: NDArray[np.float64]) -> list[int]:
    """Indices of both ends and of every local extreme between them."""
    steps = np.sign(np.diff(tilt))
    inner = np.flatnonzero(steps[1:] * steps[:-1] < 0) + 1
    return [0, *(int(index) for index in inner), len(tilt) - 1]
