"""What composites and untouched films share, so that it tells nothing: white dots on bone and mild warps."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.imaging.drawing import patch
from core.tasks.chest_lesions.composite.tone import add_shadow, film_tone
from core.tasks.chest_lesions.composite.warp import Warp
from core.tasks.chest_lesions.landmarks import Landmarks

DOTS = 4.0  # mean number
DOT_PX = (0.7, 1.8)
DOT_RISE = (0.15, 0.6)  # share of the film's contrast
BONE_SHARE = 0.1  # of the pixels: the finest bright ridges
WARPS = 3
WARP_MM = 4.0
WARP_REACH_MM = (18.0, 35.0)


def disturb(
    film: NDArray[np.float32], landmarks: Landmarks, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Landmarks]:
    """A film with mild warps at random places and white dots on bone, neither of which is a finding, and its landmarks.

    Raises:
        UsageError: The heart is not brighter than the lungs.
    """
    warp = _ripple(landmarks, rng)
    film, landmarks = warp.film(film, rng), warp.landmarks(landmarks)
    span, scale = film_tone(film, landmarks).span, landmarks.px_per_mm
    ridges = gaussian_filter(film, 1.0 * scale) - gaussian_filter(film, 6.0 * scale)
    y0, y1 = (max(int(landmarks.right_lung[side] + step * scale), 0) for side, step in ((1, -20), (3, 10)))
    x0, x1 = int(landmarks.right_lung[0]), int(landmarks.left_lung[2])
    chest = ridges[y0:y1, x0:x1]
    rows, columns = np.nonzero(chest >= np.quantile(chest, 1 - BONE_SHARE))
    rise = np.zeros(film.shape, np.float32)
    for pick in rng.integers(len(rows), size=rng.poisson(DOTS)):
        size, height = rng.uniform(*DOT_PX), rng.uniform(*DOT_RISE) * span
        centre = np.array([[x0 + columns[pick], y0 + rows[pick]]], np.float64)
        where, x, y = patch((film.shape[0], film.shape[1]), centre, 4 * size)
        away = np.hypot(x - centre[0, 0], y - centre[0, 1])
        rise[where] += (height * np.exp(-0.5 * np.square(away / size))).astype(np.float32)
    return add_shadow(film, rise), landmarks


def _ripple(landmarks: Landmarks, rng: np.random.Generator) -> Warp:
    """Small shifts at a few places of the chest."""
    none, scale = Warp.none(landmarks.masks.heart.shape), landmarks.px_per_mm
    x, y = none.x.copy(), none.y.copy()
    low, high = landmarks.right_lung[:2], (landmarks.left_lung[2], landmarks.left_lung[3])
    for _ in range(rng.integers(WARPS + 1)):
        centre, reach = rng.uniform(low, high)[None, :], rng.uniform(*WARP_REACH_MM) * scale
        shift = rng.uniform(-WARP_MM, WARP_MM, 2) * scale
        where, across, down = patch((x.shape[0], x.shape[1]), centre, reach)
        away = np.hypot(across - centre[0, 0], down - centre[0, 1]) / reach
        bump = np.square(np.maximum(1 - np.square(away), 0))
        x[where] -= (shift[0] * bump).astype(np.float32)
        y[where] -= (shift[1] * bump).astype(np.float32)
    return Warp(x, y)
