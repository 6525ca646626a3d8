"""Distances of outlines: every pair compared, scipy's Hausdorff distance, closed forms, and what a missed lesion does."""

from math import hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label
from scipy.spatial.distance import cdist, directed_hausdorff

from core.errors import UsageError
from core.metrics.surface_distance import SurfaceMetrics, surface_metrics, surface_report

Mask = NDArray[np.bool_]
MASKS = hnp.arrays(np.bool_, (9, 12))
SPACINGS = st.tuples(st.sampled_from([0.1, 0.7, 1.0, 2.5]), st.sampled_from([0.1, 0.7, 1.0, 2.5]))
TOLERANCES = st.sampled_from([0.0, 0.3, 1.0, 2.0])


def _rectangle(shape: tuple[int, int], rows: slice, columns: slice) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def _outline_points(mask: Mask) -> NDArray[np.int64]:
    """Pixel by pixel, without the library."""
    height, width = mask.shape
    points = []
    for row, column in np.argwhere(mask):
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        if any(not (0 <= r < height and 0 <= c < width) or not mask[r, c] for r, c in around):
            points.append((row, column))
    return np.array(points, dtype=np.int64).reshape(-1, 2)


def _plain(reference: Mask, predicted: Mask, spacing: tuple[float, float], tolerance: float) -> tuple[float, float]:
    a, b = (_outline_points(mask) * np.array(spacing) for mask in (reference, predicted))
    if len(a) == 0 or len(b) == 0:
        height, width = reference.shape
        return (0, 1) if len(a) == len(b) else (hypot(height * spacing[0], width * spacing[1]), 0)
    distance = cdist(a, b)
    there, back = distance.min(axis=1), distance.min(axis=0)
    n_within = (there <= tolerance + 1e-6).sum() + (back <= tolerance + 1e-6).sum()
    return max(np.percentile(there, 95), np.percentile(back, 95)), n_within / (len(a) + len(b))


def _pair(found: SurfaceMetrics) -> tuple[float, float]:
    return found.hausdorff95, found.normalised_surface_dice


def _lesions(mask: Mask) -> list[Mask]:
    labels, n = label(mask, np.ones((3, 3)))
    return [labels == i + 1 for i in range(n)]


# --- against others --------------------------------------------------------------------------------------------------


@given(MASKS, MASKS, SPACINGS, TOLERANCES)
@settings(max_examples=100, deadline=None)
def test_every_pair_compared(reference: Mask, predicted: Mask, spacing: tuple[float, float], tolerance: float) -> None:
    found = surface_metrics(reference, predicted, spacing, tolerance)
    assert _pair(found) == pytest.approx(_plain(reference, predicted, spacing, tolerance))


def test_of_few_pixels_it_is_nearly_the_hausdorff_distance() -> None:
    reference, predicted = np.zeros((2, 30, 30), dtype=bool)
    reference[4, 3:6], predicted[20, 7:9] = True, True
    points = [np.argwhere(mask) for mask in (reference, predicted)]
    greatest = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
    found = surface_metrics(reference, predicted, (1.0, 1.0), 1.0).hausdorff95
    assert greatest - 0.1 < found <= greatest


@pytest.mark.parametrize(("moved_px", "spacing"), [(1, 0.5), (3, 0.1), (5, 2.0)])
def test_a_moved_line_lies_as_far_as_it_was_moved(moved_px: int, spacing: float) -> None:
    reference = _rectangle((20, 40), slice(8, 9), slice(0, 40))
    moved = np.roll(reference, moved_px, axis=0)
    found = surface_metrics(reference, moved, (spacing, 7.0), moved_px * spacing)
    assert _pair(found) == pytest.approx((moved_px * spacing, 1.0))
    assert surface_metrics(reference, moved, (spacing, 7.0), moved_px * spacing * 0.99).normalised_surface_dice == 0


def test_circles_in_one_another() -> None:
    distance = np.hypot(*np.indices((121, 121)) - 60.0)
    found = surface_metrics(distance <= 50, distance <= 30, (0.2, 0.2), 3.5)
    assert found.hausdorff95 == pytest.approx(20 * 0.2, abs=0.2)
    assert found.normalised_surface_dice == 0
    assert surface_metrics(distance <= 50, distance <= 30, (0.2, 0.2), 4.5).normalised_surface_dice == 1


