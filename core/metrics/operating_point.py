"""What a threshold does to a set of cases: counts, sensitivity, specificity, predictive values, likelihood ratios."""

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from core.errors import UsageError
from core.metrics.cases import binary_cases
from core.metrics.proportions import Z95, Interval, wilson_interval


@dataclass(frozen=True)
class OperatingPointMetrics:
    """One threshold on one set of cases; `>= threshold` is positive.

    Attributes:
        sensitivity, specificity, accuracy: With Wilson's interval.
        ppv, npv: At `prevalence`; None where nobody is called positive (or negative).
        prevalence: The one stated by the caller, else the share of positive cases.
        is_prevalence_stated: Whether the caller stated it.
        lr_positive, lr_negative: Likelihood ratios; None where an empty cell leaves no finite interval.
    """

    threshold: float
    n_true_positive: int
    n_false_positive: int
    n_true_negative: int
    n_false_negative: int
    sensitivity: Interval
    specificity: Interval
    accuracy: Interval
    ppv: Interval | None
    npv: Interval | None
    prevalence: float
    is_prevalence_stated: bool
    lr_positive: Interval | None
    lr_negative: Interval | None

    @property
    def n_positive(self) -> int:
        """Cases with a positive reference."""
        return self.n_true_positive + self.n_false_negative

    @property
    def n_negative(self) -> int:
        """Cases with a negative reference."""
        return self.n_true_negative + self.n_false_positive

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def operating_point_metrics(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float, prevalence: float | None = None
) -> OperatingPointMetrics:
    """Measure a threshold.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        threshold: Finite; a score of exactly this is positive.
        prevalence: See `measure_counts`.

    Raises:
        UsageError: See `binary_cases` and `measure_counts`.
    """
    cases = binary_cases(y_true, y_score)
    is_called = cases.score >= threshold
    true_positives = int(np.count_nonzero(is_called & cases.is_positive))
    false_positives = int(np.count_nonzero(is_called)) - true_positives
    return measure_counts(
        threshold,
        n_true_positive=true_positives,
        n_false_positive=false_positives,
        n_true_negative=cases.n_negative - false_positives,
        n_false_negative=cases.n_positive - true_positives,
        prevalence=prevalence,
    )


def measure_counts(
    threshold: float,
    *,
    n_true_positive: int,
    n_false_positive: int,
    n_true_negative: int,
    n_false_negative: int,
    prevalence: float | None = None,
) -> OperatingPointMetrics:
    """All metrics of a two by two table.

    Without `prevalence` the predictive values are those of these cases, with Wilson's interval. With it they follow from
    sensitivity and specificity by Bayes, with the logit interval of Mercaldo, Lau & Zhou (Stat Med 2007;26:2170), which takes
    the prevalence as known. Likelihood ratios have the log interval of Simel, Samsa & Matchar (J Clin Epidemiol 1991;44:763).

    Args:
        threshold: The threshold behind the counts.
        n_true_positive, n_false_positive, n_true_negative, n_false_negative: The table.
        prevalence: Share of positives where the test will be used, strictly between 0 and 1; None for that of these cases.

    Raises:
        UsageError: A negative count, an empty class, or a threshold or prevalence outside its range.
    """
    tp, fp, tn, fn = n_true_positive, n_false_positive, n_true_negative, n_false_negative
    if min(tp, fp, tn, fn) < 0 or tp + fn == 0 or tn + fp == 0:
        raise UsageError(f"a table of {tp}, {fp}, {tn}, {fn} (TP, FP, TN, FN): both classes are needed")
    if not np.isfinite(threshold):
        raise UsageError(f"a threshold of {threshold}")
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}")
    if prevalence is None:
        ppv = wilson_interval(tp, tp + fp) if tp + fp else None
        npv = wilson_interval(tn, tn + fn) if tn + fn else None
    else:
        ppv = _predictive_value(tp, tp + fn, fp, fp + tn, prevalence)
        npv = _predictive_value(tn, fp + tn, fn, tp + fn, 1 - prevalence)
    return OperatingPointMetrics(
        threshold=float(threshold),
        n_true_positive=tp,
        n_false_positive=fp,
        n_true_negative=tn,
        n_false_negative=fn,
        sensitivity=wilson_interval(tp, tp + fn),
        specificity=wilson_interval(tn, tn + fp),
        accuracy=wilson_interval(tp + tn, tp + fp + tn + fn),
        ppv=ppv,
        npv=npv,
        prevalence=(tp + fn) / (tp + fp + tn + fn) if prevalence is None else prevalence,
        is_prevalence_stated=prevalence is not None,
        lr_positive=_likelihood_ratio(tp, tp + fn, fp, fp + tn),
        lr_negative=_likelihood_ratio(fn, tp + fn, tn, fp + tn),
    )


def _predictive_value(right: int, n_right: int, wrong: int, n_wrong: int, prior: float) -> Interval | None:
    """Chance of the class of `right`, given its result, where the class has the share `prior`.

    With an empty cell the logit or its variance fails; the interval is then that of Mercaldo's adjusted estimates, widened to
    hold the plain estimate.

    Args:
        right, n_right: Cases of the class with this result, and all cases of the class.
        wrong, n_wrong: Cases of the other class with the same result, and all cases of the other class.
        prior: Share of the class.
    """
    if right + wrong == 0:
        return None
    share_right, share_wrong = right / n_right, wrong / n_wrong
    value = share_right * prior / (share_right * prior + share_wrong * (1 - prior))
    added = Z95**2 if 0 in (right, n_right - right, wrong, n_wrong - wrong) else 0.0
    share_right = (right + added / 2) / (n_right + added)
    share_wrong = (wrong + added / 2) / (n_wrong + added)
    centre = log(share_right * prior / (share_wrong * (1 - prior)))
    variance = (1 - share_right) / (share_right * (n_right + added))
    variance += (1 - share_wrong) / (share_wrong * (n_wrong + added))
    error = Z95 * sqrt(variance)
    return Interval(value, min(value, 1 / (1 + exp(error - centre))), max(value, 1 / (1 + exp(-error - centre))))


def _likelihood_ratio(of_positives: int, n_positive: int, of_negatives: int, n_negative: int) -> Interval | None:
    if of_positives == 0 or of_negatives == 0:
        return None
    ratio = (of_positives / n_positive) / (of_negatives / n_negative)
    error = Z95 * sqrt(1 / of_positives - 1 / n_positive + 1 / of_negatives - 1 / n_negative)
    return Interval(ratio, ratio * exp(-error), ratio * exp(error))
