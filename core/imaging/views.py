"""Other ways to show a radiograph than through a window: for the eye, no network sees them."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from core.imaging.display import percentiles

LIMIT_SD = 3.0  # of the normalised view


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


VIEWS: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "log": log_view,
    "normalised": normalised_view,
}
