"""Retinal vessels: four arcades of an artery and a vein each, branches that narrow as Murray's law has it, and crossings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from core.tasks.retina_lesions.phantom.eye import SIDE, Eye, Point, stream

STEP = 0.009  # between the points of a vessel, shares of the side
NARROWING = 0.75  # radius of a branch to that of its parent at most
THINNEST = 0.75  # radius, pixels of 1024
AVASCULAR = 0.05  # radius around the fovea, shares of the side
TRUNKS = (  # temporal, above: from the disc, as (towards the nose from the fovea, up), shares of the side
    ((0.34, 0.13), (0.21, 0.25), (0.03, 0.29), (-0.18, 0.26), (-0.38, 0.20), (-0.56, 0.17)),
    ((0.40, 0.12), (0.43, 0.23), (0.49, 0.36), (0.56, 0.50)),
)


@dataclass(frozen=True)
class Vessel:
    """A course (N, 2) in shares of the side and the radius (N,) along it in pixels of 1024."""

    course: Point
    radius: NDArray[np.float64]
    is_artery: bool
    depth: int


def _wander(rng: np.random.Generator, n: int, smooth: float) -> NDArray[np.float64]:
    """Smooth noise of unit variance, n values."""
    noise: NDArray[np.float64] = gaussian_filter1d(rng.standard_normal(n + 40), smooth)[20 : n + 20]
    return noise * np.sqrt(2 * np.sqrt(np.pi) * smooth)


def _trunk(rng: np.random.Generator, eye: Eye, shape: tuple[tuple[float, float], ...], up: int, artery: bool) -> Vessel:
    """A course along `shape`, above (up = -1) or below the fovea; artery and vein of a pair meander apart."""
    start = eye.disc + np.array([rng.uniform(-0.012, 0.012), up * rng.uniform(0.0, 0.015)])
    jitter = np.linspace(0.010, 0.045, len(shape))[:, None] * rng.standard_normal((len(shape), 2))
    outward = np.array(shape) * (eye.nasal, up) + jitter
    stops = np.vstack([start, eye.fovea + outward * (1 if artery else 1.06)])
    lengths = np.concatenate([[0], np.hypot(*np.diff(stops, axis=0).T).cumsum()])
    at = np.arange(0, lengths[-1], STEP)
    spline = CubicSpline(lengths, stops)
    way = spline(at, 1)
    across = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(np.hypot(*way.T), 1e-6)[:, None]
    shift = (0.006 * _wander(rng, len(at), 6) + 0.002 * _wander(rng, len(at), 1.8)) * np.minimum(at / 0.1, 1)
    first = rng.uniform(3.6, 4.7) if artery else rng.uniform(5.0, 6.8)
    radius = first * (1 - 0.62 * at / lengths[-1])
    return _inside(Vessel(spline(at) + shift[:, None] * across, radius, artery, 0), eye)


def _inside(vessel: Vessel, eye: Eye) -> Vessel:
    """The part of a vessel before it leaves the camera field or comes to the fovea."""
    stops = ~eye.in_field(vessel.course, -0.03) | (np.hypot(*(vessel.course - eye.fovea).T) < AVASCULAR)
    end = int(stops.argmax()) if stops.any() else len(stops)
    return Vessel(vessel.course[:end], vessel.radius[:end], vessel.is_artery, vessel.depth)


def _branch(rng: np.random.Generator, eye: Eye, parent: Vessel, at: int, side: int) -> Vessel:
    """A side branch from point `at` of `parent`: leaves it at an angle and bends towards the fovea or the edge."""
    place = parent.course[at]
    ahead = parent.course[at] - parent.course[max(at - 2, 0)]
    heading = np.arctan2(ahead[1], ahead[0]) + side * np.deg2rad(rng.uniform(28, 65))
    to_fovea = eye.fovea - place
    distance = float(np.hypot(*to_fovea))
    towards = np.arctan2(to_fovea[1], to_fovea[0])
    bend = (towards - heading + np.pi) % (2 * np.pi) - np.pi
    inward = abs(bend) < np.deg2rad(95)
    if not inward:
        bend = (bend + 2 * np.pi) % (2 * np.pi) - np.pi  # away from the fovea
    reach = distance * rng.uniform(0.45, 0.95) if inward else rng.uniform(0.10, 0.34)
    length = max(reach, 0.05) * 0.6**parent.depth
    n = max(int(length / STEP), 3)
    turn = heading + 0.55 * bend * np.linspace(0, 1, n) + 0.22 * _wander(rng, n, 3) + 0.16 * _wander(rng, n, 1)
    course = place + STEP * np.stack([np.cos(turn), np.sin(turn)], axis=1).cumsum(axis=0)
    first = parent.radius[at] * rng.uniform(0.35, NARROWING)
    radius = np.maximum(first * np.linspace(1, 0.45, n), THINNEST)
    return _inside(
        Vessel(np.vstack([place, course]), np.append(first, radius), parent.is_artery, parent.depth + 1), eye
    )


def grow(eye: Eye) -> list[Vessel]:
    """All vessels of an eye, parents before their branches."""
    rng = stream(eye.seed, "vessels")
    vessels = [_trunk(rng, eye, shape, up, artery) for shape in TRUNKS for up in (-1, 1) for artery in (True, False)]
    vessels += _small_vessels_of_the_disc(rng, eye)
    for vessel in vessels:  # grows while it is walked through
        spacing = (0.085, 0.065)[vessel.depth] if vessel.depth < 2 else np.inf
        at, side = spacing * rng.uniform(0.3, 1.6) + (0.07 if vessel.depth == 0 else 0), int(rng.choice((-1, 1)))
        while at < STEP * (len(vessel.course) - 2):
            vessels.append(_branch(rng, eye, vessel, int(at / STEP), side))
            at, side = at + spacing * rng.uniform(0.6, 1.8), side if rng.random() < 0.3 else -side
    return [vessel for vessel in vessels if len(vessel.course) > 2]


def _small_vessels_of_the_disc(rng: np.random.Generator, eye: Eye) -> list[Vessel]:
    """Thin vessels that leave the disc towards the macula and the nose."""
    found = []
    for angle in (*rng.uniform(-0.9, 0.9, 3), *(np.pi + rng.uniform(-0.9, 0.9, 2))):
        heading = np.pi * (eye.nasal > 0) + angle
        n = int(rng.uniform(0.14, 0.34) / STEP)
        turn = heading + rng.uniform(-0.4, 0.4) * np.linspace(0, 1, n) + 0.22 * _wander(rng, n, 3)
        course = eye.disc + STEP * np.stack([np.cos(turn), np.sin(turn)], axis=1).cumsum(axis=0)
        radius = rng.uniform(1.6, 2.6) * np.linspace(1, 0.4, n)
        found.append(_inside(Vessel(course, radius, bool(rng.random() < 0.5), 1), eye))
    return found


def paint_vessels(vessels: list[Vessel], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blood and reflex.

    Returns:
        float32 (N, N): how much blood light passes, arteries and veins added where they cross, and the light streak of wide
        arteries.
    """
    ends = [
        np.column_stack([v.course[:-1] * size - 0.5, v.course[1:] * size - 0.5, v.radius[:-1], v.radius[1:]])
        for v in vessels
    ]
    is_artery = np.repeat([v.is_artery for v in vessels], [len(part) for part in ends])
    segments = np.concatenate(ends).astype(np.float32)
    thick = np.minimum(0.22 + 0.15 * segments[:, 4], 1)
    veins = _paint_segments(segments[~is_artery], thick[~is_artery], size)
    arteries = _paint_segments(segments[is_artery], 0.8 * thick[is_artery], size)
    streaks = segments[is_artery & (segments[:, 4] > 2.2)] * np.array((1, 1, 1, 1, 0.32, 0.32), np.float32)
    return veins + arteries, _paint_segments(streaks, np.full(len(streaks), 0.3, np.float32), size)


