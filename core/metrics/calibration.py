"""How far a probability can be taken at its word: reliability bins, Brier score, calibration error, slope and intercept."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from core.errors import UsageError
from core.metrics.cases import BinaryCases, binary_cases
from core.metrics.logistic import LogisticFit, fit_logistic, logits_of
from core.metrics.proportions import Z95, Interval, wilson_interval

Strategy = Literal["equal_count", "equal_width"]


@dataclass(frozen=True)
class CalibrationBin:
    """The cases whose probability lies in one bin.

    Attributes:
        low, high: Least and greatest probability in the bin.
        n_cases, n_positive: Cases, and those with a positive reference.
        mean_probability: Mean of the probabilities.
        observed: Share of positive cases, with Wilson's interval.
    """

    low: float
    high: float
    n_cases: int
    n_positive: int
    mean_probability: float
    observed: Interval


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of one set of cases.

    Attributes:
        bins: Filled bins only, by rising probability.
        brier_score: Mean squared difference between probability and outcome; 0 is best.
        brier_of_prevalence: The score of always stating the prevalence: what there is to beat.
        expected_calibration_error: Mean over cases of |share of positives - mean probability| of their bin. Depends on the bins.
        slope: Slope of the outcome on the logit of the probability, 1 is best, below 1 = too extreme; None where the classes are
            fully separated and no finite slope exists.
        intercept: Calibration in the large: intercept with the slope held at 1, 0 is best, below 0 = too high.
    """

    bins: tuple[CalibrationBin, ...]
    strategy: Strategy
    brier_score: float
    brier_of_prevalence: float
    expected_calibration_error: float
    slope: Interval | None
    intercept: Interval
    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def calibration_report(
    y_true: ArrayLike, probability: ArrayLike, n_bins: int = 10, strategy: Strategy = "equal_count"
) -> CalibrationReport:
    """Measure calibration.

    Slope and intercept are those of logistic recalibration (Cox, Biometrika 1958;45:562; Van Calster et al., BMC Med
    2019;17:230) with Wald intervals; probabilities are clipped to [1e-6, 1 - 1e-6] for the logit only. The calibration error is
    that of Naeini, Cooper & Hauskrecht, AAAI 2015.

    Args:
        y_true: (n,), 0 or 1.
        probability: (n,), in [0, 1].
        n_bins: Bins asked for; equal probabilities share a bin, so there may be fewer.
        strategy: Bins with about as many cases each, or of equal width on [0, 1].

    Raises:
        UsageError: See `binary_cases`; a probability outside [0, 1], or fewer than one bin.
    """
    cases = binary_cases(y_true, probability)
    if cases.score.min() < 0 or cases.score.max() > 1:
        raise UsageError(f"probabilities from {cases.score.min():.3g} to {cases.score.max():.3g}")
    if n_bins < 1:
        raise UsageError(f"{n_bins} bins")
    bins = _fill_bins(cases, _bin_index(cases.score, n_bins, strategy))
    n = cases.score.size
    prevalence = cases.n_positive / n
    logits = logits_of(cases.score)
    return CalibrationReport(
        bins=bins,
        strategy=strategy,
        brier_score=float(np.mean((cases.score - cases.is_positive) ** 2)),
        brier_of_prevalence=prevalence * (1 - prevalence),
        expected_calibration_error=sum(b.n_cases * abs(b.observed.value - b.mean_probability) for b in bins) / n,
        slope=_slope(cases, logits),
        intercept=_first_coefficient(fit_logistic(np.ones((n, 1)), cases.is_positive.astype(np.float64), logits)),
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def _bin_index(score: NDArray[np.float64], n_bins: int, strategy: Strategy) -> NDArray[np.int64]:
    if strategy == "equal_width":
        return np.minimum((score * n_bins).astype(np.int64), n_bins - 1)
    share_below = (rankdata(score) - 0.5) / score.size  # mid-ranks: equal probabilities stay together
    return np.asarray(share_below * n_bins, dtype=np.int64)


def _fill_bins(cases: BinaryCases, index: NDArray[np.int64]) -> tuple[CalibrationBin, ...]:
    bins = []
    for i in np.unique(index):
        score, positive = cases.score[index == i], cases.is_positive[index == i]
        n_positive = int(np.count_nonzero(positive))
        observed = wilson_interval(n_positive, score.size)
        bins.append(
            CalibrationBin(
                float(score.min()), float(score.max()), score.size, n_positive, float(score.mean()), observed
            )
        )
    return tuple(bins)


def _slope(cases: BinaryCases, logits: NDArray[np.float64]) -> Interval | None:
    positives, negatives = logits[cases.is_positive], logits[~cases.is_positive]
    # Without overlap the likelihood has no maximum, in either direction.
    if positives.min() >= negatives.max() or negatives.min() >= positives.max():
        return None
    design = np.column_stack([logits, np.ones_like(logits)])
    return _first_coefficient(fit_logistic(design, cases.is_positive.astype(np.float64)))


def _first_coefficient(fit: LogisticFit) -> Interval:
    """With its Wald interval."""
    value, error = float(fit.coefficients[0]), Z95 * sqrt(float(fit.covariance[0, 0]))
    return Interval(value, value - error, value + error)
