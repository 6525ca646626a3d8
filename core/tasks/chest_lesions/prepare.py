"""From a frontal film to the network's input, and boxes on the way there and back."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.display import to_display
from core.imaging.resample import crop_resize
from core.manifest import Manifest
from core.records import Box, Regions, Study
from core.tasks.chest_lesions.task import SIDE


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


def film(study: Study, box: Box) -> NDArray[np.uint8]:
    """The box as training stores it, and so as the network sees it later too.

    Returns:
        uint8 (SIDE, SIDE), 0..255 for 0..1 of `picture`.
    """
    return np.rint(picture(study, box) * 255).astype(np.uint8)


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a region: grey in three channels, not normalised, which the detector does itself.

    Returns:
        float32 (N, 3, SIDE, SIDE), in [0, 1] in steps of 1/255.
    """
    films = np.stack([film(study, region.box_xyxy) for region in regions])
    return np.repeat(films[:, None].astype(np.float32) / 255, 3, axis=1)


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