def _paint_segments(
    segments: NDArray[np.float32], amounts: NDArray[np.float32], size: int, parts: int = 6
) -> NDArray[np.float32]:
    """Tapering rods with soft edges; the strongest wins.

    Args:
        segments: float32 (M, 6): both ends (x, y, x, y) in pixels, and their radii in pixels of 1024.
        amounts: float32 (M,).
        size: Side of the layer.
        parts: Segments of like width are painted together; a window as wide as the widest would waste most of its pixels.

    Returns:
        float32 (size, size).
    """
    layer = np.zeros((size, size), np.float32)
    radii = segments[:, 4:] * np.float32(size / SIDE)
    for chosen in np.array_split(np.argsort(segments[:, 4], kind="stable"), parts):
        if not len(chosen):
            continue
        a, b, r = segments[chosen, :2], segments[chosen, 2:4], radii[chosen]
        way = b - a
        half = int(np.hypot(*way.T).max() / 2 + r.max() + 2)
        corner = np.floor((a + b) / 2).astype(int) - half
        offset = np.arange(2 * half + 2)
        column, row = corner[:, 0, None, None] + offset, corner[:, 1, None, None] + offset[:, None]
        dx, dy = (column - a[:, 0, None, None]).astype(np.float32), (row - a[:, 1, None, None]).astype(np.float32)
        ux, uy = way[:, 0, None, None], way[:, 1, None, None]
        along = np.clip((dx * ux + dy * uy) / np.maximum(ux * ux + uy * uy, 1e-6), 0, 1)
        radius = r[:, 0, None, None] + along * (r[:, 1] - r[:, 0])[:, None, None]
        cover = np.clip((radius + 0.7 - np.hypot(dx - along * ux, dy - along * uy)) / 1.4, 0, 1)
        cover *= (amounts[chosen] * np.minimum(r[:, 0] / 0.5, 1))[:, None, None]
        used = (cover > 0) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
        np.maximum.at(layer.reshape(-1), (row * size + column)[used], cover[used])
    return layer
