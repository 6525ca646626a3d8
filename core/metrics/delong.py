"""AUROC with DeLong's interval, and the paired comparison of two AUROCs on the same cases.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837; computed as Sun & Xu, IEEE Signal Process Lett 2014;21:1389.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from core.errors import UsageError
from core.metrics.bootstrap import CopiesStatistic
from core.metrics.cases import BinaryCases, binary_cases, patient_index
from core.metrics.proportions import Z95, Interval

_ROUNDING = (
    1e-30  # far below 1 / (2 n_positive n_negative)^2, the least variance that differing placement values can give
)


@dataclass(frozen=True)
class AurocComparison:
    """Two scores on the same cases.

    Attributes:
        auroc_a, auroc_b: Each with its own interval.
        difference: `auroc_a - auroc_b` with its interval, which knows that the cases are the same.
        z, p_value: Two-sided test of no difference; None when the difference has no variance in these cases (identical
            rankings, or both scores separate the classes fully): then nothing can be tested.
    """

    auroc_a: Interval
    auroc_b: Interval
    difference: Interval
    z: float | None
    p_value: float | None
    n_positive: int
    n_negative: int


@dataclass(frozen=True)
class Placements:
    """For every case the share of the other class on its right side, ties counting half; both means are the AUROC.

    Attributes:
        of_positives: float64 (n_positive,), share of negatives below each positive.
        of_negatives: float64 (n_negative,), share of positives above each negative.
    """

    of_positives: NDArray[np.float64]
    of_negatives: NDArray[np.float64]


def auroc_interval(y_true: ArrayLike, y_score: ArrayLike, patients: ArrayLike | None = None) -> Interval:
    """AUROC with its 95 % interval.

    The interval is DeLong's, normal on the AUROC scale and clipped to [0, 1]: what `ci.auc(method = "delong")` of R's pROC
    prints. Where DeLong's variance is zero (the classes are fully separated, or every score is equal) it would have no width
    whatever the number of cases; then Newcombe's score interval is given (method 5, Stat Med 2006;25:559).

    With `patients` the variance is that of Obuchowski (Biometrics 1997;53:567), which lets cases of one patient be alike, and
    Newcombe's interval counts patients; with one case a patient both are as without.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,).
        patients: (n,), anything that is equal for cases of one patient; None = every case is another patient.

    Raises:
        UsageError: See `binary_cases`; or a class has fewer than two cases or comes from fewer than two patients, so that no
            variance exists.
    """
    cases = binary_cases(y_true, y_score)
    placements = placement_values(cases)
    auroc = float(placements.of_positives.mean())
    if patients is None:
        variance = _variance(placements.of_positives, placements.of_negatives)
        counts = (cases.n_positive, cases.n_negative)
    else:
        patient = patient_index(patients, cases.score.size)
        ill, well = (np.bincount(patient[own]) for own in (cases.is_positive, ~cases.is_positive))
        counts = (int(np.count_nonzero(ill)), int(np.count_nonzero(well)))
        if min(counts) < 2:
            raise UsageError(f"{counts[0]} positive and {counts[1]} negative patients: an interval needs two of each")
        variance = _clustered_variance(placements, cases, patient, counts)
    if variance <= _ROUNDING:
        return _newcombe_interval(auroc, *counts)
    error = Z95 * sqrt(variance)
    return Interval(auroc, max(0.0, auroc - error), min(1.0, auroc + error))


def compare_aurocs(y_true: ArrayLike, y_score_a: ArrayLike, y_score_b: ArrayLike) -> AurocComparison:
    """Compare two correlated AUROCs by DeLong's paired test.

    Args:
        y_true: (n,), 0 or 1.
        y_score_a, y_score_b: (n,), scores of the same cases in the same order.

    Raises:
        UsageError: See `auroc_interval`.
    """
    cases_a, cases_b = binary_cases(y_true, y_score_a), binary_cases(y_true, y_score_b)
    a, b = placement_values(cases_a), placement_values(cases_b)
    # The variance of the paired differences is the contrast var(a) + var(b) - 2 cov(a, b) without its cancellation.
    variance = _variance(a.of_positives - b.of_positives, a.of_negatives - b.of_negatives)
    difference = float(a.of_positives.mean() - b.of_positives.mean())
    error = sqrt(variance)
    z = difference / error if variance > _ROUNDING else None
    return AurocComparison(
        auroc_a=auroc_interval(y_true, y_score_a),
        auroc_b=auroc_interval(y_true, y_score_b),
        difference=Interval(difference, max(-1.0, difference - Z95 * error), min(1.0, difference + Z95 * error)),
        z=z,
        p_value=None if z is None else float(2 * norm.sf(abs(z))),
        n_positive=cases_a.n_positive,
        n_negative=cases_a.n_negative,
    )


def auroc_of_copies(cases: BinaryCases) -> CopiesStatistic:
    """AUROC of every resample, for `bootstrap_by_copies`: the share of pairs in the right order, equal scores counting half."""
    order = np.argsort(cases.score, kind="stable")
    is_positive = cases.is_positive[order]
    _, starts = np.unique(cases.score[order], return_index=True)

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = copies[:, order]
        positives = np.add.reduceat(ordered * is_positive, starts, axis=1)
        negatives = np.add.reduceat(ordered * ~is_positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        right = np.sum(positives * below, axis=1)
        return np.divide(right, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)

    return statistic


def placement_values(cases: BinaryCases) -> Placements:
    """Placement values through mid-ranks: rank among all cases minus rank among one's own class.

    Raises:
        UsageError: A class has fewer than two cases.
    """
    m, n = cases.n_positive, cases.n_negative
    if min(m, n) < 2:
        raise UsageError(f"{m} positive and {n} negative cases: an interval needs two of each")
    rank = rankdata(cases.score)
    above = rank[cases.is_positive] - rankdata(cases.score[cases.is_positive])
    below = rank[~cases.is_positive] - rankdata(cases.score[~cases.is_positive])
    return Placements(above / n, (m - below) / m)


def _variance(of_positives: NDArray[np.float64], of_negatives: NDArray[np.float64]) -> float:
    return float(of_positives.var(ddof=1) / of_positives.size + of_negatives.var(ddof=1) / of_negatives.size)


def _clustered_variance(
    placements: Placements, cases: BinaryCases, patient: NDArray[np.int64], counts: tuple[int, int]
) -> float:
    """Obuchowski's variance; `counts` are the patients with a positive case and those with a negative one."""
    n_patients = int(patient.max()) + 1
    sums = [
        np.bincount(patient[members], values - values.mean(), n_patients) / values.size
        for members, values in (
            (cases.is_positive, placements.of_positives),
            (~cases.is_positive, placements.of_negatives),
        )
    ]
    own = sum(float(s @ s) * n / (n - 1) for s, n in zip(sums, counts, strict=True))
    return own + 2 * float(sums[0] @ sums[1]) * n_patients / (n_patients - 1)


def _newcombe_interval(auroc: float, n_positive: int, n_negative: int) -> Interval:
    half = (n_positive + n_negative) / 2 - 1

    def distance(theta: float) -> float:
        """Squared error minus the squared half-width that `theta` itself would have: its roots are the limits."""
        shape = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return (auroc - theta) ** 2 - Z95**2 * theta * (1 - theta) * shape / (n_positive * n_negative)

    inside = 1e-9  # 0 and 1 are roots of their own when the estimate lies there, so the search starts beside them
    low = brentq(distance, 0.0, min(auroc, 1 - inside)) if auroc > 0 else 0.0
    high = brentq(distance, max(auroc, inside), 1.0) if auroc < 1 else 1.0
    return Interval(auroc, float(low), float(high))
