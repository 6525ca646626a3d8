"""Metrics of segmenters: scikit-learn on the pixels themselves, and hand-made lesions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.special import expit
from sklearn import metrics as sklearn_metrics

from core.errors import UsageError
from core.metrics.lesions import LESION_THRESHOLDS, LesionCounts, count_lesions, froc_curve, lesion_report
from core.metrics.pixel_histogram import N_BINS, pixel_curve, pixel_histogram
from core.metrics.proportions import Interval, clustered_wilson_interval, wilson_interval
from core.metrics.segmentation import SegmentationReport, segmentation_report

N, SIDE = 6, 24
FIELD = np.hypot(*(np.indices((SIDE, SIDE)) - 11.5)) < 11
EVERYWHERE = np.ones((9, 9), dtype=bool)


@pytest.fixture(scope="module")
def masks() -> NDArray[np.bool_]:
    """The last image has no positive pixel."""
    return (np.random.default_rng(0).random((N, SIDE, SIDE)) < 0.1) & (np.arange(N) < N - 1)[:, np.newaxis, np.newaxis]


@pytest.fixture(scope="module")
def scores(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    shift = rng.normal(size=(N, 1, 1))
    return expit(rng.normal(size=masks.shape) + 2 * masks + shift - 1)


@pytest.fixture(scope="module")
def centred(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores moved to the centres of their bins."""
    return (np.floor(scores * N_BINS) + 0.5) / N_BINS


@pytest.fixture(scope="module")
def histograms(masks: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.stack([pixel_histogram(score, mask, FIELD) for score, mask in zip(scores, masks, strict=True)])


@pytest.fixture(scope="module")
def report(histograms: NDArray[np.int64]) -> SegmentationReport:
    return segmentation_report(histograms, np.arange(N), 0.5)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.int64]:
    """Lets the bootstrap draw one and the same resample, whose statistic stands at both ends of the interval."""
    drawn = np.array([2, 0, 1, 3, 0, 1])

    def always_this(n_patients: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.tile(drawn[:n_patients].astype(np.float64), (size, 1))

    monkeypatch.setattr("core.metrics.bootstrap._draw_copies", always_this)
    return drawn


def _ends(interval: Interval | None) -> tuple[float, float, float]:
    assert interval is not None
    return interval.value, interval.low, interval.high


# --- curves ----------------------------------------------------------------------------------------------------------


def test_pooled_curves_are_those_of_scikit_learn(
    masks: NDArray[np.bool_], centred: NDArray[np.float64], report: SegmentationReport
) -> None:
    truth, score = masks[:, FIELD].ravel(), centred[:, FIELD].ravel()
    curve = report.curve
    assert curve is not None
    fpr, tpr, _ = sklearn_metrics.roc_curve(truth, score, drop_intermediate=False)
    corners = np.flatnonzero(np.diff(np.append(-1.0, curve.fpr + curve.recall)) > 0)
    np.testing.assert_allclose(curve.fpr[corners], fpr, atol=1e-12)
    np.testing.assert_allclose(curve.recall[corners], tpr, atol=1e-12)
    precision, _, _ = sklearn_metrics.precision_recall_curve(truth, score)
    np.testing.assert_allclose(curve.precision[corners], precision[::-1], atol=1e-12)
    assert curve.auroc == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=1e-9)
    assert curve.average_precision == pytest.approx(sklearn_metrics.average_precision_score(truth, score), abs=1e-9)
    assert (_ends(report.auroc)[0], _ends(report.average_precision)[0]) == (curve.auroc, curve.average_precision)
    assert curve.prevalence == pytest.approx(truth.mean())


