"""A 95 % interval for any statistic, resampling patients rather than cases."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.cases import binary_cases, patient_index
from core.metrics.proportions import Interval

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
CopiesStatistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
ManyStatistics = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_LEAST_SHARE_DEFINED = 0.9  # with fewer usable resamples the percentiles describe the lucky ones only
_BLOCK_CELLS = 500_000  # resamples x cases read at once: 4 MB an array, which stays in the processor's cache


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
    return _percentiles(value, np.array(values), n_resamples, n_patients)


def bootstrap_by_copies(
    statistic: CopiesStatistic, patients: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> BootstrapInterval:
    """Percentile interval as `bootstrap_interval`, for a statistic that reads many resamples at once and any kind of label.

    A resample is given as the number of copies of each case, so the cases themselves are never copied.

    Args:
        statistic: Takes float64 (r, n), how often each of r resamples holds each case, and gives (r,), NaN where it is undefined.
            Called with ones it gives the estimate itself.
        patients: (n,), anything that is equal for cases of one patient.
        n_resamples: At least 1.
        seed: Same seed, same interval.

    Raises:
        UsageError: Fewer than two patients, no resample asked for, or the statistic is undefined on all cases or in more than a
            tenth of the resamples.
    """
    (value,), values, n_patients = _resampled(lambda copies: statistic(copies)[:, None], patients, n_resamples, seed)
    if np.isnan(value):
        raise UsageError(f"a statistic that these {len(np.asarray(patients))} cases cannot give")
    return _percentiles(float(value), values[~np.isnan(values)], n_resamples, n_patients)


def intervals_or_none(
    statistics: ManyStatistics, patients: ArrayLike, seed: int = 0, n_resamples: int = 2000
) -> list[Interval | None]:
    """Intervals as those of `bootstrap_by_copies`, of several statistics that are read from the same resamples.

    Args:
        statistics: Takes float64 (r, n) as the statistic there does, and gives (r, k), NaN where one is undefined.
        patients: (n,), of at least two patients.
        seed: Same seed, same intervals.
        n_resamples: At least 1.

    Returns:
        One a statistic; None where it is undefined on all cases or in more than a tenth of the resamples.

    Raises:
        UsageError: Fewer than two patients, or no resample asked for.
    """
    estimates, values, _ = _resampled(statistics, patients, n_resamples, seed)
    found: list[Interval | None] = []
    for value, column in zip(estimates, values.T, strict=True):
        is_known = not np.isnan(value)
        found.append(percentile_interval(float(value), column[~np.isnan(column)], n_resamples) if is_known else None)
    return found


def percentile_interval(value: float, defined: NDArray[np.float64], n_resamples: int) -> Interval | None:
    """A statistic with the 2.5 % and 97.5 % percentiles of its resamples.

    Args:
        value: On all cases.
        defined: (d,), of the resamples that could give it.
        n_resamples: Resamples drawn.

    Returns:
        None where it is undefined in more than a tenth of the resamples.
    """
    if defined.size < _LEAST_SHARE_DEFINED * n_resamples:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def _resampled(
    statistics: ManyStatistics, patients: ArrayLike, n_resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Estimates (k,), what the resamples give (r, k), and the number of patients."""
    n_cases = len(np.asarray(patients))
    patient = patient_index(patients, n_cases)
    n_patients = int(patient.max(initial=-1)) + 1
    if n_patients < 2 or n_resamples < 1:
        raise UsageError(f"{n_resamples} resamples of {n_cases} cases of {n_patients} patients")
    (estimates,) = statistics(np.ones((1, n_cases)))
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // n_cases)
    sizes = [min(block, n_resamples - start) for start in range(0, n_resamples, block)]
    values = np.concatenate([statistics(_draw_copies(n_patients, size, rng)[:, patient]) for size in sizes])
    return estimates, values, n_patients


def _draw_copies(n_patients: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `size` resamples draws each patient: float64 (size, n_patients)."""
    drawn = rng.integers(0, n_patients, (size, n_patients)) + n_patients * np.arange(size)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=size * n_patients).reshape(size, n_patients).astype(np.float64)


def _percentiles(value: float, defined: NDArray[np.float64], n_resamples: int, n_patients: int) -> BootstrapInterval:
    n_undefined = n_resamples - defined.size
    interval = percentile_interval(value, defined, n_resamples)
    if interval is None:
        raise UsageError(f"a statistic that {n_undefined} of {n_resamples} resamples could not give")
    return BootstrapInterval(interval, n_resamples, n_undefined, n_patients)
