"""From a region of the film to the network's input."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.display import to_display
from core.imaging.imagenet import MEAN, SD
from core.imaging.resample import crop_resize, grown
from core.manifest import Manifest
from core.records import Region, Regions, Study

LOW, HIGH = 1.0, 99.0


def crop_region(study: Study, region: Region, size: int, context: float = 1.0) -> NDArray[np.float32]:
    """The region as a left hip, stretched so that its own 1-99 percentiles become 0 and 1.

    Args:
        study: A hip or pelvis film.
        region: What to cut; mirrored when it says so.
        size: Side of the square result without context, pixels.
        context: Side of the cut relative to the region; the surplus lets training turn the picture without blank corners.

    Returns:
        float32 (S, S) with S = round(size * context), not clipped.
    """
    side = round(size * context)
    shown = to_display(study.frame)
    grey = shown if shown.ndim == 2 else shown.mean(axis=2)
    crop = crop_resize(grey, grown(region.box_xyxy, context), (side, side))
    margin = (side - size) // 2
    low, high = np.percentile(crop[margin : margin + size, margin : margin + size], [LOW, HIGH])
    crop = (crop - low) / max(float(high - low), 1e-6)
    return np.ascontiguousarray(crop[:, ::-1]) if region.mirrored else crop


def normalise(crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip to [0, 1], repeat to three channels, ImageNet mean and standard deviation.

    Args:
        crops: float32 (N, H, W).

    Returns:
        float32 (N, 3, H, W).
    """
    return ((np.clip(crops, 0, 1)[:, None] - MEAN) / SD).astype(np.float32)


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a region.

    Returns:
        float32 (N, 3, S, S), S from the manifest.
    """
    size = manifest.input.size[0]
    return normalise(np.stack([crop_region(study, region, size) for region in regions]))