def test_half_of_two_lesions_found() -> None:
    one = _rectangle((30, 30), slice(2, 6), slice(2, 6))
    both = one | _rectangle((30, 30), slice(22, 26), slice(2, 6))
    found = surface_metrics(both, one, (1.0, 1.0), 1.0)
    assert found.normalised_surface_dice == pytest.approx(2 * 12 / (12 + 24))
    assert found.hausdorff95 == 20  # the rows of the missed lesion lie 17 to 20 from the found one
    assert (found.n_reference_px, found.n_predicted_px) == (24, 12)


# --- empty masks -----------------------------------------------------------------------------------------------------


def test_missed_and_invented_lesions_are_the_worst_case() -> None:
    nothing = np.zeros((30, 40), dtype=bool)
    lesion = _rectangle((30, 40), slice(3, 5), slice(3, 5))
    missed = surface_metrics(lesion, nothing, (0.1, 0.2), 1.0)
    invented = surface_metrics(nothing, lesion, (0.1, 0.2), 1.0)
    assert _pair(missed) == _pair(invented) == (pytest.approx(hypot(3, 8)), 0)
    assert (missed.is_missed, missed.is_invented, missed.is_both_empty) == (True, False, False)
    assert (invented.is_missed, invented.is_invented, invented.is_both_empty) == (False, True, False)
    empty = surface_metrics(nothing, nothing, (0.1, 0.2), 1.0)
    assert _pair(empty) == (0, 1)
    assert (empty.is_missed, empty.is_invented, empty.is_both_empty) == (False, False, True)


def test_no_prediction_is_as_bad_as_an_empty_one() -> None:
    """Corner to corner is the greatest distance there is, and less than the diagonal."""
    corner, other = np.zeros((2, 6, 8), dtype=bool)
    corner[0, 0] = other[-1, -1] = True
    found = surface_metrics(corner, other, (1.0, 1.0), 0.0)
    assert _pair(found) == (pytest.approx(hypot(5, 7)), 0)
    assert found.hausdorff95 < surface_metrics(corner, np.zeros_like(corner), (1.0, 1.0), 0.0).hausdorff95


# --- what taking a lesion out of a prediction does -------------------------------------------------------------------


@given(MASKS, MASKS, SPACINGS, TOLERANCES)
@settings(max_examples=60, deadline=None)
def test_taking_the_last_lesion_out_improves_nothing(
    reference: Mask, predicted: Mask, spacing: tuple[float, float], tolerance: float
) -> None:
    reference[0, 0] = True
    before = surface_metrics(reference, predicted, spacing, tolerance)
    after = surface_metrics(reference, np.zeros_like(predicted), spacing, tolerance)
    assert after.hausdorff95 >= before.hausdorff95
    assert after.normalised_surface_dice <= before.normalised_surface_dice


@given(MASKS, MASKS, SPACINGS, TOLERANCES)
@settings(max_examples=60, deadline=None)
def test_taking_a_lesion_of_the_reference_out_improves_nothing(
    reference: Mask, others: Mask, spacing: tuple[float, float], tolerance: float
) -> None:
    for lesion in _lesions(reference):
        # Whatever else is predicted, false alarms among it, does not touch the lesion.
        beside = others & ~binary_dilation(lesion, np.ones((3, 3)))
        before = surface_metrics(reference, beside | lesion, spacing, tolerance)
        after = surface_metrics(reference, beside, spacing, tolerance)
        assert after.hausdorff95 >= before.hausdorff95 - 1e-12
        assert after.normalised_surface_dice <= before.normalised_surface_dice


@given(MASKS, MASKS, SPACINGS, TOLERANCES)
@settings(max_examples=60, deadline=None)
def test_taking_a_lesion_within_the_tolerance_out_improves_no_surface_dice(
    reference: Mask, predicted: Mask, spacing: tuple[float, float], tolerance: float
) -> None:
    reference[4, 4] = True
    before = surface_metrics(reference, predicted, spacing, tolerance)
    points = _outline_points(reference) * np.array(spacing)
    for lesion in _lesions(predicted):
        if cdist(_outline_points(lesion) * np.array(spacing), points).min(axis=1).max() <= tolerance + 1e-6:
            after = surface_metrics(reference, predicted & ~lesion, spacing, tolerance)
            assert after.normalised_surface_dice <= before.normalised_surface_dice


def test_a_hausdorff_distance_that_improves_without_a_lesion() -> None:
    """Why both metrics are given: a speck found by far too large an outline."""
    large = _rectangle((60, 60), slice(5, 45), slice(5, 45))
    speck = _rectangle((60, 60), slice(55, 56), slice(30, 31))
    blob = _rectangle((60, 60), slice(50, 60), slice(25, 36))
    before = surface_metrics(large | speck, large | blob, (1.0, 1.0), 2.0)
    after = surface_metrics(large | speck, large, (1.0, 1.0), 2.0)
    assert before.hausdorff95 > after.hausdorff95 == 0
    assert after.normalised_surface_dice < 1  # the speck is still seen to be missed


