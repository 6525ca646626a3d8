"""The thoracic spine: its curve, its vertebrae, and their wear."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from core.imaging.drawing import Array, blob, superellipse
from core.tasks.chest_lesions.phantom.film import Film, Points
from core.tasks.chest_lesions.phantom.findings import Signs
from core.tasks.chest_lesions.phantom.patient import N_VERTEBRAE, Chest, stream

BODY_SHARE = 0.78  # of the distance between two vertebrae
CURVE_SHARE = 0.1  # of the largest deviation: where the box of a curve ends
LEVELS = range(-2, N_VERTEBRAE + 4)


@dataclass(frozen=True)
class Spine:
    """Axis of the spine in mm.

    Attributes:
        y: Heights, float64 (N,), from the neck to the loin.
        x: Sideways course there.
        straight: Where the axis would be without the curve.
        cobb_deg: Angle between the two most tilted places.
        worn: First and last vertebra of the levels with wear.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    straight: float
    cobb_deg: float
    worn: tuple[int, int]

    def at(self, y: float) -> tuple[float, float]:
        """Sideways place (mm) and tilt (rad) of the axis at a height."""
        slope = np.interp(y, self.y, np.gradient(self.x, self.y))
        return float(np.interp(y, self.y, self.x)), float(np.arctan(slope))


def half_width(chest: Chest, vertebra: float) -> float:
    """Half the width of a vertebral body (mm): narrowest at the fourth."""
    return chest.size * float(np.interp(vertebra, (-2, 1, 4, 12, 16), (12.5, 14.0, 12.5, 18.5, 21.0)))


def draw_spine(chest: Chest, seed: int, cobb_deg: float) -> Spine:
    """A spine with a Cobb angle: one period of a raised cosine, out of the straight line and back."""
    rng, levels = stream(seed, "curve"), stream(seed, "levels")
    side = -1 if rng.random() < 0.75 else 1  # thoracic curves are convex to the right in most patients
    apex, length = chest.level(rng.uniform(6.6, 8.6)), chest.size * rng.uniform(190, 250)
    y = np.linspace(chest.level(LEVELS[0] - 1), chest.level(LEVELS[-1] + 1), 400)
    shape = np.where(np.abs(y - apex) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * (y - apex) / length), 0)

    def angle(amplitude: float) -> float:
        return float(np.rad2deg(np.ptp(np.arctan(np.gradient(amplitude * shape, y)))))

    amplitude = float(brentq(lambda a: angle(a) - cobb_deg, 0, 90)) if cobb_deg > 0 else 0.0
    straight = -0.6 * chest.depth * chest.rotation
    first = int(levels.integers(5, 9))
    return Spine(
        y=y,
        x=straight + side * amplitude * shape,
        straight=straight,
        cobb_deg=angle(amplitude),
        worn=(first, first + int(levels.integers(2, 5))),
    )


def curve_points(chest: Chest, spine: Spine) -> Points:
    """Both edges of the spine where it leaves the straight line, points (N, 2) in mm."""
    away = np.abs(spine.x - spine.straight)
    curved = away >= CURVE_SHARE * away.max()
    y, x = spine.y[curved], spine.x[curved]
    half = np.array([half_width(chest, _vertebra(chest, at)) for at in y]) + 2
    return np.concatenate([np.stack([x - half, y], 1), np.stack([x + half, y], 1)])


def worn_points(chest: Chest, spine: Spine, signs: Signs) -> Points:
    """Corners of the worn levels, osteophytes included, points (N, 2) in mm."""
    corners = []
    for vertebra, down in zip(spine.worn, (-0.1, 0.1), strict=True):
        y = chest.level(vertebra + down)
        half = half_width(chest, vertebra) + chest.size * signs.osteophyte_mm + 1
        corners += [(spine.at(y)[0] - half, y), (spine.at(y)[0] + half, y)]
    middle = chest.level(np.mean(spine.worn).item())
    half = half_width(chest, float(np.mean(spine.worn))) + chest.size * signs.osteophyte_mm
    corners += [(spine.at(middle)[0] - half, middle), (spine.at(middle)[0] + half, middle)]
    return np.array(corners)


def _vertebra(chest: Chest, y: float) -> float:
    return float(np.interp(y, [chest.level(n) for n in LEVELS], list(LEVELS)))


