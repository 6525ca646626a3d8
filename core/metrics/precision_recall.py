"""The precision-recall curve with its average precision."""

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.cases import binary_cases, count_above_thresholds, evenly_along
from core.metrics.proportions import Z95, Interval, wilson_interval


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """A precision-recall curve; precision depends on the prevalence, so that travels with it.

    Attributes:
        precision, recall: float64 (t + 1,), recall rising from 0; the first precision is 1 by convention.
        thresholds: float64 (t + 1,), falling; the first is infinity (nobody is positive).
        average_precision: Mean precision weighted by the gain in recall (AUPRC without interpolation), with its 95 % interval.
        prevalence: Share of positive cases: the precision of chance.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    average_precision: Interval
    prevalence: float
    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def precision_recall_curve(
    y_true: ArrayLike, y_score: ArrayLike, most_points: int | None = None
) -> PrecisionRecallCurve:
    """Precision-recall curve and average precision.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        most_points: Of the curve, at least four: half of them evenly along recall, half among the few cases with the highest
            scores, where precision still leaps; None = all. The average precision is that of all.

    Raises:
        UsageError: See `binary_cases`.
    """
    cases = binary_cases(y_true, y_score)
    counts = count_above_thresholds(cases)
    precision = np.append(1.0, counts.n_true_positive / (counts.n_true_positive + counts.n_false_positive))
    recall = np.append(0.0, counts.n_true_positive / cases.n_positive)
    average = min(1.0, float(np.sum(np.diff(recall) * precision[1:])))
    kept = np.arange(recall.size) if most_points is None else _kept(recall, most_points)
    return PrecisionRecallCurve(
        precision=precision[kept],
        recall=recall[kept],
        thresholds=np.append(np.inf, counts.threshold)[kept],
        average_precision=_average_precision_interval(average, cases.n_positive),
        prevalence=cases.n_positive / cases.score.size,
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def _kept(recall: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    last = recall.size - 1
    if last < most:
        return np.arange(recall.size)
    first = np.unique(np.geomspace(1, last, most // 2 - 1).astype(np.int64))
    return np.union1d(np.append(0, first), evenly_along(recall, most // 2))


def _average_precision_interval(average: float, n_positive: int) -> Interval:
    """Logit interval of Boyd, Eng & Page (ECML PKDD 2013), which counts positives only; Wilson's at 1, where it has no width."""
    if average > 1 - 1e-12:
        return wilson_interval(n_positive, n_positive)
    centre, error = log(average / (1 - average)), Z95 / sqrt(n_positive * average * (1 - average))
    return Interval(average, 1 / (1 + exp(error - centre)), 1 / (1 + exp(-error - centre)))
