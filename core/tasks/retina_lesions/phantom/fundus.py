"""The fundus without lesions, and what may be taken for lesions: drusen, reflexes, pigment spots, capillary knots.

Everything is added to the logarithm of the colour, as light passes one layer after the other.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.imaging.drawing import field, patch
from core.tasks.retina_lesions.phantom.eye import BLOOD, SIDE, Eye, grid, stream
from core.tasks.retina_lesions.phantom.marks import Mark, draw_waves, paint
from core.tasks.retina_lesions.phantom.vessels import Vessel, paint_vessels

Colour = tuple[float, float, float]
CHOROID: Colour = (0.45, 0.8, 0.9)
MACULAR_PIGMENT: Colour = (0.22, 0.42, 0.55)
NERVE_FIBRES: Colour = (0.35, 0.75, 1.0)
MELANIN: Colour = (0.36, 0.46, 0.30)
DRUSE: Colour = (0.13, 0.36, 0.24)
REFLEX: Colour = (0.16, 0.34, 0.42)


def add(log_rgb: NDArray[np.float32], layer: NDArray[np.float32], colour: Colour, weight: float = 1.0) -> None:
    """Add a layer (N, N) to the log colour (3, N, N), in place, by `weight` times its colour."""
    for channel, share in zip(log_rgb, colour, strict=True):
        channel += np.float32(weight * share) * layer


def draw_fundus(eye: Eye, vessels: list[Vessel], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The eye without lesions in even light.

    Returns:
        float32 (3, N, N), logarithm of the colour 0-255, and float32 (N, N), the blood of its vessels.
    """
    log_rgb = _ground(eye, size)
    _disc(log_rgb, eye, size)
    dark, knots = _dark_marks(eye, vessels, size)
    drusen, reflexes = _bright_marks(eye, vessels, size)
    blood, streak = paint_vessels(vessels, size)
    add(log_rgb, drusen, DRUSE)
    add(log_rgb, dark, MELANIN, -1)
    add(log_rgb, np.maximum(blood, knots), BLOOD, -1)
    add(log_rgb, streak, (0.25, 0.55, 0.5))
    add(log_rgb, reflexes, REFLEX)
    return log_rgb, blood


