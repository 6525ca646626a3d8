"""Increased lung infiltrates: soft, lumpy patches in a lung."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from core.imaging.drawing import field, patch
from core.records import Box
from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.composite.warp import ramp
from core.tasks.chest_lesions.landmarks import Landmarks

SHARES = (0.0, 0.18, 0.68)  # of the way from lung to soft tissue in the densest part, at severity 0, 0.5 and 1
MASS_SHARE = 0.9  # of a patch inside its box
ZONES = (0.30, 0.52, 0.74)  # of the height of the lung
HALF_MM = (24.0, 46.0)
GRAIN_MM = (8.0, 16.0)


def infiltrate(
    tone: Tone, landmarks: Landmarks, severity: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[Box]]:
    """One patch, or one in each lung: the rise in grey, float32 (H, W), and the box around 90 % of the mass of each."""
    share = float(np.interp(severity, (0, 0.5, 1), SHARES))
    both, right = rng.random() < 0.35, rng.random() < 0.55
    lungs = (landmarks.masks.right_lung, landmarks.masks.left_lung)
    rise, boxes = np.zeros(tone.low.shape, np.float32), []
    for index in (0, 1) if both else (0,) if right else (1,):
        where, cloud = _cloud(lungs[index], landmarks.px_per_mm, rng)
        lift = np.clip(tone.dense - tone.low[where], 0.15 * tone.span, tone.span)
        added = (share * cloud * lift).astype(np.float32)
        rise[where] += added
        if added.any():
            boxes.append(mass_box(added, where))
    return rise, boxes


def _cloud(
    lung: NDArray[np.bool_], scale: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """Density of one patch of a lung, about 1 at most, in the part of the film where it lies."""
    zone, across = ZONES[int(rng.integers(3))] + rng.uniform(-0.06, 0.06), rng.uniform(0.25, 0.7)
    half, turn = rng.uniform(*HALF_MM, 2) * scale, rng.uniform(0, np.pi)
    grain, strength = rng.uniform(*GRAIN_MM) * scale, rng.uniform(0.8, 1.0)
    rows = np.flatnonzero(lung.any(axis=1))
    row = int(rows[0] + zone * np.ptp(rows))
    columns = np.flatnonzero(lung[row])
    centre = np.array([[columns[0] + across * np.ptp(columns), row]])
    where, x, y = patch((lung.shape[0], lung.shape[1]), centre, half.max())
    x, y = x - centre[0, 0], y - centre[0, 1]
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    bump = np.maximum(1 - np.square(u / half[0]) - np.square(v / half[1]), 0)
    lumps = 0.55 + 0.45 * field(rng, bump.shape, grain)
    lumps += 0.25 * field(rng, bump.shape, max(0.35 * grain, 1.0)) + 0.1 * field(
        rng, bump.shape, max(0.15 * grain, 1.0)
    )
    return where, (strength * ramp(bump) * np.clip(lumps, 0, 1.6) * _within(lung[where], 3 * scale)).astype(np.float32)


def _within(lung: NDArray[np.bool_], edge: float) -> NDArray[np.float32]:
    """1 inside the lung, falling to 0 over `edge` pixels at its border."""
    return np.asarray(ramp(distance_transform_edt(np.pad(lung, 1, mode="edge"))[1:-1, 1:-1] / edge), np.float32)


def mass_box(mass: NDArray[np.float32], where: tuple[slice, slice]) -> Box:
    """Box that leaves the same share of the mass on all four sides; `mass` lies at `where` in the film."""
    outside = (1 - np.sqrt(MASS_SHARE)) / 2
    limits = []
    for axis in (0, 1):
        inside = np.cumsum(mass.sum(axis=axis, dtype=np.float64))
        first, last = np.searchsorted(inside, np.array([outside, 1 - outside]) * inside[-1])
        limits.append((where[1 - axis].start + first, where[1 - axis].start + last + 1))
    (x0, x1), (y0, y1) = limits
    return float(x0), float(y0), float(x1), float(y1)
