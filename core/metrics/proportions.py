"""An estimate with its 95 % interval, and Wilson's interval of a proportion."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from core.errors import UsageError
from core.metrics.cases import patient_index

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; `low <= value <= high` unless its maker says otherwise."""

    value: float
    low: float
    high: float


def wilson_interval(n_successes: float, n: float) -> Interval:
    """Wilson's score interval of a proportion, without continuity correction.

    Unlike the normal interval it stays inside [0, 1] and keeps a width when all or none succeed. Wilson, J Am Stat Assoc
    1927;22:209; recommended by Brown, Cai & DasGupta, Stat Sci 2001;16:101.

    Args:
        n_successes: 0 to `n`; may be fractional where a proportion was interpolated.
        n: Number of trials, at least 1; may be fractional where trials of one patient count for fewer.

    Raises:
        UsageError: `n` is below 1 or `n_successes` lies outside 0 to `n`.
    """
    if n < 1 or not 0 <= n_successes <= n:
        raise UsageError(f"a proportion of {n_successes} in {n}")
    proportion = n_successes / n
    spread = Z95 * sqrt(proportion * (1 - proportion) / n + Z95**2 / (4 * n**2))
    centre = proportion + Z95**2 / (2 * n)
    scale = 1 + Z95**2 / n
    # The outer bounds only take away rounding: at 0 and n the formula gives 0 and 1 up to the last bit.
    low = max(0.0, min(proportion, (centre - spread) / scale))
    high = min(1.0, max(proportion, (centre + spread) / scale))
    return Interval(proportion, low, high)


def clustered_wilson_interval(is_success: ArrayLike, patients: ArrayLike) -> Interval:
    """Wilson's interval of a proportion where several trials belong to one patient.

    The trials count for as many independent ones as their scatter between patients says: their number divided by the design
    effect, which is held at 1 or more (Rao & Scott, Biometrics 1992;48:577). Where all or none succeed nothing scatters, and
    every patient counts as one trial. With one trial a patient this is `wilson_interval`. A percentile bootstrap of patients
    covers the true share less often, and has no width where all succeed.

    Args:
        is_success: (n,), boolean.
        patients: (n,), anything that is equal for trials of one patient.

    Raises:
        UsageError: No trial, or the lengths differ.
    """
    success, named = np.asarray(is_success, dtype=bool), np.asarray(patients)
    if success.ndim != 1 or success.shape != named.shape or success.size == 0:
        raise UsageError(f"trials of shape {success.shape} of patients of shape {named.shape}")
    patient = patient_index(named, success.size)
    n, n_patients = success.size, int(patient.max()) + 1
    share = float(success.mean())
    n_independent = float(n_patients)
    if 0 < share < 1 and n_patients > 1:
        residuals = np.bincount(patient, success - share)
        variance = n_patients / (n_patients - 1) * float(np.sum(residuals**2)) / n**2
        n_independent = max(1.0, n / max(1.0, variance * (n - 1) / (share * (1 - share))))
    return wilson_interval(share * n_independent, n_independent)
