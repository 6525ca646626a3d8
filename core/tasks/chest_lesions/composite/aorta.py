"""Tortuous aorta: the knob is pushed out by a warp, the ascending part a little too, and the descending part is bowed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from core.records import Box
from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.composite.warp import Warp, push_border, ramp
from core.tasks.chest_lesions.landmarks import SPINE_MM, Landmarks, inside, lateral_border, medial_border

PROTRUSION_MM = (25.0, 34.0, 48.0)  # of the knob from the midline, at severity 0, 0.5 and 1
LEAST_MM, MOST_MM = (0.0, 4.0, 9.0), 20.0  # that the knob is pushed out, whatever it was before
CONVEXITY_MM = (0.0, 6.0, 22.0)  # of the descending aorta
RADIUS_MM = (11.0, 13.0)  # of the descending aorta
WIDENING = 0.4  # of the push: what the knob gains in width
ASCENDING = 0.4  # of the push of the knob, on the right side


@dataclass(frozen=True, eq=False)
class Unfolding:
    """A more tortuous aorta: the warp, the box of the knob after it, and marker values of the descending part (mm)."""

    warp: Warp
    knob: Box
    convexity_mm: float
    radius_mm: float


def unfold(landmarks: Landmarks, severity: float, rng: np.random.Generator) -> Unfolding:
    """Push the knob to the left and the ascending aorta to the right."""
    at = (0, 0.5, 1)
    scale, knob, shape = landmarks.px_per_mm, landmarks.knob, landmarks.masks.heart.shape
    middle = (knob[1] + knob[3]) / 2
    protrusion = (knob[2] - np.interp(middle, np.arange(shape[0]), landmarks.midline)) / scale
    wanted = float(np.interp(severity, at, PROTRUSION_MM)) + 1.5 * float(rng.normal()) - protrusion
    push = float(np.clip(wanted, np.interp(severity, at, LEAST_MM), MOST_MM))
    y, size = np.arange(shape[0]), knob[3] - knob[1]
    bulge = np.exp(-(np.abs((y - middle) / (0.62 * size)) ** 3))
    rise = ramp((y - middle) / (0.8 * size)) * ramp((middle + 3.2 * size - y) / (1.4 * size))
    warp = Warp.none((shape[0], shape[1]))
    left = _pushed(warp, landmarks, 1, push * scale * bulge)
    right = _pushed(warp, landmarks, -1, ASCENDING * push * scale * rise)
    convexity = float(np.interp(severity, at, CONVEXITY_MM)) * float(np.exp(0.1 * rng.normal()))
    wider = size + WIDENING * push * scale
    edge = knob[2] + push * scale
    grown = (edge - wider, middle - wider / 2, edge, middle + wider / 2)
    return Unfolding(left.then(right), inside(grown, landmarks.masks.heart), convexity, float(rng.uniform(*RADIUS_MM)))


def _pushed(none: Warp, landmarks: Landmarks, side: int, shift: NDArray[np.float64]) -> Warp:
    lung = landmarks.masks.left_lung if side > 0 else landmarks.masks.right_lung
    scale, every = landmarks.px_per_mm, np.arange(len(shift))
    rows, inner_x = medial_border(lung, right=side < 0)
    _, outer_x = lateral_border(lung, right=side < 0)
    border = gaussian_filter1d(side * (np.interp(every, rows, inner_x) - landmarks.midline), scale)
    border = np.maximum(border, 8 * scale)
    wall = side * (np.interp(every, rows, outer_x) - landmarks.midline)
    outer = np.clip(border + shift + 45 * scale, None, np.maximum(wall - 6 * scale, border + shift + 10 * scale))
    return push_border(none, landmarks.midline, side, border, shift, np.minimum(SPINE_MM * scale, 0.45 * border), outer)


def bow(tone: Tone, landmarks: Landmarks, course: Unfolding) -> tuple[NDArray[np.float32], Box]:
    """The shadow of the bowed descending aorta, and the box of the whole aorta.

    Args:
        tone: Greys of the film after the warp of `course`.
        landmarks: Of that film.
        course: Says how far the descending part is bowed.

    Returns:
        The rise in grey, float32 (H, W), and the strip from the top of the arch to the diaphragm, ascending part included.
    """
    scale, knob = landmarks.px_per_mm, landmarks.knob
    start, end = (knob[1] + knob[3]) / 2, landmarks.aorta[3]
    rows = np.arange(int(start), int(end))
    down = (rows - start) / max(end - start, 1)
    radius = course.radius_mm * scale
    first = knob[2] - radius - np.interp(start, np.arange(len(landmarks.midline)), landmarks.midline)
    away = first * (1 - down) + 5 * scale * down + course.convexity_mm * scale * np.sin(np.pi * down)
    axis = landmarks.midline[rows] + away
    across = (np.arange(tone.low.shape[1]) - axis[:, None]) / radius
    tube = np.where(across > 0, np.sqrt(np.maximum(1 - np.square(across), 0)), 1.0)
    tube[np.arange(tone.low.shape[1]) < landmarks.midline[rows][:, None]] = 0
    ends = ramp(down / 0.12) * ramp((1 - down) / 0.25)
    beside = tone.low[rows, np.rint(landmarks.midline[rows]).astype(int)]  # mediastinum of the same height
    tissue = np.minimum(gaussian_filter1d(beside, 10 * scale), tone.dense)[:, None]
    lift = 0.85 * np.clip(tissue - tone.low[rows], 0, tone.span) + 0.06 * tone.span * tone.gain[rows]
    strength = min(course.convexity_mm / CONVEXITY_MM[1], 1.0)
    rise = np.zeros(tone.low.shape, np.float32)
    rise[rows] = strength * ends[:, None] * tube * lift
    lung_rows, inner_x = medial_border(landmarks.masks.right_lung, right=True)
    ascending = (lung_rows > start) & (lung_rows < landmarks.heart[1] + 20 * scale)
    right = inner_x[ascending].min(initial=landmarks.midline[int(start)] - 24 * scale)
    box = (right, knob[1], max(knob[2], float((axis + radius).max())), end)
    return rise, inside(box, landmarks.masks.heart)
