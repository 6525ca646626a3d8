"""AUROC, its interval and the paired test: against scikit-learn, a plain O(n^2) DeLong and the figures of R's pROC."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from core.errors import UsageError
from core.metrics.delong import auroc_interval, compare_aurocs

# Ranks of two blood markers in 113 patients with subarachnoid haemorrhage (Turck et al., Intensive Care Med 2010;36:107; data set
# aSAH of pROC): one word a distinct value, lowest first, "p" a poor and "n" a good outcome.
NDKA = """n p n n p p p n n n n n n n n n p n n n n n n p p n n p n nn n p pn n n n n p n n p n n n n n n p p p n p
n n p n n n n n p n pn n n p n n p p n p p n n pn p p n n n p n n n n p p p p n n p n n n p p p p n n p n
p n p n p"""
S100B = """p nnnnn nnn nn pppnnnnnn pnnnnnn ppnnnnnn ppnnnnnnn pnnnn p ppnnn pnnnn nnnn pnnn nn n nn p p n p p p n p
pn pn n p n p n pp n n nn pn p nn p p p p pp p p p p p p"""


@dataclass(frozen=True)
class _Cases:
    y_true: NDArray[np.bool_]
    y_score: NDArray[np.float64]


def _cases_of(words: str) -> _Cases:
    ranked = [(letter == "p", rank) for rank, word in enumerate(words.split()) for letter in word]
    return _Cases(np.array([positive for positive, _ in ranked]), np.array([float(rank) for _, rank in ranked]))


def _random_cases(seed: int = 0, n: int = 80, digits: int = 1) -> _Cases:
    """Rounded scores, so that ties occur."""
    rng = np.random.default_rng(seed)
    y_true = np.arange(n) < n // 3
    return _Cases(y_true, np.round(rng.normal(size=n) + y_true, digits))


def _plain_placements(y_true: NDArray[np.bool_], y_score: NDArray[np.float64]) -> list[list[float]]:
    """Every pair compared, as DeLong et al. 1988 write it."""
    positives, negatives = y_score[y_true].tolist(), y_score[~y_true].tolist()
    wins = [[1.0 if p > n else 0.5 if p == n else 0.0 for n in negatives] for p in positives]
    return [[sum(row) / len(row) for row in wins], [sum(col) / len(col) for col in zip(*wins, strict=True)]]


def _plain_covariance(a: list[list[float]], b: list[list[float]]) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        pairs = zip(x, y, strict=True)
        total += sum((i - mean_x) * (j - mean_y) for i, j in pairs) / (len(x) - 1) / len(x)
    return total


def test_proc_ndka_to_ten_digits() -> None:
    cases = _cases_of(NDKA)
    interval = auroc_interval(cases.y_true, cases.y_score)
    expected = (0.611957994579946, 0.501244999271703, 0.722670989888189)  # pROC, tests/testthat/test-ci.auc.R
    assert (interval.value, interval.low, interval.high) == pytest.approx(expected, abs=1e-10)


def test_proc_s100b_with_many_ties() -> None:
    cases = _cases_of(S100B)
    interval = auroc_interval(cases.y_true, cases.y_score)
    assert interval.value == pytest.approx(0.73136856368563685, abs=1e-14)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.6301, 0.8326)  # as pROC's manual prints it


def test_proc_markers_are_from_the_same_113_patients() -> None:
    for cases in (_cases_of(NDKA), _cases_of(S100B)):
        assert (cases.y_true.sum(), (~cases.y_true).sum()) == (41, 72)


@pytest.mark.parametrize("seed", range(5))
def test_interval_is_that_of_the_plain_method(seed: int) -> None:
    cases = _random_cases(seed)
    placements = _plain_placements(cases.y_true, cases.y_score)
    error = norm.ppf(0.975) * sqrt(_plain_covariance(placements, placements))
    auroc = roc_auc_score(cases.y_true, cases.y_score)
    interval = auroc_interval(cases.y_true, cases.y_score)
    assert interval.value == pytest.approx(auroc, abs=1e-12)
    assert interval.low == pytest.approx(max(0.0, auroc - error), abs=1e-12)
    assert interval.high == pytest.approx(min(1.0, auroc + error), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_comparison_is_that_of_the_plain_method(seed: int) -> None:
    a, b = _random_cases(seed), _random_cases(seed + 100)
    second = np.round(a.y_score + b.y_score, 1)
    of_a, of_b = _plain_placements(a.y_true, a.y_score), _plain_placements(a.y_true, second)
    variance = _plain_covariance(of_a, of_a) + _plain_covariance(of_b, of_b) - 2 * _plain_covariance(of_a, of_b)
    difference = roc_auc_score(a.y_true, a.y_score) - roc_auc_score(a.y_true, second)
    result = compare_aurocs(a.y_true, a.y_score, second)
    assert result.difference.value == pytest.approx(difference, abs=1e-12)
    assert result.z == pytest.approx(difference / sqrt(variance), abs=1e-9)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(difference) / sqrt(variance)), abs=1e-9)
    assert result.difference.high - difference == pytest.approx(norm.ppf(0.975) * sqrt(variance), abs=1e-12)


def test_comparison_changes_sign_with_its_arguments() -> None:
    a, b = _random_cases(1), _random_cases(2)
    forth, back = compare_aurocs(a.y_true, a.y_score, b.y_score), compare_aurocs(a.y_true, b.y_score, a.y_score)
    assert forth.difference.value == -back.difference.value
    assert forth.p_value == back.p_value


def test_equal_rankings_cannot_be_tested() -> None:
    cases = _random_cases()
    result = compare_aurocs(cases.y_true, cases.y_score, 2 * cases.y_score + 1)
    assert (result.z, result.p_value, result.difference.value) == (None, None, 0.0)


@pytest.mark.parametrize("n", [4, 40, 400])
def test_separated_classes_keep_an_interval_with_a_width(n: int) -> None:
    y_true = np.arange(n) >= n // 2
    best, worst = auroc_interval(y_true, y_true), auroc_interval(y_true, ~y_true)
    assert (best.value, best.high, worst.value, worst.low) == (1.0, 1.0, 0.0, 0.0)
    assert worst.high == pytest.approx(1 - best.low, abs=1e-6)
    # Newcombe's defining equation, theta = the limit: 1 - theta = z sqrt(V(theta)).
    theta, half = best.low, n / 2 - 1
    variance = theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)) / (n / 2) ** 2
    assert 1 - theta == pytest.approx(1.959964 * sqrt(variance), rel=1e-5)


def test_equal_scores_say_nothing() -> None:
    interval = auroc_interval([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])
    assert interval.value == 0.5
    assert interval.low < 0.2
    assert interval.high > 0.8


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=6, max_size=40))
def test_any_ranking_agrees_with_scikit_learn_and_ignores_a_monotone_map(cases: list[tuple[bool, int]]) -> None:
    y_true, y_score = np.array([c[0] for c in cases]), np.array([float(c[1]) for c in cases])
    if min(y_true.sum(), (~y_true).sum()) < 2:
        return
    interval = auroc_interval(y_true, y_score)
    assert interval.value == pytest.approx(roc_auc_score(y_true, y_score), abs=1e-12)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert auroc_interval(y_true, np.exp(y_score)) == interval


@pytest.mark.parametrize(
    ("y_true", "y_score", "words"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "both classes"),
        ([0, 0, 1], [0.1, 0.2, 0.3], "two of each"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, np.nan], "not finite"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, np.inf], "not finite"),
        ([0, 0, 1, 2], [0.1, 0.2, 0.3, 0.4], "neither 0 nor 1"),
        ([0, 0, 1], [0.1, 0.2, 0.3, 0.4], "shape"),
        ([[0, 1], [0, 1]], [[0.1, 0.2], [0.3, 0.4]], "shape"),
        ([], [], "both classes"),
    ],
)
def test_bad_cases_are_refused(y_true: list[int], y_score: list[float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        auroc_interval(y_true, y_score)
