"""Calcium in the aortic arch: thin bright arcs in the wall of the knob."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from core.imaging.drawing import Array, field, patch
from core.records import Box
from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.landmarks import Landmarks, inside

WALL_MM = 1.6  # from the outline to the plaques
CALCIFIED = (0.0, 0.2, 0.8)  # share of the arch, at severity 0, 0.5 and 1
CALCIUM = (0.0, 0.18, 0.42)  # rise of a plaque at these severities, share of the film's contrast
MARGIN_MM = 2.0  # of the box around the knob
SEARCH_MM = 4.0  # off the outline told by the masks: where the film shows it
MIN_EDGE = 0.1  # fall in grey across the outline, share of the film's contrast: less is no visible knob
N_ANGLES = 120
SIDEWAYS = np.deg2rad(60.0)  # of the outline: what borders on lung


def calcify(
    film: NDArray[np.float32], tone: Tone, landmarks: Landmarks, severity: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[Box]]:
    """Plaques along the outline of the knob, broken as a reader sees them.

    Args:
        film: float32 (H, W), on which the outline is looked for.
        tone: Its greys.
        landmarks: Its landmarks.
        severity: 0 to 1.
        rng: Source of the plaques.

    Returns:
        The rise in grey, float32 (H, W), and the box of the knob. A film on which no knob stands out gets neither.
    """
    at = (0, 0.5, 1)
    scale, knob, shape = landmarks.px_per_mm, landmarks.knob, (film.shape[0], film.shape[1])
    share = float(np.clip(np.interp(severity, at, CALCIFIED) * np.exp(0.15 * rng.normal()), 0, 1))
    strength = float(np.interp(severity, at, CALCIUM)) * tone.span * float(np.exp(0.12 * rng.normal()))
    start, gaps = rng.uniform(-0.9, 0.3), field(rng, (1, 64), 5.0)[0]
    rise = np.zeros(shape, np.float32)
    centre = np.array([[(knob[0] + knob[2] - 1) / 2, (knob[1] + knob[3] - 1) / 2]])
    angles = np.linspace(-np.pi, np.pi, N_ANGLES, endpoint=False)
    outline, fall = _outline(film, landmarks, centre[0], angles)
    if fall < MIN_EDGE * tone.span:
        return rise, []
    where, x, y = patch(shape, centre, 0.75 * (knob[2] - knob[0]))
    x, y = x - centre[0, 0], y - centre[0, 1]
    angle = np.arctan2(y, x)  # 0 to the left of the patient, rising clockwise
    wall = np.interp(angle, np.append(angles, np.pi), np.append(outline, outline[0])) - WALL_MM * scale
    turn = np.abs((angle - start + np.pi) % (2 * np.pi) - np.pi) / np.pi
    along = np.clip((share - turn) / 0.06 + 0.5, 0, 1) if share > 0 else np.zeros(angle.shape)
    broken = np.clip(0.75 + 0.45 * np.interp(turn * 63, np.arange(64), gaps), 0.15, 1.2)
    line = np.exp(-0.5 * np.square((np.hypot(x, y) - wall) / max(0.5 * WALL_MM * scale, 0.75)))
    rise[where] = strength * along * broken * line
    margin = MARGIN_MM * scale
    return rise, [
        inside((knob[0] - margin, knob[1] - margin, knob[2] + margin, knob[3] + margin), landmarks.masks.heart)
    ]


def _outline(
    film: NDArray[np.float32], landmarks: Landmarks, centre: NDArray[np.float64], angles: Array
) -> tuple[NDArray[np.float64], float]:
    """Distance (px) of the knob's outline from its centre by angle, and how much the grey falls across its free side.

    The outline is the circle of the knob's box, where the mask of the lung begins instead, and there the steepest fall nearby.
    """
    scale, radius = landmarks.px_per_mm, (landmarks.knob[2] - landmarks.knob[0]) / 2
    steps = np.arange(0.6 * radius, 1.45 * radius, 0.5)
    y, x = (
        middle + turn[:, None] * steps
        for middle, turn in zip(centre[::-1], (np.sin(angles), np.cos(angles)), strict=True)
    )
    lung = map_coordinates(landmarks.masks.left_lung.astype(np.float32), (y, x), order=1, mode="constant") >= 0.5
    beside = lung.any(axis=1) & ~lung[:, 0]
    first = np.where(beside, steps[lung.argmax(axis=1)], radius)
    grey = map_coordinates(gaussian_filter(film, 0.8 * scale), (y, x), order=1, mode="nearest")
    falls = -np.gradient(grey, axis=1) * np.exp(-0.5 * np.square((steps - first[:, None]) / (0.5 * SEARCH_MM * scale)))
    steepest = steps[falls.argmax(axis=1)]
    outline = np.where(beside & (falls.max(axis=1) > 0), steepest, first)
    outline = gaussian_filter1d(outline, 3, mode="wrap")
    free = np.abs(angles) < SIDEWAYS
    rows = np.arange(len(angles))[free]
    across = [
        map_coordinates(grey, (rows, (outline[free] + step * scale - steps[0]) / 0.5), order=1, mode="nearest")
        for step in (-3, 3)
    ]
    return outline, float(np.median(across[0] - across[1]))
