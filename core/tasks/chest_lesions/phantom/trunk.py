"""Soft tissue of the trunk and the air of the lungs, as path lengths in mm."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import Array, capsule, field, path_length
from core.tasks.chest_lesions.phantom.film import Film, Points
from core.tasks.chest_lesions.phantom.patient import Chest, stream

LATERAL, MEDIAL, UPWARD = 2.1, 3.0, 2.3  # exponents of the lung outline
MEDIAL_MM = 37.0  # from the apex to the medial border
RECESS_SHARE, RECESS_MM = 0.3, 13.0  # lung behind the dome, and how fast it thins out downwards


def lateral_border(chest: Chest, y: Array) -> Array:
    """Distance of the lateral border of the lung from the midline at a height."""
    up = _upward(chest, y)
    return chest.apex_x + (chest.half_width - chest.apex_x) * np.maximum(1 - up**UPWARD, 0) ** (1 / LATERAL)


def upper_border(chest: Chest, x: Array) -> Array:
    """Y of the upper border of the lung at a distance x > 0 from the midline; the widest place where there is no lung."""
    return chest.widest - (chest.widest - chest.top) * np.maximum(1 - _sideways(chest, x), 0) ** (1 / UPWARD)


def diaphragm(chest: Chest, x: Array) -> Array:
    """Y of the diaphragm: two domes, the right one higher, falling to the costophrenic angles."""
    peak = 0.5 * chest.half_width
    away = np.abs(x) - peak
    lateral = chest.drop * (np.maximum(away, 0) / (chest.half_width - peak)) ** 2.6
    medial = 12 * np.square(np.minimum(away, 0) / peak)
    return np.where(x < 0, chest.domes[0], chest.domes[1]) + lateral + medial


def lung_outline(chest: Chest, side: int) -> Points:
    """Lateral border of a lung from the apex to the costophrenic angle, points (N, 2) in mm; side -1 right, 1 left."""
    y = np.linspace(chest.top, chest.domes[1] + chest.drop + 40, 600)
    x = side * lateral_border(chest, y)
    above = y < diaphragm(chest, x)
    return np.stack([x, y], axis=1)[above]


def _sideways(chest: Chest, x: Array) -> Array:
    """Part of the lung outline that the distance from the apex uses up: 0 below the apex, 1 at either side."""
    away = np.abs(x) - chest.apex_x
    lateral = np.maximum(away, 0) / (chest.half_width - chest.apex_x)
    return lateral**LATERAL + (np.maximum(-away, 0) / (MEDIAL_MM * chest.size)) ** MEDIAL


def _upward(chest: Chest, y: Array) -> Array:
    above = (chest.widest - y) / (chest.widest - chest.top)
    return np.clip(np.where(above > 0, above, (y - chest.widest) / (230 * chest.size)), 0, 1)


def _lung_radius(chest: Chest, film: Film) -> Array:
    """0 in the middle of a lung and 1 on its outline, without the diaphragm."""
    return np.minimum(_sideways(chest, film.x) + _upward(chest, film.y) ** UPWARD, 4).astype(np.float32)


def _depth_share(chest: Chest, y: Array) -> Array:
    """Depth of the chest at a height relative to that of the widest place: it narrows towards the neck."""
    down = np.clip((y - chest.top + 30) / (chest.widest - chest.top), 0, 1)
    return 0.52 + 0.48 * down * (2 - down)


def draw_cavity(chest: Chest, film: Film) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Path (mm) through the chest cavity above and behind the diaphragm, and where the lungs are seen above it."""
    radius = _lung_radius(chest, film)
    dome = diaphragm(chest, film.x).astype(np.float32)
    above = np.clip((dome - film.y) / film.spacing_mm + 0.5, 0, 1)
    recess = RECESS_SHARE * np.exp(-np.maximum(film.y - dome, 0) / RECESS_MM)
    recess = recess * np.clip(np.abs(film.x) / (0.3 * chest.half_width) - 1, 0, 1)
    between = 0.5 + 0.5 * np.clip((np.abs(film.x) - 9) / 24, 0, 1)  # heart and spine leave less room near the midline
    path = (
        between
        * 2
        * chest.depth
        * _depth_share(chest, film.y)
        * np.sqrt(np.maximum(1 - radius, 0))
        * (above + (1 - above) * recess)
    )
    return path.astype(np.float32), (radius < 1) & (film.y < dome)


