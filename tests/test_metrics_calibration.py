"""Calibration: scikit-learn, closed forms of small tables, and a simulation with known recalibration."""

from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from core.errors import UsageError
from core.metrics.calibration import calibration_report
from core.metrics.histogram import score_histogram
from core.metrics.proportions import wilson_interval

Z = 1.959963984540054


@pytest.fixture
def probability() -> NDArray[np.float64]:
    return np.random.default_rng(1).beta(0.8, 1.2, 3000)


@pytest.fixture
def y_true(probability: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.random.default_rng(2).random(3000) < probability


@pytest.mark.parametrize(("strategy", "theirs"), [("equal_width", "uniform"), ("equal_count", "quantile")])
def test_bins_are_those_of_scikit_learn(
    y_true: NDArray[np.bool_], probability: NDArray[np.float64], strategy: str, theirs: str
) -> None:
    report = calibration_report(y_true, probability, 10, strategy)
    observed, mean = calibration_curve(y_true, probability, n_bins=10, strategy=theirs)
    assert [b.observed.value for b in report.bins] == pytest.approx(observed.tolist())
    assert [b.mean_probability for b in report.bins] == pytest.approx(mean.tolist())
    assert sum(b.n_cases for b in report.bins) == report.n_cases == 3000
    assert all(b.observed == wilson_interval(b.n_positive, b.n_cases) for b in report.bins)
    error = sum(b.n_cases * abs(b.observed.value - b.mean_probability) for b in report.bins) / 3000
    assert report.expected_calibration_error == pytest.approx(error)


def test_equal_count_bins_hold_equally_many(y_true: NDArray[np.bool_], probability: NDArray[np.float64]) -> None:
    assert {b.n_cases for b in calibration_report(y_true, probability, 10).bins} == {300}


def test_equal_probabilities_share_a_bin() -> None:
    report = calibration_report([0, 1, 0, 1, 1, 0], [0.2, 0.2, 0.2, 0.2, 0.2, 0.9], 5)
    assert [(b.low, b.high, b.n_cases) for b in report.bins] == [(0.2, 0.2, 5), (0.9, 0.9, 1)]


def test_brier_score_is_that_of_scikit_learn(y_true: NDArray[np.bool_], probability: NDArray[np.float64]) -> None:
    report = calibration_report(y_true, probability)
    assert report.brier_score == pytest.approx(brier_score_loss(y_true, probability))
    assert report.brier_of_prevalence == pytest.approx(brier_score_loss(y_true, np.full(3000, y_true.mean())))


def test_slope_is_that_of_scikit_learn(y_true: NDArray[np.bool_], probability: NDArray[np.float64]) -> None:
    inner = np.clip(probability, 1e-4, 1 - 1e-4)
    slope = calibration_report(y_true, inner).slope
    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(inner)[:, np.newaxis], y_true)
    assert slope is not None
    assert slope.value == pytest.approx(fit.coef_[0, 0], abs=1e-4)


def test_slope_of_a_two_by_two_table_is_the_log_odds_ratio() -> None:
    a, b, c, d = 12, 28, 45, 15  # positive and negative at probability 0.2, then at 0.7
    y_true = np.repeat([1, 0, 1, 0], [a, b, c, d])
    report = calibration_report(y_true, np.repeat([0.2, 0.2, 0.7, 0.7], [a, b, c, d]))
    distance = log(0.7 / 0.3) - log(0.2 / 0.8)
    error = Z * sqrt(1 / a + 1 / b + 1 / c + 1 / d) / distance  # Woolf's interval
    assert report.slope is not None
    assert report.slope.value == pytest.approx(log(c * b / (d * a)) / distance, abs=1e-6)
    assert report.slope.high - report.slope.value == pytest.approx(error, abs=1e-6)


def test_intercept_of_equal_probabilities_is_the_difference_of_logits() -> None:
    report = calibration_report(np.arange(100) < 30, np.full(100, 0.6))
    assert report.slope is None
    assert report.intercept.value == pytest.approx(log(0.3 / 0.7) - log(0.6 / 0.4), abs=1e-7)
    assert report.intercept.high - report.intercept.value == pytest.approx(Z / sqrt(100 * 0.3 * 0.7), abs=1e-7)


def test_known_miscalibration_is_found() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=20_000)
    y_true = rng.random(20_000) < expit(truth)
    too_extreme = calibration_report(y_true, expit(2 * truth)).slope
    assert too_extreme is not None
    assert too_extreme.low < 0.5 < too_extreme.high
    too_high = calibration_report(y_true, expit(truth + 0.7)).intercept
    assert too_high.low < -0.7 < too_high.high


@pytest.mark.parametrize(
    "probability", [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.1, 0.5, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]]
)
def test_separated_classes_have_no_slope(probability: list[float]) -> None:
    assert calibration_report([0, 0, 1, 1], probability).slope is None


def test_certain_and_wrong_probabilities_still_give_finite_numbers() -> None:
    report = calibration_report([0, 1, 0, 1, 0, 1], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    assert report.slope is not None
    assert np.isfinite([report.slope.low, report.slope.high, report.intercept.low, report.intercept.high]).all()


@pytest.mark.parametrize(
    ("probability", "n_bins", "words"),
    [([0.1, 1.2], 5, "probabilities from"), ([-0.1, 0.5], 5, "from"), ([0.1, 0.5], 0, "0 bins")],
)
def test_bad_calls_are_refused(probability: list[float], n_bins: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        calibration_report([0, 1], probability, n_bins)


def test_histogram_counts_every_case_once(y_true: NDArray[np.bool_], probability: NDArray[np.float64]) -> None:
    histogram = score_histogram(y_true, probability, 20)
    assert (histogram.edges[0], histogram.edges[-1], histogram.edges.size) == (0.0, 1.0, 21)
    assert histogram.positives.sum() == histogram.n_positive == y_true.sum()
    assert histogram.negatives.sum() == histogram.n_negative == (~y_true).sum()


def test_histogram_reaches_scores_beyond_the_unit_range() -> None:
    histogram = score_histogram([0, 1], [-3.0, 8.0], 4)
    assert (histogram.edges[0], histogram.edges[-1]) == (-3.0, 8.0)
    assert (histogram.negatives.tolist(), histogram.positives.tolist()) == ([1, 0, 0, 0], [0, 0, 0, 1])
    with pytest.raises(UsageError, match="0 bins"):
        score_histogram([0, 1], [0.1, 0.9], 0)
