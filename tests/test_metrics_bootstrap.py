"""The bootstrap over patients: what it draws, what it repeats, what it equals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import UsageError
from core.metrics.bootstrap import bootstrap_interval
from core.metrics.delong import auroc_interval

N = 60


@pytest.fixture
def y_true() -> NDArray[np.bool_]:
    return np.arange(N) % 3 == 0


@pytest.fixture
def y_score(y_true: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=N) + y_true


def _auroc(y_true: NDArray[np.bool_], y_score: NDArray[np.float64]) -> float:
    return auroc_interval(y_true, y_score).value


def test_every_case_is_drawn_the_last_included(y_true: NDArray[np.bool_]) -> None:
    seen: set[float] = set()

    def look(_: NDArray[np.bool_], y_score: NDArray[np.float64]) -> float:
        assert y_score.size == N
        seen.update(y_score.tolist())
        return 0.0

    bootstrap_interval(look, y_true, np.arange(N), np.arange(N), n_resamples=50)
    assert seen == set(range(N))


def test_a_patient_comes_with_all_cases(y_true: NDArray[np.bool_]) -> None:
    patients = np.array([f"p{i // 4}" for i in range(N)])

    def look(_: NDArray[np.bool_], y_score: NDArray[np.float64]) -> float:
        _, copies = np.unique(y_score // 4, return_counts=True)
        assert (copies % 4 == 0).all()
        return 0.0

    assert bootstrap_interval(look, y_true, np.arange(N), patients, n_resamples=20).n_patients == 15


def test_interval_is_near_that_of_delong(y_true: NDArray[np.bool_], y_score: NDArray[np.float64]) -> None:
    found = bootstrap_interval(_auroc, y_true, y_score, np.arange(N), n_resamples=1000).interval
    expected = auroc_interval(y_true, y_score)
    assert found.value == expected.value
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_repeated_images_of_a_patient_add_no_certainty(y_true: NDArray[np.bool_], y_score: NDArray[np.float64]) -> None:
    once = bootstrap_interval(_auroc, y_true, y_score, np.arange(N), n_resamples=200)
    repeated = [np.repeat(x, 5) for x in (y_true, y_score, np.arange(N))]
    five_times = bootstrap_interval(_auroc, *repeated, n_resamples=200)
    assert five_times.interval.low == pytest.approx(once.interval.low)
    assert five_times.interval.high == pytest.approx(once.interval.high)
    naive = bootstrap_interval(_auroc, *repeated[:2], np.arange(5 * N), n_resamples=200).interval
    assert naive.high - naive.low < 0.6 * (once.interval.high - once.interval.low)


def test_same_seed_same_interval(y_true: NDArray[np.bool_], y_score: NDArray[np.float64]) -> None:
    first, again, other = (
        bootstrap_interval(_auroc, y_true, y_score, np.arange(N), n_resamples=100, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_undefined_resamples_are_counted() -> None:
    y_true, y_score = np.arange(12) < 4, np.arange(12.0)
    found = bootstrap_interval(_auroc, y_true, y_score, np.arange(12), n_resamples=500)
    assert 0 < found.n_undefined < 50
    with pytest.raises(UsageError, match="could not give"):
        bootstrap_interval(_auroc, np.arange(12) < 2, y_score, np.arange(12), n_resamples=500)


@pytest.mark.parametrize(
    ("patients", "n_resamples"),
    [(np.zeros(N), 10), (np.arange(N - 1), 10), (np.arange(N), 0)],
    ids=["one", "short", "none"],
)
def test_bad_calls_are_refused(
    y_true: NDArray[np.bool_], y_score: NDArray[np.float64], patients: NDArray[np.float64], n_resamples: int
) -> None:
    with pytest.raises(UsageError, match="resamples of"):
        bootstrap_interval(_auroc, y_true, y_score, patients, n_resamples=n_resamples)
