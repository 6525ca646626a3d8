"""From a fundus photograph to the network's input: the field of view on 896 pixels, freed from illumination."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.fundus import without_illumination
from core.imaging.resample import crop_resize
from core.manifest import Manifest
from core.records import Box, Regions, Study
from core.tasks.retina_lesions.task import INPUT_SIDE, REACHES, SIDE

LIMIT = 7.9  # of the values, in units of their spread
_RIM = 0.985  # of the radius: the rim itself is half lit
_DARK = 0.15  # of the bright part: less is the black surround


def _crop(study: Study, box: Box, side: int) -> NDArray[np.float32]:
    """The box on `side` pixels: float32 (side, side, 3), 0 to 255."""
    channels = [study.frame.pixels[:, :, index].astype(np.float32) for index in range(3)]
    return np.stack([crop_resize(channel, box, (side, side)) for channel in channels], axis=2)


def _lit(crop: NDArray[np.float32], box: Box, frame_shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The lit part of the circle within the box, as far as the frame goes: boolean, of the crop's size."""
    x0, y0, x1, y1 = box
    at = (np.arange(len(crop)) + 0.5) / len(crop)
    x, y = x0 + at * (x1 - x0), y0 + at * (y1 - y0)
    circle = np.hypot(*np.meshgrid(2 * at - 1, 2 * at - 1)) <= _RIM
    in_frame = ((y > 0) & (y < frame_shape[0]))[:, None] & ((x > 0) & (x < frame_shape[1]))
    brightest = crop.max(axis=2)
    return circle & in_frame & (brightest > _DARK * np.percentile(brightest, 95))


def field_mask(study: Study, box: Box) -> NDArray[np.bool_]:
    """The field of view on the pixels of the answer: boolean (SIDE, SIDE)."""
    return _lit(_crop(study, box, SIDE), box, study.frame.pixels.shape)


def picture(study: Study, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The box without illumination, and its field of view.

    Returns:
        float32 (INPUT_SIDE, INPUT_SIDE, 6), red, green and blue at the first of REACHES, then at the second; boolean
        (INPUT_SIDE, INPUT_SIDE).
    """
    crop = _crop(study, box, INPUT_SIDE)
    inside = _lit(crop, box, study.frame.pixels.shape)
    views = [without_illumination(crop, inside, reach) for reach in REACHES]
    return np.clip(np.concatenate(views, axis=2), -LIMIT, LIMIT), inside


def prepare(study: Study, regions: Regions, manifest: Manifest) -> NDArray[np.float32]:
    """One network input a region.

    Returns:
        float32 (N, 6, INPUT_SIDE, INPUT_SIDE).
    """
    pictures = [picture(study, region.box_xyxy)[0] for region in regions]
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
