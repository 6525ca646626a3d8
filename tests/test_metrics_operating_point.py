"""Proportions and operating points: published intervals, scipy and the definitions."""

from math import exp, log, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest

from core.errors import UsageError
from core.metrics.operating_point import OperatingPointMetrics, measure_counts, operating_point_metrics
from core.metrics.proportions import Interval, wilson_interval


# METHODS A1 prints 0.740 for 70 of 84 and A2 76.7 for 666 of 900: a last digit off (0.7395 and 76.76; scipy agrees).
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (77, 84, 0.838, 0.959),
        (45, 47, 0.858, 0.988),
        (70, 84, 0.739, 0.898),
        (694, 900, 0.743, 0.797),
        (666, 900, 0.710, 0.768),
    ],
)
def test_intervals_of_the_reference_studies(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, n)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 37), (37, 37), (3, 7), (500, 1000)])
def test_wilson_is_that_of_scipy(successes: int, n: int) -> None:
    interval, expected = wilson_interval(successes, n), binomtest(successes, n).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5), (float("nan"), 5)])
def test_impossible_proportions_are_refused(successes: float, n: int) -> None:
    with pytest.raises(UsageError, match="proportion"):
        wilson_interval(successes, n)


def _study(prevalence: float | None = 0.07, false_positives: int = 12) -> OperatingPointMetrics:
    """The 70-gene signature, 31 of 34 and 32 of 44 right (van de Vijver et al., N Engl J Med 2002;347:1999)."""
    return measure_counts(
        0.5,
        n_true_positive=31,
        n_false_positive=false_positives,
        n_true_negative=44 - false_positives,
        n_false_negative=3,
        prevalence=prevalence,
    )


def _numbers(interval: Interval | None) -> tuple[float, float, float]:
    assert interval is not None
    return interval.value, interval.low, interval.high


def test_predictive_values_at_a_stated_prevalence() -> None:
    point = _study()  # printed by the R package CIfinder 2.0.0, method "zhou", logit transformed
    assert _numbers(point.ppv) == pytest.approx((0.2010444, 0.1331384, 0.2919216), abs=1e-7)
    assert _numbers(point.npv) == pytest.approx((0.9909508, 0.9734141, 0.9969560), abs=1e-7)
    assert (point.prevalence, point.is_prevalence_stated) == (0.07, True)


def test_predictive_value_with_an_empty_cell_takes_the_adjusted_limit() -> None:
    point = _study(false_positives=0)  # same source, with continuity correction: 0.2886800 to 0.8676335 around 0.62
    assert _numbers(point.ppv) == pytest.approx((1.0, 0.2886800, 1.0), abs=1e-7)
    assert _numbers(point.npv) == pytest.approx((0.9934025, 0.9772354, 0.9955563), abs=1e-7)


def test_predictive_values_at_the_prevalence_of_the_cases() -> None:
    point = _study(prevalence=None)
    assert point.ppv == wilson_interval(31, 43)
    assert point.npv == wilson_interval(32, 35)
    assert point.prevalence == pytest.approx(34 / 78)
    assert not point.is_prevalence_stated
    stated = _study(prevalence=34 / 78)
    assert _numbers(stated.ppv)[0] == pytest.approx(31 / 43)
    assert _numbers(stated.npv)[0] == pytest.approx(32 / 35)


def test_likelihood_ratios() -> None:
    point = _study()
    ratio = (31 / 34) / (12 / 44)
    error = 1.959964 * sqrt(1 / 31 - 1 / 34 + 1 / 12 - 1 / 44)
    assert _numbers(point.lr_positive) == pytest.approx(
        (ratio, exp(log(ratio) - error), exp(log(ratio) + error)), rel=1e-6
    )
    assert _numbers(point.lr_negative)[0] == pytest.approx((3 / 34) / (32 / 44))
    assert _study(false_positives=0).lr_positive is None


def test_a_score_on_the_threshold_is_positive() -> None:
    point = operating_point_metrics([0, 0, 1, 1, 1], [0.1, 0.4, 0.4, 0.39, 0.9], 0.4)
    table = (point.n_true_positive, point.n_false_positive, point.n_true_negative, point.n_false_negative)
    assert table == (2, 1, 1, 1)
    assert point.sensitivity == wilson_interval(2, 3)
    assert point.specificity == wilson_interval(1, 2)
    assert point.accuracy == wilson_interval(3, 5)
    assert (point.n_positive, point.n_negative, point.n_cases) == (3, 2, 5)


def test_nobody_called_positive_has_no_ppv() -> None:
    for prevalence in (None, 0.1):
        point = operating_point_metrics([0, 1], [0.1, 0.2], 0.9, prevalence)
        assert point.ppv is None
        assert point.npv is not None


def test_every_interval_holds_its_value_for_every_small_table() -> None:
    for table in np.ndindex(4, 4, 4, 4):
        tp, fp, tn, fn = (int(count) for count in table)
        if tp + fn == 0 or tn + fp == 0:
            continue
        for prevalence in (None, 0.02, 0.9):
            point = measure_counts(
                0.5,
                n_true_positive=tp,
                n_false_positive=fp,
                n_true_negative=tn,
                n_false_negative=fn,
                prevalence=prevalence,
            )
            for interval in (point.sensitivity, point.specificity, point.accuracy, point.ppv, point.npv):
                assert interval is None or 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.parametrize(
    ("threshold", "prevalence", "words"),
    [(np.nan, None, "threshold"), (0.5, 0.0, "prevalence"), (0.5, 1.0, "prevalence")],
)
def test_bad_settings_are_refused(threshold: float, prevalence: float | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        operating_point_metrics([0, 1], [0.1, 0.9], threshold, prevalence)


def test_an_empty_class_is_refused() -> None:
    with pytest.raises(UsageError, match="both classes"):
        measure_counts(0.5, n_true_positive=0, n_false_positive=1, n_true_negative=1, n_false_negative=0)
