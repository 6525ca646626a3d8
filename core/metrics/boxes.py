"""Boxes as numbers: what detection metrics need of their geometry. `(x_min, y_min, x_max, y_max)` in pixels, half-open."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError


def checked_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Check boxes; an empty list is no box.

    Args:
        boxes: (n, 4).

    Returns:
        float64 (n, 4).

    Raises:
        UsageError: Another shape, a coordinate that is not finite, or an end before its start.
    """
    checked = np.asarray(boxes, dtype=np.float64)
    if checked.size == 0:
        return np.zeros((0, 4))
    if checked.ndim != 2 or checked.shape[1] != 4:
        raise UsageError(f"boxes of shape {checked.shape}")
    if not np.isfinite(checked).all() or (checked[:, 2:] < checked[:, :2]).any():
        raise UsageError("a box whose end lies before its start, or that is not finite")
    return checked


def box_area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in square pixels: (n, 4) -> float64 (n,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every pair, 0 for two boxes without area: (n, 4), (m, 4) -> float64 (n, m)."""
    starts = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    ends = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    size = np.maximum(ends - starts, 0.0)
    shared = size[:, :, 0] * size[:, :, 1]
    either = box_area(boxes)[:, np.newaxis] + box_area(others) - shared
    return np.divide(shared, either, out=np.zeros(shared.shape), where=either > 0)


def holds_centre(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the centre of each of `boxes` lies in each of `others`: (n, 4), (m, 4) -> boolean (n, m)."""
    centre = (boxes[:, np.newaxis, :2] + boxes[:, np.newaxis, 2:]) / 2
    return np.all((others[:, :2] <= centre) & (centre < others[:, 2:]), axis=2)
