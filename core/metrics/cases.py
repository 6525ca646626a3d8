"""The one door through which reference labels and scores enter a metric."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError


@dataclass(frozen=True)
class BinaryCases:
    """Checked cases.

    Attributes:
        is_positive: Boolean (n,), the reference standard.
        score: float64 (n,), finite.
    """

    is_positive: NDArray[np.bool_]
    score: NDArray[np.float64]

    @property
    def n_positive(self) -> int:
        """Cases with a positive reference."""
        return int(np.count_nonzero(self.is_positive))

    @property
    def n_negative(self) -> int:
        """Cases with a negative reference."""
        return int(self.is_positive.size) - self.n_positive


@dataclass(frozen=True)
class ThresholdCounts:
    """Positives and negatives at or above every distinct score.

    Attributes:
        threshold: float64 (t,), the distinct scores, highest first.
        n_true_positive: int64 (t,), positives that score `threshold` or more.
        n_false_positive: int64 (t,), negatives that do.
    """

    threshold: NDArray[np.float64]
    n_true_positive: NDArray[np.int64]
    n_false_positive: NDArray[np.int64]


def binary_cases(y_true: ArrayLike, y_score: ArrayLike) -> BinaryCases:
    """Check labels and scores.

    Args:
        y_true: (n,), 0 or 1 (or False and True).
        y_score: (n,), finite numbers, higher = more likely positive.

    Raises:
        UsageError: Lengths differ, a label is neither 0 nor 1, a score is not finite, or only one class is present.
    """
    labels = np.asarray(y_true)
    score = np.asarray(y_score, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != score.shape:
        raise UsageError(f"labels of shape {labels.shape} with scores of shape {score.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise UsageError("a label that is neither 0 nor 1")
    if not np.isfinite(score).all():
        raise UsageError(f"{np.count_nonzero(~np.isfinite(score))} scores that are not finite")
    cases = BinaryCases(labels == 1, score)
    if cases.n_positive == 0 or cases.n_negative == 0:
        raise UsageError(f"{cases.n_positive} positive and {cases.n_negative} negative cases: both classes are needed")
    return cases


def count_above_thresholds(cases: BinaryCases) -> ThresholdCounts:
    """Count both classes at or above every distinct score: the one pass that ROC, precision-recall and thresholds share."""
    order = np.argsort(-cases.score, kind="stable")
    score = cases.score[order]
    true_positives = np.cumsum(cases.is_positive[order], dtype=np.int64)
    ends = last_of_ties(score)
    return ThresholdCounts(score[ends], true_positives[ends], ends + 1 - true_positives[ends])


def patient_index(patients: ArrayLike, n_cases: int) -> NDArray[np.int64]:
    """Number the patients from 0: int64 (n_cases,), equal for cases of one patient.

    Args:
        patients: (n_cases,), anything that is equal for cases of one patient.
        n_cases: Cases that there are.

    Raises:
        UsageError: There are not as many patients named as cases.
    """
    named = np.asarray(patients)
    if named.shape != (n_cases,):
        raise UsageError(f"patients of shape {named.shape} for {n_cases} cases")
    if (
        named.dtype.kind in "iu" and n_cases and named.min() >= 0 and named.max() < n_cases
    ):  # numbered already: no sorting
        is_used = np.bincount(named) > 0
        return np.asarray((np.cumsum(is_used) - 1)[named], np.int64)
    return np.unique(named, return_inverse=True)[1].astype(np.int64)


def last_of_ties(sorted_score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the last case of every run of equal scores; tied cases pass a threshold together."""
    return np.append(np.flatnonzero(np.diff(sorted_score)), sorted_score.size - 1).astype(np.int64)


def evenly_along(way: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places of at most `most` points, the first and the last among them, evenly along a way.

    Args:
        way: float64 (t,), never falls.
        most: At least two.
    """
    if way.size <= most:
        return np.arange(way.size)
    wanted = np.linspace(way[0], way[-1], most - 1)
    return np.union1d(np.searchsorted(way, wanted), way.size - 1).astype(np.int64)
