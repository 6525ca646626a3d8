"""The femoral-neck region: a square below and lateral of the femoral head, which shows as a bright disc."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.circles import Circle, find_bright_disc, refine_radius
from core.imaging.display import apply_percentiles, to_grey
from core.imaging.resample import fit_within
from core.records import Box, Laterality, Region, Regions, Study

WORKING_SIDE = 320
HEAD_RADIUS_MM = (18.0, 31.0)
HEAD_RADIUS_SHARE = (0.05, 0.135)  # of the longest side, when the file tells no spacing
SIDE_RADII, SHIFT_RADII = 4.7, 1.13


def region_box(head_xy: tuple[float, float], radius: float, laterality: Laterality) -> Box:
    """Square of 4.7 head radii from the head to below the lesser trochanter; pixels of the frame."""
    x = head_xy[0] + (SHIFT_RADII if laterality == "L" else -SHIFT_RADII) * radius
    y = head_xy[1] + SHIFT_RADII * radius
    half = SIDE_RADII * radius / 2
    return (x - half, y - half, x + half, y + half)


def is_pelvis(study: Study) -> bool:
    """Whether the film shows both hips: by its body part, else by its shape."""
    part = study.tags.get("BodyPartExamined", "").upper()
    if part == "PELVIS":
        return True
    rows, columns = study.frame.pixels.shape[:2]
    return part != "HIP" and study.laterality is None and columns > 1.2 * rows


def find_head(grey: NDArray[np.float32], spacing_mm: float | None, columns: tuple[float, float]) -> Circle:
    """The femoral head whose centre lies between two shares of the width, in pixels of `grey`."""
    small, factor = fit_within(grey, WORKING_SIDE)
    rows, width = small.shape
    if spacing_mm:
        low, high = (value / spacing_mm / factor for value in HEAD_RADIUS_MM)
    else:
        low, high = (share * max(small.shape) for share in HEAD_RADIUS_SHARE)
    prior = np.zeros(small.shape, np.float32)
    prior[int(0.08 * rows) : int(0.85 * rows), int(columns[0] * width) : int(columns[1] * width)] = 1
    display = apply_percentiles(small, 1, 99)
    disc = refine_radius(display, find_bright_disc(display, np.geomspace(low, high, 14), prior))
    return Circle((disc.x + 0.5) * factor - 0.5, (disc.y + 0.5) * factor - 0.5, disc.radius * factor, disc.strength)


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """Propose the region of each hip in the film.

    Args:
        study: A hip film gives one region, a pelvis film one for each side.
        laterality: Side chosen by a person; else the header's; else left.
    """
    grey = to_grey(study.frame)
    spacing = study.frame.spacing_mm[0] if study.frame.spacing_mm else None
    if is_pelvis(study):
        sides: list[tuple[Laterality, tuple[float, float]]] = [("R", (0.08, 0.48)), ("L", (0.52, 0.92))]
    else:
        side: Laterality = laterality or study.laterality or "L"
        sides = [(side, (0.1, 0.72) if side == "L" else (0.28, 0.9))]
    regions = []
    for name, columns in sides:
        head = find_head(grey, spacing, columns)
        regions.append(Region(region_box((head.x, head.y), head.radius, name), laterality=name, mirrored=name == "R"))
    return tuple(regions)
