"""The auxiliary network that finds heart and lungs: its declaration, its input, its masks. Light, for a machine that only trains.

Its cases are those of `data.heart_lung`, its torch parts `network.heart_lung` and `learn.heart_lung`.
"""

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.imaging.display import apply_percentiles
from core.imaging.imagenet import MEAN, SD
from core.imaging.resample import crop_resize

ARCHITECTURE = "unet_small"
SIDE = 256  # of the network's input, pixels
HEART, RIGHT_LUNG, LEFT_LUNG = CHANNELS = (1, 2, 3)  # in a label map, in the order of the output; 0 background
LOW, HIGH = 1.0, 99.0  # percentiles
THRESHOLD = 0.0  # of the logits


def stretched(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """A square film on the network's pixels, its own 1-99 percentiles at 0 and 1.

    Args:
        film: float32 (S, S), as `prepare.picture` gives it.

    Returns:
        float32 (SIDE, SIDE), in [0, 1].

    Raises:
        UsageError: The film is not square.
    """
    if film.ndim != 2 or film.shape[0] != film.shape[1]:
        raise UsageError(f"a film {film.shape}; wanted: a square one")
    rows, columns = film.shape
    return apply_percentiles(crop_resize(film, (0.0, 0.0, float(columns), float(rows)), (SIDE, SIDE)), LOW, HIGH)


def prepare(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """Network input of one square film: float32 (1, 3, SIDE, SIDE), by ImageNet's mean and standard deviation."""
    return ((stretched(film)[None, None] - MEAN) / SD).astype(np.float32)


def masks(output: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    """Masks of one square film; from interpolated logits, so that their edges are finer than the network's pixels.

    Args:
        output: Logits, (1, 3, SIDE, SIDE).
        side: Pixels a side of the film.

    Returns:
        Boolean (3, side, side), in the order of CHANNELS, which is that of `landmarks.Masks`.
    """
    whole = (0.0, 0.0, float(SIDE), float(SIDE))
    return np.stack([crop_resize(channel, whole, (side, side)) > THRESHOLD for channel in output[0]])
