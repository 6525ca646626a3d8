"""A sagittal view through a series of axial slices, to choose slices on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.imaging.display import apply_window, to_bytes, to_grey
from core.records import Study

_CENTER, _WIDTH = 150.0, 700.0  # HU: bone and soft tissue
_AIR = -300.0
_HALF_MM = 4.0  # half the thickness of the sagittal cut: about the width of a spinous process
_WIDTH_PX, _HIGHEST_PX = 360, 760
_SPACING_MM, _STEP_MM = 0.8, 3.0  # where the files tell none
_MARK = (233, 162, 59)


def _middle_column(hu: NDArray[np.float32]) -> float:
    """Middle of what is not air: arms beside the trunk lie on both sides."""
    columns = np.flatnonzero((hu > _AIR).mean(axis=0) > 0.15)
    return float(columns.mean()) if columns.size else hu.shape[1] / 2


def _step_mm(studies: Sequence[Study]) -> float:
    """Median distance of neighbouring slices."""
    positions = [float(study.tags["SlicePosition"]) for study in studies if "SlicePosition" in study.tags]
    steps = np.abs(np.diff(positions))
    return float(np.median(steps[steps > 0])) if np.any(steps > 0) else _STEP_MM


def sagittal_scout(studies: Sequence[Study], places: Sequence[int]) -> NDArray[np.uint8]:
    """The middle of every slice as one row of a picture, front on the left, highest slice on top; chosen slices are marked.

    Args:
        studies: Slices in HU of one size, in the order of their positions, lowest first (SlicePosition grows towards the head).
        places: Chosen slices.

    Returns:
        uint8 (H, W, 3).
    """
    slices = [to_grey(study.frame) for study in studies]
    row_mm, column_mm = studies[0].frame.spacing_mm or (_SPACING_MM, _SPACING_MM)
    middle = float(np.median([_middle_column(hu) for hu in slices[:: max(1, len(slices) // 20)]]))
    half = max(1, round(_HALF_MM / column_mm))
    first = max(0, round(middle) - half)
    rows = np.stack([hu[:, first : round(middle) + half + 1].mean(axis=1) for hu in slices])[::-1]
    scale = _WIDTH_PX / rows.shape[1]
    height = round(len(slices) * _step_mm(studies) / row_mm * scale)
    size = (_WIDTH_PX, int(np.clip(height, 4 * len(slices) if len(slices) < 40 else 160, _HIGHEST_PX)))
    shown = Image.fromarray(to_bytes(apply_window(rows.astype(np.float32), _CENTER, _WIDTH)))
    picture = shown.resize(size, Image.Resampling.BILINEAR).convert("RGB")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for place in places:
        y = (len(slices) - place - 0.5) / len(slices) * size[1]
        pen.line((0, y, size[0], y), fill=_MARK, width=2)
        pen.text((4, max(0.0, y - 17)), str(place + 1), fill=_MARK, font=font)
    return np.asarray(picture)
