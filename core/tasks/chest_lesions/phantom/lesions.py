"""What takes the place of air in the lungs: apical caps and infiltrates."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import field
from core.records import Box
from core.tasks.chest_lesions.phantom.film import Film, Points
from core.tasks.chest_lesions.phantom.findings import Pair
from core.tasks.chest_lesions.phantom.patient import Chest, stream
from core.tasks.chest_lesions.phantom.trunk import diaphragm, lateral_border, upper_border

CAP_DENSITY = 0.85  # share of the air under the pleura that a cap replaces
APEX_MM = 4.0  # above and below a cap that belong to its box: a thin cap is marked with the apex it lies in
MASS_SHARE = 0.9  # of an infiltrate inside its box
ZONES = (0.28, 0.52, 0.74)  # of the height of the lung


def cap_edges(chest: Chest, seed: int, side: int, thickness_mm: float) -> tuple[Points, Points]:
    """Upper and lower edge of one apical cap, points (N, 2) in mm; side -1 right, 1 left."""
    rng = stream(seed, "caps")
    rough, shift, span = field(rng, (2, 80), 14.0), rng.uniform(-2, 4, 2), rng.uniform(25, 31, 2)
    which = (side + 1) // 2
    along = np.linspace(-1, 1, 80)
    reach = span[which] * np.where(along < 0, 0.75, 1.0)  # the lung falls off more steeply towards the midline
    away = chest.apex_x + chest.size * (shift[which] + reach * along)
    profile = np.maximum(1 - along**2, 0) * np.clip(1 + 0.22 * rough[which], 0.5, 1.5)
    upper = upper_border(chest, away)
    lower = upper + thickness_mm * profile / profile.max()
    return np.stack([side * away, upper], axis=1), np.stack([side * away, lower], axis=1)


def draw_caps(chest: Chest, film: Film, seed: int, caps_mm: Pair) -> tuple[NDArray[np.float32], list[Box]]:
    """Share of the air that apical caps replace, and the box of each side that has one."""
    share, boxes = np.zeros(film.shape, np.float32), []
    for side, thickness in zip((-1, 1), caps_mm, strict=True):
        if thickness <= 0:
            continue
        upper, lower = cap_edges(chest, seed, side, thickness)
        where = film.near(np.concatenate([upper, lower]), 3.0)
        order = np.argsort(lower[:, 0])
        edge = np.interp(film.x[where], lower[order, 0], lower[order, 1], left=-999, right=-999)
        share[where] = np.maximum(share[where], CAP_DENSITY * np.clip((edge - film.y[where]) / 2.5 + 0.5, 0, 1))
        thick = lower[:, 1] - upper[:, 1] > 0.2 * thickness
        boxes.append(film.box(np.concatenate([upper[thick] - (0, APEX_MM), lower[thick] + (0, APEX_MM)])))
    return share, boxes


def draw_infiltrates(
    chest: Chest, film: Film, seed: int, share: float, air: NDArray[np.float32]
) -> tuple[NDArray[np.float32], list[Box]]:
    """Share of the air that infiltrates replace, and the box around 90 % of the mass of each: one, or one a side."""
    rng = stream(seed, "patches")
    total, boxes = np.zeros(film.shape, np.float32), []
    sides = (-1, 1) if rng.random() < 0.35 else ((-1,) if rng.random() < 0.55 else (1,))
    for side in sides:
        zone, across = ZONES[int(rng.integers(3))] + rng.uniform(-0.06, 0.06), rng.uniform(0.42, 0.68)
        wide, tall, grain = rng.uniform(24, 46), rng.uniform(24, 44), rng.uniform(9, 18)
        strength = rng.uniform(0.8, 1.0)
        x = side * across * float(lateral_border(chest, np.array([chest.top + zone * 200 * chest.size]))[0])
        floor = float(diaphragm(chest, np.array([x]))[0])
        centre = np.array([[x, chest.top + zone * (floor - chest.top)]])
        where = film.near(centre, max(wide, tall))
        away = np.square((film.x[where] - centre[0, 0]) / wide) + np.square((film.y[where] - centre[0, 1]) / tall)
        bump = np.square(np.maximum(1 - away, 0))
        lumps = 0.55 + 0.45 * field(rng, bump.shape, grain / film.spacing_mm)
        lumps += 0.2 * field(rng, bump.shape, max(0.35 * grain / film.spacing_mm, 1.0))
        patch = strength * bump**0.7 * np.clip(lumps, 0, 1.5)
        total[where] = np.maximum(total[where], patch)
        boxes.append(_mass_box(film, where, patch * air[where]))
    return np.minimum(share * total, 0.85).astype(np.float32), boxes


def _mass_box(film: Film, where: tuple[slice, slice], mass: NDArray[np.float32]) -> Box:
    """Box (pixels) that leaves the same share of the mass on all four sides."""
    outside = (1 - np.sqrt(MASS_SHARE)) / 2
    limits = []
    for axis in (0, 1):
        inside = np.cumsum(mass.sum(axis=axis)) / max(float(mass.sum()), 1e-6)
        limits.append(where[1 - axis].start + np.searchsorted(inside, (outside, 1 - outside)) + (0, 1))
    (x0, x1), (y0, y1) = limits
    return float(x0), float(y0), float(x1), float(y1)
