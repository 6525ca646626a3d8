"""The two knee regions of a whole-body bone scan: from the outline of the legs and the uptake along each of them.

The extent of the body gives where the knees should lie, the two legs are followed row by row, and the joints are the rows
where both legs take up more than their shafts above and below. The anterior view is assumed unless the header says posterior.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label, uniform_filter1d

from core.imaging.display import to_grey
from core.imaging.drawing import patch
from core.records import Laterality, Region, Regions, Study

Floats = NDArray[np.float64]

SPACING_MM = 2.3  # when the file tells none
SIDE_MM = 150.0
KNEE_SHARE, KNEE_SPREAD = 0.695, 0.022  # of the height of the body from the top of the head
EDGE = 0.65  # of the way from the air to Otsu's threshold, which lies between soft tissue and bone
LEGS = (0.55, 0.93)  # rows looked at, shares of the height
JOINT_MM = (42.0, 38.0)  # semi-axes of the joint, across and along the leg
SHAFT_MM = (75.0, 135.0)  # where the shafts are looked at, from the joint
SEED_ROWS = (510, 638)
_EDGE_ROWS = 3


def _smooth(pixels: NDArray[np.float32], spacing_mm: float) -> NDArray[np.float32]:
    """Square roots of counts, about equal in noise, smoothed to 11 mm; zero outside the field of view."""
    smooth = np.zeros(pixels.shape, np.float32)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if rows.size:
        view = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        smooth[view] = np.sqrt(np.maximum(gaussian_filter(pixels[view], 4.6 / spacing_mm, mode="nearest"), 0))
    return smooth


def _edge_level(smooth: NDArray[np.float32]) -> float:
    """Brightness of the edge of the body: between air and the threshold of Otsu (1979) on all but the hottest pixels."""
    inside = smooth[smooth > 0]
    if inside.size == 0:
        return float("inf")
    bins, edges = np.histogram(np.minimum(inside, np.percentile(inside, 97)), 128)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(bins), bins.sum() - np.cumsum(bins)
    moments = np.cumsum(bins * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * np.square(moments / below - (moments[-1] - moments) / above)
    threshold = float(centres[int(np.nan_to_num(between).argmax())])
    darker = inside[inside < threshold]
    air = float(np.median(darker)) if darker.size else 0.0
    return air + EDGE * (threshold - air)


def _body(smooth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest connected part that is brighter than the air; the lower half of the body has a threshold of its own.

    Legs may be far fainter than the trunk.
    """
    bright = smooth > _edge_level(smooth)
    rows = np.flatnonzero(bright.sum(axis=1) > 3)
    if rows.size == 0:
        return bright
    lower = int(rows[0] + 0.55 * (rows[-1] - rows[0]))
    bright[lower:] = smooth[lower:] > _edge_level(smooth[lower:])
    parts, _ = label(bright)
    body: NDArray[np.bool_] = parts == 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=2)[1:]))
    return body


def _follow_legs(smooth: NDArray[np.float32], body: NDArray[np.bool_], rows: NDArray[np.intp]) -> Floats | None:
    """Middle (x) of image-left and image-right leg in `rows`, float64 (2, N); None where there are not two legs.

    The gap between the legs is followed first: the darkest column near the middle of what the body covers.
    """
    columns, at = np.arange(body.shape[1]), rows - rows[0]
    part = body[rows]
    first, last = part.argmax(axis=1), part.shape[1] - 1 - part[:, ::-1].argmax(axis=1)
    cut = np.polyval(np.polyfit(at, (first + last) / 2, 1), at)[:, None]
    off = np.abs(columns - cut)
    gap = np.where(off <= 0.25 * (last - first)[:, None], smooth[rows] + 0.02 * off, np.inf).argmin(axis=1)
    cut = np.polyval(np.polyfit(at, gap, 2), at)[:, None]
    middles = []
    for side in (part & (columns < cut), part & (columns > cut)):
        seen = side.any(axis=1)
        if seen.sum() < 0.5 * rows.size:
            return None
        low, high = side.argmax(axis=1), side.shape[1] - 1 - side[:, ::-1].argmax(axis=1)
        middles.append(np.polyval(np.polyfit(at[seen], ((low + high) / 2)[seen], 3), at))
    return np.stack(middles)


