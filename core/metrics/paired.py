"""Two models on the same cases, each at its own threshold: McNemar's test and intervals of differences.

DeLong's test of two AUROCs is in `delong`. Here as there every case is taken for another patient, but in `flip_test`.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

from core.errors import UsageError
from core.metrics.bootstrap import percentile_interval
from core.metrics.cases import binary_cases
from core.metrics.proportions import Interval

_LEAST_FOR_NORMAL = 25  # discordant pairs; with fewer the exact test is used
_FLIPS, _BLOCK = 20_000, 1000


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
class CallComparison:
    """What model a calls against what model b calls, on the same cases.

    Differences are a - b with a bootstrap interval, both from the same resamples; None where more than a tenth of them lack the
    class. An interval has no width where the models are right on the same cases: that is no proof that they are equal.

    Attributes:
        sensitivity, specificity: Differences at the thresholds.
        positives, negatives: McNemar's test on the positive cases (of the sensitivities), and on the negative ones.
    """

    sensitivity: Interval | None
    specificity: Interval | None
    positives: McNemarTest
    negatives: McNemarTest


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


def flip_test(differences: ArrayLike, patients: ArrayLike, seed: int = 0) -> float:
    """Two-sided p-value of no difference between two models, by flipping the signs of whole patients (Fisher 1935).

    Of 0/1 answers of one case a patient this is McNemar's exact test; it also takes several cases a patient, and any measure.
    p is the share of 20,000 random flips, and of what was seen, whose sum lies as far from 0.

    Args:
        differences: (n,), finite: what model a is worth on each case less what model b is.
        patients: (n,), anything that is equal for cases of one patient.
        seed: Same seed, same p-value.

    Raises:
        UsageError: Lengths differ, no case, or a difference that is not finite.
    """
    values, (_, patient) = (np.asarray(differences, np.float64), np.unique(np.asarray(patients), return_inverse=True))
    if values.ndim != 1 or not values.size or values.shape != patient.shape or not np.isfinite(values).all():
        raise UsageError(f"differences of shape {values.shape} of patients of shape {patient.shape}, or one not finite")
    sums = np.bincount(patient, weights=values)
    seen, rng = abs(sums.sum()) - 1e-9 * np.abs(sums).sum(), np.random.default_rng(seed)
    n_as_far = 1
    for _ in range(_FLIPS // _BLOCK):
        signs = rng.integers(0, 2, (_BLOCK, sums.size), dtype=np.int8) * 2.0 - 1
        n_as_far += int(np.count_nonzero(np.abs(signs @ sums) >= seen))
    return n_as_far / (_FLIPS + 1)


def compare_calls(
    y_true: ArrayLike,
    y_score_a: ArrayLike,
    y_score_b: ArrayLike,
    threshold_a: float,
    threshold_b: float,
    n_resamples: int = 2000,
    seed: int = 0,
) -> CallComparison:
    """Compare two models at thresholds that were chosen on other cases.

    The intervals are percentiles over resamples of all cases. A difference reads only how many cases of a class one model alone
    calls right, so a resample is drawn as these counts, and a million cases take no longer than a hundred.

    Args:
        y_true: (n,), 0 or 1.
        y_score_a, y_score_b: (n,), scores of the same cases in the same order; each on its own scale.
        threshold_a, threshold_b: Finite; a score of exactly this is positive.
        n_resamples: At least 1.
        seed: Same seed, same intervals.

    Raises:
        UsageError: See `binary_cases`; a threshold that is not finite, or no resample asked for.
    """
    cases_a, cases_b = binary_cases(y_true, y_score_a), binary_cases(y_true, y_score_b)
    for threshold in (threshold_a, threshold_b):
        if not np.isfinite(threshold):
            raise UsageError(f"a threshold of {threshold}")
    if n_resamples < 1:
        raise UsageError(f"{n_resamples} resamples")
    is_positive = cases_a.is_positive
    is_right_a = (cases_a.score >= threshold_a) == is_positive
    is_right_b = (cases_b.score >= threshold_b) == is_positive
    tests = [mcnemar_test(is_right_a[members], is_right_b[members]) for members in (is_positive, ~is_positive)]
    counts = np.array([[test.n_only_a, test.n_only_b, test.n_both + test.n_neither] for test in tests])
    n = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=n_resamples).reshape(-1, 2, 3)
    sensitivity, specificity = (_difference(counts[place], drawn[:, place]) for place in (0, 1))
    return CallComparison(sensitivity, specificity, *tests)


def _difference(counts: NDArray[np.int64], drawn: NDArray[np.int64]) -> Interval | None:
    """Of the shares called right, from the cases (3,) and the resamples (r, 3) of one class."""
    n = drawn.sum(axis=1)
    defined = drawn[n > 0]
    shares = (defined[:, 0] - defined[:, 1]) / n[n > 0]
    return percentile_interval(float(counts[0] - counts[1]) / int(counts.sum()), shares, len(drawn))
