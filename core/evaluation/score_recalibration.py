"""Maps of a table's probabilities, fitted on the rows of one half of the patients and measured on those of the other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.evaluation.scores import FEW
from core.io.score_table import ScoreTable
from core.metrics.calibration import CalibrationReport, calibration_report
from core.metrics.recalibration import Recalibration, fit_isotonic, fit_platt, fit_temperature

SEED = 20261129  # of the halves
_FITS: dict[str, Callable[[ArrayLike, ArrayLike], Recalibration]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


@dataclass(frozen=True)
class MappedCalibration:
    """One map.

    Attributes:
        fitted: The map.
        after: Of the mapped probabilities of the other half.
    """

    fitted: Recalibration
    after: CalibrationReport


@dataclass(frozen=True)
class RecalibrationTrial:
    """What maps would do to the probabilities of a model.

    Attributes:
        n_fitted, n_fitted_positive: Rows that the maps were fitted on.
        before: Of the other half as it came.
        maps: By method; one that cannot be fitted on these rows is missing.
    """

    n_fitted: int
    n_fitted_positive: int
    before: CalibrationReport
    maps: dict[str, MappedCalibration]


def try_recalibration(table: ScoreTable) -> RecalibrationTrial | None:
    """Fit every map on a random half of the patients, the same every time, and measure it on the others.

    Args:
        table: Rows of one model; its scores are probabilities.

    Returns:
        None where a half has fewer than `FEW` rows of a class.
    """
    is_fitted = _half_of_patients(table)
    parts = table.at(is_fitted), table.at(~is_fitted)
    for part in parts:
        n_positive = int(part.is_positive.sum())
        if min(n_positive, part.score.size - n_positive) < FEW:
            return None
    fitting, other = parts
    maps = {}
    for method, fit in _FITS.items():
        try:
            fitted = fit(fitting.is_positive, fitting.score)
        except UsageError:  # these rows have no such map, and the trial says so by its absence
            continue
        maps[method] = MappedCalibration(fitted, calibration_report(other.is_positive, fitted.apply(other.score)))
    return RecalibrationTrial(
        n_fitted=fitting.score.size,
        n_fitted_positive=int(fitting.is_positive.sum()),
        before=calibration_report(other.is_positive, other.score),
        maps=maps,
    )


def _half_of_patients(table: ScoreTable) -> NDArray[np.bool_]:
    """Rows of a random half of the patients."""
    n = table.score.size
    patient = np.arange(n) if table.patient is None else np.unique(table.patient, return_inverse=True)[1]
    n_patients = int(patient.max()) + 1
    return np.asarray((np.random.default_rng(SEED).permutation(n_patients) < n_patients // 2)[patient])
