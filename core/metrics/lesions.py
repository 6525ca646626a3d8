"""Whole lesions found and false alarms: counts of a score map, and the FROC curve that lesions and boxes share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.special import expit

from core.errors import UsageError
from core.metrics.bootstrap import ManyStatistics, bootstrap_by_copies, intervals_or_none
from core.metrics.cases import patient_index
from core.metrics.proportions import Interval, clustered_wilson_interval

FP_PER_IMAGE = (0.25, 0.5, 1.0, 2.0)
# Equal steps of the logit: lesions are rare, so that much of a network's curve lies at scores below 0.05.
LESION_THRESHOLDS: NDArray[np.float64] = expit(np.linspace(6, -6, 25))
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class LesionCounts:
    """One image and class at falling thresholds.

    Attributes:
        n_lesions: Connected components of the reference inside the field of view.
        n_found: int64 (t,), lesions that a predicted component overlaps.
        n_false_positive: int64 (t,), predicted components that touch no lesion.
        false_positive_px: int64 (t,), their pixels.
        field_px: Pixels of the field of view.
    """

    n_lesions: int
    n_found: NDArray[np.int64]
    n_false_positive: NDArray[np.int64]
    false_positive_px: NDArray[np.int64]
    field_px: int


@dataclass(frozen=True)
class FrocPoint:
    """Sensitivity where the false positives are held down.

    Attributes:
        fp_per_image: The most false positives per image that are allowed.
        threshold: The lowest threshold that keeps to it, itself and all above; infinity where none does.
        sensitivity: None where more than a tenth of the resamples hold no lesion. A resample of patients chooses its own
            threshold. Where all or no lesions are found, percentiles may have no width and are widened to
            `clustered_wilson_interval`.
    """

    fp_per_image: float
    threshold: float
    sensitivity: Interval | None


@dataclass(frozen=True)
class FrocCurve:
    """Sensitivity against mean false positives per image, all images and lesions pooled.

    Attributes:
        thresholds: float64 (t + 1,), falling; the first is infinity (nothing is called).
        fp_per_image: float64 (t + 1,). Of score maps it may fall again at low thresholds, where components merge.
        sensitivity: float64 (t + 1,), share of the lesions found.
        points: Readings at given false positives per image.
        n_lesions, n_images: Behind it; images without lesions count.
    """

    thresholds: NDArray[np.float64]
    fp_per_image: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    points: tuple[FrocPoint, ...]
    n_lesions: int
    n_images: int


@dataclass(frozen=True)
class LesionReport:
    """A segmenter's lesions of one class on one set of images.

    Attributes:
        threshold: The operating point that the next three belong to.
        sensitivity: None without a lesion, or where more than a tenth of the resamples hold none.
        fp_per_image: Predicted components that touch no lesion; the interval has no width where there are none.
        false_alarm_share: Mean share of the field of view that is called on images without lesions; None without such an image,
            or where more than a tenth of the resamples hold none.
        false_alarm_shares: float64 (t,), the same at each of `thresholds`; NaN without such an image.
        thresholds: float64 (t,), falling.
        froc: None without a lesion.
        n_lesions, n_images, n_without_lesions: Lesions, images, and images without any.
    """

    threshold: float
    sensitivity: Interval | None
    fp_per_image: Interval
    false_alarm_share: Interval | None
    false_alarm_shares: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    froc: FrocCurve | None
    n_lesions: int
    n_images: int
    n_without_lesions: int


def count_lesions(
    score: ArrayLike, mask: ArrayLike, field_mask: ArrayLike, thresholds: ArrayLike, min_area_px: int = 1
) -> LesionCounts:
    """Compare lesions with the components of a thresholded score map, both 8-connected and inside the field of view.

    A lesion is found when one pixel of a predicted component lies in it, and a component is a false positive when it touches no
    lesion: the rule of the MS lesion challenge (Styner et al., MIDAS Journal 2008). One component may find several lesions. The
    rule does not punish a component for being large, so read it beside Dice.

    Args:
        score: (H, W), finite inside the field.
        mask: Boolean (H, W), the reference standard.
        field_mask: Boolean (H, W), True inside the field of view.
        thresholds: (t,), falling; a score of exactly this is called.
        min_area_px: Predicted components with fewer pixels are ignored: they find nothing and are no false positive.

    Raises:
        UsageError: Shapes differ, thresholds do not fall, the field is empty or a score inside it is no number.
    """
    falling = _falling(thresholds)
    scores, is_inside = np.asarray(score), np.asarray(field_mask, dtype=bool)
    is_lesion = np.asarray(mask, dtype=bool)
    if scores.ndim != 2 or not scores.shape == is_lesion.shape == is_inside.shape:
        raise UsageError(f"scores of shape {scores.shape}, masks of {is_lesion.shape} and {is_inside.shape}")
    if not is_inside.any() or np.isnan(scores[is_inside]).any():
        raise UsageError(f"{np.count_nonzero(is_inside)} pixels in the field of view, or a score that is not a number")
    lesions, n_lesions = ndimage.label(is_lesion & is_inside, _EIGHT_CONNECTED)
    rows = [_compare(is_inside & (scores >= threshold), lesions, min_area_px) for threshold in falling]
    n_found, n_false_positive, false_positive_px = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    field_px = int(np.count_nonzero(is_inside))
    return LesionCounts(int(n_lesions), n_found, n_false_positive, false_positive_px, field_px)


def called_pieces(is_called: NDArray[np.bool_], min_area_px: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Leave out small 8-connected pieces.

    Args:
        is_called: Boolean (H, W).
        min_area_px: Pieces with fewer pixels go.

    Returns:
        What stays, and the number of the piece of each pixel, 0 where nothing is called; numbers may have gaps.
    """
    pieces, n_pieces = ndimage.label(is_called, _EIGHT_CONNECTED)
    area = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
    area[0] = 0
    is_kept = (area >= min_area_px)[pieces]
    return is_kept, np.where(is_kept, pieces, 0)


