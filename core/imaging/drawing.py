"""Shapes that phantoms are drawn from: cylinders, their path lengths, bumps and streaks, on grids in mm."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

Array = NDArray[np.floating[Any]]


def capsule(x: Array, y: Array, start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Array, Array]:
    """Distance of every point to the segment start-end, and the position 0..1 of its foot."""
    axis = end - start
    along = np.clip(((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / float(axis @ axis), 0, 1)
    return np.hypot(x - start[0] - along * axis[0], y - start[1] - along * axis[1]), along


def path_length(distance: Array, radius: Array | float) -> Array:
    """Length of a ray through a cylinder or sphere of `radius` (mm) at `distance` from its axis or centre."""
    return 2 * np.sqrt(np.maximum(np.square(radius) - np.square(distance), 0))


def blob(distance: Array, width: float) -> Array:
    """A bump of height 1 where `distance` (mm) is 0, with standard deviation `width`."""
    return np.exp(-0.5 * np.square(distance / width)).astype(np.float32)


def stripes(rng: np.random.Generator, across: Array, along: Array, pitch: float) -> Array:
    """Streaks along one coordinate: band-pass noise, long in `along`, of period about `pitch` mm in `across`; unit variance."""
    step = pitch / 4
    low_a, low_b = float(across.min()), float(along.min())
    shape = (int((across.max() - low_a) / step) + 3, int((along.max() - low_b) / (4 * step)) + 3)
    noise = rng.standard_normal(shape).astype(np.float32)
    noise = gaussian_filter1d(noise, 0.9, axis=0) - gaussian_filter1d(noise, 2.2, axis=0)
    noise = gaussian_filter1d(noise, 2.5, axis=1)
    noise /= noise.std()
    streaks: Array = map_coordinates(noise, [(across - low_a) / step, (along - low_b) / (4 * step)], order=1)
    return streaks