def _double(layer: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A layer of half the side, interpolated to (size, size)."""
    for _ in range(2):  # rows, then columns
        padded = np.pad(layer, ((1, 1), (0, 0)), mode="edge")
        fine = np.empty((2 * len(layer), layer.shape[1]), np.float32)
        fine[::2] = 0.75 * layer + 0.25 * padded[:-2]
        fine[1::2] = 0.75 * layer + 0.25 * padded[2:]
        layer = fine[:size].T
    return layer


def _ground(eye: Eye, size: int) -> NDArray[np.float32]:
    """Choroid, its vessels, the macula and the nerve fibres around the disc."""
    rng = stream(eye.seed, "background")
    low = -(-size // 2)
    scale = low / SIDE
    x, y = grid(low)
    from_fovea = np.hypot(x - eye.fovea[0], y - eye.fovea[1])
    from_disc = np.hypot(x - eye.disc[0], y - eye.disc[1])
    mottle = rng.uniform(0.04, 0.10) * field(rng, (low, low), 150 * scale)
    mottle += rng.uniform(0.02, 0.045) * field(rng, (low, low), 22 * scale)
    mottle += rng.uniform(0.012, 0.03) * field(rng, (low, low), 7 * scale)
    ridges = sum((np.exp(-np.square(field(rng, (low, low), k * scale) / 0.22)) for k in (70, 48)), np.float32(0))
    away = np.clip((from_fovea - 0.12) / 0.2, 0, 1)
    tessellation = max(rng.uniform(-0.06, 0.10), 0.0) * away * ridges
    pit, macula = np.exp(-0.5 * np.square(from_fovea / 0.032)), np.exp(-0.5 * np.square(from_fovea / 0.095))
    dark = rng.uniform(0.25, 0.75) * pit + rng.uniform(0.25, 0.7) * macula
    angle = np.arctan2(y - eye.disc[1], x - eye.disc[0])
    streaks = field(rng, (8, 720), 5)[0][((angle / (2 * np.pi) + 0.5) * 719).astype(int)]
    fibres = rng.uniform(0.10, 0.38) * np.exp(-from_disc / 0.17) * (1 + 0.10 * streaks)
    base = np.empty((3, low, low), np.float32)
    base[:] = np.log(eye.base)[:, None, None]
    add(base, mottle, CHOROID)
    add(base, tessellation, (0.7, 1.0, 0.6))
    add(base, dark, MACULAR_PIGMENT, -1)
    add(base, fibres, NERVE_FIBRES)
    return np.stack([_double(channel, size) for channel in base])


def _disc(log_rgb: NDArray[np.float32], eye: Eye, size: int) -> None:
    """The optic disc with its pale cup and, in some eyes, a bright crescent or a dark rim beside it."""
    rng = stream(eye.seed, "background", 1)
    centre = eye.disc * size - 0.5
    (rows, columns), x, y = patch((size, size), centre[None], 2.2 * max(eye.disc_radii) * size / SIDE)
    part = log_rgb[:, rows, columns]
    dx, dy = (
        (at - np.float32(middle)) * np.float32(SIDE / size / radius)
        for at, middle, radius in zip((x, y), centre, eye.disc_radii, strict=True)
    )
    radius = np.hypot(dx, dy)
    edge, width, crescent_width = rng.uniform(0.06, 0.14), rng.uniform(0.45, 0.75), rng.uniform(0.1, 0.28)
    bright, dark = max(rng.uniform(-0.5, 0.5), 0), max(rng.uniform(-0.3, 0.5), 0)
    cover = np.clip(0.5 + (1 - radius) / edge, 0, 1)
    cup = np.exp(-np.square(np.hypot(dx + 0.22 * eye.nasal, dy) / width))
    crescent = np.clip((1.0 + crescent_width - np.hypot(dx + 0.12 * eye.nasal, dy)) / 0.08, 0, 1)
    rim = np.exp(-np.square((radius - 1.08) / 0.05)) * np.clip(-eye.nasal * dx, 0, 1)
    halo = np.exp(-np.maximum(radius - 1, 0) / 0.25) * np.clip(2.2 - radius, 0, 1)
    add(part, bright * crescent, DRUSE, 2.0)
    add(part, dark * rim, MELANIN, -1.0)
    add(part, halo, NERVE_FIBRES, 0.12)
    tissue = np.log(eye.disc_colour)
    for channel, colour, pale in zip(part, tissue, (0.03, 0.30, 0.55), strict=True):
        # A dark fundus is photographed through a dark medium, so the disc keeps a share of its colour.
        target = 0.72 * colour + 0.28 * (channel + 0.5) + pale * (cup - 0.45)
        channel += 0.94 * cover * (target - channel)


def _dark_marks(eye: Eye, vessels: list[Vessel], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pigment spots, and knots of capillaries and vessels seen end-on, which are as red as a microaneurysm."""
    rng = stream(eye.seed, "dark_marks")
    pigment = [
        Mark(
            place=(float(x), float(y)),
            radius=float(np.exp(rng.normal(np.log(4.5), 0.5))),
            edge=float(rng.uniform(3, 8)),
            amount=float(rng.uniform(0.15, 0.75)),
            stretch=float(rng.uniform(1, 2)),
            angle=float(rng.uniform(0, np.pi)),
            waves=draw_waves(rng, 0.25),
        )
        for x, y in rng.uniform(0.06, 0.94, (int(rng.geometric(1 / 9)) + 2, 2))
    ]
    knots = []
    for _ in range(int(rng.integers(10, 45))):
        vessel = vessels[int(rng.integers(len(vessels)))]
        x, y = vessel.course[-1 if vessel.depth > 1 else int(rng.integers(len(vessel.course)))] + rng.normal(
            0, 0.006, 2
        )
        knots.append(Mark((float(x), float(y)), float(rng.uniform(1.4, 3.4)), 2.0, float(rng.uniform(0.15, 0.6))))
    layers = np.zeros((2, size, size), np.float32)
    for layer, marks in zip(layers, (pigment, knots), strict=True):
        paint(layer, [mark for mark in marks if eye.in_field(np.array(mark.place), 0.0)])
    return layers[0], layers[1]


def _bright_marks(eye: Eye, vessels: list[Vessel], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Drusen around the macula; sheen and sparkles of the inner surface along the vessels of young eyes."""
    rng = stream(eye.seed, "bright_marks")
    drusen = []
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.55 else 0):
        middle, spread = eye.fovea + rng.normal(0, 0.09, 2), rng.uniform(0.02, 0.10)
        for x, y in middle + spread * rng.standard_normal((int(rng.integers(5, 45)), 2)):
            radius = float(np.exp(rng.normal(np.log(2.8), 0.45)))
            amount = float(rng.uniform(0.2, 0.95))
            drusen.append(Mark((float(x), float(y)), radius, 0.8 * radius + 1.5, amount, waves=draw_waves(rng, 0.12)))
    sparkles, young = [], rng.random() < 0.6
    for _ in range(int(rng.integers(6, 50)) if young else 3):
        vessel = vessels[int(rng.integers(len(vessels)))]
        at = int(rng.integers(1, len(vessel.course)))
        (x, y), (u, v) = vessel.course[at], vessel.course[at] - vessel.course[at - 1]
        offset = rng.normal(0, 0.008, 2)
        sparkles.append(
            Mark(
                place=(float(x + offset[0]), float(y + offset[1])),
                radius=float(rng.uniform(1.5, 5.0)),
                edge=float(rng.uniform(2, 6)),
                amount=float(rng.uniform(0.15, 0.9)),
                stretch=float(rng.uniform(1, 5)),
                angle=float(np.arctan2(v, u)),
            )
        )
    layers = np.zeros((2, size, size), np.float32)
    for layer, marks in zip(layers, (drusen, sparkles), strict=True):
        paint(layer, [mark for mark in marks if eye.in_field(np.array(mark.place), 0.0)])
    layers[1] += _sheen(rng, vessels, size, rng.uniform(0.1, 0.5) if young else 0.0)
    return layers[0], layers[1]


def _sheen(rng: np.random.Generator, vessels: list[Vessel], size: int, amount: float) -> NDArray[np.float32]:
    """Wide soft glints beside the large vessels."""
    low = max(size // 8, 8)
    glints = np.zeros((low, low), np.float32)
    for vessel in vessels[:6]:
        for a, b in pairwise(vessel.course[:: max(len(vessel.course) // 12, 1)]):
            x, y = ((a + b) / 2 + rng.normal(0, 0.02, 2)) * low
            if 0 <= x < low and 0 <= y < low:
                glints[int(y), int(x)] += rng.uniform(0, 1)
    glints = gaussian_filter(glints, 0.018 * low)
    glints *= np.float32(amount / max(float(glints.max()), 1e-6))
    at = np.clip((np.arange(size) + 0.5) * low / size - 0.5, 0, low - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(low)), 0).astype(np.float32)
    wide: NDArray[np.float32] = weights @ glints @ weights.T
    return wide
