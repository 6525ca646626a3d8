"""Everything there is to say about the pixels of a segmenter and one class: one call, one frozen report."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import ManyStatistics, intervals_or_none
from core.metrics.cases import patient_index
from core.metrics.pixel_histogram import (
    PixelCurve,
    auroc_of_rows,
    average_precision_of_rows,
    called_at,
    pixel_curve,
    stacked_histograms,
)
from core.metrics.proportions import Interval

_BLOCK_ROWS = 256  # resamples read at once: 2 MB a histogram, which stays in the processor's cache


@dataclass(frozen=True)
class PixelMetrics:
    """One threshold on the pixels of all images together.

    Intervals come from resampled patients and have no width where no image errs. None stands where a quantity is undefined, in
    all images or in more than a tenth of the resamples.

    Attributes:
        threshold: A multiple of 1/1024; a score of exactly this is called.
        n_true_positive, n_false_positive, n_true_negative, n_false_negative: Pixels.
        dice: 2 TP / (2 TP + FP + FN); 1 where reference and prediction are both empty, 0 where one is.
        iou: TP / (TP + FP + FN); 1 and 0 likewise.
        sensitivity, specificity: None without a positive (negative) pixel.
        precision: None where no pixel is called.
        accuracy: Share of pixels called right; to be read beside the next.
        accuracy_all_background: The same for the rule that calls no pixel: the share of negative pixels.
    """

    threshold: float
    n_true_positive: int
    n_false_positive: int
    n_true_negative: int
    n_false_negative: int
    dice: Interval | None
    iou: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    precision: Interval | None
    accuracy: Interval | None
    accuracy_all_background: Interval | None


@dataclass(frozen=True)
class ImageValues:
    """A metric of each image.

    Attributes:
        values: One an image, in their order; None where the image cannot give it.
        mean, median: Of the images that give it, with an interval over their patients; None with fewer than two patients.
    """

    values: tuple[float | None, ...]
    mean: Interval | None
    median: Interval | None

    @property
    def n_undefined(self) -> int:
        """Images that cannot give the metric; the pooled figures keep them."""
        return self.values.count(None)


@dataclass(frozen=True)
class SegmentationReport:
    """The pixels of one class on one set of images.

    Attributes:
        n_images, n_patients: Behind it.
        n_without_positives: Images whose reference is empty: they have no AUROC or average precision of their own.
        n_both_empty: Of these, images whose prediction is empty too: their Dice and IoU are 1.
        curve: All images pooled; None without a positive or a negative pixel.
        auroc, average_precision: Those of `curve` with an interval over patients; None where that is None or where more than a
            tenth of the resamples are.
        at_threshold: All images pooled.
        image_auroc, image_average_precision: None for an image of one kind of pixel.
        image_dice, image_iou: 1 where reference and prediction are both empty, 0 where one is; no image is left out.
    """

    n_images: int
    n_patients: int
    n_without_positives: int
    n_both_empty: int
    curve: PixelCurve | None
    auroc: Interval | None
    average_precision: Interval | None
    at_threshold: PixelMetrics
    image_auroc: ImageValues
    image_average_precision: ImageValues
    image_dice: ImageValues
    image_iou: ImageValues


def segmentation_report(
    histograms: ArrayLike, patients: ArrayLike, threshold: float, seed: int = 0
) -> SegmentationReport:
    """Measure a segmenter; intervals are percentiles of 2000 resamples of patients.

    Args:
        histograms: (n, 2, 1024), one an image, see `pixel_histogram`.
        patients: (n,), anything that is equal for images of one patient.
        threshold: See `called_at`.
        seed: Same seed, same report.

    Raises:
        UsageError: See `stacked_histograms` and `called_at`; or fewer than two patients.
    """
    counts = stacked_histograms(histograms)
    patient = patient_index(patients, len(counts))
    n_patients = len(np.unique(patient))
    if n_patients < 2:
        raise UsageError(f"a report on {len(counts)} images of {n_patients} patients: an interval needs two patients")
    called, at = called_at(counts, threshold)
    fp, tp = called.T
    tn, fn = (counts.sum(axis=2) - called).T
    negatives, positives = counts[:, 0].astype(np.float64), counts[:, 1].astype(np.float64)
    ratios = _Ratios.of(tp, fp, tn, fn)

    def pooled(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([_areas(copies, negatives, positives), ratios.of_copies(copies)], axis=1)

    auroc, average_precision, *at_threshold = intervals_or_none(pooled, patient, seed)
    return SegmentationReport(
        n_images=len(counts),
        n_patients=n_patients,
        n_without_positives=int(np.count_nonzero(tp + fn == 0)),
        n_both_empty=int(np.count_nonzero(tp + fp + fn == 0)),
        curve=pixel_curve(counts.sum(axis=0)) if positives.any() and negatives.any() else None,
        auroc=auroc,
        average_precision=average_precision,
        at_threshold=PixelMetrics(at, int(tp.sum()), int(fp.sum()), int(tn.sum()), int(fn.sum()), *at_threshold),
        image_auroc=_image_values(auroc_of_rows(negatives, positives), patient, seed),
        image_average_precision=_image_values(average_precision_of_rows(negatives, positives), patient, seed),
        image_dice=_image_values(ratios.of_images[:, 0], patient, seed),
        image_iou=_image_values(ratios.of_images[:, 1], patient, seed),
    )


@dataclass(frozen=True)
class _Ratios:
    """Ratios of pixel counts, in the order of `PixelMetrics`: float64 (n, 7) each."""

    above: NDArray[np.float64]
    below: NDArray[np.float64]

    @classmethod
    def of(cls, tp: NDArray[np.int64], fp: NDArray[np.int64], tn: NDArray[np.int64], fn: NDArray[np.int64]) -> Self:
        everything = tp + fp + tn + fn
        above = (2 * tp, tp, tp, tn, tp, tp + tn, tn + fp)
        below = (2 * tp + fp + fn, tp + fp + fn, tp + fn, tn + fp, tp + fp, everything, everything)
        return cls(np.stack(above, axis=1).astype(np.float64), np.stack(below, axis=1).astype(np.float64))

    def of_copies(self, copies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ratios of the sums over every resample: float64 (r, 7)."""
        return _ratios(copies @ self.above, copies @ self.below)

    @property
    def of_images(self) -> NDArray[np.float64]:
        """Ratios of every image: float64 (n, 7)."""
        return _ratios(self.above, self.below)


