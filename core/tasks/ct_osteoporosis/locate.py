"""The vertebral body of an axial CT slice: first the spinal canal, a dark hole enclosed by bone, then the shell in front of it.

The trabecular bone of a porotic body is hardly brighter than muscle, so nothing here asks for a bright inside: the outline runs
along the outer edge of the cortical shell, and the trabecular bone ends where the shell rises.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_opening,
    gaussian_filter,
    gaussian_filter1d,
    label,
    map_coordinates,
    maximum_filter1d,
    uniform_filter1d,
)

from core.imaging.contours import closed_paths, polar_samples
from core.imaging.display import to_grey
from core.imaging.resample import crop_resize
from core.records import Laterality, Region, Regions, Study
from core.tasks.ct_osteoporosis.task import ROI_MM, SIDE_MM

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
SPACING_MM = 0.8  # of a file that tells none: a field of 410 mm
ROI_BEFORE_CANAL_MM = 16.0  # from its centre to the front wall of the canal
N_ANGLES = 72
ANGLES = np.arange(N_ANGLES, dtype=np.float64) * (
    2 * np.pi / N_ANGLES
)  # from x, the patient's left, towards y, posterior
SOFT_MM = 1.5  # width of the edge of the trabecular mask

_AIR, _BONE = -300.0, 170.0  # HU
_BLOCK = 2  # the canal is sought at 2 mm, the outline at 1 mm
_CANAL_REACH_MM = np.arange(4.0, 15.0, 2.0)
_CANAL_HU = (-20.0, 85.0)
_N_CANALS, _CANAL_APART_MM, _MIN_CANAL = 4, 12, 0.5
_START_MM = (17.0, 26.0)  # from the canal to the body: neck, loin
_STEP_MM = 0.5
_RADII = np.arange(5.0, 34.0, _STEP_MM)
_WALL_HU = 130.0  # between canal and wall
_DEEPEST_SHARE = 0.62  # of the depth of the body, from the back
_SHELL_MM = 2.0  # least distance of trabecular bone from the outer edge
_MIN_SCORE = 0.3


@dataclass(frozen=True)
class Body:
    """The trabecular bone of a vertebral body.

    Attributes:
        x, y: Its centre, pixels of the frame.
        radii_mm: From the centre to the inner border of the cortical shell at every one of ANGLES, (N_ANGLES,).
        score: How well canal and shell are seen, in [0, 1].
    """

    x: float
    y: float
    radii_mm: Floats
    score: float


@dataclass(frozen=True)
class _Canal:
    """Its middle, pixels of 1 mm, and how well it is seen, in [0, 1]."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class _Outline:
    """The outer edge of a shell: middle (pixels of 1 mm), radii at ANGLES (A,), direction and distance of the canal's middle."""

    x: float
    y: float
    radii_mm: Floats
    back: float
    canal_mm: float
    score: float


def _resample(hu: Array, spacing_mm: tuple[float, float]) -> tuple[Array, tuple[float, float]]:
    """The slice on square pixels of about 1 mm, and what leads from its rows and columns to those of `hu`."""
    rows, columns = hu.shape
    size = min(max(16, round(rows * spacing_mm[0])), 1000), min(max(16, round(columns * spacing_mm[1])), 1000)
    limited = np.clip(hu, -1024, 1500).astype(np.float32)
    return crop_resize(limited, (0, 0, columns, rows), size), (rows / size[0], columns / size[1])