def test_curves_of_images_are_those_of_scikit_learn(
    masks: NDArray[np.bool_], centred: NDArray[np.float64], report: SegmentationReport
) -> None:
    pairs = [(mask[FIELD], score[FIELD]) for mask, score in zip(masks[:-1], centred[:-1], strict=True)]
    aurocs = [sklearn_metrics.roc_auc_score(*pair) for pair in pairs]
    assert report.image_auroc.values[:-1] == pytest.approx(aurocs, abs=1e-9)
    precisions = [sklearn_metrics.average_precision_score(*pair) for pair in pairs]
    assert report.image_average_precision.values[:-1] == pytest.approx(precisions, abs=1e-9)
    assert _ends(report.image_auroc.mean)[0] == pytest.approx(np.mean(aurocs))
    assert _ends(report.image_auroc.median)[0] == pytest.approx(np.median(aurocs))


def test_an_image_without_positive_pixels_is_counted_and_stays_in_the_pool(
    masks: NDArray[np.bool_], report: SegmentationReport
) -> None:
    assert report.image_auroc.values[-1] is None
    assert (report.image_auroc.n_undefined, report.n_without_positives, report.n_images) == (1, 1, N)
    assert report.curve is not None
    assert report.curve.n_negative == np.count_nonzero(~masks[:, FIELD])
    assert len(report.image_dice.values) == N
    assert report.image_dice.n_undefined == 0


@given(
    hnp.arrays(np.float32, 60, elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.bool_, 60).filter(lambda mask: 0 < mask.sum() < 60),
)
@settings(max_examples=30, deadline=None)
def test_raw_scores_differ_by_no_more_than_the_pairs_within_a_bin(
    score: NDArray[np.float32], mask: NDArray[np.bool_]
) -> None:
    histogram = pixel_histogram(score.reshape(6, 10), mask.reshape(6, 10), np.ones((6, 10), dtype=bool))
    error = np.sum(histogram[0] * histogram[1]) / (2 * mask.sum() * (~mask).sum())
    assert pixel_curve(histogram).auroc == pytest.approx(sklearn_metrics.roc_auc_score(mask, score), abs=error + 1e-12)


def test_raw_scores_give_nearly_the_same_areas(masks: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
    truth, score = masks[0][FIELD], scores[0][FIELD]
    curve = pixel_curve(pixel_histogram(scores[0], masks[0], FIELD))
    assert curve.auroc == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=1e-3)
    assert curve.average_precision == pytest.approx(sklearn_metrics.average_precision_score(truth, score), abs=1e-2)


