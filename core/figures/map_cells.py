"""Small pictures for a grid of maps: the image, what a network looks at, and the outline of where the truth lies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from core.imaging.overlay import as_rgb, colour_map

_SIDE, _PEN_PX = 256, 2
_STRENGTH = 0.65  # opacity of the strongest evidence
_OUTLINE = (86, 180, 233)


def map_cell(
    image: NDArray[np.uint8], inside: NDArray[np.uint8], heat: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """One cell of the grid.

    Args:
        image: uint8 (S, S).
        inside: uint8 (S, S), above 127 where the truth lies: outlined.
        heat: uint8 (S, S), 255 = the strongest evidence; None = the image alone.

    Returns:
        uint8 (256, 256, 3).
    """
    picture: NDArray[np.floating[Any]] = as_rgb(_large(image)).astype(np.float32)
    if heat is not None:
        values = _large(heat)
        alpha = (_STRENGTH * np.sqrt(values))[:, :, None]
        picture = (1 - alpha) * picture + alpha * colour_map(values)
    body = _large(inside) > 0.5
    picture[body & ~binary_erosion(body, iterations=_PEN_PX)] = _OUTLINE
    return np.rint(picture).astype(np.uint8)


def _large(own: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (S, S) to [0, 1], (256, 256)."""
    large = np.asarray(Image.fromarray(own).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    return (large / 255).astype(np.float32)
