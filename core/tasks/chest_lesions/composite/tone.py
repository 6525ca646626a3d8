"""The film's own greys: what soft tissue, air and noise look like on it, and how shadows add up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.errors import UsageError
from core.imaging.drawing import Array
from core.tasks.chest_lesions.landmarks import Landmarks

SMOOTH_MM = 5.0  # about half a rib: what lies below is the tissue, what lies above is its texture
MIN_SPAN = 0.05  # between lung and heart; less is no radiograph, or an inverted one


@dataclass(frozen=True, eq=False)
class Tone:
    """Greys of one film.

    Attributes:
        low: float32 (H, W), the film without its fine texture.
        lung, dense: Median grey of the lungs, and of the heart.
    """

    low: NDArray[np.float32]
    lung: float
    dense: float

    @property
    def gain(self) -> NDArray[np.float32]:
        """Contrast of the film at each place relative to the lungs, float32 (H, W): it fades towards white."""
        return np.clip((1 - self.low) / (1 - self.lung), 0, 1)

    @property
    def span(self) -> float:
        """From lung to heart: the film's contrast between air and about 12 cm of soft tissue."""
        return self.dense - self.lung


def film_tone(film: NDArray[np.float32], landmarks: Landmarks) -> Tone:
    """Greys of a film.

    Raises:
        UsageError: The heart is not brighter than the lungs.
    """
    masks = landmarks.masks
    lung, dense = float(np.median(film[masks.right_lung | masks.left_lung])), float(np.median(film[masks.heart]))
    if dense - lung < MIN_SPAN:
        raise UsageError("a film on which the heart is not brighter than the lungs")
    return Tone(np.asarray(gaussian_filter(film, SMOOTH_MM * landmarks.px_per_mm)), lung, dense)


def add_shadow(film: NDArray[np.float32], rise: Array) -> NDArray[np.float32]:
    """The film with a shadow of `rise` greys (>= 0, (H, W)) on it, which bends towards white instead of being cut there.

    Bones, vessels and noise stay on top of it: attenuations add up on a logarithmic film.
    """
    room = 1 - film
    bent = film + room * -np.expm1(-rise / np.maximum(room, 1e-6))
    return np.where(rise > 0, np.minimum(bent, 1), film).astype(np.float32)
