"""Where things lie on a frontal chest radiograph, told from masks of the heart and both lungs.

The picture's left is the patient's right. Coordinates are edges of pixels: a pixel of column 3 reaches from x = 3 to 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, label

from core.errors import UsageError
from core.records import Box

Mask = NDArray[np.bool_]
THORAX_MM = 290.0  # inner width of an adult thorax on a film: the only scale that a film without pixel spacing has
MIN_SHARE = 0.005  # of the picture: a smaller heart or lung was not found
LUNG_TOP = 0.25  # of the height of the lungs: above the aortic arch in most patients
UPRIGHT = 0.4  # of the slope found: the asymmetry of vessels and lungs tilts it more than the spine is
ABOVE_HEART_MM = (46.0, 16.0)  # from the top of the arch to that of the heart: mean and spread of 187 measured films
BELOW_APEX_MM = 18.0  # the arch at least
KNOB_MM = (27.0, 42.0)  # across
APEX_MM = (50.0, 24.0)  # width and height of the box of an apex
SPINE_MM = 18.0  # half the width of the strip: vertebral bodies with their joints


@dataclass(frozen=True, eq=False)
class Masks:
    """Boolean (H, W) masks of one film: the heart, the patient's right lung (left in the picture) and left lung."""

    heart: Mask
    right_lung: Mask
    left_lung: Mask


@dataclass(frozen=True)
class HeartWidth:
    """The measurement behind the cardiothoracic ratio: x and row of the outermost points, from left to right in the picture."""

    thorax_right: tuple[float, float]
    heart_right: tuple[float, float]
    heart_left: tuple[float, float]
    thorax_left: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Width of the heart by width of the thorax; above 0.5 the heart is enlarged, on a PA film only."""
        return (self.heart_left[0] - self.heart_right[0]) / (self.thorax_left[0] - self.thorax_right[0])


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Places on one film, all in its pixels.

    Attributes:
        masks: What everything else was told from; one connected piece each.
        heart, right_lung, left_lung: Boxes around the masks.
        width: Outermost points of heart and thorax.
        apices: Boxes of the patient's right and left apex.
        knob: Box around the aortic knob, a circle in the left border of the mediastinum.
        aorta: Strip of the descending aorta, from the middle of the knob to the dome of the diaphragm.
        spine: Strip of the thoracic spine from the apices to the lower end of the heart.
        midline: float64 (H,), x of the middle of the spine in every row.
        px_per_mm: Scale, from the width of the thorax.
    """

    masks: Masks
    heart: Box
    right_lung: Box
    left_lung: Box
    width: HeartWidth
    apices: tuple[Box, Box]
    knob: Box
    aorta: Box
    spine: Box
    midline: NDArray[np.float64]
    px_per_mm: float


def find_landmarks(masks: Masks) -> Landmarks | None:
    """Landmarks of one film, None where the masks show no heart between two lungs.

    Raises:
        UsageError: The masks are not boolean (H, W) of one shape.
    """
    parts = (masks.heart, masks.right_lung, masks.left_lung)
    if any(part.dtype != np.bool_ or part.ndim != 2 or part.shape != masks.heart.shape for part in parts):
        raise UsageError(
            f"masks of {[f'{part.dtype} {part.shape}' for part in parts]}; wanted: boolean (H, W) of one shape"
        )
    pieces = [_largest_piece(part) for part in parts]
    if any(piece.mean() < MIN_SHARE for piece in pieces):
        return None
    heart, right, left = pieces
    if not _middle_x(right) < _middle_x(heart) < _middle_x(left):
        return None
    width = _heart_width(heart, right, left)
    px_per_mm = (width.thorax_left[0] - width.thorax_right[0]) / THORAX_MM
    midline = _midline(right, left)
    knob = _find_knob(left, midline, px_per_mm, float(np.flatnonzero(heart.any(axis=1))[0]))
    boxes = mask_box(heart), mask_box(right), mask_box(left)
    spine_y = np.array([min(boxes[1][1], boxes[2][1]), boxes[0][3]])
    spine_x = np.interp(spine_y, np.arange(len(midline)), midline)
    return Landmarks(
        masks=Masks(heart, right, left),
        heart=boxes[0],
        right_lung=boxes[1],
        left_lung=boxes[2],
        width=width,
        apices=(_apex(right, px_per_mm), _apex(left, px_per_mm)),
        knob=knob,
        aorta=_descending_aorta(knob, right, midline),
        spine=inside(
            (spine_x.min() - SPINE_MM * px_per_mm, spine_y[0], spine_x.max() + SPINE_MM * px_per_mm, spine_y[1]), heart
        ),
        midline=midline,
        px_per_mm=px_per_mm,
    )


def mask_box(mask: Mask) -> Box:
    """The box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def medial_border(lung: Mask, *, right: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of a lung and the x of its border towards the midline in each of them."""
    rows = np.flatnonzero(lung.any(axis=1))
    if right:
        return rows, (lung.shape[1] - lung[rows, ::-1].argmax(axis=1)).astype(np.float64)
    return rows, lung[rows].argmax(axis=1).astype(np.float64)


