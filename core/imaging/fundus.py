"""Fundus photographs: the lit disc, and colours freed from illumination."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label

from core.imaging.resample import crop_resize, fit_within

Array = NDArray[np.float32]
_COARSE = 512  # longest side of the copy on which the field is sought
_DARK = 0.15  # of the bright part of the photograph: less is the black surround
_MIN_SHARE = 0.1  # of the frame; less is no field of view
_TRIALS, _NEAR = 300, 0.012  # circles through three points of the rim; how near a point must lie, in radii
_MIN_RIM = 0.35  # of the rim's points that lie on the circle
_LEAST_SPREAD = 0.5  # grey levels: a saturated colour has none of its own, and its rounding is no contrast


@dataclass(frozen=True)
class Field:
    """The field of view: a circle in pixels of the frame, which may cut it."""

    x: float
    y: float
    radius: float


def find_field(rgb: NDArray[np.uint8]) -> Field | None:
    """The field of view of a fundus photograph: the circle through most points of the rim of the largest lit area.

    Cameras cut the circle at top and bottom, so the rim is part circle, part straight; the circle is that of three rim points
    which most others agree with (RANSAC; Fischler and Bolles 1981), then fitted to all of those.

    Args:
        rgb: uint8 (H, W, 3).

    Returns:
        None where no lit area is large and round enough.
    """
    brightest = np.maximum(np.maximum(rgb[:, :, 0], rgb[:, :, 1]), rgb[:, :, 2])  # fifty times faster than max(axis=2)
    small, factor = fit_within(brightest.astype(np.float32), _COARSE)
    smooth = gaussian_filter(small, 1.5)
    pieces, n_pieces = label(smooth > _DARK * np.percentile(smooth, 95))
    if n_pieces == 0:
        return None
    lit: NDArray[np.bool_] = binary_fill_holes(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
    circle = _circle_through(_rim(lit)) if lit.mean() >= _MIN_SHARE else None
    if circle is None:
        return None
    x, y, radius = circle
    return Field((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5, radius * factor)


def _rim(lit: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First and last lit pixel of every row and column, but for those at the edge of the frame; (N, 2) as x, y."""
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    width, height = lit.shape[1], lit.shape[0]
    left, right = lit.argmax(axis=1)[rows], width - 1 - lit[:, ::-1].argmax(axis=1)[rows]
    top, bottom = lit.argmax(axis=0)[columns], height - 1 - lit[::-1].argmax(axis=0)[columns]
    x, y = np.concatenate([left, right, columns, columns]), np.concatenate([rows, rows, top, bottom])
    is_inner = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return np.stack([x, y], axis=1)[is_inner].astype(np.float64)


def _fit(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """The circle of least squares (Kasa 1976)."""
    design = np.column_stack([2 * points, np.ones(len(points))])
    x, y, rest = np.linalg.lstsq(design, np.square(points).sum(axis=1), rcond=None)[0]
    return float(x), float(y), float(np.sqrt(max(rest + x * x + y * y, 0)))


def _circle_through(rim: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """The circle that most points of the rim lie on, None when fewer than _MIN_RIM do."""
    if len(rim) < 30:
        return None
    rng = np.random.default_rng(0)
    best, reach = np.zeros(len(rim), bool), np.ptp(rim, axis=0).max()
    for _ in range(_TRIALS):
        x, y, radius = _fit(rim[rng.choice(len(rim), 3, replace=False)])
        if 0.3 * reach < radius < 1.2 * reach:
            near = np.abs(np.hypot(rim[:, 0] - x, rim[:, 1] - y) - radius) < _NEAR * radius
            best = near if near.sum() > best.sum() else best
    return _fit(rim[best]) if best.mean() >= _MIN_RIM else None


def _local_mean(values: Array, reach: float) -> Array:
    """Gaussian mean, found on a quarter of the resolution: it is smooth over many pixels. float32 (S, S)."""
    side = len(values)
    small = crop_resize(values, (0, 0, side, side), (side // 4, side // 4))
    smooth = gaussian_filter(small, reach * len(small))
    return crop_resize(smooth, (0, 0, *smooth.shape), (side, side))


def without_illumination(rgb: Array, mask: NDArray[np.bool_], reach: float) -> Array:
    """Each colour less its local mean, in units of its own spread: illumination, tint and contrast of the camera go.

    Args:
        rgb: float32 (S, S, 3), grey levels of 0 to 255.
        mask: Boolean (S, S), the field of view; means are taken over it alone.
        reach: SD of the Gaussian of the local mean, of the side: what is larger fades as illumination does.

    Returns:
        float32 (S, S, 3), zero outside the mask. The spread is 1.4826 median absolute deviations, which lesions hardly move; at
        least _LEAST_SPREAD.
    """
    inside = mask.astype(np.float32)
    weight = np.maximum(_local_mean(inside, reach), 1e-3)
    result = np.zeros_like(rgb)
    for channel in range(3):
        detail = rgb[:, :, channel] - _local_mean(rgb[:, :, channel] * inside, reach) / weight
        spread = 1.4826 * float(np.median(np.abs(detail[mask]))) if mask.any() else 1.0
        result[:, :, channel] = np.where(mask, detail / max(spread, _LEAST_SPREAD), 0)
    return result