def _patient(mean: Array) -> NDArray[np.bool_]:
    """The largest piece denser than air, parted from the table."""
    tissue = binary_opening(np.pad(mean > _AIR, 2), iterations=2)[2:-2, 2:-2]
    labels, n_pieces = label(tissue)
    if n_pieces == 0:
        return np.ones(mean.shape, bool)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _canal_map(hu: Array) -> Array:
    """How much every block of 2 mm looks like the middle of a spinal canal: dark, with bone in every direction; [0, 1]."""
    rows, columns = hu.shape[0] // _BLOCK, hu.shape[1] // _BLOCK
    blocks = hu[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    mean, peak = blocks.mean(axis=(1, 3)), blocks.max(axis=(1, 3))
    patient = _patient(mean)
    bone = np.clip((peak - _BONE / 2) / _BONE, 0, 1) * patient
    reach = int(_CANAL_REACH_MM[-1]) // _BLOCK + 1
    padded = np.pad(bone, reach)
    enclosed = np.zeros_like(bone)
    directions = ANGLES[::3]
    for angle in directions:
        seen = np.zeros_like(bone)
        for distance in _CANAL_REACH_MM / _BLOCK:
            y, x = reach + round(distance * np.sin(angle)), reach + round(distance * np.cos(angle))
            np.maximum(seen, padded[y : y + rows, x : x + columns], out=seen)
        enclosed += seen / len(directions)
    smooth = gaussian_filter(np.clip(mean, -200, 400), 1.2)
    dark = np.clip(1 - np.maximum(_CANAL_HU[0] - smooth, smooth - _CANAL_HU[1]) / 60, 0, 1)
    y_inside, x_inside = np.nonzero(patient)
    aside = (np.arange(columns) - x_inside.mean()) * _BLOCK / 60
    before = np.minimum(np.arange(rows) - y_inside.mean(), 0) * _BLOCK / 60
    return enclosed * dark * np.exp(-0.5 * np.square(aside)) * np.exp(-0.5 * np.square(before))[:, None]


def _find_canals(hu: Array) -> list[_Canal]:
    """The best places for a canal, best first; pixels of `hu`."""
    likeness = _canal_map(hu)
    left = likeness.copy()
    rows, columns = np.ogrid[: left.shape[0], : left.shape[1]]
    found: list[_Canal] = []
    while len(found) < _N_CANALS and left.max() > _MIN_CANAL:
        y, x = divmod(int(left.argmax()), left.shape[1])
        near = np.square(rows - y) + np.square(columns - x) <= (_CANAL_APART_MM / _BLOCK) ** 2
        flat = near & (likeness > 0.93 * likeness[y, x])  # a wide canal has a plateau of equally good places
        middle = [_BLOCK * (float(places.mean()) + 0.5) - 0.5 for places in np.nonzero(flat)[::-1]]
        found.append(_Canal(middle[0], middle[1], float(likeness[y, x])))
        left[near] = 0
    return found


def _shell_cost(hu: Array, x: Floats, y: Floats, canal_x: Floats, canal_y: Floats) -> Floats:
    """Cost of every point around several centres: low on the outer edge of a shell, high beyond fat, air or canal; (B, A, R)."""
    inner, outer = 7, 8  # samples: 3 mm inside, 0.5 to 4 mm outside
    samples = polar_samples(hu, x, y, ANGLES, np.arange(_RADII[0] - 4, _RADII[-1] + 5, _STEP_MM, dtype=np.float64))
    at = np.arange(len(_RADII)) + round(4 / _STEP_MM)
    limited = np.clip(samples, -100, 450)
    inside = maximum_filter1d(limited, inner, axis=2)[:, :, at - inner // 2]
    outside = uniform_filter1d(limited, outer, axis=2)[:, :, at + outer // 2 + 1]
    crossed_mm = np.cumsum(samples < -40, axis=2)[:, :, at] * _STEP_MM
    cost = -np.clip((inside - outside) / 300, 0, 1) + 0.06 * np.maximum(crossed_mm - 1, 0)
    distance, direction = np.hypot(canal_x - x, canal_y - y), np.arctan2(canal_y - y, canal_x - x)
    towards = _RADII * np.cos(ANGLES - direction[:, None])[:, :, None]
    return np.where(towards > distance[:, None, None] - 4, cost + 5, cost)


def _along(radii: Floats, direction: Floats) -> Floats:
    """Median radius within 20 degrees of one direction a row, (B,)."""
    near = np.cos(ANGLES - direction[:, None]) > np.cos(np.radians(20))
    return np.nanmedian(np.where(near, radii, np.nan), axis=1)


def _fit_outline(hu: Array, canals: list[_Canal]) -> _Outline:
    """The best outline in front of any of the canals."""
    starts = [(canal, distance) for canal in canals for distance in _START_MM]
    canal_x, canal_y = (np.array([getattr(canal, axis) for canal, _ in starts]) for axis in "xy")
    x, y = canal_x, canal_y - np.array([distance for _, distance in starts])
    for last in (False, False, True):
        cost = _shell_cost(hu, x, y, canal_x, canal_y)
        path = closed_paths(cost, 0.0375)
        radii = _RADII[path]
        back = np.arctan2(canal_y - y, canal_x - x)
        front_mm, back_mm = _along(radii, back + np.pi), _along(radii, back)
        if last:
            break
        low, high = np.percentile(radii * np.sin(ANGLES - back[:, None]), (4, 96), axis=1)
        backwards, aside = (back_mm - front_mm) / 2, (low + high) / 2
        x = x + backwards * np.cos(back) - aside * np.sin(back)
        y = y + backwards * np.sin(back) + aside * np.cos(back)
    edge = -np.take_along_axis(cost, path[:, :, None], axis=2)[:, :, 0].mean(axis=1)
    size = (np.sqrt(np.square(radii).mean(axis=1)) - 6) / 4
    gap = np.hypot(canal_x - x, canal_y - y) - back_mm
    beside = 1 - (np.abs(gap - 8) - 6) / 12
    scores = np.array([canal.score**3 for canal, _ in starts]) * np.prod(np.clip([edge, size, beside], 0, 1), axis=0)
    best = int(scores.argmax())
    canal_mm = float(np.hypot(canal_x - x, canal_y - y)[best])
    return _Outline(float(x[best]), float(y[best]), radii[best], float(back[best]), canal_mm, float(scores[best]))


def _inner_border(samples: Array, outer: Floats, radii: Floats) -> Floats:
    """The closed path that best parts trabecular bone from shell, by the sum of HU inside it (Chan and Vese 2001); (A,) in mm.

    Args:
        samples: HU around the centre, (A, R).
        outer: Outer edge at every angle, mm.
        radii: (R,), mm.
    """
    smooth = gaussian_filter1d(samples, 1.0, axis=0, mode="wrap")
    trabecular = np.median(samples[radii[None, :] < 0.5 * outer[:, None]])
    shell = (radii > outer[:, None] - 5) & (radii <= outer[:, None])
    peak = gaussian_filter1d(np.where(shell, smooth, -np.inf).max(axis=1), 2.0, mode="wrap")
    contrast = np.clip(peak - trabecular, 100, max(100.0, float(np.median(peak - trabecular))))[:, None]
    balance = np.clip((smooth - trabecular - 0.5 * contrast) / (0.5 * contrast), -1, 1)
    cost = np.cumsum(balance, axis=1) * (radii[1] - radii[0])
    path = closed_paths(np.where(radii <= outer[:, None] - _SHELL_MM, cost, 1e6)[None], 0.3)[0]
    return gaussian_filter1d(radii[path], 1.0, mode="wrap")


def _wall_mm(hu: Array, outline: _Outline) -> float:
    """Distance from the middle of the outline to the front wall of the canal, where HU last fall below bone; mm of 1 pixel."""
    distances = np.arange(0, outline.canal_mm, 0.25)
    aside = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None]
    x = outline.x + distances * np.cos(outline.back) - aside * np.sin(outline.back)
    y = outline.y + distances * np.sin(outline.back) + aside * np.cos(outline.back)
    profile = map_coordinates(hu, [y, x], order=1, mode="nearest").mean(axis=0)
    bony = np.flatnonzero(profile >= _WALL_HU)
    return float(distances[bony[-1]]) if bony.size else outline.canal_mm / 2


def _to_roi(hu: Array, inner: Floats, outline: _Outline) -> tuple[float, float]:
    """From the middle of the outline to the place where bone is measured; x and y in mm.

    It lies 16 mm before the front wall of the canal, as in the reference measurements; nearer in a body of little depth.
    """
    back, outer = outline.back, outline.radii_mm
    front_mm, back_mm = _along(outer, np.array([back + np.pi, back]))
    backwards = _wall_mm(hu, outline) - min(ROI_BEFORE_CANAL_MM, _DEEPEST_SHARE * (front_mm + back_mm))
    low, high = np.percentile(inner * np.sin(ANGLES - back), (4, 96))
    aside = (low + high) / 4  # half way to the middle of the trabecular bone
    return backwards * np.cos(back) - aside * np.sin(back), backwards * np.sin(back) + aside * np.cos(back)


def _move_centre(radii: Floats, x: float, y: float) -> Floats:
    """The same outline seen from a centre moved by x and y; (A,)."""
    to_x, to_y = radii * np.cos(ANGLES) - x, radii * np.sin(ANGLES) - y
    angles = np.arctan2(to_y, to_x)
    order = np.argsort(angles)
    return np.interp(ANGLES, angles[order], np.hypot(to_x, to_y)[order], period=2 * np.pi)


def find_body(hu: Array, spacing_mm: tuple[float, float]) -> Body | None:
    """The vertebral body of an axial slice of a supine patient.

    Args:
        hu: float32 (H, W).
        spacing_mm: Row and column spacing.

    Returns:
        None where no canal with a body before it is seen.
    """
    small, (row_step, column_step) = _resample(hu, spacing_mm)
    canals = _find_canals(small)
    if not canals:
        return None
    smooth = gaussian_filter(small, 0.7)
    outline = _fit_outline(smooth, canals)
    if outline.score < _MIN_SCORE:
        return None
    radii = np.arange(0, _RADII[-1], _STEP_MM, dtype=np.float64)
    samples = polar_samples(smooth, np.array([outline.x]), np.array([outline.y]), ANGLES, radii)[0]
    inner = _inner_border(samples, outline.radii_mm, radii)
    x, y = _to_roi(smooth, inner, outline)
    inner, outer = _move_centre(inner, x, y), _move_centre(outline.radii_mm, x, y)
    ellipse = 0.5 / np.hypot(np.cos(ANGLES) / ROI_MM[0], np.sin(ANGLES) / ROI_MM[1])
    return Body(
        x=(outline.x + x + 0.5) * column_step - 0.5,
        y=(outline.y + y + 0.5) * row_step - 0.5,
        radii_mm=np.maximum(inner, np.minimum(ellipse + SOFT_MM, outer - _SHELL_MM)),
        score=outline.score,
    )


def trabecular_mask(body: Body, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> Array:
    """1 in the trabecular bone, 0 in the shell and beyond, with an edge of SOFT_MM between; float32 of `shape`."""
    y = (np.arange(shape[0])[:, None] - body.y) * spacing_mm[0]
    x = (np.arange(shape[1]) - body.x) * spacing_mm[1]
    border = np.interp(np.arctan2(y, x), ANGLES, body.radii_mm, period=2 * np.pi)
    return np.clip((border - np.hypot(x, y)) / SOFT_MM, 0, 1).astype(np.float32)


def roi_mean(hu: Array, spacing_mm: tuple[float, float], x: float, y: float) -> float:
    """Mean HU in an ellipse of 17 x 13 mm around a point of the frame; NaN when it leaves the frame."""
    half_x, half_y = ROI_MM[0] / 2 / spacing_mm[1], ROI_MM[1] / 2 / spacing_mm[0]
    rows, columns = hu.shape
    if x - half_x < -0.5 or y - half_y < -0.5 or x + half_x > columns - 0.5 or y + half_y > rows - 0.5:
        return float("nan")
    top, left = int(np.ceil(y - half_y)), int(np.ceil(x - half_x))
    part = hu[top : int(y + half_y) + 1, left : int(x + half_x) + 1]
    row, column = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    inside = np.square((column - x) / half_x) + np.square((row - y) / half_y) <= 1
    return float(part[inside].mean(dtype=np.float64)) if inside.any() else float("nan")


def _densest(hu: Array, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Where most bone lies, for a slice without a plausible body."""
    small, (row_step, column_step) = _resample(hu, spacing_mm)
    bone = gaussian_filter(np.clip(small - _BONE / 2, 0, 2 * _BONE), 10)
    aside = (np.arange(bone.shape[1]) - (bone.shape[1] - 1) / 2) / (bone.shape[1] / 4)
    y, x = divmod(int((bone * np.exp(-0.5 * np.square(aside))).argmax()), bone.shape[1])
    return (x + 0.5) * column_step - 0.5, (y + 0.5) * row_step - 0.5


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """Propose the square of SIDE_MM around the vertebral body, or around the densest place near the middle where none is seen.

    Args:
        study: An axial slice; without a spacing, pixels of SPACING_MM are assumed.
        laterality: Of no meaning here.
    """
    hu, spacing = to_grey(study.frame), pixel_spacing(study)
    return (region_around(hu, spacing, find_body(hu, spacing)),)


def pixel_spacing(study: Study) -> tuple[float, float]:
    """Row and column spacing in mm, SPACING_MM where the file tells none."""
    return study.frame.spacing_mm or (SPACING_MM, SPACING_MM)


def region_around(hu: Array, spacing: tuple[float, float], body: Body | None) -> Region:
    """The region that `locate` proposes for what `find_body` found."""
    x, y = (body.x, body.y) if body else _densest(hu, spacing)
    half_x, half_y = SIDE_MM / 2 / spacing[1], SIDE_MM / 2 / spacing[0]
    return Region((x + 0.5 - half_x, y + 0.5 - half_y, x + 0.5 + half_x, y + 0.5 + half_y))