def lateral_border(lung: Mask, *, right: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of a lung and the x of its border towards the ribs in each of them."""
    return medial_border(lung, right=not right)


def _largest_piece(mask: Mask) -> Mask:
    """The largest connected piece: a speck that a network left elsewhere would shift every extreme."""
    pieces, n = label(mask)
    if n <= 1:
        return mask
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _middle_x(mask: Mask) -> float:
    return float(np.average(np.arange(mask.shape[1]), weights=mask.sum(axis=0)))


def _heart_width(heart: Mask, right: Mask, left: Mask) -> HeartWidth:
    """Widths over all rows, as the cardiothoracic ratio is measured: the thorax at the outermost points of the lungs."""
    lungs = right | left
    return HeartWidth(_outermost(lungs, 0), _outermost(heart, 0), _outermost(heart, -1), _outermost(lungs, -1))


def _outermost(mask: Mask, side: int) -> tuple[float, float]:
    """Edge x of the first (0) or last (-1) column of a mask, and the middle of its rows there."""
    column = int(np.flatnonzero(mask.any(axis=0))[side])
    return float(column - side), float(np.flatnonzero(mask[:, column]).mean() + 0.5)


def _midline(right: Mask, left: Mask) -> NDArray[np.float64]:
    """A straight line through the middle between the lungs above the arch and the middle of the thorax below it."""
    (rows_r, inner_r), (rows_l, inner_l) = medial_border(right, right=True), medial_border(left, right=False)
    outer_r, outer_l = lateral_border(right, right=True)[1], lateral_border(left, right=False)[1]
    rows, at_r, at_l = np.intersect1d(rows_r, rows_l, return_indices=True)
    if not len(rows):
        return np.full(right.shape[0], (_middle_x(right) + _middle_x(left)) / 2)
    height = (rows - rows[0]) / max(int(np.ptp(rows)), 1)
    between, across = (inner_r[at_r] + inner_l[at_l]) / 2, (outer_r[at_r] + outer_l[at_l]) / 2
    upper = (height > 0.05) & (height < LUNG_TOP)
    lower = (height > LUNG_TOP) & (height < 0.85)
    y = np.concatenate([rows[upper], rows[lower]])
    x = np.concatenate([between[upper], across[lower]])
    if len(np.unique(y)) < 2:
        return np.full(right.shape[0], float(between.mean()))
    slope = UPRIGHT * float(np.polyfit(y, x, 1)[0])
    return np.asarray(x.mean() + slope * (np.arange(right.shape[0]) - y.mean()))


def _find_knob(left: Mask, midline: NDArray[np.float64], px_per_mm: float, heart_top: float) -> Box:
    """The knob starts where the left border of the mediastinum turns outwards most abruptly, at a likely height."""
    rows, border = medial_border(left, right=False)
    smooth = gaussian_filter1d(border - midline[rows], 2 * px_per_mm)
    step = max(int(8 * px_per_mm), 1)
    outwards = smooth[step:] - smooth[:-step]  # over 8 mm
    above = (heart_top - rows[: len(outwards)]) / px_per_mm
    likely = np.exp(-0.5 * np.square((above - ABOVE_HEART_MM[0]) / ABOVE_HEART_MM[1]))
    likely[: int(BELOW_APEX_MM * px_per_mm)] = 0
    top = int((np.maximum(outwards, 0.5) * likely).argmax()) + step // 4
    reach = int(KNOB_MM[1] * px_per_mm)
    edge = float(border[top : top + reach].max(initial=0))
    low, high = (mm * px_per_mm for mm in KNOB_MM)
    size = float(np.clip(edge - midline[rows[top]], low, high))
    return inside((edge - size, rows[top], edge, rows[top] + size), left)


def _descending_aorta(knob: Box, right: Mask, midline: NDArray[np.float64]) -> Box:
    """From the middle of the knob to the right dome, which gas in the stomach does not hide."""
    columns = right.any(axis=0)
    bottoms = right.shape[0] - right[::-1, columns].argmax(axis=0)
    middle = (knob[1] + knob[3]) / 2
    return inside((midline[int(middle)], middle, knob[2], max(float(np.median(bottoms)), knob[3])), right)


def _apex(lung: Mask, px_per_mm: float) -> Box:
    """A box under the highest part of a lung."""
    top = int(np.flatnonzero(lung.any(axis=1))[0])
    across, down = (mm * px_per_mm for mm in APEX_MM)
    columns = np.flatnonzero(lung[top : top + max(int(0.4 * down), 1)].any(axis=0))
    middle = (columns[0] + columns[-1] + 1) / 2
    return inside((middle - across / 2, top - 0.1 * down, middle + across / 2, top + 0.9 * down), lung)


def inside(box: tuple[float, ...], mask: Mask) -> Box:
    """The box cut at the edge of the picture."""
    rows, columns = mask.shape
    x0, y0, x1, y1 = (float(value) for value in np.clip(box, 0, (columns, rows, columns, rows)))
    return x0, y0, x1, y1
