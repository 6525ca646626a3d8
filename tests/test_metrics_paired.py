"""Two models on the same cases: published tables, scipy, a plain bootstrap and properties."""

from math import comb, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from sklearn.metrics import recall_score

from core.errors import UsageError
from core.metrics.paired import compare_calls, mcnemar_test
from core.metrics.proportions import Interval

N = 160


def _answers(n_both: int, n_only_a: int, n_only_b: int, n_neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = (n_both, n_only_a, n_only_b, n_neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.fixture
def y_true() -> NDArray[np.bool_]:
    return np.arange(N) % 4 < 2


@pytest.fixture
def scores(y_true: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two models that share a part of their errors; the first is better."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=N)
    return y_true * 2 + shared + rng.normal(size=N), y_true + shared + rng.normal(size=N)


def _ends(interval: Interval | None) -> tuple[float, float, float]:
    assert interval is not None
    return interval.value, interval.low, interval.high


# --- McNemar's test --------------------------------------------------------------------------------------------------


def test_few_discordant_pairs_as_published() -> None:
    """Bentur et al. in Fagerland, Lydersen & Laake 2013, Table 1: airways of 21 children before and after transplantation."""
    found = mcnemar_test(*_answers(1, 1, 7, 12))
    assert (found.n_both, found.n_only_a, found.n_only_b, found.n_neither) == (1, 1, 7, 12)
    assert found.p_value == pytest.approx(0.0703, abs=5e-5)
    assert found.is_exact


def test_many_discordant_pairs_are_those_of_the_chi_square() -> None:
    """Approval of the Prime Minister in two surveys (Agresti, Categorical Data Analysis 1990:350)."""
    found = mcnemar_test(*_answers(794, 150, 86, 570))
    assert found.p_value == pytest.approx(chi2.sf((150 - 86) ** 2 / (150 + 86), df=1))
    assert (found.n_discordant, found.is_exact) == (236, False)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5), st.integers(1, 5))
@settings(deadline=None)
def test_mcnemar_properties(only_a: int, only_b: int, both: int, neither: int) -> None:
    found = mcnemar_test(*_answers(both, only_a, only_b, neither))
    other = mcnemar_test(*_answers(neither, only_b, only_a, both))
    assert found.p_value == pytest.approx(other.p_value)
    assert 0 <= found.p_value <= 1
    assert found.is_exact == (only_a + only_b < 25)
    if found.is_exact:
        n, least = only_a + only_b, min(only_a, only_b)
        tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
        assert found.p_value == pytest.approx(min(1, 2 * tail))
    if only_a == only_b:
        assert found.p_value == 1


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([True], [True, False]), ([[True]], [[True]]), ([1, 0], [1, 1]), ([0.5], [True])]
)
def test_answers_that_are_no_pairs_are_refused(a: ArrayLike, b: ArrayLike) -> None:
    with pytest.raises(UsageError, match="answers of shapes"):
        mcnemar_test(a, b)


# --- intervals of differences ----------------------------------------------------------------------------------------


