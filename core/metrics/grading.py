"""Everything there is to say about a grader: one call, one frozen report."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.agreement import mean_absolute_error_interval, weighted_kappa_interval
from core.metrics.confusion import ConfusionMatrix, confusion_matrix
from core.metrics.grades import GradedCases, graded_cases
from core.metrics.one_vs_rest import ClassCurve, class_curves, macro_auroc_interval
from core.metrics.proportions import Interval, clustered_wilson_interval


@dataclass(frozen=True)
class GradeMetrics:
    """One grade against the rest.

    Attributes:
        recall: None without a case of this grade.
        precision: None where no case is predicted so.
        curve: ROC curve with its AUROC; None where the grade or the rest comes from fewer than two patients.
        support: Cases with this reference grade.
        n_predicted: Cases predicted as this grade.
    """

    recall: Interval | None
    precision: Interval | None
    curve: ClassCurve | None
    support: int
    n_predicted: int

    @property
    def auroc(self) -> Interval | None:
        """Area under `curve`."""
        return None if self.curve is None else self.curve.auroc


@dataclass(frozen=True)
class GradingReport:
    """A grader on one set of cases; the predicted grade is the most probable one.

    Attributes:
        n: Cases.
        n_groups: Patients behind them.
        accuracy: Share of exact grades.
        off_by_one: Share at most one grade off.
        weighted_kappa: Quadratic; None where reference and prediction hold one and the same grade, in all cases or in more than a
            tenth of the resamples.
        macro_auroc: None where a class is missing from the cases or from more than a tenth of the resamples.
        mean_absolute_error: In grades.
        per_class: One a grade, lowest first.
        confusion: Its labels are the grades as text, "0" to str(c - 1).
    """

    n: int
    n_groups: int
    accuracy: Interval
    off_by_one: Interval
    weighted_kappa: Interval | None
    macro_auroc: Interval | None
    mean_absolute_error: Interval
    per_class: tuple[GradeMetrics, ...]
    confusion: ConfusionMatrix


def grading_report(
    y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None, seed: int = 0
) -> GradingReport:
    """Measure a grader.

    Shares have Wilson's interval (`clustered_wilson_interval` for patients with several cases), AUROCs that of `auroc_interval`;
    kappa, macro AUROC and absolute error have percentiles of 2000 resamples of patients.

    Args:
        y_true: (n,) integers from 0 to c - 1, lowest grade first.
        probabilities: (n, c).
        groups: (n,), anything that is equal for cases of one patient; None = every case is another patient.
        seed: Same seed, same report.

    Raises:
        UsageError: See `graded_cases`; or fewer than two patients.
    """
    cases = graded_cases(y_true, probabilities, groups)
    if cases.n_patients < 2:
        raise UsageError(f"a report on {cases.n_cases} cases of one patient: an interval needs two patients")
    predicted, patient = cases.predicted, cases.patient
    distance = np.abs(predicted - cases.reference)
    pairs = (cases.reference, predicted, cases.n_classes)
    return GradingReport(
        n=cases.n_cases,
        n_groups=cases.n_patients,
        accuracy=clustered_wilson_interval(distance == 0, patient),
        off_by_one=clustered_wilson_interval(distance <= 1, patient),
        weighted_kappa=_kappa_or_none(cases, predicted, seed),
        macro_auroc=_macro_or_none(cases, seed),
        mean_absolute_error=mean_absolute_error_interval(*pairs, groups=patient, seed=seed),
        per_class=_per_class(cases, predicted),
        confusion=confusion_matrix(cases.reference, predicted, [str(grade) for grade in range(cases.n_classes)]),
    )


def _kappa_or_none(cases: GradedCases, predicted: NDArray[np.int64], seed: int) -> Interval | None:
    try:
        return weighted_kappa_interval(cases.reference, predicted, cases.n_classes, groups=cases.patient, seed=seed)
    except UsageError:  # the cases are checked, so this is an undefined statistic
        return None


def _macro_or_none(cases: GradedCases, seed: int) -> Interval | None:
    try:
        return macro_auroc_interval(cases.reference, cases.probability, cases.patient, seed)
    except UsageError:  # as above
        return None


def _per_class(cases: GradedCases, predicted: NDArray[np.int64]) -> tuple[GradeMetrics, ...]:
    is_right = predicted == cases.reference
    curves = class_curves(cases.reference, cases.probability, cases.patient)
    return tuple(
        GradeMetrics(
            recall=_share(is_right, cases.reference == grade, cases.patient),
            precision=_share(is_right, predicted == grade, cases.patient),
            curve=curve,
            support=int(np.count_nonzero(cases.reference == grade)),
            n_predicted=int(np.count_nonzero(predicted == grade)),
        )
        for grade, curve in enumerate(curves)
    )


def _share(is_right: NDArray[np.bool_], members: NDArray[np.bool_], patient: NDArray[np.int64]) -> Interval | None:
    return clustered_wilson_interval(is_right[members], patient[members]) if members.any() else None
