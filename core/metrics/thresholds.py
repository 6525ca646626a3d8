"""Choosing a threshold on validation cases. Never choose and report on the same cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.cases import BinaryCases, binary_cases, count_above_thresholds
from core.metrics.proportions import Interval, wilson_interval

_ROUNDING = 1e-12  # so that a target of 0.9 is met by 9 of 10


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and what it was chosen for.

    Attributes:
        threshold: Half-way between the lowest score called positive and the next lower one, as in R's pROC, so that rounding
            a score moves no case across; the lowest score itself where nothing lies below.
        chosen_for: "youden", "sensitivity" or "specificity".
        target: The sensitivity or specificity asked for; None for Youden's index.
        sensitivity, specificity: On the cases it was chosen on, hence optimistic; with Wilson's interval.
    """

    threshold: float
    chosen_for: str
    target: float | None
    sensitivity: Interval
    specificity: Interval
    n_positive: int
    n_negative: int


def threshold_by_youden(y_true: ArrayLike, y_score: ArrayLike) -> ChosenThreshold:
    """Threshold with the greatest sensitivity + specificity - 1 (Youden, Cancer 1950;3:32); of several the most sensitive.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.

    Raises:
        UsageError: See `binary_cases`.
    """
    cases = binary_cases(y_true, y_score)
    counts = count_above_thresholds(cases)
    # In whole numbers, so that equal indices compare equal.
    index = counts.n_true_positive * cases.n_negative - counts.n_false_positive * cases.n_positive
    return _chosen(cases, int(np.flatnonzero(index == index.max())[-1]), "youden", None)


def threshold_for_sensitivity(y_true: ArrayLike, y_score: ArrayLike, sensitivity: float) -> ChosenThreshold:
    """Highest threshold, hence the most specific, whose sensitivity is at least the one asked for.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        sensitivity: Above 0, up to 1.

    Raises:
        UsageError: See `binary_cases`; or a sensitivity out of range.
    """
    cases = binary_cases(y_true, y_score)
    if not 0 < sensitivity <= 1:
        raise UsageError(f"a sensitivity of {sensitivity}")
    reached = count_above_thresholds(cases).n_true_positive / cases.n_positive
    return _chosen(cases, int(np.argmax(reached >= sensitivity - _ROUNDING)), "sensitivity", sensitivity)


def threshold_for_specificity(y_true: ArrayLike, y_score: ArrayLike, specificity: float) -> ChosenThreshold:
    """Lowest threshold, hence the most sensitive, whose specificity is at least the one asked for.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        specificity: From 0 to 1.

    Raises:
        UsageError: See `binary_cases`; a specificity out of range, or one that only a threshold above every score would reach.
    """
    cases = binary_cases(y_true, y_score)
    if not 0 <= specificity <= 1:
        raise UsageError(f"a specificity of {specificity}")
    reached = 1 - count_above_thresholds(cases).n_false_positive / cases.n_negative
    meets = np.flatnonzero(reached >= specificity - _ROUNDING)
    if meets.size == 0:
        raise UsageError(f"a specificity of {specificity}: reached only where nobody is called positive")
    return _chosen(cases, int(meets[-1]), "specificity", specificity)


def _chosen(cases: BinaryCases, index: int, chosen_for: str, target: float | None) -> ChosenThreshold:
    counts = count_above_thresholds(cases)
    return ChosenThreshold(
        threshold=_below(counts.threshold, index),
        chosen_for=chosen_for,
        target=target,
        sensitivity=wilson_interval(int(counts.n_true_positive[index]), cases.n_positive),
        specificity=wilson_interval(cases.n_negative - int(counts.n_false_positive[index]), cases.n_negative),
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def _below(scores: NDArray[np.float64], index: int) -> float:
    """Middle between `scores[index]` and the next lower score; `scores` fall."""
    score = float(scores[index])
    if index + 1 == scores.size:
        return score
    lower = float(scores[index + 1])
    middle = lower + (score - lower) / 2
    # Between neighbouring floats the middle is one of them, and the lower one would be called positive.
    return middle if middle > lower else score
