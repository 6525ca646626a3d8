"""A 95 % interval for any statistic, resampling patients rather than cases."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.cases import binary_cases
from core.metrics.proportions import Interval

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
_LEAST_SHARE_DEFINED = 0.9  # with fewer usable resamples the percentiles describe the lucky ones only


@dataclass(frozen=True)
class BootstrapInterval:
    """A statistic with its bootstrap interval.

    Attributes:
        interval: The statistic on all cases, and the 2.5 % and 97.5 % percentiles of the resamples. Percentiles of a skewed
            statistic may leave its value outside.
        n_resamples: Resamples drawn.
        n_undefined: Of these, resamples that could not give the statistic (one class only).
        n_patients: Patients that were resampled.
    """

    interval: Interval
    n_resamples: int
    n_undefined: int
    n_patients: int


def bootstrap_interval(
    statistic: Statistic,
    y_true: ArrayLike,
    y_score: ArrayLike,
    patients: ArrayLike,
    n_resamples: int = 2000,
    seed: int = 0,
) -> BootstrapInterval:
    """Percentile interval over resamples of whole patients.

    Cases of one patient are alike, so that resampling cases would understate the error (Field & Welsh, J R Stat Soc B
    2007;69:369). A resample draws as many patients as there are, with replacement, and takes all their cases each time.

    Args:
        statistic: `(y_true bool (m,), y_score float64 (m,)) -> float`; raises `UsageError` where it is undefined.
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        patients: (n,), anything that is equal for cases of one patient.
        n_resamples: At least 1.
        seed: Same seed, same interval.

    Raises:
        UsageError: See `binary_cases`; lengths differ, fewer than two patients, no resample asked for, or the statistic is
            undefined in more than a tenth of the resamples.
    """
    cases = binary_cases(y_true, y_score)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    n_patients = int(patient.max()) + 1
    if patient.shape != cases.score.shape or n_patients < 2 or n_resamples < 1:
        raise UsageError(f"{n_resamples} resamples of {patient.size} cases of {n_patients} patients")
    value = statistic(cases.is_positive, cases.score)
    members = np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient))[:-1])
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(n_resamples):
        drawn = np.concatenate([members[i] for i in rng.integers(0, n_patients, n_patients)])
        try:
            values.append(statistic(cases.is_positive[drawn], cases.score[drawn]))
        except UsageError:
            continue
    if len(values) < _LEAST_SHARE_DEFINED * n_resamples:
        raise UsageError(f"a statistic that {n_resamples - len(values)} of {n_resamples} resamples could not give")
    low, high = np.quantile(values, (0.025, 0.975))
    return BootstrapInterval(
        Interval(value, float(low), float(high)), n_resamples, n_resamples - len(values), n_patients
    )
