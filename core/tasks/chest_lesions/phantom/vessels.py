"""Vessels of the lungs: a tree from each hilum that halves its branches as it runs outwards."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import field
from core.tasks.chest_lesions.phantom.film import GOLDEN, Film, Points
from core.tasks.chest_lesions.phantom.patient import Chest, stream
from core.tasks.chest_lesions.phantom.trunk import diaphragm, lateral_border, upper_border

GENERATIONS = 6
N_CHORDS = 9


def draw_vessels(chest: Chest, film: Film, seed: int, air: NDArray[np.float32]) -> NDArray[np.float32]:
    """Path (mm) through vessels and interstitium where there is air around them."""
    rng = stream(seed, "vessels")
    crowd, trees = rng.uniform(1.3, 2.2), []
    for side in (-1, 1):
        trees += [*_hilum(chest, rng, film, side), *_tree(chest, rng, film, side)]
    points = np.concatenate([points for points, _ in trees])
    blood = film.project(points, crowd * np.concatenate([volumes for _, volumes in trees]))
    mesh = np.zeros(film.shape, np.float32)
    for scale, height in ((1.6, 1.6), (3.5, 2.2), (9.0, 2.4)):
        mesh += np.float32(height) * field(rng, film.shape, max(scale / film.spacing_mm, 1.0))
    return (blood * np.clip(air / 70, 0, 1) + mesh * np.clip(air / 120, 0, 1)).astype(np.float32)


def _segments(
    start: Points, bend: Points, end: Points, radius: Points, pitch: float
) -> tuple[Points, NDArray[np.float64]]:
    """Round tubes as points every `pitch` mm along curves past `bend`.

    Args:
        start, bend, end: Points (N, 2), mm.
        radius: At both ends (N, 2), mm.
        pitch: Distance of the points, mm.
    """
    longest = float(np.linalg.norm(end - start, axis=1).max(initial=1.0))
    t = np.linspace(0, 1, int(longest / pitch) + 3)[None, :, None]
    at = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * bend[:, None] + t**2 * end[:, None]
    along = np.gradient(at, axis=1)
    step = np.linalg.norm(along, axis=2)
    across = np.stack([-along[..., 1], along[..., 0]], axis=2) / np.maximum(step, 1e-6)[..., None]
    wide = radius[:, :1] + (radius[:, 1:] - radius[:, :1]) * t[..., 0]
    chords = (np.arange(N_CHORDS) + (np.arange(t.shape[1]) * GOLDEN % 1)[:, None]) * 2 / N_CHORDS - 1
    ahead = (np.arange(N_CHORDS) * GOLDEN % 1 - 0.5)[:, None] * along[:, :, None]
    points = at[:, :, None] + ahead + across[:, :, None] * (wide[..., None] * chords)[..., None]
    volumes = 2 * np.sqrt(1 - np.square(chords)) * np.square(wide)[..., None] * step[..., None] * 2 / N_CHORDS
    return points.reshape(-1, 2), volumes.ravel()


def _root(chest: Chest, side: int) -> NDArray[np.float64]:
    """Middle of a hilum; the left one is higher."""
    return np.array([side * 33.0 * chest.size, chest.level(6.3 if side < 0 else 5.8)])


def _hilum(chest: Chest, rng: np.random.Generator, film: Film, side: int) -> list[tuple[Points, NDArray[np.float64]]]:
    """The large arteries and veins of a hilum, and now and then a calcified node."""
    root, size = _root(chest, side), chest.size
    reach = np.array([[-4, -6], [-2, -4], [2, 10], [-6, 8], [0, 16]]) * (side, 1)
    to = np.array([[14, -30], [26, -12], [18, 36], [28, 18], [6, 40]]) + rng.normal(0, 4, (5, 2))
    bend = np.array([[8, -10], [12, -10], [16, 12], [14, 6], [14, 34]]) + rng.normal(0, 4, (5, 2))
    wide = np.array([[5.0, 1.8], [4.4, 1.6], [7.4, 2.2], [5.4, 1.6], [4.6, 1.4]]) * rng.uniform(0.85, 1.1, (5, 1))
    parts = [
        _segments(
            root + size * reach,
            root + size * bend * (side, 1),
            root + size * to * (side, 1),
            size * wide,
            film.spacing_mm,
        )
    ]
    node, at = rng.random() < 0.2, root + size * np.array([side * rng.uniform(2, 14), rng.uniform(-8, 16)])
    if node:
        grain = at + rng.normal(0, 1.6, (160, 2))
        parts.append((grain, np.full(160, 2.4)))
    return parts


def _tree(chest: Chest, rng: np.random.Generator, film: Film, side: int) -> list[tuple[Points, NDArray[np.float64]]]:
    """Branches of one lung by generation; those that would leave the lung end before."""
    toward = np.deg2rad(np.array([-78, -58, -36, -16, 4, 24, 44, 62, 76]) + rng.normal(0, 6, 9))
    low = np.clip(0.75 + 0.004 * np.rad2deg(toward), 0.5, 1.1)  # blood sinks: lower vessels are wider
    start = _root(chest, side) + rng.normal(0, 4, (9, 2)) + 8 * np.stack([side * np.cos(toward), np.sin(toward)], 1)
    radius, length = 3.1 * low * chest.size, rng.uniform(26, 38, 9) * chest.size
    parts = []
    for _ in range(GENERATIONS):
        out = np.stack([side * np.cos(toward), np.sin(toward)], axis=1)
        sideways = rng.normal(0, 0.13, len(out))[:, None] * np.stack([-out[:, 1], out[:, 0]], axis=1)
        end = start + length[:, None] * out
        bend = start + length[:, None] * (0.5 * out + sideways)
        inside = np.abs(end[:, 0]) < lateral_border(chest, end[:, 1]) - 5
        inside &= (end[:, 1] > upper_border(chest, end[:, 0]) + 5) & (end[:, 1] < diaphragm(chest, end[:, 0]) + 6)
        start, bend, end, toward = start[inside], bend[inside], end[inside], toward[inside]
        radius, length = radius[inside], length[inside]
        parts.append(_segments(start, bend, end, np.stack([radius, 0.86 * radius], axis=1), film.spacing_mm))
        spread = np.abs(rng.normal(0.36, 0.14, (2, len(toward)))) * ((-1,), (1,))
        toward = (toward + spread).ravel()
        start = np.concatenate([end, end])
        radius = np.concatenate([0.82 * radius, 0.68 * radius])
        length = np.tile(length, 2) * rng.uniform(0.66, 0.92, len(toward))
    return parts
