"""The region of the retina task: the square around the field of view."""

import numpy as np

from core.imaging.fundus import find_field
from core.records import Laterality, Region, Regions, Study


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """The square around the field of view, or the whole frame where none is seen.

    Args:
        study: A fundus photograph.
        laterality: Eye, kept in the region.
    """
    pixels = study.frame.pixels
    rows, columns = pixels.shape[:2]
    field = find_field(pixels.astype(np.uint8, copy=False)) if study.frame.unit == "rgb" else None
    side = laterality or study.laterality
    if field is None:
        return (Region((0.0, 0.0, float(columns), float(rows)), side, source="whole"),)
    x, y = field.x + 0.5, field.y + 0.5
    return (Region((x - field.radius, y - field.radius, x + field.radius, y + field.radius), side),)