def test_values_are_those_of_scikit_learn(
    y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    a, b = scores
    found = compare_calls(y_true, a, b, 1.0, 0.4, n_resamples=50)
    for interval, test, label in (
        (found.sensitivity, found.positives, True),
        (found.specificity, found.negatives, False),
    ):
        shares = [recall_score(y_true, s >= t, pos_label=label) for s, t in ((a, 1.0), (b, 0.4))]
        assert _ends(interval)[0] == pytest.approx(shares[0] - shares[1])
        n = test.n_both + test.n_discordant + test.n_neither
        assert (test.n_only_a - test.n_only_b) / n == pytest.approx(shares[0] - shares[1])


def test_a_score_of_exactly_the_threshold_is_positive() -> None:
    found = compare_calls([1, 1, 0, 0], [0.5, 0.9, 0.5, 0.1], [0.5, 0.9, 0.5, 0.1], 0.5, 0.6, n_resamples=1)
    assert (found.positives.n_only_a, found.positives.n_only_b) == (1, 0)
    assert (found.negatives.n_only_a, found.negatives.n_only_b) == (0, 1)


def test_sensitivity_interval_is_near_the_closed_form(
    y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    found = compare_calls(y_true, *scores, 1.0, 1.0)
    n, b, c = N // 2, found.positives.n_only_a, found.positives.n_only_b
    error = 1.96 * sqrt(b + c - (b - c) ** 2 / n) / n  # Wald's interval of a paired difference
    value, low, high = _ends(found.sensitivity)
    assert (low, high) == pytest.approx((value - error, value + error), abs=0.025)


def test_intervals_are_those_of_resampled_cases(
    y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    """The slow way: draw cases with replacement and count again."""
    a, b = scores
    found = compare_calls(y_true, a, b, 1.0, 0.4, n_resamples=20_000)
    rng = np.random.default_rng(9)
    rows = rng.integers(0, N, (4000, N))
    is_called = (a >= 1.0)[rows].astype(int) - (b >= 0.4)[rows]
    for interval, members, sign in ((found.sensitivity, y_true[rows], 1), (found.specificity, ~y_true[rows], -1)):
        differences = sign * (is_called * members).sum(axis=1) / members.sum(axis=1)
        assert _ends(interval)[1:] == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))), abs=0.02)


def test_pairing_counts(y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """Models that share their errors differ with less doubt than models that do not."""
    a, b = scores
    rng = np.random.default_rng(5)
    shuffled = b.copy()
    for label in (True, False):
        shuffled[y_true == label] = rng.permutation(b[y_true == label])
    together, apart = (compare_calls(y_true, a, other, 1.0, 0.4).sensitivity for other in (b, shuffled))
    assert _ends(together)[0] == pytest.approx(_ends(apart)[0])
    assert _ends(together)[2] - _ends(together)[1] < _ends(apart)[2] - _ends(apart)[1]


def test_turning_the_models_round_turns_the_signs(
    y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    one = compare_calls(y_true, *scores, 1.0, 0.4)
    other = compare_calls(y_true, *scores[::-1], 0.4, 1.0)
    for name in ("sensitivity", "specificity"):
        value, low, high = _ends(getattr(one, name))
        assert _ends(getattr(other, name)) == pytest.approx((-value, -high, -low), abs=0.02)
    assert one.positives.p_value == pytest.approx(other.positives.p_value)


def test_a_model_does_not_differ_from_itself(
    y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], ...]
) -> None:
    found = compare_calls(y_true, scores[0], scores[0], 1.0, 1.0, n_resamples=50)
    assert _ends(found.sensitivity) == _ends(found.specificity) == (0, 0, 0)
    assert (found.positives.n_discordant, found.positives.p_value) == (0, 1)


def test_few_cases_of_a_class_have_no_interval() -> None:
    scores = np.linspace(0, 1, 20)
    found = compare_calls(np.arange(20) == 3, scores, scores[::-1], 0.5, 0.5, n_resamples=200)
    assert found.sensitivity is None
    assert found.specificity is not None


def test_bad_calls_are_refused(y_true: NDArray[np.bool_], scores: tuple[NDArray[np.float64], ...]) -> None:
    a, b = scores
    refused: tuple[tuple[tuple[Any, ...], str], ...] = (
        ((y_true, a, b[1:], 0.5, 0.5), "shape"),
        ((y_true, a, b, np.nan, 0.5), "threshold of nan"),
        ((y_true, a, b, 0.5, np.inf), "threshold of inf"),
        ((np.ones(N), a, b, 0.5, 0.5), "both classes"),
        ((y_true, a, b, 0.5, 0.5, 0), "0 resamples"),
    )
    for arguments, words in refused:
        with pytest.raises(UsageError, match=words):
            compare_calls(*arguments)
