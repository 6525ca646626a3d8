"""From a frontal film to the network's input, boxes on the way there and back, and the views that the page shows beside it."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.display import percentiles, to_display
from core.imaging.resample import crop_resize
from core.manifest import Manifest
from core.records import Box, Regions, Study
from core.tasks.chest_lesions.task import SIDE

LIMIT_SD = 3.0  # of the normalised view


def picture(study: Study, box: Box, side: int = SIDE) -> NDArray[np.float32]:
    """The box as the file's own window shows it, else between the 0.5 and 99.5 percentiles; black beyond the frame.

    Returns:
        float32 (side, side), in [0, 1].
    """
    shown = to_display(study.frame)
    grey = shown if shown.ndim == 2 else shown.mean(axis=2)
    x0, y0, x1, y1 = box
    # one black pixel around the frame, which the crop continues
    return crop_resize(np.pad(grey, 1), (x0 + 1, y0 + 1, x1 + 1, y1 + 1), (side, side))


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a region: grey in three channels, not normalised, which the detector does itself.

    Returns:
        float32 (N, 3, SIDE, SIDE), in [0, 1].
    """
    pictures = np.stack([picture(study, region.box_xyxy) for region in regions])
    return np.repeat(pictures[:, None], 3, axis=1)


def to_network(boxes: NDArray[np.float64], region: Box) -> NDArray[np.float64]:
    """Boxes (n, 4) in pixels of the frame -> in pixels of the network's input."""
    start, scale = _axes(region, SIDE)
    return (boxes - start) / scale


def to_frame(boxes: NDArray[np.float64], region: Box, side: int = SIDE) -> NDArray[np.float64]:
    """Boxes (n, 4) in pixels of a region's picture of `side` -> in pixels of the frame."""
    start, scale = _axes(region, side)
    return boxes * scale + start


def _axes(region: Box, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start of a region, and pixels of the frame for one of the picture; (4,) each, as in a box."""
    x0, y0, x1, y1 = region
    across, down = (x1 - x0) / side, (y1 - y0) / side
    return np.array([x0, y0, x0, y0]), np.array([across, down, across, down])


def log_view(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the greys above the darkest, between its own 0.5 and 99.5 percentiles.

    Step VII of the reference system: logarithm, normalisation, clip. It opens up dark parts and presses bright ones together, the
    more the more grey levels the file has.

    Args:
        grey: float32 (H, W), grey levels of the file.

    Returns:
        float32 (H, W), in [0, 1]; zeros for a constant picture.
    """
    values = np.log1p(grey - grey.min())
    low, high = percentiles(values, [0.5, 99.5])
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def normalised_view(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Greys by their mean and standard deviation, clipped at three of these on either side: the reference's third picture.

    Args:
        grey: float32 (H, W) in any unit.

    Returns:
        float32 (H, W), in [0, 1], the mean at 0.5.
    """
    values = (grey - grey.mean()) / max(float(grey.std()), 1e-6)
    return ((np.clip(values, -LIMIT_SD, LIMIT_SD) + LIMIT_SD) / (2 * LIMIT_SD)).astype(np.float32)
