"""Does a map point at the place that is known to matter? Two measures of a map against a mask of the truth."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.errors import UsageError

TOLERANCE = 0.03  # of the longer side: 15 pixels on pictures of 500, as published


def energy_inside(values: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Share of a map's positive energy that lies inside the truth: the energy-based pointing game.

    Sum of the positive values inside over the sum of all positive ones (Wang et al., Score-CAM, CVPR workshops 2020). A map
    without contrast gives the truth's share of the area.

    Args:
        values: The map, (H, W); what is below 0 counts as 0.
        truth: (H, W).

    Raises:
        UsageError: Another shape, or nothing in the map is positive.
    """
    _check(values, truth)
    energy = np.maximum(values, 0).astype(np.float64)
    total = float(energy.sum())
    if not total > 0:
        raise UsageError("a map without positive values")
    return float(energy[truth].sum() / total)


def points_inside(values: NDArray[np.float32], truth: NDArray[np.bool_], tolerance: float = TOLERANCE) -> bool:
    """Whether a map's largest value lies inside the truth or within a tolerance of it: the pointing game.

    Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016 (15 pixels on pictures of about 500). Of several
    equal maxima the one nearest to the middle of them all counts, so that a flat map points at its middle.

    Args:
        values: The map, (H, W).
        truth: (H, W).
        tolerance: Share of the longer side.

    Raises:
        UsageError: Another shape, or the truth is empty.
    """
    _check(values, truth)
    if not truth.any():
        raise UsageError("an empty truth")
    places = np.argwhere(values == values.max())
    row, column = places[np.square(places - places.mean(axis=0)).sum(axis=1).argmin()]
    away = distance_transform_edt(~truth)
    return bool(away[row, column] <= tolerance * max(truth.shape))


def _check(values: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
    if values.ndim != 2 or values.shape != truth.shape:
        raise UsageError(f"a map of shape {values.shape} for a truth of shape {truth.shape}")
