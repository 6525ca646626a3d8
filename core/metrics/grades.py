"""The one door through which ordered classes and their probabilities enter a metric, and what one case says about them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.cases import patient_index

_SUM_TOLERANCE = 1e-3  # probabilities saved with four digits still pass


@dataclass(frozen=True)
class GradedCases:
    """Checked cases with c ordered classes.

    Attributes:
        reference: int64 (n,), grade of the reference standard, 0 to c - 1.
        probability: float64 (n, c).
        patient: int64 (n,), equal for cases of one patient, numbered from 0.
    """

    reference: NDArray[np.int64]
    probability: NDArray[np.float64]
    patient: NDArray[np.int64]

    @property
    def n_cases(self) -> int:
        """All cases."""
        return int(self.reference.size)

    @property
    def n_classes(self) -> int:
        """The classes, c."""
        return int(self.probability.shape[1])

    @property
    def n_patients(self) -> int:
        """Patients behind the cases."""
        return int(self.patient.max()) + 1

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 (n,), the most probable grade; of equally probable ones the lowest."""
        return np.argmax(self.probability, axis=1).astype(np.int64)


def graded_cases(y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None) -> GradedCases:
    """Check grades and probabilities.

    Args:
        y_true: (n,) integers from 0 to c - 1.
        probabilities: (n, c), see `expected_grade`.
        groups: (n,), anything that is equal for cases of one patient; None = every case is another patient.

    Raises:
        UsageError: No case, lengths differ, a grade is not one of 0 to c - 1, or see `expected_grade`.
    """
    probability = _checked(probabilities)
    reference = np.asarray(y_true)
    n, n_classes = probability.shape
    if n == 0 or reference.shape != (n,):
        raise UsageError(f"grades of shape {reference.shape} with probabilities of shape {probability.shape}")
    if not np.isin(reference, range(n_classes)).all():
        raise UsageError(f"a grade that is not one of 0 to {n_classes - 1}")
    patient = patient_index(np.arange(n) if groups is None else groups, n)
    return GradedCases(reference.astype(np.int64), probability, patient)


def expected_grade(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Mean grade under the probabilities: float64 (n,), from 0 to c - 1.

    Args:
        probabilities: (n, c) with at least two classes, lowest grade first; rows in [0, 1] that sum to 1.

    Raises:
        UsageError: The probabilities are not so.
    """
    probability = _checked(probabilities)
    return probability @ np.arange(probability.shape[1], dtype=np.float64)


def cumulative(probabilities: ArrayLike, cut: int) -> NDArray[np.float64]:
    """Probability of grade `cut` or above: float64 (n,), in [0, 1].

    Args:
        probabilities: (n, c), see `expected_grade`.
        cut: From 1 to c - 1.

    Raises:
        UsageError: See `expected_grade`; or a cut out of range.
    """
    probability = _checked(probabilities)
    if not 1 <= cut < probability.shape[1]:
        raise UsageError(f"a cut at grade {cut} of {probability.shape[1]} grades")
    return np.clip(probability[:, cut:].sum(axis=1), 0.0, 1.0)


def _checked(probabilities: ArrayLike) -> NDArray[np.float64]:
    probability = np.asarray(probabilities, dtype=np.float64)
    if probability.ndim != 2 or probability.shape[1] < 2:
        raise UsageError(f"probabilities of shape {probability.shape} where (cases, classes) is wanted")
    # Written so that a not-a-number fails too.
    if not ((probability >= 0) & (probability <= 1)).all():
        raise UsageError("a probability that is not a number from 0 to 1")
    if not (np.abs(probability.sum(axis=1) - 1) <= _SUM_TOLERANCE).all():
        raise UsageError("probabilities of one case that do not sum to 1")
    return probability
