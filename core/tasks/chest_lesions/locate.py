"""The region of the chest task, the whole film made square, and the width of the heart on it."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from core.clinical.heart import is_enlarged
from core.records import Laterality, Line, Measured, Region, Regions, Study
from core.tasks.chest_lesions import lungs
from core.tasks.chest_lesions.landmarks import HeartWidth, Masks, find_landmarks
from core.tasks.chest_lesions.prepare import picture, to_frame
from core.tasks.chest_lesions.task import FILM_SIDE

HEART_LUNG = "heart_lung"  # the auxiliary network
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """The smallest square around the whole frame, with the frame in its middle.

    Args:
        study: A frontal chest film.
        laterality: Has no meaning here.
    """
    rows, columns = study.frame.pixels.shape[:2]
    side = max(rows, columns)
    left, top = (columns - side) / 2, (rows - side) / 2
    return (Region((left, top, left + side, top + side), source="whole"),)


def measure(study: Study, regions: Regions, runs: Mapping[str, Run]) -> Measured:
    """The cardiothoracic ratio and the two lines it is measured along.

    Args:
        study: A frontal chest film.
        regions: The whole film alone.
        runs: The auxiliary networks that are installed, from input to output.

    Returns:
        Nothing without the network. Else the measure cardiothoracic_ratio, NaN where no heart between two lungs was found;
        heart_enlarged, 1 or 0, NaN where the ratio is not judged (AP films); and the lines "heart" and "thorax".
    """
    if HEART_LUNG not in runs:
        return Measured()
    (region,) = regions
    output = runs[HEART_LUNG](lungs.prepare(picture(study, region.box_xyxy, FILM_SIDE)))
    found = find_landmarks(Masks(*lungs.masks(output, FILM_SIDE)))
    ratio = found.width.ratio if found else math.nan
    enlarged = is_enlarged(ratio, study.tags.get("ViewPosition", ""))
    measures = {
        "cardiothoracic_ratio": (ratio,),
        "heart_enlarged": (math.nan if enlarged is None else float(enlarged),),
    }
    return Measured(measures, _lines(found.width, region) if found else {})


def _lines(width: HeartWidth, region: Region) -> dict[str, Line]:
    """Level lines across heart and thorax in pixels of the frame, each at the mean height of its ends."""
    ends = {"heart": (width.heart_right, width.heart_left), "thorax": (width.thorax_right, width.thorax_left)}
    lines = {}
    for name, ((x0, y0), (x1, y1)) in ends.items():
        level = (y0 + y1) / 2
        x0, y0, x1, y1 = to_frame(np.array([[x0, level, x1, level]]), region.box_xyxy, FILM_SIDE)[0].tolist()
        lines[name] = (x0, y0, x1, y1)
    return lines
