"""Whether two measurements rise together: Spearman's correlation with an interval that knows the subjects."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.grades import expected_grade
from core.metrics.proportions import Interval

_Ties = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def spearman_interval(x: ArrayLike, y: ArrayLike, groups: ArrayLike, seed: int = 0) -> Interval:
    """Spearman's rank correlation with its percentile bootstrap interval over subjects.

    Tied values share their mean rank, in every resample anew. A resample whose x or y is constant has no correlation: it is left
    out and counted, and where more than a tenth are so the interval is refused. With fewer than some twenty subjects a percentile
    interval is too short.

    Args:
        x, y: (n,), finite.
        groups: (n,), anything that is equal for cases of one subject; two subjects at least.
        seed: Same seed, same interval.

    Raises:
        UsageError: Lengths differ, a value is not finite, x or y is constant, or see `bootstrap_by_copies`.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or not first.shape == second.shape == np.shape(groups):
        raise UsageError(f"values of shapes {first.shape} and {second.shape} of subjects of shape {np.shape(groups)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError("a value to correlate that is not finite")
    ties = _ties(first), _ties(second)

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return _correlations(copies, _ranks(copies, ties[0]), _ranks(copies, ties[1]))

    return bootstrap_by_copies(statistic, groups, seed=seed).interval


def severity_interval(probabilities: ArrayLike, references: ArrayLike, groups: ArrayLike, seed: int = 0) -> Interval:
    """Spearman's correlation of the expected grade with a measured value that falls as the grade rises, such as HU.

    Args:
        probabilities: (n, c), see `expected_grade`.
        references: (n,), measured; 1 means that severity rises wherever they fall.
        groups, seed: See `spearman_interval`.

    Raises:
        UsageError: See `expected_grade` and `spearman_interval`.
    """
    return spearman_interval(expected_grade(probabilities), -np.asarray(references, dtype=np.float64), groups, seed)


def _ties(values: NDArray[np.float64]) -> _Ties:
    """Order of the cases, where each run of equal values starts in it, and the run of each case."""
    order = np.argsort(values, kind="stable")
    _, starts, run = np.unique(values[order], return_index=True, return_inverse=True)
    run_of_case = np.empty(values.size, dtype=np.int64)
    run_of_case[order] = run
    return order, starts, run_of_case


def _ranks(copies: NDArray[np.float64], ties: _Ties) -> NDArray[np.float64]:
    """Mean rank of each case within each resample, less a half: float64 (r, n)."""
    order, starts, run_of_case = ties
    in_run = np.add.reduceat(copies[:, order], starts, axis=1)
    return (np.cumsum(in_run, axis=1) - in_run / 2)[:, run_of_case]


def _correlations(copies: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of each resample, its cases weighted by their copies; NaN where one side is constant."""
    middle = copies.sum(axis=1, keepdims=True) / 2  # mean of the ranks, whatever the ties
    a, b = a - middle, b - middle
    covariance = np.sum(copies * a * b, axis=1)
    spread = np.sqrt(np.sum(copies * a**2, axis=1) * np.sum(copies * b**2, axis=1))
    return np.divide(covariance, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
