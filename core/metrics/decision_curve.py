"""What acting on a probability is worth to patients: net benefit over thresholds, beside acting on all and on none.

Vickers & Elkin, Med Decis Making 2006;26:565.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import ManyStatistics, intervals_or_none
from core.metrics.cases import BinaryCases, binary_cases
from core.metrics.operating_point import OperatingPointMetrics

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit in true positives a patient: 0.05 is worth as much as 5 found in 100 patients and nobody treated in vain.

    A threshold states a preference: at 0.1 one found case is held to be worth nine treated in vain. It is a probability, so
    the curve says something about decisions only where the probabilities are calibrated.

    Attributes:
        thresholds: float64 (t,), rising; a probability of exactly a threshold is treated.
        net_benefit: float64 (t,), of treating whom the model calls.
        low, high: float64 (t,), 95 % interval of each point over patients; None where no patients were named.
        treat_all: float64 (t,), of treating everybody.
        prevalence: The one stated by the caller, else the share of positive cases.
        is_prevalence_stated: Whether the caller stated it.
    """

    thresholds: NDArray[np.float64]
    net_benefit: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None
    treat_all: NDArray[np.float64]
    prevalence: float
    is_prevalence_stated: bool
    n_positive: int
    n_negative: int

    @property
    def treat_none(self) -> NDArray[np.float64]:
        """Of treating nobody: float64 (t,), 0 everywhere."""
        return np.zeros_like(self.thresholds)

    @property
    def is_useful(self) -> NDArray[np.bool_]:
        """Where the model is worth more than treating all and than treating none: boolean (t,). Says nothing of chance."""
        return self.net_benefit > np.maximum(self.treat_all, self.treat_none)


def decision_curve(
    y_true: ArrayLike,
    probability: ArrayLike,
    thresholds: ArrayLike = THRESHOLDS,
    prevalence: float | None = None,
    patients: ArrayLike | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> DecisionCurve:
    """Net benefit: true positives minus false positives weighed by the odds of the threshold, per patient.

    With `prevalence` both shares are taken from sensitivity and specificity, as Rousson & Zumbrunn do for case-control data (BMC
    Med Inform Decis Mak 2011;11:45); the probabilities themselves are left as they are, so they should be calibrated for that
    prevalence. With `patients` every point has the percentile interval of `bootstrap_by_copies`; the prevalence, where stated,
    is taken as known.

    Args:
        y_true: (n,), 0 or 1.
        probability: (n,), in [0, 1].
        thresholds: (t,), rising, from 0 to below 1.
        prevalence: Share of positives where the model will be used, strictly between 0 and 1; None for that of these cases.
        patients: (n,), anything that is equal for cases of one patient; None = no interval.
        n_resamples: At least 1.
        seed: Same seed, same interval.

    Raises:
        UsageError: See `binary_cases`; a probability, threshold or prevalence out of range, thresholds that do not rise; or with
            `patients`, fewer than two of them or too few of a class for an interval.
    """
    cases = binary_cases(y_true, probability)
    if cases.score.min() < 0 or cases.score.max() > 1:
        raise UsageError(f"probabilities from {cases.score.min():.3g} to {cases.score.max():.3g}")
    if prevalence is not None and not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}")
    at = _checked_thresholds(thresholds)
    of_copies = _net_benefit_of_copies(cases, at, prevalence)
    low, high = None, None
    if patients is not None:
        intervals = [i for i in intervals_or_none(of_copies, patients, seed, n_resamples) if i is not None]
        if len(intervals) < at.size:
            raise UsageError(f"{cases.n_positive} positive and {cases.n_negative} negative cases: too few to resample")
        low, high = np.array([i.low for i in intervals]), np.array([i.high for i in intervals])
    share = cases.n_positive / cases.score.size if prevalence is None else prevalence
    return DecisionCurve(
        thresholds=at,
        net_benefit=of_copies(np.ones((1, cases.score.size)))[0],
        low=low,
        high=high,
        treat_all=share - (1 - share) * at / (1 - at),
        prevalence=share,
        is_prevalence_stated=prevalence is not None,
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def _checked_thresholds(thresholds: ArrayLike) -> NDArray[np.float64]:
    at = np.array(thresholds, dtype=np.float64)
    if at.ndim != 1 or at.size == 0 or not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
        raise UsageError(f"thresholds of shape {at.shape} that do not rise")
    if at[0] < 0 or at[-1] >= 1:
        raise UsageError(f"thresholds from {at[0]:.3g} to {at[-1]:.3g}: from 0 to below 1 are wanted")
    return at


def _net_benefit_of_copies(
    cases: BinaryCases, thresholds: NDArray[np.float64], prevalence: float | None
) -> ManyStatistics:
    """Net benefit of every resample at every threshold, NaN where a stated prevalence meets an empty class."""
    n_reached = np.searchsorted(thresholds, cases.score, side="right")  # thresholds that call each case
    order = np.argsort(n_reached, kind="stable")
    reached, starts = np.unique(n_reached[order], return_index=True)

    def called(copies: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Copies of the members that each threshold calls, (r, t)."""
        counts = np.zeros((len(copies), thresholds.size + 1))
        counts[:, reached] = np.add.reduceat((copies * members)[:, order], starts, axis=1)
        return counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]

    odds = thresholds / (1 - thresholds)

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        n = copies.sum(axis=1, keepdims=True)
        if prevalence is None:
            return (called(copies, cases.is_positive) - called(copies, ~cases.is_positive) * odds) / n
        n_positive = copies @ cases.is_positive[:, np.newaxis].astype(np.float64)
        is_defined = (n_positive > 0) & (n_positive < n)
        found = called(copies, cases.is_positive) / np.where(is_defined, n_positive, 1)
        alarmed = called(copies, ~cases.is_positive) / np.where(is_defined, n - n_positive, 1)
        return np.where(is_defined, prevalence * found - (1 - prevalence) * alarmed * odds, np.nan)

    return statistics


def net_benefit_at(point: OperatingPointMetrics) -> float | None:
    """Net benefit of treating whom a threshold calls, at the prevalence of the point.

    Args:
        point: Its threshold is a probability.

    Returns:
        None for a threshold that is no probability below 1.
    """
    if not 0 <= point.threshold < 1:
        return None
    odds = point.threshold / (1 - point.threshold)
    found = point.prevalence * point.sensitivity.value
    return found - (1 - point.prevalence) * (1 - point.specificity.value) * odds
