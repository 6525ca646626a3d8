"""Where two masks of one photograph agree, as a picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from core.imaging.overlay import png_bytes

BOTH, FIRST_ONLY, SECOND_ONLY = "#F0E442", "#56B4E9", "#D55E00"
"""Yellow, sky blue and vermillion of Okabe and Ito (2008): apart for every kind of colour vision, and from grey."""
_DIMMED = 0.75  # so that the colours are the brightest things in the picture
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SWATCH_PX = 16


def agreement_map(picture: NDArray[np.uint8], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture in dim grey, and on it what both masks call, what only the first and what only the second calls.

    Args:
        picture: uint8 (H, W, 3).
        first, second: Boolean masks of one shape that show the same frame, of any size.

    Returns:
        uint8 (H, W, 3).
    """
    rows, columns = picture.shape[:2]
    grey = _DIMMED * (picture @ np.array(_LUMINANCE, np.float32))
    result = np.repeat(np.rint(grey).astype(np.uint8)[:, :, None], 3, axis=2)
    called = first.astype(np.uint8) + 2 * second.astype(np.uint8)
    parts = np.asarray(Image.fromarray(called).resize((columns, rows), Image.Resampling.NEAREST))
    for part, colour in ((1, FIRST_ONLY), (2, SECOND_ONLY), (3, BOTH)):
        result[parts == part] = ImageColor.getrgb(colour)
    return result


def swatch_png(colour: str) -> bytes:
    """A square of one colour for a legend; `colour` as "#rrggbb"."""
    square = np.full((_SWATCH_PX, _SWATCH_PX, 3), ImageColor.getrgb(colour), np.uint8)
    return png_bytes(square)
