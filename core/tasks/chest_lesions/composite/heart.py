"""Cardiomegaly: the heart of the film is widened by a smooth local warp to a drawn cardiothoracic ratio."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.composite.warp import Warp, push_border
from core.tasks.chest_lesions.landmarks import SPINE_MM, Landmarks, Mask, lateral_border, mask_box

RATIOS = (0.40, 0.50, 0.62)  # at severity 0, 0.5 and 1
LEFT_SHARE = (0.65, 0.9)  # of the growth: the left ventricle is the one that grows most
WALL_MM = 7.0  # of lung that stays between heart and ribs
MAX_GROWTH = 0.14  # of the width of the thorax: more would smear what is seen through the heart
DENSER = 0.9  # rise in grey for a growth by the width of the thorax, share of the film's contrast
REACH_MM, SQUEEZED = 50.0, 3.5  # of the lung beside the heart that gives way: at least, and relative to the growth
TAPER = (0.12, 0.12)  # of the height of the heart, above and below it


def drawn_ratio(severity: float) -> float:
    """Cardiothoracic ratio that a severity asks for."""
    return float(np.interp(severity, (0, 0.5, 1), RATIOS))


def enlarge(landmarks: Landmarks, ratio: float, rng: np.random.Generator) -> Warp:
    """A warp after which the cardiothoracic ratio is `ratio`, or as near to it as the room beside the heart allows.

    A heart that is as large already stays as it is.
    """
    share = rng.uniform(*LEFT_SHARE)
    width = landmarks.width.thorax_left[0] - landmarks.width.thorax_right[0]
    growth = min(ratio - landmarks.width.ratio, MAX_GROWTH) * width
    none = Warp.none(landmarks.masks.heart.shape)
    warp, aim = none, growth
    for _ in range(3):  # the masks are smooth only nearly, so the first warp may miss by a pixel
        if aim <= 0.25:
            break
        warp = _grow(none, landmarks, (1 - share) * aim, share * aim)
        x0, _, x1, _ = mask_box(warp.mask(landmarks.masks.heart))
        reached = (x1 - x0) - (landmarks.heart[2] - landmarks.heart[0])
        aim += growth - reached
    return warp


def thicken(tone: Tone, before: Landmarks, after: Landmarks) -> NDArray[np.float32]:
    """What a heart that has grown is denser: the rise in grey, float32 (H, W)."""
    growth = max(after.width.ratio - before.width.ratio, 0.0)
    depth = gaussian_filter(after.masks.heart.astype(np.float32), 6 * after.px_per_mm)
    return np.where(after.masks.heart, np.maximum(2 * depth - 1, 0) * np.float32(DENSER * growth * tone.span), 0)


def _grow(none: Warp, landmarks: Landmarks, right: float, left: float) -> Warp:
    heart, scale, warp = landmarks.masks.heart, landmarks.px_per_mm, none
    lungs = ((-1, right, landmarks.masks.right_lung), (1, left, landmarks.masks.left_lung))
    for side, growth, lung in lungs:
        border, profile = _border(heart, landmarks.midline, side, scale)
        rows, wall_x = lateral_border(lung, right=side < 0)
        wall = side * (np.interp(np.arange(len(border)), rows, wall_x) - landmarks.midline)
        wall = np.maximum(gaussian_filter1d(wall, 4 * scale), border + WALL_MM * scale)
        shift = np.minimum(growth * profile, np.maximum(wall - border - WALL_MM * scale, 0))
        outer = np.minimum(wall, border + np.maximum(REACH_MM * scale, SQUEEZED * shift))
        inner = np.minimum(SPINE_MM * scale, 0.45 * border)
        warp = warp.then(push_border(none, landmarks.midline, side, border, shift, inner, outer))
    return warp


def _border(
    heart: Mask, midline: NDArray[np.float64], side: int, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of the heart's border from the midline in every row, and how much of the growth each row takes."""
    rows, x = lateral_border(heart, right=side < 0)
    every = np.arange(len(midline))
    away = np.maximum(side * (np.interp(every, rows, x) - midline), 6 * scale)
    border = gaussian_filter1d(away, 2 * scale)
    height = len(rows)
    above = np.clip(1 - (rows[0] - every) / (TAPER[0] * height), 0, 1)
    below = np.clip(1 - (every - rows[-1]) / (TAPER[1] * height), 0, 1)
    profile = gaussian_filter1d(away / away[rows].max() * above * below, 5 * scale)
    return border, profile / profile.max()