def draw_body(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Path (mm) through trunk, neck, shoulders, arms and breasts as if there were no air inside."""
    rng = stream(seed, "trunk")
    size, lean = chest.size, rng.normal(0, 2.0)
    x, y = np.abs(film.x - np.float32(lean)), film.y

    def limb(start: tuple[float, float], end: tuple[float, float], radius: float) -> Array:
        return path_length(capsule(x, y, *(size * np.array([start, end], np.float32)))[0], size * radius)

    outer = lateral_border(chest, np.clip(y, chest.domes[0], None)) + chest.wall + 0.06 * np.maximum(y, 0)
    outer = np.maximum(outer, chest.half_width + chest.wall - 0.5 * np.abs(y - chest.widest) / 10)
    across = np.sqrt(np.maximum(1 - (x / outer) ** 6, 0))
    edge = chest.top + size * (0.4 * np.maximum(x / size - 52, 0) - 62)
    up = np.clip((y - edge) / (40 * size), 0, 1)
    trunk = (2 * chest.depth * _depth_share(chest, y) + rng.uniform(42, 60)) * across * np.sqrt(up * (2 - up))
    arm_x = rng.uniform(214, 250)
    parts = [
        trunk,
        limb((100, -94), (172, -80), 42 + 0.25 * chest.wall),
        limb((172, -88), (arm_x, rng.uniform(60, 110)), 38 + 0.3 * chest.wall),
        limb((0, -80), (0, -260), rng.uniform(58, 67)),
        limb((20, -190), (124, -116), 26.0),
        limb((126, -74), (chest.half_width / size + 6, 24), 38 + 0.4 * chest.wall),
    ]
    body = sum(np.square(np.square(part)) for part in parts) ** 0.25
    if chest.breasts:
        body = body + _breasts(chest, film, rng)
    return np.asarray(body, np.float32)


def _breasts(chest: Chest, film: Film, rng: np.random.Generator) -> Array:
    """Path (mm) through the breasts: a round lower edge that fades upwards."""
    wide, tall, total = rng.uniform(54, 68), rng.uniform(46, 62), np.zeros(film.shape, np.float32)
    for side in (-1, 1):
        x = (film.x - side * chest.half_width * rng.uniform(0.52, 0.62)) / (chest.size * wide)
        y = (film.y - chest.size * rng.uniform(14, 34)) / (chest.size * tall)
        lower = np.sqrt(np.maximum(1 - np.square(x) - np.square(y), 0))
        total += lower * np.clip(0.62 + 0.5 * y, 0, 1)
    return chest.breasts * total


def draw_gas(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Path (mm) through gas in the stomach, over a fluid level, and in the bowel; none in a part of the patients."""
    rng = stream(seed, "gas")
    gas = np.zeros(film.shape, np.float32)
    bubbles = int(rng.integers(0, 3))
    for number in range(bubbles):
        centre = np.array([[rng.uniform(34, 92), chest.domes[1] + rng.uniform(24, 34)]]) * (chest.size, 1)
        wide, tall, level = rng.uniform(16, 30), rng.uniform(12, 20), rng.uniform(-0.3, 0.5)
        if number:
            centre[0] += (rng.uniform(-60, 40), rng.uniform(25, 60))
            wide, tall, level = rng.uniform(8, 18), rng.uniform(7, 12), 2.0
        where = film.near(centre, 1.5 * wide)
        x, y = film.x[where] - np.float32(centre[0, 0]), film.y[where] - np.float32(centre[0, 1])
        rough = 1 + 0.25 * field(rng, (x + y).shape, 12 / film.spacing_mm)
        inside = np.sqrt(np.maximum(rough - np.square(x / wide) - np.square(y / tall), 0))
        inside *= np.clip((level * tall - y) / 1.5, 0, 1)
        under = np.clip((film.y[where] - diaphragm(chest, film.x[where]) - 4) / 3, 0, 1)
        gas[where] += rng.uniform(12, 42) * inside * under
    return gas
