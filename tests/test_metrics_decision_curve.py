"""Net benefit: scikit-learn's confusion matrix, a published table, closed forms and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix

from core.errors import UsageError
from core.metrics.bootstrap import bootstrap_interval
from core.metrics.decision_curve import THRESHOLDS, decision_curve, net_benefit_at
from core.metrics.operating_point import operating_point_metrics

N = 300


@pytest.fixture
def probability() -> NDArray[np.float64]:
    return np.round(np.random.default_rng(1).beta(0.8, 1.6, N), 2)  # rounded, so that some equal a threshold


@pytest.fixture
def y_true(probability: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.random.default_rng(2).random(N) < probability


def test_net_benefit_is_that_of_the_confusion_matrix(
    y_true: NDArray[np.bool_], probability: NDArray[np.float64]
) -> None:
    curve = decision_curve(y_true, probability)
    for threshold, found in zip(curve.thresholds, curve.net_benefit, strict=True):
        _, fp, _, tp = confusion_matrix(y_true, probability >= threshold).ravel()
        assert found == pytest.approx(tp / N - fp / N * threshold / (1 - threshold))
    assert (curve.n_positive + curve.n_negative, curve.prevalence) == (N, y_true.mean())
    assert not curve.is_prevalence_stated
    assert curve.low is None


def test_treating_all_as_published() -> None:
    """Of 30 % with the disease: Table 4 in PMC6993280 (net benefit of intervention to all patients)."""
    published = {0.03: 0.278, 0.05: 0.263, 0.08: 0.239, 0.1: 0.222, 0.2: 0.125, 0.3: 0, 0.4: -0.167, 0.5: -0.4, 0.9: -6}
    curve = decision_curve([1] * 3 + [0] * 7, np.full(10, 0.3), list(published))
    assert curve.treat_all == pytest.approx(list(published.values()), abs=6e-4)
    assert not curve.treat_none.any()


def test_by_hand() -> None:
    curve = decision_curve([1, 1, 0, 0, 0], [0.9, 0.2, 0.5, 0.2, 0.1], [0.0, 0.2, 0.5, 0.75])
    assert curve.net_benefit == pytest.approx([0.4, 2 / 5 - 2 / 5 / 4, 1 / 5 - 1 / 5, 1 / 5])
    assert curve.treat_all == pytest.approx([0.4, 0.4 - 0.6 / 4, -0.2, 0.4 - 0.6 * 3])
    assert curve.is_useful.tolist() == [False, True, False, True]


def test_a_perfect_model_is_worth_the_prevalence() -> None:
    curve = decision_curve([1, 0, 0, 0], [1.0, 0.0, 0.0, 0.0])
    assert curve.net_benefit == pytest.approx(0.25)
    assert curve.is_useful.all()


@pytest.mark.parametrize("prevalence", [0.02, 0.3, 0.8])
def test_a_stated_prevalence_weighs_sensitivity_and_specificity(
    y_true: NDArray[np.bool_], probability: NDArray[np.float64], prevalence: float
) -> None:
    curve = decision_curve(y_true, probability, [0.1, 0.25, 0.6], prevalence)
    for threshold, found in zip(curve.thresholds, curve.net_benefit, strict=True):
        point = operating_point_metrics(y_true, probability, float(threshold))
        alarmed = (1 - point.specificity.value) * (1 - prevalence)
        assert found == pytest.approx(point.sensitivity.value * prevalence - alarmed * threshold / (1 - threshold))
    assert curve.treat_all == pytest.approx(prevalence - (1 - prevalence) * np.array([1 / 9, 1 / 3, 1.5]))
    assert curve.is_prevalence_stated


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=30), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_properties(cases: list[tuple[bool, float]], prevalence: float) -> None:
    y_true = np.array([True, False, *(positive for positive, _ in cases)])
    probability = np.array([0.5, 0.5, *(p for _, p in cases)])
    curve = decision_curve(y_true, probability)
    share = y_true.mean()
    odds = THRESHOLDS / (1 - THRESHOLDS)
    assert (curve.net_benefit <= share + 1e-12).all()
    assert (curve.net_benefit >= -(1 - share) * odds - 1e-12).all()
    everybody = decision_curve(y_true, np.ones(y_true.size))
    assert everybody.net_benefit == pytest.approx(everybody.treat_all)
    assert decision_curve(y_true, np.zeros(y_true.size)).net_benefit == pytest.approx(everybody.treat_none)
    at_own = decision_curve(y_true, probability, prevalence=float(share))
    assert at_own.net_benefit == pytest.approx(curve.net_benefit)
    # Repeating every negative changes a prevalence, and nothing once one is stated.
    more = np.concatenate([np.arange(y_true.size), np.flatnonzero(~y_true)])
    one, other = (decision_curve(y_true[i], probability[i], prevalence=prevalence) for i in (slice(None), more))
    assert one.net_benefit == pytest.approx(other.net_benefit)


def test_interval_is_that_of_the_bootstrap_of_patients(
    y_true: NDArray[np.bool_], probability: NDArray[np.float64]
) -> None:
    patients = np.arange(N) // 2

    def plain(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        return float(np.mean(labels & (scores >= 0.2)) - np.mean(~labels & (scores >= 0.2)) / 4)

    curve = decision_curve(y_true, probability, [0.1, 0.2], patients=patients, n_resamples=300)
    theirs = bootstrap_interval(plain, y_true, probability, patients, n_resamples=2000).interval
    assert curve.low is not None
    assert curve.high is not None
    assert curve.net_benefit[1] == pytest.approx(theirs.value)
    assert (curve.low[1], curve.high[1]) == pytest.approx((theirs.low, theirs.high), abs=0.015)
    stated = decision_curve(y_true, probability, [0.2], float(y_true.mean()), patients, n_resamples=300)
    assert stated.low is not None
    assert stated.high is not None
    # The share of positives no longer varies.
    assert stated.high[0] - stated.low[0] < curve.high[1] - curve.low[1]


def test_a_class_of_one_patient_has_no_interval_at_a_stated_prevalence() -> None:
    with pytest.raises(UsageError, match="too few to resample"):
        decision_curve(np.arange(10) < 1, np.linspace(1, 0, 10), prevalence=0.1, patients=np.arange(10))


@pytest.mark.parametrize(
    ("probability", "thresholds", "prevalence", "words"),
    [
        ([0.1, 1.2], [0.5], None, "probabilities from 0.1 to 1.2"),
        ([-0.1, 0.5], [0.5], None, "probabilities from -0.1"),
        ([0.1, 0.5], [0.5, 1.0], None, "below 1"),
        ([0.1, 0.5], [-0.1, 0.5], None, "from -0.1"),
        ([0.1, 0.5], [0.5, 0.4], None, "do not rise"),
        ([0.1, 0.5], [np.nan], None, "do not rise"),
        ([0.1, 0.5], [], None, "do not rise"),
        ([0.1, 0.5], [0.5], 0.0, "prevalence of 0"),
        ([0.1, 0.5], [0.5], 1.0, "prevalence of 1"),
        ([0.1, np.nan], [0.5], None, "not finite"),
    ],
)
def test_bad_calls_are_refused(
    probability: ArrayLike, thresholds: ArrayLike, prevalence: float | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        decision_curve([0, 1], probability, thresholds, prevalence)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="both classes"):
        decision_curve([1, 1], [0.1, 0.5])


@pytest.mark.parametrize("prevalence", [None, 0.03])
def test_the_net_benefit_of_a_point_is_that_of_the_curve(
    y_true: NDArray[np.bool_], probability: NDArray[np.float64], prevalence: float | None
) -> None:
    curve = decision_curve(y_true, probability, prevalence=prevalence)
    for threshold, expected in zip(curve.thresholds, curve.net_benefit, strict=True):
        point = operating_point_metrics(y_true, probability, threshold, prevalence)
        assert net_benefit_at(point) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 3.0])
def test_a_threshold_that_is_no_probability_has_no_net_benefit(threshold: float) -> None:
    assert net_benefit_at(operating_point_metrics([0, 1], [0.2, 0.8], threshold)) is None
