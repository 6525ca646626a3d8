"""Pixel scores of an image as two histograms: all that a segmentation's curves need, at a thousandth of the size.

The scores in [0, 1] fall into 1024 bins, so that every multiple of 1/1024 is a bin's edge and counts at such thresholds are
exact. Pixels of one bin count as equal scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError

N_BINS = 1024


@dataclass(frozen=True)
class PixelCurve:
    """ROC and precision-recall curve of pixels; a point says: this many are called positive at `thresholds[i]` or more.

    Attributes:
        thresholds: float64 (1025,), falling bin edges; the first is infinity (no pixel is positive).
        fpr, recall: float64 (1025,), rising from 0 to 1; recall is the sensitivity (the tpr of the ROC curve).
        precision: float64 (1025,), 1 by convention where no pixel is called positive.
        auroc: Area under fpr and recall: share of positive-negative pairs in the right order, one bin counting half.
        average_precision: Mean precision weighted by the gain in recall (no interpolation).
        n_positive, n_negative: Pixels.
    """

    thresholds: NDArray[np.float64]
    fpr: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    auroc: float
    average_precision: float
    n_positive: int
    n_negative: int

    @property
    def prevalence(self) -> float:
        """Share of positive pixels: the precision of chance."""
        return self.n_positive / (self.n_positive + self.n_negative)


def pixel_histogram(score: ArrayLike, mask: ArrayLike, field_mask: ArrayLike) -> NDArray[np.int64]:
    """Count the scores of one image and class, inside the field of view only.

    Args:
        score: (H, W), in [0, 1] inside the field.
        mask: Boolean (H, W), the reference standard.
        field_mask: Boolean (H, W), True inside the field of view.

    Returns:
        int64 (2, 1024): negative pixels in row 0, positive in row 1; bin k holds k/1024 <= score < (k + 1)/1024, the last also 1.

    Raises:
        UsageError: Shapes differ, a mask is not boolean, or a score inside the field is not in [0, 1].
    """
    scores, is_positive, is_inside = np.asarray(score), np.asarray(mask), np.asarray(field_mask)
    if scores.ndim != 2 or not scores.shape == is_positive.shape == is_inside.shape:
        raise UsageError(f"scores of shape {scores.shape}, masks of {is_positive.shape} and {is_inside.shape}")
    if is_positive.dtype != np.bool_ or is_inside.dtype != np.bool_:
        raise UsageError(f"masks of {is_positive.dtype} and {is_inside.dtype}, not boolean")
    inside = scores[is_inside]
    if not ((inside >= 0) & (inside <= 1)).all():
        raise UsageError("a pixel score outside [0, 1]")
    bins = np.minimum((inside * N_BINS).astype(np.int64), N_BINS - 1)
    joint = np.bincount(bins + N_BINS * is_positive[is_inside], minlength=2 * N_BINS)
    return joint.reshape(2, N_BINS).astype(np.int64)


def stacked_histograms(histograms: ArrayLike) -> NDArray[np.int64]:
    """Check the histograms of one class over images.

    Args:
        histograms: (n, 2, 1024), see `pixel_histogram`.

    Raises:
        UsageError: Another shape, or entries that are not counts.
    """
    counts = np.asarray(histograms)
    if counts.ndim != 3 or counts.shape[1:] != (2, N_BINS):
        raise UsageError(f"pixel histograms of shape {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise UsageError("pixel histograms that hold no counts")
    return counts.astype(np.int64)


def pixel_curve(histogram: ArrayLike) -> PixelCurve:
    """Curves of one histogram: of an image, or the sum over images.

    Args:
        histogram: (2, 1024), see `pixel_histogram`.

    Raises:
        UsageError: See `stacked_histograms`; or without a positive or a negative pixel.
    """
    counts = stacked_histograms(np.asarray(histogram)[np.newaxis])
    negatives, positives = counts[:, 0].astype(np.float64), counts[:, 1].astype(np.float64)
    n_negative, n_positive = int(counts[0, 0].sum()), int(counts[0, 1].sum())
    if n_positive == 0 or n_negative == 0:
        raise UsageError(f"{n_positive} positive and {n_negative} negative pixels: both classes are needed")
    false_positives, true_positives = _from_above(negatives)[0], _from_above(positives)[0]
    return PixelCurve(
        thresholds=np.append(np.inf, np.arange(N_BINS - 1, -1, -1) / N_BINS),
        fpr=np.append(0.0, false_positives / n_negative),
        recall=np.append(0.0, true_positives / n_positive),
        precision=np.append(1.0, _precision(true_positives, false_positives)),
        auroc=float(auroc_of_rows(negatives, positives)[0]),
        average_precision=float(average_precision_of_rows(negatives, positives)[0]),
        n_positive=n_positive,
        n_negative=n_negative,
    )


def auroc_of_rows(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUROC of each row as the Mann-Whitney statistic, pairs within a bin counting half.

    Args:
        negatives, positives: (r, 1024).

    Returns:
        float64 (r,), NaN where a class has no pixel.
    """
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    right = np.einsum("rb,rb->r", positives, below)
    return np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def average_precision_of_rows(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision of each row.

    Args:
        negatives, positives: (r, 1024).

    Returns:
        float64 (r,), NaN where a class has no pixel.
    """
    precision = _precision(_from_above(positives), _from_above(negatives))
    gained = np.einsum("rb,rb->r", positives[:, ::-1], precision)
    n_positive, n_negative = positives.sum(axis=1), negatives.sum(axis=1)
    is_defined = (n_positive > 0) & (n_negative > 0)
    return np.divide(gained, n_positive, out=np.full(n_positive.shape, np.nan), where=is_defined)


def called_at(histograms: NDArray[np.int64], threshold: float) -> tuple[NDArray[np.int64], float]:
    """Count the pixels that are called positive.

    Args:
        histograms: int64 (n, 2, 1024).
        threshold: In [0, 1); moved up to the next multiple of 1/1024.

    Returns:
        int64 (n, 2), false and true positives of each image, and the threshold behind them.

    Raises:
        UsageError: The threshold lies outside its range.
    """
    first = int(np.ceil(threshold * N_BINS)) if 0 <= threshold <= 1 else N_BINS
    if first >= N_BINS:
        raise UsageError(f"a pixel threshold of {threshold}: 0 to {1 - 1 / N_BINS:.4f} can be read from the histograms")
    return histograms[:, :, first:].sum(axis=2), first / N_BINS


def _from_above(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count at or above each bin's lower edge, highest bin first: float64 (r, 1024)."""
    return np.cumsum(counts[:, ::-1], axis=1)


def _precision(true_positives: NDArray[np.float64], false_positives: NDArray[np.float64]) -> NDArray[np.float64]:
    called = true_positives + false_positives
    return np.divide(true_positives, called, out=np.ones(called.shape), where=called > 0)
