"""Each class against all others: its ROC curve and AUROC, and the mean of the AUROCs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.cases import BinaryCases, count_above_thresholds
from core.metrics.delong import auroc_interval, auroc_of_copies
from core.metrics.grades import GradedCases, graded_cases
from core.metrics.proportions import Interval


@dataclass(frozen=True)
class ClassCurve:
    """ROC curve of one class against the rest, scored by its probability.

    Attributes:
        fpr, tpr: float64 (t + 1,), rising from (0, 0) to (1, 1).
        auroc: With DeLong's interval, or Obuchowski's where patients have several cases.
        n_positive, n_negative: Cases of the class, and all others.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    auroc: Interval
    n_positive: int
    n_negative: int


def class_curves(
    y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None
) -> tuple[ClassCurve | None, ...]:
    """Curve of every class, lowest grade first; None where the class or the rest comes from fewer than two patients.

    Args:
        y_true: (n,) integers from 0 to c - 1.
        probabilities: (n, c).
        groups: (n,), anything that is equal for cases of one patient; None = every case is another patient.

    Raises:
        UsageError: See `graded_cases`.
    """
    cases = graded_cases(y_true, probabilities, groups)
    return tuple(_curve(cases, grade) for grade in range(cases.n_classes))


def macro_auroc_interval(
    y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None, seed: int = 0
) -> Interval:
    """Plain mean of the one-against-rest AUROCs with its percentile bootstrap interval over patients.

    The mean counts rare classes like common ones. Resamples without some class have no such mean; they are left out, and too many
    of them are refused.

    Args:
        y_true, probabilities, groups: See `class_curves`.
        seed: Same seed, same interval.

    Raises:
        UsageError: See `graded_cases` and `bootstrap_by_copies`; thus also where a class has no case.
    """
    cases = graded_cases(y_true, probabilities, groups)
    of_classes = [auroc_of_copies(_against_rest(cases, grade)) for grade in range(cases.n_classes)]

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.mean([auroc(copies) for auroc in of_classes], axis=0)

    return bootstrap_by_copies(statistic, cases.patient, seed=seed).interval


def _against_rest(cases: GradedCases, grade: int) -> BinaryCases:
    return BinaryCases(cases.reference == grade, cases.probability[:, grade])


def _curve(cases: GradedCases, grade: int) -> ClassCurve | None:
    binary = _against_rest(cases, grade)
    sides = (cases.patient[binary.is_positive], cases.patient[~binary.is_positive])
    if min(np.unique(side).size for side in sides) < 2:
        return None
    counts = count_above_thresholds(binary)
    return ClassCurve(
        fpr=np.append(0.0, counts.n_false_positive / binary.n_negative),
        tpr=np.append(0.0, counts.n_true_positive / binary.n_positive),
        auroc=auroc_interval(binary.is_positive, binary.score, cases.patient),
        n_positive=binary.n_positive,
        n_negative=binary.n_negative,
    )