def _ratios(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    if_empty = np.broadcast_to(np.append([1.0, 1.0], np.full(5, np.nan)), above.shape).copy()
    return np.divide(above, below, out=if_empty, where=below > 0)


def _areas(
    copies: NDArray[np.float64], negatives: NDArray[np.float64], positives: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUROC and average precision of the summed histograms of every resample: float64 (r, 2)."""
    rows = []
    for start in range(0, len(copies), _BLOCK_ROWS):
        block = copies[start : start + _BLOCK_ROWS]
        summed = block @ negatives, block @ positives
        rows.append(np.stack([auroc_of_rows(*summed), average_precision_of_rows(*summed)], axis=1))
    return np.concatenate(rows)


def _image_values(values: NDArray[np.float64], patient: NDArray[np.int64], seed: int) -> ImageValues:
    is_defined = ~np.isnan(values)
    of_patient = patient[is_defined]
    mean, median = None, None
    if np.unique(of_patient).size > 1:
        mean, median = intervals_or_none(_mean_and_median(values[is_defined]), of_patient, seed)
    return ImageValues(tuple(None if np.isnan(value) else float(value) for value in values), mean, median)


def _mean_and_median(values: NDArray[np.float64]) -> ManyStatistics:
    """Mean and median of the images of every resample: (r, 2). The median of an even number is the mean of the middle two."""
    order = np.argsort(values, kind="stable")
    rising = values[order]

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        up_to = np.cumsum(copies[:, order], axis=1)
        n = up_to[:, -1:]
        lower = np.argmax(up_to > (n - 1) // 2, axis=1)
        upper = np.argmax(up_to > n // 2, axis=1)
        return np.stack([copies @ values / n[:, 0], (rising[lower] + rising[upper]) / 2], axis=1)

    return statistics
