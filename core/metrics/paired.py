"""Two models on the same cases: McNemar's test at their thresholds, and intervals of differences that resample patients.

DeLong's test of two AUROCs is in `delong`; it takes every case for another patient. Here cases of one patient may be alike.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

from core.errors import UsageError
from core.metrics.bootstrap import BootstrapInterval, CopiesStatistic, bootstrap_by_copies, intervals_or_none
from core.metrics.cases import BinaryCases, binary_cases, patient_index
from core.metrics.delong import auroc_of_copies
from core.metrics.proportions import Interval

_LEAST_FOR_NORMAL = 25  # discordant pairs; with fewer the exact test is used


@dataclass(frozen=True)
class McNemarTest:
    """Cases that two models call right or wrong.

    Attributes:
        n_both, n_only_a, n_only_b, n_neither: Cases called right by both models, by one alone, by none.
        p_value: Two-sided, of no difference in the share called right; 1 where the models are right on the same cases.
        is_exact: Whether it is the exact binomial one.
    """

    n_both: int
    n_only_a: int
    n_only_b: int
    n_neither: int
    p_value: float
    is_exact: bool

    @property
    def n_discordant(self) -> int:
        """Cases that one model alone calls right: all that the test reads."""
        return self.n_only_a + self.n_only_b


@dataclass(frozen=True)
class ModelComparison:
    """Model a against model b, each at its own threshold, on the same cases.

    Differences are a - b with an interval over patients, all from the same resamples; None where more than a tenth of them lack
    a class. An interval has no width where the models are right on the same cases: that is no proof that they are equal.

    Attributes:
        auroc: Difference of the AUROCs, which know no threshold.
        sensitivity, specificity: Differences at the thresholds.
        positives, negatives: McNemar's test on the positive cases (of the sensitivities), and on the negative ones. It takes
            every case for another patient; where `n_patients < n_cases`, believe the intervals.
        n_patients: Patients that were resampled.
    """

    auroc: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    positives: McNemarTest
    negatives: McNemarTest
    n_patients: int
    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def mcnemar_test(is_right_a: ArrayLike, is_right_b: ArrayLike) -> McNemarTest:
    """McNemar's test (Psychometrika 1947;12:153) of two models on the same cases.

    With fewer than 25 discordant cases exact, by the binomial distribution; else asymptotic without continuity correction, which
    Fagerland, Lydersen & Laake (BMC Med Res Methodol 2013;13:91) found far less conservative than with it.

    Args:
        is_right_a, is_right_b: (n,), boolean: whether the model calls the case right.

    Raises:
        UsageError: Lengths differ, or no case.
    """
    a, b = np.asarray(is_right_a), np.asarray(is_right_b)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0 or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise UsageError(f"answers of shapes {a.shape} and {b.shape}, types {a.dtype} and {b.dtype}")
    only_a, only_b = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(~a & b))
    n_discordant = only_a + only_b
    is_exact = n_discordant < _LEAST_FOR_NORMAL
    if n_discordant == 0:
        p_value = 1.0
    elif is_exact:
        p_value = float(binomtest(only_a, n_discordant).pvalue)
    else:
        p_value = float(2 * norm.sf(abs(only_a - only_b) / sqrt(n_discordant)))
    both = int(np.count_nonzero(a & b))
    return McNemarTest(both, only_a, only_b, int(a.size) - both - n_discordant, p_value, is_exact)


def compare_models(
    y_true: ArrayLike,
    y_score_a: ArrayLike,
    y_score_b: ArrayLike,
    threshold_a: float,
    threshold_b: float,
    patients: ArrayLike | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> ModelComparison:
    """Compare two models whose thresholds were chosen on other cases.

    Intervals are those of `intervals_or_none`: percentiles over resamples of whole patients.

    Args:
        y_true: (n,), 0 or 1.
        y_score_a, y_score_b: (n,), scores of the same cases in the same order; each on its own scale.
        threshold_a, threshold_b: Finite; a score of exactly this is positive.
        patients: (n,), anything that is equal for cases of one patient; None = every case is another patient.
        n_resamples: At least 1.
        seed: Same seed, same intervals.

    Raises:
        UsageError: See `binary_cases`; a threshold that is not finite, fewer than two patients, or no resample asked for.
    """
    cases_a, cases_b = binary_cases(y_true, y_score_a), binary_cases(y_true, y_score_b)
    is_right_a, is_right_b = _is_right(cases_a, threshold_a), _is_right(cases_b, threshold_b)
    is_positive = cases_a.is_positive
    patient = np.arange(is_positive.size) if patients is None else patient_index(patients, is_positive.size)
    pairs = (
        (auroc_of_copies(cases_a), auroc_of_copies(cases_b)),
        (sensitivity_of_copies(cases_a, threshold_a), sensitivity_of_copies(cases_b, threshold_b)),
        (specificity_of_copies(cases_a, threshold_a), specificity_of_copies(cases_b, threshold_b)),
    )

    def differences(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([a(copies) - b(copies) for a, b in pairs], axis=1)

    auroc, sensitivity, specificity = intervals_or_none(differences, patient, seed, n_resamples)
    return ModelComparison(
        auroc=auroc,
        sensitivity=sensitivity,
        specificity=specificity,
        positives=mcnemar_test(is_right_a[is_positive], is_right_b[is_positive]),
        negatives=mcnemar_test(is_right_a[~is_positive], is_right_b[~is_positive]),
        n_patients=int(np.unique(patient).size),
        n_positive=cases_a.n_positive,
        n_negative=cases_a.n_negative,
    )


def difference_interval(
    statistic_a: CopiesStatistic,
    statistic_b: CopiesStatistic,
    patients: ArrayLike,
    n_resamples: int = 2000,
    seed: int = 0,
) -> BootstrapInterval:
    """Any statistic of model a minus that of model b, both read from the same resamples of patients.

    Args:
        statistic_a, statistic_b: See `bootstrap_by_copies`; each made from the same cases in the same order.
        patients, n_resamples, seed: See `bootstrap_by_copies`.

    Raises:
        UsageError: See `bootstrap_by_copies`.
    """
    return bootstrap_by_copies(lambda copies: statistic_a(copies) - statistic_b(copies), patients, n_resamples, seed)


def sensitivity_of_copies(cases: BinaryCases, threshold: float) -> CopiesStatistic:
    """Sensitivity of every resample, for `bootstrap_by_copies`; NaN without a positive case."""
    return _share_of_copies(cases.is_positive, _is_right(cases, threshold))


def specificity_of_copies(cases: BinaryCases, threshold: float) -> CopiesStatistic:
    """Specificity of every resample, for `bootstrap_by_copies`; NaN without a negative case."""
    return _share_of_copies(~cases.is_positive, _is_right(cases, threshold))


def _is_right(cases: BinaryCases, threshold: float) -> NDArray[np.bool_]:
    if not np.isfinite(threshold):
        raise UsageError(f"a threshold of {threshold}")
    return np.asarray((cases.score >= threshold) == cases.is_positive)


def _share_of_copies(is_counted: NDArray[np.bool_], is_right: NDArray[np.bool_]) -> CopiesStatistic:
    counted, right = is_counted.astype(np.float64), (is_counted & is_right).astype(np.float64)

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        n = copies @ counted
        return np.divide(copies @ right, n, out=np.full(n.shape, np.nan), where=n > 0)

    return statistic