def _joint_evidence(smooth: NDArray[np.float32], rows: NDArray[np.intp], middle: Floats, spacing_mm: float) -> Floats:
    """How much more than the shafts above and below each row takes up, in shares of the strongest, float64 (N,)."""
    reach = round(46 / spacing_mm)
    columns = np.clip(np.rint(middle).astype(int)[:, None] + np.arange(-reach, reach + 1), 0, smooth.shape[1] - 1)
    profile = smooth[rows[:, None], columns].mean(axis=1, dtype=float)
    joint = gaussian_filter1d(profile, 16 / spacing_mm)
    shaft, step = uniform_filter1d(profile, round(40 / spacing_mm)), round(75 / spacing_mm)
    padded = np.pad(shaft, step, mode="edge")
    excess = joint - (padded[: -2 * step] + padded[2 * step :]) / 2
    return np.asarray(excess / max(float(excess.max()), 1e-6))


def is_cut_off(study: Study) -> bool:
    """Whether the body reaches the lower edge of the picture: then its height does not tell where the knees are."""
    body = _body(_smooth(to_grey(study.frame), pixel_spacing(study)))
    return bool(body[-_EDGE_ROWS:].any())


def find_knees(pixels: NDArray[np.float32], spacing_mm: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centres (x, y) of the knee joints at image left and image right, pixels.

    The pair of rows is taken where both joints stand out, near their usual share of the body's height and near each other.
    """
    smooth = _smooth(pixels, spacing_mm)
    body = _body(smooth)
    filled = np.flatnonzero(body.sum(axis=1) > 3)
    rows_all, width = pixels.shape
    fallback = ((0.34 * width, 0.6 * rows_all), (0.66 * width, 0.6 * rows_all))
    if filled.size < 50:
        return fallback
    top, height = int(filled[0]), int(filled[-1] - filled[0])
    rows = np.arange(top + int(LEGS[0] * height), top + int(LEGS[1] * height))
    middles = _follow_legs(smooth, body, rows)
    if middles is None:
        return fallback
    evidence = [_joint_evidence(smooth, rows, middle, spacing_mm) for middle in middles]
    left, right = _pair_of_rows(rows - top - KNEE_SHARE * height, middles, evidence, KNEE_SPREAD * height, spacing_mm)
    return (float(middles[0, left]), float(rows[left])), (float(middles[1, right]), float(rows[right]))


def _pair_of_rows(
    below: NDArray[np.floating[Any]], middles: Floats, evidence: list[Floats], spread: float, spacing_mm: float
) -> tuple[int, int]:
    """Index of the joint's row in each leg: both stand out, near the usual height (`below` = 0) and level with each other.

    Level means across the body: a body that lies turned has one knee lower than the other.
    """
    likely = np.flatnonzero(np.abs(below) < 3 * spread)
    left, right = likely[:, None], likely[None, :]
    lean = np.polyfit(below, middles.mean(axis=0), 1)[0] * float(np.mean(middles[1] - middles[0]))
    usual = np.square((below[left] + below[right]) / 2 / spread)
    level = np.square((right - left + lean) * spacing_mm / 25)
    score = evidence[0][left] + evidence[1][right] - 0.15 * usual - 0.15 * level
    best = np.unravel_index(int(score.argmax()), score.shape)
    return int(likely[best[0]]), int(likely[best[1]])


def pixel_spacing(study: Study) -> float:
    """Height of a pixel in mm, 2.3 where the file tells none."""
    return study.frame.spacing_mm[0] if study.frame.spacing_mm else SPACING_MM


def _sides(study: Study) -> tuple[Laterality, Laterality]:
    """Sides of the patient at image left and image right."""
    return ("L", "R") if study.tags.get("ViewPosition", "").upper().startswith("P") else ("R", "L")


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """Propose a square of 150 mm around each knee, right knee first.

    Args:
        study: A whole-body scan; anterior view unless the header says posterior. Without a spacing, 2.3 mm are assumed.
        laterality: Only this knee.
    """
    spacing = pixel_spacing(study)
    half = SIDE_MM / spacing / 2
    regions = [
        Region((x - half, y - half, x + half, y + half), laterality=side, mirrored=side == "L")
        for side, (x, y) in zip(_sides(study), find_knees(to_grey(study.frame), spacing), strict=True)
    ]
    return _ordered(regions, laterality)


def _ordered(regions: list[Region], laterality: Laterality | None) -> Regions:
    regions.sort(key=lambda region: region.laterality == "L")
    return tuple(region for region in regions if laterality in (None, region.laterality))


def locate_seed(study: Study) -> Regions:
    """The regions of the reference system, kept for comparison: rows by brightness, columns by the middle of the picture.

    128 rows from row 510, or 70 lower when no pixel of columns 100-149 in row 510 is zero; then centred on the brightest of
    them.

    Raises:
        IndexError: The picture has fewer than 511 rows.
    """
    pixels = to_grey(study.frame)
    first, last = SEED_ROWS
    if np.all(pixels[first, 100:150] != 0):
        first, last = first + 70, last + 70
    brightest = first + int(pixels[first:last].max(axis=1).argmax())
    regions = [
        Region((x, brightest - 64, x + 128, brightest + 64), laterality=side, mirrored=side == "L")
        for side, x in zip(_sides(study), (0, 128), strict=True)
    ]
    return _ordered(regions, None)


def _centre(region: Region) -> tuple[float, float]:
    x0, y0, x1, y1 = region.box_xyxy
    return (x0 + x1) / 2, (y0 + y1) / 2


def _shaft(pixels: NDArray[np.float32], region: Region, spacing_mm: float) -> tuple[float, float]:
    """Median counts per pixel of the shafts of one leg, and of the soft tissue beside them.

    A shaft is the brightest place of a row smoothed to 9 mm, above and below the joint, where the leg can be.
    """
    (x, y), scale = _centre(region), 1 / spacing_mm
    reach = round(45 * scale)
    columns = round(x) + np.arange(-reach, reach + 1)
    offsets = np.arange(round(SHAFT_MM[0] * scale), round(SHAFT_MM[1] * scale))
    rows = np.concatenate([round(y) - offsets, round(y) + offsets])
    rows, columns = (
        axis[(axis >= 0) & (axis < size)] for axis, size in zip((rows, columns), pixels.shape, strict=True)
    )
    if rows.size == 0 or columns.size == 0:
        return float("nan"), float("nan")
    low = max(int(rows.min()) - 12, 0)
    part = pixels[low : int(rows.max()) + 13, int(columns[0]) : int(columns[-1]) + 1]
    strips = gaussian_filter(part, (12 * scale, 4 * scale))[rows - low]
    at = strips.argmax(axis=1)
    beside = round(28 * scale)
    sides = np.stack([np.clip(at + sign * beside, 0, columns.size - 1) for sign in (-1, 1)], axis=1)
    soft = np.take_along_axis(strips, sides, axis=1)
    return float(np.median(strips.max(axis=1))), float(np.median(soft))


def shaft_reference(pixels: NDArray[np.float32], region: Region, spacing_mm: float = SPACING_MM) -> float:
    """Counts per pixel in the shafts of femur and tibia of the leg around whose knee `region` is centred.

    The intensity that a knee is measured against; soft tissue before and behind the bone is in it. NaN outside the picture.
    """
    return _shaft(pixels, region, spacing_mm)[0]


def uptake_ratio(study: Study, region: Region) -> float:
    """Mean uptake of the joint against the shafts, both without the soft tissue beside the shafts; NaN if not measurable.

    Whole-knee ratio to the tibial shaft after Mazzuca 2004, here with the femoral shaft and less soft tissue.
    """
    pixels, spacing = to_grey(study.frame), pixel_spacing(study)
    shaft, soft = _shaft(pixels, region, spacing)
    x, y = _centre(region)
    (rows, columns), across, down = patch(pixels.shape, np.array([[x, y]]), JOINT_MM[0] / spacing)
    joint = np.hypot((across - x) / JOINT_MM[0], (down - y) / JOINT_MM[1]) * spacing <= 1
    if not joint.any() or not shaft - soft > 0.05 * shaft:
        return float("nan")
    return float((pixels[rows, columns][joint].mean(dtype=float) - soft) / (shaft - soft))