def test_a_monotone_score_changes_no_area(masks: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
    levels = np.floor(scores[0] * 30)
    bent = (levels / 30) ** 3 * 0.5 + levels / 60
    one, other = (pixel_curve(pixel_histogram(score, masks[0], FIELD)) for score in (levels / 30, bent))
    assert (one.auroc, one.average_precision) == pytest.approx((other.auroc, other.average_precision))


def test_only_the_field_of_view_counts(masks: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
    outside = np.where(FIELD, scores[0], np.nan)
    inside = pixel_histogram(scores[0], masks[0], FIELD)
    np.testing.assert_array_equal(pixel_histogram(outside, masks[0], FIELD), inside)
    assert inside.sum() == np.count_nonzero(FIELD)


def test_bins_hold_their_lower_edge_and_the_last_holds_one() -> None:
    score = np.array([[0.0, 1 / N_BINS, 1 / N_BINS - 1e-9, 1.0]], dtype=np.float32)
    histogram = pixel_histogram(score, [[False, True, False, True]], [[True] * 4])
    assert (histogram[0, 0], histogram[1, 1], histogram[1, -1], histogram.sum()) == (2, 1, 1, 4)


def test_precision_is_one_above_the_highest_score() -> None:
    curve = pixel_curve(pixel_histogram(np.array([[0.2, 0.6]]), [[True, False]], [[True, True]]))
    np.testing.assert_array_equal(curve.precision[curve.thresholds > 0.6], 1)
    assert (curve.precision[-1], curve.recall[-1], curve.fpr[-1], curve.auroc) == (0.5, 1, 1, 0)


# --- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.0, 0.25, 511 / 1024, 0.75])
def test_a_threshold_on_an_edge_is_exact_on_raw_scores(
    threshold: float, masks: NDArray[np.bool_], scores: NDArray[np.float64], histograms: NDArray[np.int64]
) -> None:
    truth, called = masks[:, FIELD].ravel(), scores[:, FIELD].ravel() >= threshold
    report = segmentation_report(histograms, np.arange(N), threshold)
    found = report.at_threshold
    pairs = [
        (found.dice, sklearn_metrics.f1_score(truth, called)),
        (found.iou, sklearn_metrics.jaccard_score(truth, called)),
        (found.sensitivity, sklearn_metrics.recall_score(truth, called)),
        (found.specificity, sklearn_metrics.recall_score(~truth, ~called)),
        (found.precision, sklearn_metrics.precision_score(truth, called)),
        (found.accuracy, sklearn_metrics.accuracy_score(truth, called)),
        (found.accuracy_all_background, sklearn_metrics.accuracy_score(truth, np.zeros_like(truth))),
    ]
    for interval, expected in pairs:
        assert _ends(interval)[0] == pytest.approx(expected, abs=1e-12)
    assert found.threshold == threshold
    dice = [
        sklearn_metrics.f1_score(mask[FIELD], score[FIELD] >= threshold, zero_division=1.0)
        for mask, score in zip(masks, scores, strict=True)
    ]
    assert report.image_dice.values == pytest.approx(dice)
    assert _ends(report.image_dice.mean)[0] == pytest.approx(np.mean(dice))
    assert _ends(report.image_dice.median)[0] == pytest.approx(np.median(dice))


def test_a_threshold_between_edges_moves_up(histograms: NDArray[np.int64]) -> None:
    between, edge = (segmentation_report(histograms, np.arange(N), t).at_threshold for t in (0.3, 308 / 1024))
    assert between == edge


def test_empty_masks_score_one_together_and_zero_alone() -> None:
    field, none, some = np.ones((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool), np.eye(4, dtype=bool)
    cases = [(none, none), (none, some), (some, none), (some, some)]  # reference, prediction
    histograms = [pixel_histogram(0.9 * called, mask, field) for mask, called in cases]
    report = segmentation_report(histograms, np.arange(4), 0.5)
    assert report.image_dice.values == report.image_iou.values == (1, 0, 0, 1)
    assert (report.n_without_positives, report.n_both_empty) == (2, 1)
    assert _ends(report.at_threshold.dice)[0] == 0.5
    assert _ends(report.at_threshold.iou)[0] == pytest.approx(1 / 3)


def test_a_class_that_no_image_shows() -> None:
    empty = pixel_histogram(np.full((4, 4), 0.1), np.zeros((4, 4), dtype=bool), np.ones((4, 4), dtype=bool))
    report = segmentation_report([empty] * 3, np.arange(3), 0.5)
    assert report.curve is None
    assert report.auroc is None
    assert report.average_precision is None
    assert report.image_auroc.mean is None
    assert report.at_threshold.sensitivity is None
    assert report.at_threshold.precision is None
    assert _ends(report.at_threshold.dice) == (1, 1, 1)
    assert _ends(report.at_threshold.accuracy_all_background) == (1, 1, 1)


# --- intervals -------------------------------------------------------------------------------------------------------


def test_a_resample_is_the_report_of_its_copies(
    copies: NDArray[np.int64], masks: NDArray[np.bool_], centred: NDArray[np.float64], histograms: NDArray[np.int64]
) -> None:
    report = segmentation_report(histograms, np.arange(N), 0.5)
    truth = np.repeat(masks, copies, axis=0)[:, FIELD].ravel()
    score = np.repeat(centred, copies, axis=0)[:, FIELD].ravel()
    assert _ends(report.auroc)[1] == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=1e-9)
    assert _ends(report.average_precision)[1] == pytest.approx(
        sklearn_metrics.average_precision_score(truth, score), abs=1e-9
    )
    assert _ends(report.at_threshold.dice)[1] == pytest.approx(sklearn_metrics.f1_score(truth, score >= 0.5))
    repeated = np.repeat([-1.0 if value is None else value for value in report.image_auroc.values], copies)
    assert _ends(report.image_auroc.median)[1] == pytest.approx(np.median(repeated[repeated >= 0]))
    assert _ends(report.image_dice.median)[1] == pytest.approx(np.median(np.repeat(report.image_dice.values, copies)))
    assert _ends(report.image_iou.mean)[1] == pytest.approx(np.mean(np.repeat(report.image_iou.values, copies)))


def test_intervals_repeat_with_their_seed_and_hold_their_value(
    histograms: NDArray[np.int64], report: SegmentationReport
) -> None:
    again, other = (segmentation_report(histograms, np.arange(N), 0.5, seed) for seed in (0, 2))
    assert report.auroc == again.auroc
    assert report.auroc != other.auroc
    value, low, high = _ends(report.auroc)
    assert low < value < high


def test_repeated_images_of_a_patient_add_no_certainty(
    histograms: NDArray[np.int64], report: SegmentationReport
) -> None:
    repeated = segmentation_report(np.repeat(histograms, 5, axis=0), np.repeat(np.arange(N), 5), 0.5)
    for name in ("auroc", "average_precision"):
        assert _ends(getattr(repeated, name)) == pytest.approx(_ends(getattr(report, name)))


def test_the_order_of_images_changes_no_value(histograms: NDArray[np.int64], report: SegmentationReport) -> None:
    one, other = report, segmentation_report(histograms[::-1], np.arange(N), 0.5)
    assert _ends(one.auroc)[0] == pytest.approx(_ends(other.auroc)[0])
    assert _ends(one.image_auroc.median)[0] == _ends(other.image_auroc.median)[0]
    assert one.image_dice.values == other.image_dice.values[::-1]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "mask"),
    [
        (np.full((2, 2), 1.5), np.eye(2, dtype=bool)),
        (np.full((2, 2), np.nan), np.eye(2, dtype=bool)),
        (np.zeros((2, 3)), np.eye(2, dtype=bool)),
        (np.zeros((2, 2)), np.eye(2)),
    ],
)
def test_pixels_that_make_no_sense_are_refused(score: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    with pytest.raises(UsageError):
        pixel_histogram(score, mask, np.ones((2, 2), dtype=bool))


def test_reports_that_cannot_be_made_are_refused(histograms: NDArray[np.int64]) -> None:
    for threshold in (-0.1, 1.0, np.nan):
        with pytest.raises(UsageError, match="pixel threshold"):
            segmentation_report(histograms, np.arange(N), threshold)
    with pytest.raises(UsageError, match="two patients"):
        segmentation_report(histograms, ["a"] * N, 0.5)
    for wrong in (histograms[:, :, :-1], histograms / 2, -histograms):
        with pytest.raises(UsageError, match="pixel histograms"):
            segmentation_report(wrong, np.arange(N), 0.5)
    with pytest.raises(UsageError, match="both classes"):
        pixel_curve(np.zeros((2, N_BINS), dtype=int))


# --- lesions ---------------------------------------------------------------------------------------------------------


def _drawn(*rows: str) -> NDArray[np.float64]:
    """A 9 x 9 picture of tenths; a point is 0."""
    picture = [[0 if mark == "." else int(mark) for mark in row] for row in rows]
    return np.pad(np.array(picture) / 10, ((0, 9 - len(rows)), (0, 9 - len(rows[0]))))


def test_lesions_by_hand() -> None:
    mask = _drawn("1.......1", ".1.......", ".........", "1........") > 0  # a diagonal is one lesion: three in all
    score = _drawn("9....8...", ".....8...", ".........", "66.......", "........3")
    counts = count_lesions(score, mask, EVERYWHERE, [0.95, 0.85, 0.7, 0.5, 0.2])
    assert (counts.n_lesions, counts.field_px) == (3, 81)
    np.testing.assert_array_equal(counts.n_found, [0, 1, 1, 2, 2])
    np.testing.assert_array_equal(counts.n_false_positive, [0, 0, 1, 1, 2])
    np.testing.assert_array_equal(counts.false_positive_px, [0, 0, 2, 2, 3])


def test_small_components_are_ignored() -> None:
    mask = _drawn("1...1") > 0
    score = _drawn("9...99..9", ".........", "99.......")
    counts = count_lesions(score, mask, EVERYWHERE, [0.5], min_area_px=2)
    assert (counts.n_found[0], counts.n_false_positive[0], counts.false_positive_px[0]) == (1, 1, 2)


def test_one_component_may_find_several_lesions() -> None:
    counts = count_lesions(_drawn("99999"), _drawn("1.1.1") > 0, EVERYWHERE, [0.9])
    assert (counts.n_found[0], counts.n_false_positive[0]) == (3, 0)


def test_lesions_and_alarms_outside_the_field_do_not_count() -> None:
    field = np.indices((9, 9))[1] < 5
    counts = count_lesions(_drawn("1.....9.9"), _drawn("1.....1..") > 0, field, [0.5, 0.1])
    np.testing.assert_array_equal([counts.n_lesions, *counts.n_found, *counts.n_false_positive], [1, 0, 1, 0, 0])


@given(hnp.arrays(np.float64, (9, 9), elements=st.floats(0, 1)), hnp.arrays(np.bool_, (9, 9)))
@settings(max_examples=15, deadline=None)
def test_a_lower_threshold_finds_no_fewer_lesions(score: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    counts = count_lesions(score, mask, EVERYWHERE, LESION_THRESHOLDS)
    assert (np.diff(counts.n_found) >= 0).all()
    assert counts.n_found[-1] <= counts.n_lesions
    for turn in (np.fliplr, np.transpose):
        turned = count_lesions(turn(score), turn(mask), EVERYWHERE, LESION_THRESHOLDS)
        np.testing.assert_array_equal(turned.n_found, counts.n_found)
        np.testing.assert_array_equal(turned.false_positive_px, counts.false_positive_px)
    bent = count_lesions(np.exp(score), mask, EVERYWHERE, np.exp(LESION_THRESHOLDS))
    np.testing.assert_array_equal(bent.n_found, counts.n_found)
    np.testing.assert_array_equal(bent.n_false_positive, counts.n_false_positive)


def test_froc_by_hand() -> None:
    froc = froc_curve([0.9, 0.6, 0.3], [[1, 1, 2], [0, 1, 1]], [[0, 1, 3], [0, 0, 2]], [2, 2], ["a", "b"])
    np.testing.assert_array_equal(froc.thresholds, [np.inf, 0.9, 0.6, 0.3])
    np.testing.assert_array_equal(froc.fp_per_image, [0, 0, 0.5, 2.5])
    np.testing.assert_array_equal(froc.sensitivity, [0, 0.25, 0.5, 0.75])
    assert [point.fp_per_image for point in froc.points] == [0.25, 0.5, 1, 2]
    assert [point.threshold for point in froc.points] == [0.9, 0.6, 0.6, 0.6]
    assert [_ends(point.sensitivity)[0] for point in froc.points] == [0.25, 0.5, 0.5, 0.5]


def test_merged_components_win_nothing_beyond_the_first_crossing() -> None:
    froc = froc_curve([0.9, 0.5, 0.1], [[1, 2, 4]] * 2, [[0, 9, 0]] * 2, [4, 4], ["a", "b"])
    assert [_ends(point.sensitivity)[0] for point in froc.points] == [0.25] * 4
    assert froc.sensitivity[-1] == 1


def test_a_resample_reads_the_froc_of_its_copies(copies: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(3)
    thresholds = [0.9, 0.7, 0.5, 0.3, 0.1]
    n_lesions = rng.integers(0, 6, N)
    found = np.sort(rng.integers(0, n_lesions[:, np.newaxis] + 1, (N, 5)), axis=1)
    false = np.sort(rng.integers(0, 3, (N, 5)), axis=1)
    froc = froc_curve(thresholds, found, false, n_lesions, np.arange(N))
    for point in froc.points:
        is_allowed = copies @ false <= point.fp_per_image * copies.sum()
        assert 0 < _ends(point.sensitivity)[0] < 1
        best = np.max(copies @ found, where=is_allowed, initial=0)
        assert _ends(point.sensitivity)[1] == pytest.approx(best / (copies @ n_lesions))


def test_all_lesions_found_leave_doubt_that_counts_patients() -> None:
    froc = froc_curve([0.5], [[3]] * 8, [[0]] * 8, [3] * 8, np.arange(8))
    trials = np.repeat(np.arange(8), 3)
    assert froc.points[0].sensitivity == clustered_wilson_interval(np.ones(24), trials)
    assert _ends(froc.points[0].sensitivity) == pytest.approx(_ends(wilson_interval(8, 8)))


def _counts(n_lesions: int, found: int, false: int, false_px: int) -> LesionCounts:
    zero = np.zeros(1, dtype=np.int64)
    return LesionCounts(
        n_lesions, np.append(zero, found), np.append(zero, false), np.append(zero, false_px), field_px=1000
    )


def test_lesion_report_by_hand() -> None:
    counts = [_counts(4, 3, 1, 20), _counts(2, 1, 0, 0), _counts(0, 0, 2, 100), _counts(0, 0, 0, 0)]
    report = lesion_report(counts, [0.9, 0.5], np.arange(4), 0.5)
    assert _ends(report.sensitivity)[0] == pytest.approx(4 / 6)
    assert report.fp_per_image.value == pytest.approx(3 / 4)
    assert _ends(report.false_alarm_share) == pytest.approx((0.05, 0, 0.1))
    np.testing.assert_allclose(report.false_alarm_shares, [0, 0.05])
    assert (report.n_lesions, report.n_images, report.n_without_lesions) == (6, 4, 2)
    assert report.froc is not None
    np.testing.assert_allclose(report.froc.sensitivity, [0, 0, 4 / 6])


def test_lesion_report_without_lesions_or_without_healthy_images() -> None:
    healthy = lesion_report([_counts(0, 0, 1, 10)] * 3, [0.9, 0.5], np.arange(3), 0.5)
    assert healthy.froc is None
    assert healthy.sensitivity is None
    assert _ends(healthy.false_alarm_share)[0] == pytest.approx(0.01)
    ill = lesion_report([_counts(2, 1, 0, 0)] * 3, [0.9, 0.5], np.arange(3), 0.5)
    assert ill.false_alarm_share is None
    assert np.isnan(ill.false_alarm_shares).all()


def test_lesion_counts_that_cannot_be_pooled_are_refused() -> None:
    counts = [_counts(1, 1, 0, 0)] * 2
    with pytest.raises(UsageError, match="not among"):
        lesion_report(counts, [0.9, 0.5], ["a", "b"], 0.4)
    with pytest.raises(UsageError, match="1 patients"):
        lesion_report(counts, [0.9, 0.5], ["a", "a"], 0.5)
    with pytest.raises(UsageError, match="3 thresholds"):
        lesion_report(counts, [0.9, 0.5, 0.1], ["a", "b"], 0.5)
    with pytest.raises(UsageError, match="do not fall"):
        count_lesions(np.zeros((9, 9)), EVERYWHERE, EVERYWHERE, [0.1, 0.5])
    with pytest.raises(UsageError, match="field of view"):
        count_lesions(np.zeros((9, 9)), EVERYWHERE, ~EVERYWHERE, [0.5])
    with pytest.raises(UsageError, match="0 lesions"):
        froc_curve([0.5], [[0], [0]], [[1], [1]], [0, 0], ["a", "b"])