def lesion_report(
    counts: Sequence[LesionCounts], thresholds: ArrayLike, patients: ArrayLike, threshold: float, seed: int = 0
) -> LesionReport:
    """Pool the counts of images; intervals are percentiles of 2000 resamples of patients.

    Args:
        counts: One an image, all at the same thresholds.
        thresholds: (t,), those of `counts`.
        patients: (n,), anything that is equal for images of one patient.
        threshold: The operating point, one of `thresholds`.
        seed: Same seed, same report.

    Raises:
        UsageError: Lengths differ, the operating point is not among the thresholds, or fewer than two patients.
    """
    falling = _falling(thresholds)
    patient = patient_index(patients, len(counts))
    if len(np.unique(patient)) < 2 or any(image.n_found.shape != falling.shape for image in counts):
        raise UsageError(f"lesion counts of {len(np.unique(patient))} patients at {falling.size} thresholds")
    if threshold not in falling:
        raise UsageError(f"an operating point of {threshold} that is not among the thresholds counted")
    at = int(np.flatnonzero(falling == threshold)[0])
    n_found, n_false = np.stack([i.n_found for i in counts]), np.stack([i.n_false_positive for i in counts])
    n_lesions = np.array([image.n_lesions for image in counts])
    is_healthy = n_lesions == 0
    shares = np.stack([image.false_positive_px / image.field_px for image in counts])
    above = np.stack([n_found[:, at], shares[:, at] * is_healthy], axis=1).astype(np.float64)
    below = np.stack([n_lesions, is_healthy], axis=1).astype(np.float64)
    share_found, false_alarm_share = intervals_or_none(_ratios_of_sums(above, below), patient, seed)
    fp_per_image = bootstrap_by_copies(lambda copies: copies @ n_false[:, at] / copies.sum(axis=1), patient, seed=seed)
    return LesionReport(
        threshold=threshold,
        sensitivity=_widened(share_found, n_lesions, patient),
        fp_per_image=fp_per_image.interval,
        false_alarm_share=false_alarm_share,
        false_alarm_shares=shares[is_healthy].mean(axis=0) if is_healthy.any() else np.full(falling.shape, np.nan),
        thresholds=falling,
        froc=froc_curve(falling, n_found, n_false, n_lesions, patient, seed) if n_lesions.any() else None,
        n_lesions=int(n_lesions.sum()),
        n_images=len(counts),
        n_without_lesions=int(np.count_nonzero(is_healthy)),
    )


