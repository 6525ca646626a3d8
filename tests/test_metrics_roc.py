"""ROC and precision-recall curves: against scikit-learn and a bootstrap written the slow way."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from core.errors import UsageError
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import wilson_interval
from core.metrics.roc import roc_curve

N = 120


def drawn(n: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Less than a third is positive and scores higher."""
    rng = np.random.default_rng(0)
    labels = rng.random(n) < 0.3
    return labels, rng.normal(labels * 1.5, 1)


@pytest.fixture(params=[1, 6], ids=["tied", "distinct"])
def scores(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    return np.round(rng.normal(size=N) + 1.2 * (np.arange(N) < 50), request.param)


@pytest.fixture
def y_true() -> NDArray[np.int64]:
    return (np.arange(N) < 50).astype(np.int64)


def test_points_are_those_of_scikit_learn(y_true: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    curve = roc_curve(y_true, scores, n_resamples=10)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(y_true, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert curve.auroc.value == pytest.approx(np.trapezoid(curve.tpr, curve.fpr))
    assert (curve.n_positive, curve.n_negative, curve.n_cases) == (50, 70, 120)


def test_band_is_that_of_the_slow_bootstrap(y_true: NDArray[np.int64]) -> None:
    scores = np.random.default_rng(5).normal(size=N) + y_true
    curve = roc_curve(y_true, scores)
    rng = np.random.default_rng(11)
    rows = []
    for _ in range(1000):
        positives = scores[:50][rng.integers(0, 50, 50)]
        negatives = scores[50:][rng.integers(0, 70, 70)]
        fpr, tpr, _ = sklearn_metrics.roc_curve(y_true, np.concatenate([positives, negatives]))
        rows.append(np.interp(curve.band_fpr, fpr, tpr))
    low, high = np.quantile(rows, (0.025, 0.975), axis=0)
    inner = slice(10, 60)  # where the bootstrap is wider than Wilson's interval
    np.testing.assert_allclose(curve.band_low[inner], low[inner], atol=0.04)
    np.testing.assert_allclose(curve.band_high[inner], high[inner], atol=0.04)


def test_band_holds_the_curve_and_never_falls(y_true: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    curve = roc_curve(y_true, scores)
    sensitivity = np.interp(curve.band_fpr, curve.fpr, curve.tpr)
    assert (curve.band_low <= sensitivity).all()
    assert (sensitivity <= curve.band_high).all()
    assert (np.diff(curve.band_low) >= -1e-12).all()
    assert (np.diff(curve.band_high) >= -1e-12).all()


def test_band_repeats_with_its_seed_and_fits_in_blocks(
    y_true: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.random.default_rng(5).normal(size=N) + y_true
    first, again, other = (roc_curve(y_true, scores, n_resamples=300, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.band_low, again.band_low)
    assert (first.band_low != other.band_low).any()
    pairs = np.arange(N) // 2
    whole = roc_curve(y_true, scores, pairs, n_resamples=300, seed=1)
    monkeypatch.setattr("core.metrics.roc._BLOCK_CELLS", 7 * N)
    np.testing.assert_array_equal(roc_curve(y_true, scores, pairs, n_resamples=300, seed=1).band_low, whole.band_low)


@pytest.mark.parametrize("n", [3000, 200_000])
def test_a_large_curve_is_thinned_without_a_visible_change(n: int) -> None:
    labels, scores = drawn(n)
    ours = roc_curve(labels, scores, most_points=2000, n_resamples=10)
    thin, full = precision_recall_curve(labels, scores, 2000), precision_recall_curve(labels, scores)
    assert ours.fpr.size <= 2000
    assert thin.recall.size <= 2000
    assert (ours.fpr[0], ours.tpr[0], ours.fpr[-1], ours.tpr[-1]) == (0, 0, 1, 1)
    whole_tpr = np.append(0, np.cumsum(labels[np.argsort(-scores)]) / labels.sum())
    whole_fpr = np.append(0, np.cumsum(~labels[np.argsort(-scores)]) / (~labels).sum())
    # Along the way of the curve, because steps are vertical.
    on_the_way = np.interp(whole_fpr + whole_tpr, ours.fpr + ours.tpr, ours.tpr)
    assert np.abs(on_the_way - whole_tpr).max() < 0.003
    whole, kept = (np.stack([own.recall, own.precision], axis=1) for own in (full, thin))
    for point in whole[:: max(1, n // 3000)]:
        assert np.abs(kept - point).max(axis=1).min() < 0.005
    assert thin.average_precision == full.average_precision


def test_the_band_of_a_thinned_curve_is_that_of_cases() -> None:
    labels, scores = drawn(1000)
    curve = roc_curve(labels, scores, most_points=50)
    rng, rows = np.random.default_rng(1), []
    positives, negatives = scores[labels], scores[~labels]
    for _ in range(1000):
        own = np.concatenate([rng.choice(positives, positives.size), rng.choice(negatives, negatives.size)])
        fpr, tpr, _ = sklearn_metrics.roc_curve(np.sort(labels)[::-1], own)
        rows.append(np.interp(curve.band_fpr, fpr, tpr))
    low, high = np.quantile(rows, (0.025, 0.975), axis=0)
    inner = slice(5, 60)
    np.testing.assert_allclose(curve.band_low[inner], low[inner], atol=0.02)
    np.testing.assert_allclose(curve.band_high[inner], high[inner], atol=0.02)


def test_the_band_counts_patients() -> None:
    """Every case four times tells nothing new: with patients the band stays as wide, without it would halve."""
    labels, scores = drawn(600)
    rows = np.repeat(np.arange(600), 4)
    once, four = roc_curve(labels, scores), roc_curve(labels[rows], scores[rows], rows)
    blind = roc_curve(labels[rows], scores[rows])
    width = [np.mean(own.band_high - own.band_low) for own in (once, four, blind)]
    assert width[1] == pytest.approx(width[0], rel=0.08)
    assert width[2] == pytest.approx(width[0] / 2, rel=0.1)
    assert four.auroc.low == pytest.approx(once.auroc.low, abs=0.001)


def test_resamples_without_a_class_do_no_harm() -> None:
    curve = roc_curve(np.arange(40) < 4, np.linspace(1, 0, 40), np.arange(40) // 2)
    assert np.isfinite(curve.band_low).all()
    assert (curve.band_low <= curve.band_high).all()


def test_separated_classes_have_the_band_of_their_size() -> None:
    labels = np.arange(40) >= 20
    curve = roc_curve(labels, labels)
    np.testing.assert_allclose(curve.band_low[:-1], wilson_interval(20, 20).low)
    np.testing.assert_array_equal(curve.band_high, 1.0)
    assert curve.band_low[-1] == 1.0


def test_precision_recall_is_that_of_scikit_learn(y_true: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
    curve = precision_recall_curve(y_true, scores)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(y_true, scores)
    np.testing.assert_allclose(curve.precision, precision[::-1])
    np.testing.assert_allclose(curve.recall, recall[::-1])
    np.testing.assert_array_equal(curve.thresholds[1:], thresholds[::-1])
    average = sklearn_metrics.average_precision_score(y_true, scores)
    assert curve.average_precision.value == pytest.approx(average)
    assert curve.average_precision.low < average < curve.average_precision.high
    assert curve.prevalence == pytest.approx(50 / 120)


def test_average_precision_interval_is_the_logit_interval() -> None:
    y_true = np.arange(200) < 100
    curve = precision_recall_curve(y_true, np.random.default_rng(0).normal(size=200) + y_true)
    value = curve.average_precision.value
    for limit, sign in ((curve.average_precision.low, -1), (curve.average_precision.high, 1)):
        distance = np.log(limit / (1 - limit)) - np.log(value / (1 - value))
        assert distance == pytest.approx(sign * 1.959964 / np.sqrt(100 * value * (1 - value)), rel=1e-5)


def test_perfect_average_precision_keeps_a_width() -> None:
    average = precision_recall_curve([0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.8, 0.9]).average_precision
    assert (average.value, average.high) == (1.0, 1.0)
    assert average.low == pytest.approx(wilson_interval(3, 3).low)


@pytest.mark.parametrize("function", [roc_curve, precision_recall_curve])
def test_one_class_or_nan_is_refused(function: object) -> None:
    assert callable(function)
    with pytest.raises(UsageError, match="both classes"):
        function([0, 0, 0], [0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match="not finite"):
        function([0, 1, 1], [0.1, np.nan, 0.3])
