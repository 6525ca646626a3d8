"""From a region of the slice to the network's input: the two HU windows of the publication."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.imaging.display import to_grey
from core.imaging.imagenet import MEAN, SD
from core.imaging.resample import crop_resize, grown
from core.manifest import Manifest
from core.records import Region, Regions, Study
from core.tasks.ct_osteoporosis.task import HU_MAX, HU_MIN, SMOOTH_PX, SMOOTH_REACH


def crop_region(study: Study, region: Region, size: int, context: float = 1.0) -> NDArray[np.float32]:
    """The region in HU.

    Args:
        study: A CT slice.
        region: What to cut.
        size: Side of the square result without context, pixels.
        context: Side of the cut relative to the region; the surplus lets training turn the picture without blank corners.

    Returns:
        float32 (S, S) with S = round(size * context).
    """
    side = round(size * context)
    return crop_resize(to_grey(study.frame), grown(region.box_xyxy, context), (side, side))


def smooth(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same sharpness for every reconstruction kernel and slice thickness: mean HU stay, noise and texture go.

    Args:
        hu: float32 (H, W) of a region as the network sees it.
    """
    return gaussian_filter(hu, SMOOTH_PX, truncate=SMOOTH_REACH, mode="nearest")


def window(hu: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Equation 1: 255 (HU - HU_min) / (HU_max - HU_min), here as a share of 255 and clipped, which the equation leaves out.

    Args:
        hu: Any shape.
        name: "s" (HU_min -128) or "t" (HU_min -450).
    """
    low = HU_MIN[name]
    return np.clip((hu - low) / (HU_MAX - low), 0, 1).astype(np.float32)


def normalise(crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Both windows, each repeated to three channels, with ImageNet mean and standard deviation.

    Args:
        crops: HU, float32 (N, H, W).

    Returns:
        float32 (N, 6, H, W): x_s, then x_t.
    """
    smoothed = np.stack([smooth(crop) for crop in crops])
    parts = [(window(smoothed, name)[:, None] - MEAN) / SD for name in ("s", "t")]
    return np.concatenate(parts, axis=1).astype(np.float32)


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a region.

    Returns:
        float32 (N, 6, S, S), S from the manifest.
    """
    size = manifest.input.size[0]
    return normalise(np.stack([crop_region(study, region, size) for region in regions]))
