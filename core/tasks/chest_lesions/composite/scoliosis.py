"""Scoliosis: the column of the film is bent by a smooth warp to a drawn Cobb angle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from core.imaging.drawing import Array
from core.records import Box
from core.tasks.chest_lesions.composite.warp import Warp, ramp
from core.tasks.chest_lesions.landmarks import Landmarks, inside

COBB_DEG = (0.0, 10.0, 36.0)  # at severity 0, 0.5 and 1
CURVE_SHARE = 0.1  # of the largest deviation: where the box of a curve ends
WHOLE_MM, NONE_MM = 24.0, 105.0  # from the axis: up to here everything moves with it, from there on nothing does
BODY_MM = 15.0  # half the width of a vertebral body in the middle of the chest


@dataclass(frozen=True, eq=False)
class Bend:
    """A bent spine: the warp, the shift of its axis in every row (float64 (H,), pixels), its Cobb angle and its box."""

    warp: Warp
    shift: NDArray[np.float64]
    cobb_deg: float
    box: Box


def bend(landmarks: Landmarks, severity: float, rng: np.random.Generator) -> Bend:
    """One main curve, convex to the right in most, and a weaker one of the other direction above or below.

    Vertebrae turn with the axis, and what lies beside the spine follows it less and less.
    """
    cobb_deg = float(np.interp(severity, (0, 0.5, 1), COBB_DEG))
    scale, rows = landmarks.px_per_mm, len(landmarks.midline)
    side = -1 if rng.random() < 0.75 else 1
    top = landmarks.spine[1] / scale
    apex, length = top + rng.uniform(115, 160), rng.uniform(190, 250)
    counter, lower = rng.uniform(0, 0.45), rng.random() < 0.6
    y = np.arange(rows) / scale
    shape = _wave((y - apex) / length) - counter * _wave((y - apex) / length - (0.75 if lower else -0.75))

    def angle(amplitude: float) -> float:
        return float(np.rad2deg(np.ptp(np.arctan(np.gradient(amplitude * shape, y)))))

    amplitude = float(brentq(lambda a: angle(a) - cobb_deg, 0, 120)) if cobb_deg > 0 else 0.0
    shift = scale * side * amplitude * shape
    return Bend(_follow(landmarks, shift), shift, angle(amplitude), _curve_box(landmarks, shift))


def _wave(at: Array) -> Array:
    """One period of a raised cosine around 0."""
    return np.where(np.abs(at) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * at), 0)


def _follow(landmarks: Landmarks, shift: NDArray[np.float64]) -> Warp:
    none = Warp.none(landmarks.masks.heart.shape)
    if not shift.any():
        return none
    scale, every = landmarks.px_per_mm, np.arange(len(shift))
    slope = np.gradient(shift)
    x, y = none.x, none.y
    for _ in range(6):  # the place a pixel came from decides how far it was moved
        away = x - np.interp(y, every, landmarks.midline)
        follows = 1 - ramp((np.abs(away) / scale - WHOLE_MM) / (NONE_MM - WHOLE_MM))
        x = (none.x - np.interp(y, every, shift) * follows).astype(np.float32)
        y = (none.y + np.interp(y, every, slope) * away * follows**2).astype(np.float32)
    return Warp(x, y)


def _curve_box(landmarks: Landmarks, shift: NDArray[np.float64]) -> Box:
    rows = np.flatnonzero(np.abs(shift) >= CURVE_SHARE * np.abs(shift).max())
    axis, half = (landmarks.midline + shift)[rows], (BODY_MM + 2) * landmarks.px_per_mm
    return inside((axis.min() - half, rows[0], axis.max() + half, rows[-1] + 1), landmarks.masks.heart)
