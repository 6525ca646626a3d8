"""Chosen thresholds against a search over every possible one."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.metrics.operating_point import operating_point_metrics
from core.metrics.thresholds import threshold_by_youden, threshold_for_sensitivity, threshold_for_specificity

CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=4, max_size=40)


def _all_points(y_true: np.ndarray, y_score: np.ndarray) -> list[tuple[float, float]]:
    """Sensitivity and specificity of every threshold that calls somebody positive."""
    points = [operating_point_metrics(y_true, y_score, threshold) for threshold in np.unique(y_score)]
    return [(point.sensitivity.value, point.specificity.value) for point in points]


@settings(deadline=None, max_examples=60)
@given(CASES, st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_no_threshold_does_better(cases: list[tuple[bool, int]], target: float) -> None:
    y_true, y_score = np.array([c[0] for c in cases]), np.array([c[1] / 10 for c in cases])
    assume(0 < y_true.sum() < y_true.size)
    points = _all_points(y_true, y_score)

    youden = threshold_by_youden(y_true, y_score)
    best = max(sensitivity + specificity for sensitivity, specificity in points)
    assert youden.sensitivity.value + youden.specificity.value == pytest.approx(best)

    sensitive = threshold_for_sensitivity(y_true, y_score, target)
    assert sensitive.sensitivity.value >= target - 1e-12
    assert sensitive.specificity.value == max(sp for se, sp in points if se >= target - 1e-12)

    reached = [se for se, sp in points if sp >= target - 1e-12]
    if reached:
        specific = threshold_for_specificity(y_true, y_score, target)
        assert specific.specificity.value >= target - 1e-12
        assert specific.sensitivity.value == max(reached)
    else:
        with pytest.raises(UsageError, match="nobody is called positive"):
            threshold_for_specificity(y_true, y_score, target)


@settings(deadline=None, max_examples=60)
@given(CASES)
def test_stated_sensitivity_and_specificity_are_those_at_the_threshold(cases: list[tuple[bool, int]]) -> None:
    y_true, y_score = np.array([c[0] for c in cases]), np.array([c[1] / 10 for c in cases])
    assume(0 < y_true.sum() < y_true.size)
    for chosen in (threshold_by_youden(y_true, y_score), threshold_for_sensitivity(y_true, y_score, 0.9)):
        point = operating_point_metrics(y_true, y_score, chosen.threshold)
        assert (chosen.sensitivity, chosen.specificity) == (point.sensitivity, point.specificity)


def test_threshold_lies_half_way_down_to_the_next_score() -> None:
    chosen = threshold_by_youden([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9])
    assert (chosen.threshold, chosen.chosen_for, chosen.target) == (pytest.approx(0.4), "youden", None)


def test_of_equal_youden_indices_the_most_sensitive_is_taken() -> None:
    # 0.8 gives 1/2 + 1, 0.2 gives 1 + 1/2.
    assert threshold_by_youden([1, 0, 1, 0], [0.8, 0.5, 0.2, 0.1]).sensitivity.value == 1.0


def test_neighbouring_floats_and_the_lowest_score_stay_on_their_side() -> None:
    above = np.nextafter(0.5, 1)
    assert threshold_by_youden([0, 1], [0.5, above]).threshold == above
    assert threshold_for_sensitivity([1, 0], [0.2, 0.7], 1.0).threshold == 0.2


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, np.nan])
def test_a_sensitivity_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(UsageError, match="sensitivity of"):
        threshold_for_sensitivity([0, 1], [0.1, 0.9], target)


@pytest.mark.parametrize("target", [-0.1, 1.1, np.nan])
def test_a_specificity_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(UsageError, match="specificity of"):
        threshold_for_specificity([0, 1], [0.1, 0.9], target)
