"""Degenerative thoracic spine: osteophytes and dense end plates at neighbouring discs."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from core.imaging.drawing import Array, field, patch
from core.records import Box
from core.tasks.chest_lesions.composite.scoliosis import BODY_MM
from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.composite.warp import ramp
from core.tasks.chest_lesions.landmarks import Landmarks, inside

PITCH_MM = (18.0, 25.0)  # from disc to disc, middle and lower thoracic spine
OSTEOPHYTE_MM = (0.0, 2.5, 9.0)  # length at severity 0, 0.5 and 1
BONE = (0.0, 0.3, 0.62)  # rise of a beak at these severities, share of the film's contrast
PLATE = 0.3  # of a dense end plate, relative to a beak
FADE = 0.7  # bone fades less than soft tissue where the film is nearly white
MIN_RISE = 0.04  # of the brightest beak in grey: less is not seen
TOP_MM = (105.0, 150.0)  # first worn disc below the apices


def wear(
    film: NDArray[np.float32],
    tone: Tone,
    landmarks: Landmarks,
    axis: NDArray[np.float64],
    severity: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], list[Box]]:
    """Wear of two to four discs, worse on the right, where the pulse of the aorta does not keep bone away.

    Args:
        film: float32 (H, W), on which the discs are looked for.
        tone: Its greys.
        landmarks: Its landmarks.
        axis: x of the middle of the spine in every row, float64 (H,).
        severity: 0 to 1.
        rng: Source of levels and beaks.

    Returns:
        The rise in grey, float32 (H, W), and the box around the levels with their osteophytes; none where the film is too
        white there to show them.
    """
    scale = landmarks.px_per_mm
    length = float(np.interp(severity, (0, 0.5, 1), OSTEOPHYTE_MM)) * float(np.exp(0.12 * rng.normal()))
    bone = float(np.interp(severity, (0, 0.5, 1), BONE)) * tone.span
    pitch, disc = _find_discs(film, axis, landmarks)
    n_discs = int(rng.integers(2, 5))
    top = landmarks.spine[1] + rng.uniform(*TOP_MM) * scale
    top = min(top, len(axis) - (n_discs + 1) * pitch)
    discs = disc + pitch * (np.ceil((top - disc) / pitch) + np.arange(n_discs))
    weak = rng.uniform(0.2, 0.6)
    rise = np.zeros(film.shape, np.float32)
    for at in discs:
        beaks = length * rng.uniform(0.55, 1.0, (2, 2)) * np.array([[1.0], [weak]])  # right and left, above and below
        points = np.array([[np.interp(at, np.arange(len(axis)), axis), at]])
        where, x, y = patch((film.shape[0], film.shape[1]), points, (BODY_MM + length + 6) * scale)
        tilt = float(np.interp(at, np.arange(len(axis) - 1), np.diff(axis)))
        u = (x - axis[where[0]][:, None]) / scale
        v = (y - at) / scale + tilt * u
        v += 0.7 * field(rng, u.shape, 8 * scale)  # no end plate is drawn with a ruler
        patchy = np.clip(0.8 + 0.35 * field(rng, u.shape, 4 * scale), 0.2, 1.5)
        rise[where] = np.maximum(rise[where], bone * patchy * _disc(u, v, beaks))
    rise *= tone.gain**FADE
    half = (BODY_MM + length + 1) * scale
    ends = discs[0] - 0.6 * pitch, discs[-1] + 0.6 * pitch
    middle = np.interp(np.linspace(*ends, 20), np.arange(len(axis)), axis)
    seen = np.minimum(rise, 1 - film).max() >= MIN_RISE
    box = inside((middle.min() - half, ends[0], middle.max() + half, ends[1]), landmarks.masks.heart)
    return rise, [box] if seen else []


def _disc(u: Array, v: Array, beaks: NDArray[np.float64]) -> Array:
    """Bone at one disc relative to a full beak: u, v in mm from its middle, to the right of the picture and down."""
    plates = PLATE * min(beaks.max() / 5, 1.0) * np.sqrt(np.clip(1.05 - np.square(u / BODY_MM), 0, 1))
    total = plates * np.exp(-0.5 * np.square((np.abs(v) - 3.6) / 1.4))
    for side, lengths in zip((-1, 1), beaks, strict=True):
        for end, length in zip((-1, 1), lengths, strict=True):
            out = (side * u - BODY_MM + 3) / (length + 3)  # 0 inside the body, 1 at the tip
            middle = end * (5.0 - 3.4 * np.clip(out, 0, 1) ** 1.5)  # claws that bend over the disc
            thick = 1.0 + (1.0 + 0.2 * length) * np.clip(1 - out, 0, 1)
            along = ramp(out / 0.6) * ramp((1.08 - out) * length / 1.5)
            total = np.maximum(total, along * np.exp(-0.5 * np.square((v - middle) / thick)))
    return np.asarray(total)


def _find_discs(film: NDArray[np.float32], axis: NDArray[np.float64], landmarks: Landmarks) -> tuple[float, float]:
    """Distance from disc to disc and the row of one, where dark bands come back most regularly along the spine."""
    scale = landmarks.px_per_mm
    rows = np.arange(int(landmarks.spine[1]), int(landmarks.spine[3]))
    across = np.arange(-9, 10) * scale
    at = np.broadcast_arrays(rows[:, None], axis[rows][:, None] + across)
    strip = map_coordinates(film, at, order=1, mode="nearest").mean(axis=1)
    bands = gaussian_filter1d(strip, 1.5 * scale) - gaussian_filter1d(strip, 9 * scale)
    lower = rows > landmarks.spine[1] + 80 * scale
    pitches = np.linspace(*PITCH_MM, 29) * scale
    turns = np.exp(2j * np.pi * rows[lower] / pitches[:, None]) @ bands[lower]
    best = int(np.abs(turns).argmax())
    # the bands follow cos(2 pi row / pitch - angle): darkest half a turn after the angle
    return float(pitches[best]), float((np.angle(turns[best]) / (2 * np.pi) + 0.5) * pitches[best])
