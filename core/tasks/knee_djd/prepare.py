"""From a knee region to the network's input: counts as multiples of the shafts of the same leg."""

import numpy as np
from numpy.typing import NDArray

from core.errors import ScreeningError
from core.imaging.display import to_grey
from core.imaging.resample import crop_resize
from core.manifest import Manifest
from core.records import Region, Regions, Study
from core.tasks.knee_djd.locate import pixel_spacing, shaft_reference
from core.tasks.knee_djd.task import SIZE


def crop_region(study: Study, region: Region) -> NDArray[np.float32]:
    """The knee as a right knee, in multiples of the shaft reference: independent of dose, time and body size.

    Args:
        study: A whole-body scan.
        region: What to cut; mirrored when it says so.

    Returns:
        float32 (128, 128), not below 0.

    Raises:
        ScreeningError: E_NONFINITE, no leg above or below the region.
    """
    counts = to_grey(study.frame)
    reference = shaft_reference(counts, region, pixel_spacing(study))
    if not reference > 0:
        raise ScreeningError("E_NONFINITE", "no counts where the shafts beside the region would be")
    crop = (crop_resize(counts, region.box_xyxy, (SIZE, SIZE)) / reference).astype(np.float32)
    return np.ascontiguousarray(crop[:, ::-1]) if region.mirrored else crop


def compress(ratios: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(1 + ratio): grades differ by factors of uptake. (N, H, W) -> (N, 1, H, W)."""
    return np.log1p(np.maximum(ratios, 0))[:, None].astype(np.float32)


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a knee.

    Returns:
        float32 (N, 1, 128, 128).
    """
    return compress(np.stack([crop_region(study, region) for region in regions]))
