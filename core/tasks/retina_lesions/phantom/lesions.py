"""Red lesions (microaneurysms, haemorrhages) and bright lesions (hard exudates) of one eye, from a latent severity.

Every eye has one fixed list of lesions that it could have; the severity says how many of them have come. A severer eye so has the
lesions of the milder one and more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.tasks.retina_lesions.phantom.eye import BLOOD, SIDE, Eye, stream
from core.tasks.retina_lesions.phantom.fundus import add
from core.tasks.retina_lesions.phantom.marks import Mark, draw_waves, paint

CAUSE_SHARE = 0.8  # correlation of each lesion kind's load with the severity
RED_FROM, BRIGHT_FROM = -0.1, 0.2  # loads at which the first lesions come: 54 % and 42 % of the eyes
FLAMES = 0.3  # share of the haemorrhages that lie in the nerve fibre layer
EXUDATE = (0.13, 0.48, 0.26)
MOST, CLUSTERS = 160, 42  # candidates: microaneurysms, as many haemorrhages, and groups of exudates


@dataclass(frozen=True)
class Lesions:
    """The lesions of an eye: what to paint, in the order in which they come."""

    severity: float
    microaneurysms: tuple[Mark, ...]
    haemorrhages: tuple[Mark, ...]
    exudates: tuple[Mark, ...]


def draw_lesions(eye: Eye, severity: float | None, vessels: NDArray[np.float32]) -> Lesions:
    """The lesions that an eye of this severity has.

    Args:
        eye: The eye.
        severity: Cause, standard normal in the population; drawn when None.
        vessels: float32 (N, N), blood of the vessels: lesions do not begin on a vessel.
    """
    drawn, red_noise, bright_noise = stream(eye.seed, "cause").standard_normal(3)
    severity = float(drawn) if severity is None else float(severity)
    rest = np.sqrt(1 - CAUSE_SHARE**2)
    red = CAUSE_SHARE * severity + rest * float(red_noise) - RED_FROM
    bright = CAUSE_SHARE * severity + rest * float(bright_noise) - BRIGHT_FROM
    small, large = _red_candidates(eye, vessels)
    clusters = _exudate_clusters(eye)
    return Lesions(
        severity,
        tuple(small[: _count(red, 4, 26)]),
        tuple(large[: _count(red, 1, 20)]),
        tuple(mark for cluster in clusters[: _count(bright, 1, 9)] for mark in cluster),
    )


def _count(load: float, first: int, more: int) -> int:
    """How many have come: none below a load of 0, then `first` and `more` for each unit."""
    return first + int(more * load) if load > 0 else 0


def _free(eye: Eye, places: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which lesions at `places` (M, 2) of this reach (M,), pixels of 1024, lie in the field and beside the disc."""
    away = (places - eye.disc) * SIDE / (1.12 * np.array(eye.disc_radii) + reach[:, None])
    beside: NDArray[np.bool_] = np.hypot(away[:, 0], away[:, 1]) > 1
    return beside & eye.in_field(places, 0.012 + reach / SIDE)


def _red_candidates(eye: Eye, vessels: NDArray[np.float32]) -> tuple[list[Mark], list[Mark]]:
    """Microaneurysms and haemorrhages, most at the posterior pole and away from vessels."""
    rng = stream(eye.seed, "red")
    places = 0.7 * eye.fovea + 0.3 * eye.disc + rng.standard_normal((2 * MOST, 2)) * (0.24, 0.19)
    is_small, u = np.arange(2 * MOST) % 2 == 0, rng.uniform(0, 1, (2 * MOST, 6))
    large_radius = np.clip(np.exp(rng.normal(np.log(7.2), 0.62, 2 * MOST)), 4, 28)
    radius = np.where(is_small, 1.9 + 2 * u[:, 0], large_radius)
    column, row = np.clip((places.T * len(vessels)).astype(int), 0, len(vessels) - 1)
    found: tuple[list[Mark], list[Mark]] = ([], [])
    for index in np.flatnonzero(_free(eye, places, 2.2 * radius) & (vessels[row, column] < 0.3)):
        small, (_, shape, turn, length, angle, dark) = bool(is_small[index]), u[index]
        flame = not small and shape < FLAMES
        across, down = places[index] - eye.disc
        along_fibres = np.arctan2(down, across) + 0.5 * (turn - 0.5)
        mark = Mark(
            place=(float(places[index, 0]), float(places[index, 1])),
            radius=float(radius[index]),
            edge=1.2 if small else float((0.9 if flame else 0.45) * radius[index]),
            amount=float(0.18 + 0.54 * dark),
            stretch=float(2.2 + 2.5 * length if flame else 1 + (0.2 if small else 0.7) * length),
            angle=float(along_fibres if flame else np.pi * angle),
            waves=draw_waves(rng, 0.07 if small else 0.22),
        )
        found[0 if small else 1].append(mark)
    return found


def _exudate_clusters(eye: Eye) -> list[list[Mark]]:
    """Groups of hard exudates around the macula: heaps, and rings around a leaking spot."""
    rng = stream(eye.seed, "bright")
    clusters = []
    for _ in range(CLUSTERS):
        turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.045, 0.26)
        middle = eye.fovea + far * np.array([np.cos(turn), np.sin(turn)])
        ring, n = rng.random() < 0.3, int(rng.integers(4, 32))
        spread, bold = rng.uniform(0.022, 0.05), rng.uniform(0.5, 1.0)
        arc = rng.uniform(0, 2 * np.pi) + rng.uniform(1.2, 5) * rng.uniform(0, 1, n)
        circle = spread * np.stack([np.cos(arc), np.sin(arc)], axis=1) + rng.normal(0, 0.1 * spread, (n, 2))
        heap = spread * rng.uniform(0.3, 0.8) * rng.standard_normal((n, 2)) * (1, rng.uniform(0.4, 1))
        places, radius = middle + (circle if ring else heap), np.exp(rng.normal(np.log(2.5), 0.45, n))
        u = rng.uniform(0, 1, (n, 4))
        marks = [
            Mark(
                place=(float(places[index, 0]), float(places[index, 1])),
                radius=float(radius[index]),
                edge=float(1.2 + u[index, 0]),
                amount=float(bold * (0.45 + 0.55 * u[index, 1])),
                stretch=float(1 + 1.2 * u[index, 2]),
                angle=float(turn + u[index, 3] - 0.5),
                waves=draw_waves(rng, 0.28),
            )
            for index in np.flatnonzero(_free(eye, places, 2 * radius))
        ]
        if marks:
            clusters.append(marks)
    return clusters


def paint_lesions(log_rgb: NDArray[np.float32], lesions: Lesions) -> dict[str, NDArray[np.bool_]]:
    """Paint the lesions into the log colour (3, N, N), in place.

    Returns:
        Boolean (N, N) masks "microaneurysm", "haemorrhage" and "bright".
    """
    size = log_rgb.shape[1]
    blood, bright = np.zeros((2, size, size), np.float32)
    masks = {
        "microaneurysm": paint(blood, lesions.microaneurysms),
        "haemorrhage": paint(blood, lesions.haemorrhages),
        "bright": paint(bright, lesions.exudates),
    }
    add(log_rgb, blood, BLOOD, -1)
    add(log_rgb, bright, EXUDATE)
    return masks