# --- properties ------------------------------------------------------------------------------------------------------


@given(MASKS, MASKS, SPACINGS, TOLERANCES)
@settings(max_examples=60, deadline=None)
def test_properties(reference: Mask, predicted: Mask, spacing: tuple[float, float], tolerance: float) -> None:
    found = surface_metrics(reference, predicted, spacing, tolerance)
    assert 0 <= found.hausdorff95 <= hypot(9 * spacing[0], 12 * spacing[1])
    assert 0 <= found.normalised_surface_dice <= 1
    assert _pair(surface_metrics(predicted, reference, spacing, tolerance)) == pytest.approx(_pair(found))
    turned = surface_metrics(reference.T, predicted.T, spacing[::-1], tolerance)
    assert _pair(turned) == pytest.approx(_pair(found))
    larger = surface_metrics(reference, predicted, (3 * spacing[0], 3 * spacing[1]), 3 * tolerance)
    assert _pair(larger) == pytest.approx((3 * found.hausdorff95, found.normalised_surface_dice))
    wider = surface_metrics(reference, predicted, spacing, tolerance + 1)
    assert wider.normalised_surface_dice >= found.normalised_surface_dice
    assert _pair(surface_metrics(reference, reference, spacing, tolerance)) == (0, 1)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_bad_calls_are_refused() -> None:
    mask = np.eye(4, dtype=bool)
    for reference, predicted, spacing, tolerance, words in (
        (mask, mask[:3], (1.0, 1.0), 1.0, "masks of"),
        (mask[0], mask[0], (1.0, 1.0), 1.0, "masks of"),
        (mask[:0], mask[:0], (1.0, 1.0), 1.0, "masks of"),
        (mask.astype(np.uint8), mask, (1.0, 1.0), 1.0, "masks of uint8"),
        (mask, mask.astype(float), (1.0, 1.0), 1.0, "and float64"),
        (mask, mask, (0.0, 1.0), 1.0, "spacing"),
        (mask, mask, (1.0, -1.0), 1.0, "spacing"),
        (mask, mask, (1.0, np.nan), 1.0, "spacing"),
        (mask, mask, (1.0,), 1.0, "spacing"),
        (mask, mask, (1.0, 1.0), -0.1, "tolerance"),
        (mask, mask, (1.0, 1.0), np.nan, "tolerance"),
        (mask, mask, (1.0, 1.0), np.inf, "tolerance"),
    ):
        with pytest.raises(UsageError, match=words):
            surface_metrics(reference, predicted, spacing, tolerance)  # type: ignore[arg-type]


# --- many images -----------------------------------------------------------------------------------------------------


def test_a_report_is_the_mean_of_every_image() -> None:
    rng = np.random.default_rng(3)
    images = [
        SurfaceMetrics(float(d), float(s), 5, 7) for d, s in zip(rng.gamma(2, 3, 60), rng.random(60), strict=True)
    ]
    images += [SurfaceMetrics(15.0, 0.0, 4, 0), SurfaceMetrics(15.0, 0.0, 0, 9), SurfaceMetrics(0.0, 1.0, 0, 0)]
    found = surface_report(images, np.arange(63))
    distances = np.array([one.hausdorff95 for one in images])
    error = 1.96 * distances.std(ddof=1) / np.sqrt(63)
    assert found.hausdorff95.value == pytest.approx(distances.mean())
    ends = (found.hausdorff95.low, found.hausdorff95.high)
    assert ends == pytest.approx((distances.mean() - error, distances.mean() + error), abs=0.25)
    assert found.normalised_surface_dice.value == pytest.approx(
        np.mean([one.normalised_surface_dice for one in images])
    )
    assert (found.n_images, found.n_missed, found.n_invented, found.n_both_empty) == (63, 1, 1, 1)


def test_images_of_one_patient_add_no_certainty() -> None:
    images = [SurfaceMetrics(float(d), 0.5, 5, 7) for d in range(20)]
    once, thrice = surface_report(images, np.arange(20)), surface_report(images * 3, np.tile(np.arange(20), 3))
    assert (thrice.hausdorff95.low, thrice.hausdorff95.high) == (once.hausdorff95.low, once.hausdorff95.high)


def test_a_report_needs_two_patients() -> None:
    with pytest.raises(UsageError, match="1 patients"):
        surface_report([SurfaceMetrics(0.0, 1.0, 1, 1)] * 3, ["a"] * 3)
