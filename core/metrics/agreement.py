"""How far predicted grades lie from the reference: weighted kappa and mean absolute error."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.confusion import confusion_matrix
from core.metrics.proportions import Interval

Weights = Literal["quadratic", "linear"]
_POWER: dict[Weights, int] = {"quadratic": 2, "linear": 1}
_OfMatrices = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # confusion matrices (r, c, c) -> (r,)


def weighted_kappa(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int, weights: Weights = "quadratic") -> float:
    """Agreement beyond chance, where a distance of d grades weighs d^2 or d (Cohen, Psychol Bull 1968;70:213).

    Grades that no case has keep their place, so distances are those of the whole scale.

    Args:
        y_true, y_pred: (n,) integers from 0 to `n_classes` - 1.
        n_classes: At least two.
        weights: "quadratic" (Fleiss & Cohen) or "linear" (Cicchetti & Allison).

    Raises:
        UsageError: See `confusion_matrix`; or every case and every prediction has the same grade, so that chance agrees fully.
    """
    counts = confusion_matrix(y_true, y_pred, _names(n_classes)).counts
    kappa = float(_kappas(counts[np.newaxis].astype(np.float64), weights)[0])
    if np.isnan(kappa):
        raise UsageError(f"weighted kappa of {counts.sum()} cases that all have one grade")
    return kappa


def weighted_kappa_interval(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    n_classes: int,
    weights: Weights = "quadratic",
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """Weighted kappa with its percentile bootstrap interval over patients.

    Resamples of one grade only have no kappa; they are left out, and too many of them are refused. An error-free set gives an
    interval without width.

    Args:
        y_true, y_pred, n_classes, weights: See `weighted_kappa`.
        groups: (n,), anything that is equal for cases of one patient; None = every case is another patient.
        seed: Same seed, same interval.

    Raises:
        UsageError: See `weighted_kappa` and `bootstrap_by_copies`.
    """
    return _interval(lambda matrices: _kappas(matrices, weights), y_true, y_pred, n_classes, groups, seed)


def mean_absolute_error_interval(
    y_true: ArrayLike, y_pred: ArrayLike, n_classes: int, groups: ArrayLike | None = None, seed: int = 0
) -> Interval:
    """Mean distance in grades with its percentile bootstrap interval; arguments and errors as `weighted_kappa_interval`."""
    return _interval(_mean_distances, y_true, y_pred, n_classes, groups, seed)


def _interval(
    of_matrices: _OfMatrices,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    n_classes: int,
    groups: ArrayLike | None,
    seed: int,
) -> Interval:
    """Interval of a statistic that the confusion matrix gives: a resample adds its copies up cell by cell."""
    counts = confusion_matrix(y_true, y_pred, _names(n_classes)).counts  # checks both
    reference, predicted = np.asarray(y_true, dtype=np.int64), np.asarray(y_pred, dtype=np.int64)
    in_cell = np.eye(counts.size)[reference * n_classes + predicted]

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return of_matrices((copies @ in_cell).reshape(-1, n_classes, n_classes))

    patients = np.arange(reference.size) if groups is None else groups
    return bootstrap_by_copies(statistic, patients, seed=seed).interval


def _kappas(matrices: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Weighted kappa of each matrix; NaN where chance leaves no disagreement."""
    penalty = _distances(matrices.shape[1]) ** _POWER[weights]
    total = matrices.sum(axis=(1, 2))
    observed = np.einsum("rij,ij->r", matrices, penalty) * total
    by_chance = np.einsum("ri,ij,rj->r", matrices.sum(axis=2), penalty, matrices.sum(axis=1))
    return 1 - np.divide(observed, by_chance, out=np.full(total.shape, np.nan), where=by_chance > 0)


def _mean_distances(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("rij,ij->r", matrices, _distances(matrices.shape[1])) / matrices.sum(axis=(1, 2))


def _distances(n_classes: int) -> NDArray[np.float64]:
    grade = np.arange(n_classes, dtype=np.float64)
    return np.abs(grade[:, np.newaxis] - grade)


def _names(n_classes: int) -> tuple[str, ...]:
    return tuple(str(grade) for grade in range(n_classes))