def froc_curve(
    thresholds: ArrayLike,
    n_found: ArrayLike,
    n_false_positive: ArrayLike,
    n_lesions: ArrayLike,
    patients: ArrayLike,
    seed: int = 0,
) -> FrocCurve:
    """Free-response ROC curve of pooled images (Bunch et al., Proc SPIE 1977;127:124), with 95 % intervals at `FP_PER_IMAGE`.

    Args:
        thresholds: (t,), falling.
        n_found, n_false_positive: (n, t), of each image at each threshold.
        n_lesions: (n,), of each image.
        patients: (n,), anything that is equal for images of one patient.
        seed: Same seed, same intervals.

    Raises:
        UsageError: Shapes differ, thresholds do not fall, there is no lesion, or fewer than two patients.
    """
    falling = np.append(np.inf, _falling(thresholds))
    lesions = np.asarray(n_lesions, dtype=np.float64)
    patient = patient_index(patients, lesions.size)
    found, false = (np.pad(np.asarray(x, dtype=np.float64), ((0, 0), (1, 0))) for x in (n_found, n_false_positive))
    if found.shape != false.shape or found.shape != (lesions.size, falling.size):
        raise UsageError(f"found of shape {found.shape}, false of {false.shape}, for {lesions.size} images")
    if not lesions.any() or len(np.unique(patient)) < 2:
        raise UsageError(f"{lesions.sum():.0f} lesions of {len(np.unique(patient))} patients")
    last = _last_allowed(np.ones((1, lesions.size)), false)[0]
    sensitivities = intervals_or_none(_sensitivities(found, false, lesions), patient, seed)
    points = tuple(
        FrocPoint(allowed, float(falling[at]), _widened(sensitivity, lesions, patient))
        for allowed, at, sensitivity in zip(FP_PER_IMAGE, last, sensitivities, strict=True)
    )
    return FrocCurve(
        thresholds=falling,
        fp_per_image=false.mean(axis=0),
        sensitivity=found.sum(axis=0) / lesions.sum(),
        points=points,
        n_lesions=int(lesions.sum()),
        n_images=lesions.size,
    )


def _compare(is_called: NDArray[np.bool_], lesions: NDArray[np.int32], min_area_px: int) -> tuple[int, int, int]:
    """Lesions found, components that touch no lesion, and the pixels of these."""
    components, n_components = ndimage.label(is_called, _EIGHT_CONNECTED)
    area = np.bincount(components.ravel(), minlength=n_components + 1)
    is_kept = area >= min_area_px
    is_kept[0] = False
    shared = (lesions > 0) & is_kept[components]
    is_false = is_kept
    is_false[np.unique(components[shared])] = False
    return np.unique(lesions[shared]).size, int(np.count_nonzero(is_false)), int(area[is_false].sum())


def _falling(thresholds: ArrayLike) -> NDArray[np.float64]:
    falling = np.asarray(thresholds, dtype=np.float64)
    if falling.ndim != 1 or not (np.diff(falling) < 0).all() or not np.isfinite(falling).all():
        raise UsageError(f"thresholds of shape {falling.shape} that do not fall")
    return falling


def _ratios_of_sums(above: NDArray[np.float64], below: NDArray[np.float64]) -> ManyStatistics:
    """Ratios of sums over images, (n, k) each; NaN where the lower one is 0."""

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = copies @ below
        return np.divide(copies @ above, sums, out=np.full(sums.shape, np.nan), where=sums > 0)

    return statistics


def _sensitivities(
    found: NDArray[np.float64], false: NDArray[np.float64], lesions: NDArray[np.float64]
) -> ManyStatistics:
    """Sensitivity of every resample at each of `FP_PER_IMAGE`."""

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        n_found = np.take_along_axis(copies @ found, _last_allowed(copies, false), axis=1)
        n_lesions = (copies @ lesions)[:, np.newaxis]
        return np.divide(n_found, n_lesions, out=np.full(n_found.shape, np.nan), where=n_lesions > 0)

    return statistics


def _last_allowed(copies: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the lowest threshold before the false positives first exceed each of `FP_PER_IMAGE`: int64 (r, 4).

    The first crossing, because where everything is called all components merge into one that touches a lesion.
    """
    most = np.maximum.accumulate(copies @ false, axis=1)
    n_images = copies.sum(axis=1, keepdims=True)
    return np.stack([np.count_nonzero(most <= allowed * n_images, axis=1) - 1 for allowed in FP_PER_IMAGE], axis=1)


def _widened(
    share_found: Interval | None, n_lesions: NDArray[np.float64] | NDArray[np.int64], patient: NDArray[np.int64]
) -> Interval | None:
    """Widen an interval that may have no width, because all lesions are found or none."""
    if share_found is None or 0 < share_found.value < 1:
        return share_found
    trials = np.repeat(patient, n_lesions.astype(np.int64))
    wilson = clustered_wilson_interval(np.full(trials.shape, share_found.value == 1), trials)
    return Interval(share_found.value, min(share_found.low, wilson.low), max(share_found.high, wilson.high))
