"""Closed outlines around a centre: the cheapest path once around in polar coordinates."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Floats = NDArray[np.float64]
_MAX_STEP = 3  # radii from one angle to the next


def polar_samples(
    image: NDArray[np.float32], x: Floats, y: Floats, angles: Floats, radii: Floats
) -> NDArray[np.float32]:
    """The image around several centres, linearly interpolated; outside it the edge value continues.

    Args:
        image: float32 (H, W).
        x, y: Centres, (B,), pixels.
        angles: (A,), from x towards y.
        radii: (R,), pixels.

    Returns:
        float32 (B, A, R).
    """
    at_x = x[:, None, None] + np.cos(angles)[:, None] * radii
    at_y = y[:, None, None] + np.sin(angles)[:, None] * radii
    return map_coordinates(image, [at_y, at_x], order=1, mode="nearest")


def closed_paths(cost: Floats, stiffness: float) -> NDArray[np.intp]:
    """The cheapest closed path through every plane of costs, by dynamic programming.

    Going around twice and keeping the middle lap closes the path without trying every start (Sun and Pallottino 2003).

    Args:
        cost: Of every angle and radius, (B, A, R).
        stiffness: Price of a step by one radius between neighbouring angles; it grows with the square of the step.

    Returns:
        Index of the radius at every angle, (B, A).
    """
    batch, n_angles, n_radii = cost.shape
    steps = np.arange(-_MAX_STEP, _MAX_STEP + 1)
    prices = stiffness * steps**2
    padded = np.full((batch, n_radii + 2 * _MAX_STEP), np.inf)
    total = padded[:, _MAX_STEP:-_MAX_STEP]
    neighbours = sliding_window_view(padded, len(steps), axis=1)
    came_from = np.zeros((2 * n_angles, batch, n_radii), np.intp)
    total[:] = cost[:, 0]
    for turn in range(1, 2 * n_angles):
        options = neighbours + prices
        came_from[turn] = options.argmin(axis=2)
        total[:] = options.min(axis=2) + cost[:, turn % n_angles]
    came_from += np.arange(n_radii) - _MAX_STEP
    path = np.zeros((2 * n_angles, batch), np.intp)
    path[-1] = total.argmin(axis=1)
    for turn in range(2 * n_angles - 1, 0, -1):
        path[turn - 1] = came_from[turn, np.arange(batch), path[turn]]
    start = n_angles // 2
    return np.roll(path[start : start + n_angles], start, axis=0).T
