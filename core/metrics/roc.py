"""The ROC curve with its AUROC and a 95 % band."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.cases import BinaryCases, binary_cases, count_above_thresholds, last_of_ties
from core.metrics.delong import auroc_interval
from core.metrics.proportions import Interval, wilson_interval

BAND_RESAMPLES = 2000  # as pROC's default: the 2.5 % quantile then rests on 50 resamples
_BLOCK_CELLS = 2_000_000  # cells of one block of resamples: 16 MB an array, so that 100 000 cases fit too
_BAND_FPR = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class RocCurve:
    """An ROC curve; a point says: this many are called positive at `thresholds[i]` or more.

    Attributes:
        fpr, tpr: float64 (t + 1,), rising from (0, 0) to (1, 1).
        thresholds: float64 (t + 1,), falling; the first is infinity (nobody is positive).
        auroc: Area with its 95 % interval, see `auroc_interval`.
        band_fpr: float64 (101,), the grid of the band.
        band_low, band_high: float64 (101,), pointwise 95 % limits of the sensitivity at each `band_fpr`.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    auroc: Interval
    band_fpr: NDArray[np.float64]
    band_low: NDArray[np.float64]
    band_high: NDArray[np.float64]
    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def roc_curve(y_true: ArrayLike, y_score: ArrayLike, n_resamples: int = BAND_RESAMPLES, seed: int = 0) -> RocCurve:
    """ROC curve, AUROC and band.

    The band is pointwise: percentiles of the sensitivity at fixed specificities over bootstrap resamples stratified by class,
    as `ci.se` of R's pROC (Robin et al., BMC Bioinformatics 2011;12:77). It is never narrower than Wilson's interval of the
    sensitivity there, because the percentiles collapse where the observed sensitivity is 0 or 1.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        n_resamples: Bootstrap resamples of the band.
        seed: Same seed, same band.

    Raises:
        UsageError: See `auroc_interval`.
    """
    cases = binary_cases(y_true, y_score)
    auroc = auroc_interval(y_true, y_score)
    counts = count_above_thresholds(cases)
    fpr = np.append(0.0, counts.n_false_positive / cases.n_negative)
    tpr = np.append(0.0, counts.n_true_positive / cases.n_positive)
    resampled = _resampled_sensitivity(cases, n_resamples, np.random.default_rng(seed))
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    wilson = [wilson_interval(value * cases.n_positive, cases.n_positive) for value in np.interp(_BAND_FPR, fpr, tpr)]
    low = np.minimum(low, [interval.low for interval in wilson])
    low[-1] = 1.0  # everybody is called positive there, whatever the cases
    return RocCurve(
        fpr=fpr,
        tpr=tpr,
        thresholds=np.append(np.inf, counts.threshold),
        auroc=auroc,
        band_fpr=_BAND_FPR.copy(),
        band_low=low,
        band_high=np.maximum(high, [interval.high for interval in wilson]),
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def _resampled_sensitivity(cases: BinaryCases, n_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sensitivity on the grid for every resample: float64 (n_resamples, 101).

    A resample is a number of copies of each case, drawn within its class; the order by score never changes, so two cumulative
    sums give its whole curve.
    """
    order = np.argsort(-cases.score, kind="stable")
    is_positive, ends = cases.is_positive[order], last_of_ties(cases.score[order])
    block = max(1, _BLOCK_CELLS // is_positive.size)
    rows: list[NDArray[np.float64]] = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        tpr = _resampled_rates(is_positive, ends, size, rng)
        fpr = _resampled_rates(~is_positive, ends, size, rng)
        # np.interp takes the upper end of a vertical step, as the empirical curve does.
        rows += [np.interp(_BAND_FPR, fpr[i], tpr[i]) for i in range(size)]
    return np.stack(rows)


def _resampled_rates(
    members: NDArray[np.bool_], ends: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Share of a resampled class at or above each distinct score, with a leading 0: float64 (size, t + 1)."""
    n = int(np.count_nonzero(members))
    copies = np.zeros((size, members.size))
    copies[:, members] = rng.multinomial(n, np.full(n, 1 / n), size=size)
    return np.insert(np.cumsum(copies, axis=1)[:, ends] / n, 0, 0.0, axis=1)
