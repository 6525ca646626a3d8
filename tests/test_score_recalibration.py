"""Recalibration of a table: halves by patient, a known distortion undone on rows that were not fitted, and what is too few."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from core.evaluation.score_recalibration import try_recalibration
from core.evaluation.scores import FEW
from core.io.score_table import ScoreTable
from core.metrics.calibration import calibration_report
from core.metrics.recalibration import PlattMap, TemperatureMap


def table_of(n: int, stretch: float = 2.0, shift: float = 1.0, patients: NDArray[np.int64] | None = None) -> ScoreTable:
    """Probabilities whose logits are stretched and shifted."""
    rng = np.random.default_rng(4)
    truth = rng.normal(-0.5, 1.2, n)
    return ScoreTable(rng.random(n) < expit(truth), expit(stretch * truth + shift), patients, None, None)


def test_a_known_distortion_is_undone_on_the_other_half() -> None:
    table = table_of(8000)
    found = try_recalibration(table)
    assert found is not None
    assert found.n_fitted + found.before.n_cases == 8000
    assert found.n_fitted_positive + found.before.n_positive == table.is_positive.sum()
    assert found.before.expected_calibration_error > 0.1
    for method in ("platt", "isotonic"):
        assert found.maps[method].after.expected_calibration_error < 0.04
        assert found.maps[method].after.brier_score < found.before.brier_score
        assert found.maps[method].after.n_cases == found.before.n_cases
    line = found.maps["platt"].fitted
    assert isinstance(line, PlattMap)
    assert (line.slope, line.intercept) == pytest.approx((0.5, -0.5), abs=0.12)


def test_a_temperature_is_found() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 2, 8000)
    found = try_recalibration(ScoreTable(rng.random(8000) < expit(truth), expit(truth * 3), None, None, None))
    assert found is not None
    fitted = found.maps["temperature"].fitted
    assert isinstance(fitted, TemperatureMap)
    assert fitted.temperature == pytest.approx(3, abs=0.3)


def test_no_patient_is_in_both_halves() -> None:
    """A third of the patients has seven rows: with every row of a patient in one half, sevens of rows move together."""
    patients = np.repeat(np.arange(900), np.where(np.arange(900) % 3 == 0, 7, 1))
    table = table_of(patients.size, patients=patients)
    found = try_recalibration(table)
    assert found is not None
    order = np.random.default_rng(0).permutation(patients.size)
    shuffled = try_recalibration(table.at(order))
    assert shuffled is not None
    assert shuffled.n_fitted == found.n_fitted  # the halves are of patients, whatever the order of rows
    assert shuffled.before.brier_score == pytest.approx(found.before.brier_score)
    assert found.n_fitted != patients.size // 2


def test_the_trial_is_the_same_every_time_and_the_other_half_is_untouched() -> None:
    table = table_of(1000)
    first, again = try_recalibration(table), try_recalibration(table)
    assert first is not None
    assert again is not None
    assert first.maps == again.maps
    whole = calibration_report(table.is_positive, table.score).brier_score
    assert first.before.brier_score == pytest.approx(whole, abs=0.02)


def test_too_few_rows_of_a_class_have_no_trial() -> None:
    n = 400
    is_positive = np.arange(n) < FEW
    assert try_recalibration(ScoreTable(is_positive, np.linspace(0.9, 0.1, n), None, None, None)) is None


def test_a_map_that_does_not_exist_is_left_out() -> None:
    n = 200
    is_positive = np.arange(n) % 2 == 0
    separated = ScoreTable(is_positive, np.where(is_positive, 0.8, 0.2), None, None, None)
    found = try_recalibration(separated)
    assert found is not None
    assert set(found.maps) == {"platt", "isotonic"}
    backwards = ScoreTable(is_positive, np.where(is_positive, 0.2, 0.8), None, None, None)
    found = try_recalibration(backwards)
    assert found is not None
    assert found.maps == {}
