"""Recalibration: scikit-learn, scipy's own search, closed forms of small tables, known distortions and properties."""

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from core.errors import UsageError
from core.metrics.calibration import calibration_report
from core.metrics.recalibration import (
    IsotonicMap,
    PlattMap,
    Recalibration,
    TemperatureMap,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)

FITS: list[Callable[[ArrayLike, ArrayLike], Recalibration]] = [fit_temperature, fit_platt, fit_isotonic]
MAPS = [TemperatureMap(1.7), PlattMap(0.4, -1.25), IsotonicMap((0.1, 0.4, 0.8), (0.0, 0.3, 0.3))]


class _Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose decision is the number it is given."""

    classes_ = np.array([0, 1])

    def fit(self, *_: Any) -> "_Logits":
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def decision_function(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return X[:, 0]

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.bool_]:
        return X[:, 0] > 0


def _overconfident(n: int, seed: int = 1) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Probabilities whose logits are doubled and shifted by one."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.5, 1.2, n)
    return rng.random(n) < expit(truth), expit(2 * truth + 1)


# --- against others --------------------------------------------------------------------------------------------------


def test_temperature_is_the_one_that_a_search_finds() -> None:
    y_true, probability = _overconfident(800)
    search = minimize_scalar(
        lambda t: log_loss(y_true, expit(logit(probability) / t)), bounds=(0.1, 10), method="bounded"
    )
    assert fit_temperature(y_true, probability).temperature == pytest.approx(search.x, rel=1e-4)


def test_temperature_of_two_scores_in_closed_form() -> None:
    # 70 of 100 called at 0.9 are positive and 30 of 100 at 0.1: the right logit is that of 0.7.
    y_true = np.repeat([1, 0, 1, 0], [70, 30, 30, 70])
    found = fit_temperature(y_true, np.repeat([0.9, 0.9, 0.1, 0.1], [70, 30, 30, 70]))
    assert found.temperature == pytest.approx(log(9) / log(7 / 3))
    assert found.apply([0.9, 0.5, 0.1]) == pytest.approx([0.7, 0.5, 0.3])


def test_platt_is_that_of_scikit_learn() -> None:
    y_true, probability = _overconfident(300)
    inner = np.clip(probability, 1e-6, 1 - 1e-6)
    theirs = CalibratedClassifierCV(FrozenEstimator(_Logits()), method="sigmoid")
    theirs.fit(logit(inner)[:, np.newaxis], y_true.astype(int))
    grid = np.linspace(0.01, 0.99, 25)
    expected = theirs.predict_proba(logit(grid)[:, np.newaxis])[:, 1]
    assert fit_platt(y_true, probability).apply(grid) == pytest.approx(expected, abs=1e-4)


def test_platt_of_two_scores_in_closed_form() -> None:
    # Two scores and two parameters: each score becomes the mean of Platt's targets there.
    high, low = 17 / 18, 1 / 12
    y_true = np.repeat([1, 0, 1, 0], [12, 2, 4, 8])
    found = fit_platt(y_true, np.repeat([0.8, 0.8, 0.3, 0.3], [12, 2, 4, 8]))
    assert found.apply([0.8, 0.3]) == pytest.approx([(12 * high + 2 * low) / 14, (4 * high + 8 * low) / 12], abs=1e-7)


def test_platt_of_separated_classes_is_finite() -> None:
    found = fit_platt([0, 0, 1, 1], [0.0, 0.2, 0.7, 1.0])
    assert 0.1 < found.apply(0.2) < 0.5 < found.apply(0.7) < 0.9


def test_isotonic_is_that_of_scikit_learn() -> None:
    y_true, probability = _overconfident(300)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(probability, y_true)
    grid = np.linspace(0, 1, 101)
    assert fit_isotonic(y_true, probability).apply(grid) == pytest.approx(theirs.predict(grid))


def test_isotonic_by_hand() -> None:
    found = fit_isotonic([0, 1, 0, 1, 1], [0.1, 0.3, 0.4, 0.6, 0.6])
    assert (found.knots, found.values) == ((0.1, 0.3, 0.4, 0.6), (0.0, 0.5, 0.5, 1.0))
    assert found.apply([0.0, 0.2, 0.35, 0.5, 0.9]) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


# --- what a map is for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_a_known_distortion_is_undone_on_other_cases(fit: Callable[[ArrayLike, ArrayLike], Recalibration]) -> None:
    found = fit(*_overconfident(5000, seed=1))
    y_true, probability = _overconfident(5000, seed=2)
    before, after = calibration_report(y_true, probability), calibration_report(y_true, found.apply(probability))
    assert before.expected_calibration_error > 0.1
    assert after.expected_calibration_error < 0.03
    assert after.brier_score < before.brier_score
    assert after.intercept.low < 0.1
    assert after.intercept.high > -0.1


def test_platt_recovers_the_line() -> None:
    found = fit_platt(*_overconfident(20_000))
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.5), abs=0.05)


def test_temperature_recovers_a_temperature() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 2, 20_000)
    assert fit_temperature(rng.random(20_000) < expit(truth), expit(truth * 3)).temperature == pytest.approx(
        3, abs=0.15
    )


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4, max_size=40),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
    st.sampled_from(FITS),
)
@settings(max_examples=150, deadline=None)
def test_every_map_rises_and_stays_a_probability(
    cases: list[tuple[bool, float]], scores: list[float], fit: Callable[[ArrayLike, ArrayLike], Recalibration]
) -> None:
    y_true, probability = (np.array(column) for column in zip(*cases, strict=True))
    assume(y_true.any() and not y_true.all())
    try:
        found = fit(y_true, probability)
    except UsageError:
        # Refused only where the scores say nothing, or fit_temperature has no answer.
        logits = logit(np.clip(probability, 1e-6, 1 - 1e-6))
        says_nothing = logits[y_true].mean() <= logits[~y_true].mean() + 1e-6
        is_isotonic_level = fit is fit_isotonic and np.ptp(IsotonicRegression().fit_transform(probability, y_true)) == 0
        assert says_nothing or is_isotonic_level or fit is fit_temperature
        return
    mapped = found.apply(np.sort(scores))
    assert (np.diff(mapped) >= 0).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


def test_a_map_keeps_the_shape() -> None:
    for found in MAPS:
        assert found.apply(np.full((2, 3), 0.4)).shape == (2, 3)
        assert found.apply(0.4).shape == ()


def test_a_temperature_of_one_changes_nothing_but_certainty() -> None:
    assert TemperatureMap(1.0).apply([0.0, 0.2, 0.9, 1.0]) == pytest.approx([1e-6, 0.2, 0.9, 1 - 1e-6])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", FITS)
def test_bad_cases_are_refused(fit: Callable[[ArrayLike, ArrayLike], Recalibration]) -> None:
    for y_true, probability, words in (
        ([1, 1], [0.1, 0.5], "both classes"),
        ([0, 0], [0.1, 0.5], "both classes"),
        ([0, 1], [0.1, 1.5], "1 of 2 probabilities outside"),
        ([0, 1], [-0.1, 0.5], "outside"),
        ([0, 1], [0.1, np.nan], "not finite"),
        ([0, 1, 1], [0.1, 0.5], "shape"),
        ([0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1], "do not rise"),
        ([0, 1, 0, 1], [0.7, 0.7, 0.7, 0.7], "do not rise"),
    ):
        with pytest.raises(UsageError, match=words):
            fit(y_true, probability)


def test_a_temperature_of_nothing_wrong_is_refused() -> None:
    with pytest.raises(UsageError, match="right side"):
        fit_temperature([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9])


@pytest.mark.parametrize("found", MAPS)
def test_scores_outside_the_unit_range_are_not_mapped(found: Recalibration) -> None:
    for probability in ([1.01], [-0.01], [np.nan], [np.inf]):
        with pytest.raises(UsageError, match="outside 0 to 1"):
            found.apply(probability)
