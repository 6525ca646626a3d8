"""How far the outlines of two masks lie apart: 95 % Hausdorff distance and normalised surface Dice, in the unit of the spacing.

A missed or an invented lesion is the worst case and never left out: otherwise a model would look better the more it misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from core.errors import UsageError
from core.metrics.bootstrap import intervals_or_none
from core.metrics.cases import patient_index
from core.metrics.proportions import Interval

_ROUNDING = 1e-9  # of the diagonal, so that three pixels of 0.1 mm lie within 0.3 mm


@dataclass(frozen=True)
class SurfaceMetrics:
    """The outlines of one image. Means over images take every image in; print the missed, invented and empty ones beside them.

    Attributes:
        hausdorff95: The greater of two 95th percentiles: of the distances of the reference's outline from the predicted one,
            and back. 0 where both masks are empty, the diagonal of the image where one is.
        normalised_surface_dice: Share of both outlines that lies within the tolerance of the other. 1 where both masks are empty,
            0 where one is.
        n_reference_px, n_predicted_px: Pixels of the two outlines.
    """

    hausdorff95: float
    normalised_surface_dice: float
    n_reference_px: int
    n_predicted_px: int

    @property
    def is_missed(self) -> bool:
        """Something in the reference, nothing predicted."""
        return self.n_reference_px > 0 and self.n_predicted_px == 0

    @property
    def is_invented(self) -> bool:
        """Something predicted, nothing in the reference."""
        return self.n_predicted_px > 0 and self.n_reference_px == 0

    @property
    def is_both_empty(self) -> bool:
        """Nothing in the reference and nothing predicted."""
        return self.n_reference_px == self.n_predicted_px == 0


@dataclass(frozen=True)
class SurfaceReport:
    """The outlines of one class on one set of images.

    Attributes:
        hausdorff95, normalised_surface_dice: Means over all images.
        n_missed, n_invented: Images that count as the worst case: nothing predicted, or nothing in the reference.
        n_both_empty: Images that count as the best case, because there is nothing to find.
    """

    hausdorff95: Interval
    normalised_surface_dice: Interval
    n_images: int
    n_missed: int
    n_invented: int
    n_both_empty: int


def surface_metrics(
    reference: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    spacing: tuple[float, float],
    tolerance: float,
) -> SurfaceMetrics:
    """Measure the outlines of a predicted mask.

    The Hausdorff distance is that of Huttenlocher, Klanderman & Rucklidge (IEEE Trans Pattern Anal Mach Intell 1993;15:850) at
    95 %, as in Maier-Hein et al. (Nat Methods 2024;21:195); the surface Dice that of Nikolov et al. (J Med Internet Res
    2021;23:e26151), every pixel of an outline counting alike.

    Both together, because each has a blind spot: the Hausdorff distance does not see a missed lesion that holds under 5 % of the
    reference's outline, and beyond the tolerance the surface Dice does not see how far. A lesion is a connected piece that
    touches no other; taking one out of a prediction, while the reference is not empty, does this:

    - The last one: neither metric improves.
    - One that is a lesion of the reference, pixel by pixel: neither metric improves.
    - Another one whose outline lies within the tolerance of the reference's: the surface Dice does not improve. The Hausdorff
      distance may, where this outline was the farthest off, and what it had found lies near another predicted lesion or holds
      under 5 % of the reference's outline.
    - A false alarm: both may improve, as they should.

    Args:
        reference, predicted: Boolean (H, W), of one shape.
        spacing: Distance of pixels, (row, column), in millimetres where the file knows them; (1, 1) measures in pixels.
        tolerance: Distance that does not matter, such as the difference of two readers, in the same unit; at least 0.

    Raises:
        UsageError: The masks are not boolean images of one shape, or a spacing or the tolerance is out of range.
    """
    _check_call(reference, predicted, spacing, tolerance)
    outline, predicted_outline = _outline(reference), _outline(predicted)
    n_reference, n_predicted = int(np.count_nonzero(outline)), int(np.count_nonzero(predicted_outline))
    diagonal = hypot(reference.shape[0] * spacing[0], reference.shape[1] * spacing[1])
    if n_reference == 0 or n_predicted == 0:
        is_agreed = n_reference == n_predicted
        return SurfaceMetrics(0.0 if is_agreed else diagonal, 1.0 if is_agreed else 0.0, n_reference, n_predicted)
    there = distance_transform_edt(~predicted_outline, sampling=spacing)[outline]
    back = distance_transform_edt(~outline, sampling=spacing)[predicted_outline]
    within = tolerance + _ROUNDING * diagonal
    n_within = int(np.count_nonzero(there <= within)) + int(np.count_nonzero(back <= within))
    return SurfaceMetrics(
        hausdorff95=float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
        normalised_surface_dice=n_within / (n_reference + n_predicted),
        n_reference_px=n_reference,
        n_predicted_px=n_predicted,
    )


def surface_report(images: Sequence[SurfaceMetrics], patients: ArrayLike, seed: int = 0) -> SurfaceReport:
    """Means over images, every one of which counts; intervals are percentiles of 2000 resamples of patients.

    Args:
        images: One an image, all in one unit.
        patients: (n,), anything that is equal for images of one patient.
        seed: Same seed, same report.

    Raises:
        UsageError: Lengths differ, or fewer than two patients.
    """
    patient = patient_index(patients, len(images))
    values = np.array([[one.hausdorff95, one.normalised_surface_dice] for one in images]).reshape(-1, 2)

    def means(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(copies @ values / copies.sum(axis=1, keepdims=True))

    hausdorff95, dice = intervals_or_none(means, patient, seed)
    assert hausdorff95 is not None  # a mean is always defined
    assert dice is not None
    return SurfaceReport(
        hausdorff95=hausdorff95,
        normalised_surface_dice=dice,
        n_images=len(images),
        n_missed=sum(one.is_missed for one in images),
        n_invented=sum(one.is_invented for one in images),
        n_both_empty=sum(one.is_both_empty for one in images),
    )


def _check_call(
    reference: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing: tuple[float, float], tolerance: float
) -> None:
    if reference.ndim != 2 or reference.shape != predicted.shape or reference.size == 0:
        raise UsageError(f"masks of {reference.shape} and {predicted.shape} pixels")
    if reference.dtype != np.bool_ or predicted.dtype != np.bool_:
        raise UsageError(f"masks of {reference.dtype} and {predicted.dtype}")
    if len(spacing) != 2 or not all(0 < side < np.inf for side in spacing):
        raise UsageError(f"a pixel spacing of {spacing}")
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"a tolerance of {tolerance}")


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels with one of their four neighbours outside the mask; beyond the image is outside."""
    return np.asarray(mask & ~binary_erosion(mask))
