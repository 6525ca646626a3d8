"""Confusion matrix and the classification report drawn from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.proportions import Interval, wilson_interval


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of reference against prediction.

    Attributes:
        counts: int64 (k, k), rows = reference, columns = prediction, both in the order of `labels`.
        labels: The k label ids, at least two.

    Raises:
        UsageError: The counts are not a k by k matrix of numbers from 0 with at least one case.
    """

    counts: NDArray[np.int64]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        k = len(self.labels)
        if k < 2 or self.counts.shape != (k, k) or self.counts.min() < 0 or self.counts.sum() == 0:
            raise UsageError(f"a confusion matrix of shape {self.counts.shape} for {k} labels")

    @property
    def n_cases(self) -> int:
        """All cases."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> Interval:
        """Share on the diagonal, with Wilson's interval."""
        return wilson_interval(int(np.trace(self.counts)), self.n_cases)


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest.

    Attributes:
        precision: 0 when `n_predicted` is 0, as scikit-learn gives it; `n_predicted` tells the two zeros apart.
        recall: 0 when `support` is 0.
        support: Cases with this reference label.
        n_predicted: Cases predicted as this label.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    n_predicted: int


@dataclass(frozen=True)
class AverageMetrics:
    """Averages over the classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassificationReport:
    """What scikit-learn's `classification_report` prints, with an interval for the accuracy.

    Attributes:
        classes: One a label, in the order of the labels.
        macro: Plain mean over the classes.
        weighted: Mean weighted by support.
    """

    classes: tuple[ClassMetrics, ...]
    accuracy: Interval
    macro: AverageMetrics
    weighted: AverageMetrics
    n_cases: int


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[str]) -> ConfusionMatrix:
    """Count reference against predicted classes.

    Args:
        y_true: (n,) integers, index into `labels`.
        y_pred: (n,) integers, index into `labels`.
        labels: Label ids in channel order.

    Raises:
        UsageError: No case, lengths differ or an index lies outside `labels`.
    """
    reference, predicted = np.asarray(y_true), np.asarray(y_pred)
    k = len(labels)
    if reference.ndim != 1 or reference.shape != predicted.shape:
        raise UsageError(f"references of shape {reference.shape} with predictions of shape {predicted.shape}")
    if not (np.isin(reference, range(k)).all() and np.isin(predicted, range(k)).all()):
        raise UsageError(f"a class index that is not one of 0 to {k - 1}")
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (reference.astype(np.int64), predicted.astype(np.int64)), 1)
    return ConfusionMatrix(counts, tuple(labels))


def classification_report(y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[str]) -> ClassificationReport:
    """Report of predicted classes; arguments and errors as `confusion_matrix`."""
    return report_matrix(confusion_matrix(y_true, y_pred, labels))


def report_matrix(matrix: ConfusionMatrix) -> ClassificationReport:
    """Report of a confusion matrix."""
    correct = np.diag(matrix.counts)
    support, predicted = matrix.counts.sum(axis=1), matrix.counts.sum(axis=0)
    precision, recall = _ratio(correct, predicted), _ratio(correct, support)
    f1 = _ratio(2 * correct, support + predicted)
    return ClassificationReport(
        classes=tuple(
            ClassMetrics(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]), int(predicted[i]))
            for i, label in enumerate(matrix.labels)
        ),
        accuracy=matrix.accuracy,
        macro=AverageMetrics(float(precision.mean()), float(recall.mean()), float(f1.mean())),
        weighted=AverageMetrics(
            float(np.average(precision, weights=support)),
            float(np.average(recall, weights=support)),
            float(np.average(f1, weights=support)),
        ),
        n_cases=matrix.n_cases,
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