def draw_vertebrae(chest: Chest, film: Film, seed: int, spine: Spine, signs: Signs) -> NDArray[np.float32]:
    """Path (mm) through the bone of the spine."""
    rng = stream(seed, "spine")
    bone = np.zeros(film.shape, np.float32)
    density, processes = rng.uniform(0.85, 1.15), rng.uniform(0.7, 1.1)
    beaks = stream(seed, "beaks").uniform(0.45, 1.0, (len(LEVELS), 4))
    pitch = chest.level(2) - chest.level(1)
    for number in LEVELS:
        place, tilt = spine.at(chest.level(number))
        where = film.near(np.array([[place, chest.level(number)]]), 2.6 * pitch)
        away, down = film.x[where] - np.float32(place), film.y[where] - np.float32(chest.level(number))
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        u, v = cos * away - sin * down, sin * away + cos * down
        half = (half_width(chest, number) * rng.uniform(0.97, 1.03), BODY_SHARE * pitch / 2)
        worn = (spine.worn[0] < number <= spine.worn[1], spine.worn[0] <= number < spine.worn[1])
        path = _body(u, v, half, worn, signs.narrowing * (1 - BODY_SHARE) * pitch / 2)
        path += processes * _processes(u, v, half, rng.uniform(-1, 1))
        size = chest.size * signs.osteophyte_mm
        path += _osteophytes(u, v, half, worn, size * beaks[number - LEVELS[0]])
        bone[where] += density * path * float(np.interp(number, (8, 13), (1.0, 0.55)))
    return bone


def _body(u: Array, v: Array, half: tuple[float, float], worn: tuple[bool, bool], closing: float) -> Array:
    """Path through a vertebral body; worn end plates lie nearer to the disc and are denser."""
    waist = 1 + np.float32(0.07) * (np.square(v / half[1]) - 1)
    grown = np.where(v < 0, half[1] + closing * worn[0], half[1] + closing * worn[1]).astype(np.float32)
    edge = superellipse(u / waist, v * half[1] / grown, half, 6.0)
    inside = np.clip(0.5 - edge / 0.8, 0, 1)
    bow = 0.9 * (1 - np.square(u / half[0]))
    plates = blob(v + grown - 0.8 - bow, 0.9) * (1 + 0.55 * closing * worn[0])
    plates += blob(v - grown + 0.8 + bow, 0.9) * (1 + 0.55 * closing * worn[1])
    sclerosis = closing * (worn[0] * blob(v + grown - 2, 2.2) + worn[1] * blob(v - grown + 2, 2.2))
    sides = blob(np.abs(u) - half[0] * waist + 0.8, 0.8)
    round_off = np.sqrt(np.maximum(1 - 0.8 * np.square(u / half[0]), 0.1))
    return inside * (round_off * (4.8 + 2.8 * plates + 3.6 * sclerosis) + 1.3 * sides)


def _processes(u: Array, v: Array, half: tuple[float, float], lean: float) -> Array:
    """Path through pedicles, transverse processes and the spinous process."""
    a, b = half
    side = np.abs(u)
    pedicle = np.hypot((side - 0.62 * a) / 3.4, (v + 0.25 * b) / 4.6)
    path = 3.2 * blob(pedicle - 1, 0.28) + 1.2 * (pedicle < 1)
    wing = np.hypot((side - a - 5) / 9, (v + 0.3 * b + 0.12 * (side - a)) / 3.6)
    path += 3.0 * np.sqrt(np.maximum(1 - np.square(wing), 0))
    lamina = np.hypot(side / (0.62 * a), (v - 0.2 * b) / 4.0)
    path += 2.4 * np.sqrt(np.maximum(1 - np.square(lamina), 0))
    spinous = np.hypot((u - lean) / 2.6, (v - 0.9 * b) / 6.5)
    return path + 4.5 * blob(spinous - 0.8, 0.25) + 2.0 * (spinous < 0.8)


def _osteophytes(u: Array, v: Array, half: tuple[float, float], worn: tuple[bool, bool], lengths: Array) -> Array:
    """Path through beaks that point sideways from the corners beside a worn disc; lengths (4,) in mm."""
    path = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.float32)
    for corner, (side, end) in enumerate(((-1, 0), (1, 0), (-1, 1), (1, 1))):
        length = float(lengths[corner])
        if not worn[end] or length <= 0:
            continue
        out = (side * u - half[0] + 1.5) / (length + 1.5)  # 0 at the corner, 1 at the tip
        sign = 1 if end else -1
        middle = sign * (half[1] - 1.0 + 2.2 * out)
        thick = np.maximum(1 - out, 0.05) * (1.4 + 0.28 * length)
        inside = np.clip(out * 3, 0, 1) * (out < 1) * np.sqrt(np.maximum(1 - np.square((v - middle) / thick), 0))
        path += min(4.0 + 2.2 * length, 18.0) * inside
    return path
