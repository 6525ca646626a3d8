"""Ribs, clavicles, shoulder blades and upper arms as shells of cortex around a core, projected exactly."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import capsule, path_length
from core.tasks.chest_lesions.phantom.film import Film, Points, tube
from core.tasks.chest_lesions.phantom.patient import Chest, stream
from core.tasks.chest_lesions.phantom.trunk import lateral_border

N_RIBS = 10
SPONGY_SHARE = 0.12  # of bone inside the cortex of the shoulder
BLADE_MM = 1.6  # thickness of the shoulder blade
Body = tuple[Points, NDArray[np.float64]]


def draw_bones(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Path (mm) through bone on the film."""
    rng = stream(seed, "bones")
    density, bodies = rng.uniform(0.8, 1.15), []
    shoulders = np.zeros(film.shape, np.float32)
    slope, spread = rng.uniform(0.9, 1.1), rng.uniform(0.92, 1.08)
    for side in (-1, 1):
        bodies += [_rib(chest, rng, film, side, number, slope, spread) for number in range(1, N_RIBS + 1)]
        bodies += [_clavicle(chest, rng, film, side)]
        shoulders += _shoulder(chest, rng, film, side)
    points = np.concatenate([points for points, _ in bodies])
    points[:, 0] += chest.rotation * points[:, 2]
    cage = film.project(points, np.concatenate([volumes for _, volumes in bodies]))
    return np.float32(density) * (cage + shoulders)


def _rib(
    chest: Chest, rng: np.random.Generator, film: Film, side: int, number: int, slope: float, spread: float
) -> Body:
    """One rib from the spine round the side to the cartilage, lower in front than at the back."""
    drop = chest.size * slope * min(30 + 10.5 * number, 98.0) * rng.uniform(0.97, 1.03)
    last = np.deg2rad(156 if number == 1 else 150 - 2.6 * max(number - 5, 0))
    turn = np.linspace(0, last, film.steps(280))
    y = chest.level(number + 0.1) + drop * ((1 - np.cos(turn)) / 2) ** 1.08 - 5 * chest.size * np.sin(2 * turn)
    reach = float(lateral_border(chest, np.array([chest.level(number) + 0.55 * drop]))[0]) + 1
    reach *= {1: 0.72, 2: 0.9}.get(number, 1.0)
    head = 15 * chest.size
    x = side * (head + (reach - head) * np.sin(turn) ** 0.9)
    z = -chest.depth * np.cos(turn) * reach / chest.half_width
    outward = np.stack([side * np.sin(turn), np.zeros_like(turn), -np.cos(turn)], axis=1)
    high = chest.size * spread * np.interp(turn, (0, 0.5, 1.6, last), (4.4, 5.2, 5.6, 7.2))
    ending = np.clip((last - turn) / 0.12, 0, 1)
    shell = np.interp(turn, (0, 1.2, last), (1.45, 1.45, 0.6)) * ending
    return tube(
        np.stack([x, y, z], axis=1), (high, 3.4 * chest.size), shell, 0.32, outward=outward, around=film.steps(20)
    )


def _clavicle(chest: Chest, rng: np.random.Generator, film: Film, side: int) -> Body:
    """A collar bone: an S from the breastbone up to the shoulder."""
    along = np.linspace(0, 1, film.steps(180))
    inner, lift = chest.level(rng.uniform(2.7, 3.4)), rng.uniform(22, 46)
    x = side * chest.size * (17 + 148 * along)
    y = inner - chest.size * (lift * along + 6 * np.sin(2 * np.pi * along) + rng.normal(0, 1))
    z = chest.depth * (0.75 - 1.0 * along)
    high = chest.size * np.interp(along, (0, 0.12, 0.5, 0.85, 1), (8.0, 6.2, 4.8, 5.4, 7.5))
    return tube(np.stack([x, y, z], axis=1), (high, 5.0 * chest.size), 2.0, 0.4, around=film.steps(20))


def _shoulder(chest: Chest, rng: np.random.Generator, film: Film, side: int) -> NDArray[np.float32]:
    """Path (mm) through the shoulder blade, turned more or less off the lung, with its spine, and the upper arm."""
    out, size = chest.half_width / chest.size + rng.uniform(-34, 2), chest.size
    inferior, superior = np.array([out + 4, rng.uniform(22, 42)]), np.array([out - 22, -104 + rng.uniform(-6, 8)])
    socket = np.array([out + 42, -86 + rng.uniform(-5, 5)])
    head, roof = socket + (20, 2), socket + (10, -22)
    rods = (  # start, end, radius at both, cortex
        (superior, inferior, 2.0, 2.4, 1.0),
        (inferior, socket + (-6, 12), 3.4, 5.0, 1.1),
        (superior, socket + (-10, -8), 1.8, 3.6, 0.8),
        (superior + (10, 22), roof, 2.2, 5.5, 0.9),
        (roof, socket + (26, -17), 6.0, 4.5, 1.0),
        (socket + (-10, -14), socket + (-4, -5), 4.5, 5.5, 1.2),
        (socket + (0, -14), socket + (1, 14), 3.6, 3.6, 1.3),
        (head, head + (1, 4), 21.0, 20.0, 1.6),
        (head + (2, 6), head + (26, 150), 13.5, 10.5, 3.2),
    )
    depth = 0.6 * chest.depth * chest.rotation
    corners = size * np.array([superior, inferior, socket]) * (side, 1) - (depth, 0)
    bone = _plate(film, corners)
    for start, end, first, last, cortex in rods:
        ends = size * np.array([start, end]) * (side, 1) - (depth, 0)
        where = film.near(ends, size * max(first, last) + 1)
        distance, along = capsule(film.x[where], film.y[where], *np.array(ends, np.float32))
        radius = size * (first + (last - first) * along)
        core = path_length(distance, radius - cortex)
        bone[where] += path_length(distance, radius) - (1 - SPONGY_SHARE) * core
    return bone


def _plate(film: Film, corners: Points) -> NDArray[np.float32]:
    """Path (mm) through the thin blade between three corners (mm)."""
    bone = np.zeros(film.shape, np.float32)
    where = film.near(corners, 2.0)
    middle, inside = corners.mean(axis=0), np.full(film.x[where].shape, np.inf)
    for a, b in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        normal = np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(*(b - a))
        normal *= np.sign((middle - a) @ normal)
        inside = np.minimum(inside, (film.x[where] - a[0]) * normal[0] + (film.y[where] - a[1]) * normal[1])
    bone[where] = BLADE_MM * np.clip(inside / 2 + 0.5, 0, 1)
    return bone
