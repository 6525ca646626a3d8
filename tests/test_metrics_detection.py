"""Metrics of detectors: pycocotools, scikit-learn and hand-made boxes."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import roc_auc_score

from core.errors import UsageError
from core.metrics.boxes import box_area, box_iou, checked_boxes, holds_centre
from core.metrics.coco import ImageBoxes, image_boxes, match_boxes
from core.metrics.detection import DetectionReport, detection_report
from core.metrics.proportions import Interval, wilson_interval

Images = list[list[ImageBoxes]]
Numbers = tuple[float | None, ...]

BOX = [10.0, 10.0, 20.0, 20.0]
FAR = [50.0, 50.0, 60.0, 60.0]


def _random_boxes(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    start = rng.integers(0, 30, (n, 2))
    return np.hstack([start, start + rng.integers(1, 20, (n, 2))]).astype(np.float64)


def _random_images(seed: int, n_images: int = 12, n_classes: int = 3, decimals: int = 1) -> Images:
    """Detections near reference boxes and elsewhere; the last class has no reference box."""
    rng = np.random.default_rng(seed)
    images: Images = []
    for _ in range(n_images):
        classes = []
        for c in range(n_classes):
            reference = _random_boxes(rng, 0 if c == n_classes - 1 else int(rng.integers(0, 5)))
            near = np.repeat(reference, 2, axis=0)
            near[:, 2:] += rng.integers(0, 4, near[:, 2:].shape)
            detected = np.concatenate([near, _random_boxes(rng, int(rng.integers(0, 6)))])
            classes.append(image_boxes(reference, detected, np.round(rng.random(len(detected)), decimals)))
        images.append(classes)
    return images


def _coco_numbers(images: Images) -> list[Numbers]:
    """AP, AP50 and AR100 of every class, then of all together; None for the -1 of a class without reference boxes."""
    n_classes = len(images[0])
    references, results = [], []
    for i, image in enumerate(images, start=1):
        for c, boxes in enumerate(image, start=1):
            for x0, y0, x1, y1 in boxes.reference:
                row = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
                references.append(row | {"id": len(references) + 1, "image_id": i, "category_id": c})
            for (x0, y0, x1, y1), score in zip(boxes.detected, boxes.scores, strict=True):
                row = {"image_id": i, "category_id": c, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(score)}
                results.append(row)
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(1, len(images) + 1)],
        "categories": [{"id": c} for c in range(1, n_classes + 1)],
        "annotations": references,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][:, :, :, 0, 2], evaluation.eval["recall"][:, :, 0, 2]
    parts = [[c] for c in range(n_classes)] + [list(range(n_classes))]
    return [(_mean(precision[:, :, part]), _mean(precision[0][:, part]), _mean(recall[:, part])) for part in parts]


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _our_numbers(report: DetectionReport, end: str = "value") -> list[Numbers]:
    def read(*intervals: Interval | None) -> Numbers:
        return tuple(None if interval is None else getattr(interval, end) for interval in intervals)

    return [read(c.average_precision, c.average_precision_50, c.average_recall) for c in report.per_class] + [
        read(report.mean_average_precision, report.mean_average_precision_50, report.mean_average_recall)
    ]


def _assert_equal(found: Sequence[Numbers], expected: Sequence[Numbers]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def _one_class(*images: ImageBoxes) -> DetectionReport:
    return detection_report([[image] for image in images], np.arange(len(images)))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.int64]:
    """Lets the bootstrap draw one and the same resample of 12 images, whose statistic stands at both ends of the interval."""
    drawn = np.bincount(np.random.default_rng(7).integers(0, 12, 12), minlength=12)

    def always_this(n_patients: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.tile(drawn[:n_patients].astype(np.float64), (size, 1))

    monkeypatch.setattr("core.metrics.bootstrap._draw_copies", always_this)
    return drawn


@pytest.mark.parametrize("decimals", [1, 6], ids=["tied", "distinct"])
@pytest.mark.parametrize("seed", range(3))
def test_precision_and_recall_are_those_of_coco(seed: int, decimals: int) -> None:
    images = _random_images(seed, decimals=decimals)
    numbers = _our_numbers(detection_report(images, np.arange(len(images))))
    _assert_equal(numbers, _coco_numbers(images))
    assert numbers[2] == (None, None, None)


def test_only_the_best_hundred_of_an_image_count() -> None:
    rng = np.random.default_rng(0)
    images: Images = []
    for _ in range(3):
        reference = _random_boxes(rng, 8)
        detected = np.concatenate([_random_boxes(rng, 140), reference])
        images.append([image_boxes(reference, detected, rng.random(148))])
    report = detection_report(images, range(3))
    assert report.per_class[0].n_detected == 300
    unlimited = [[ImageBoxes(i.reference, np.repeat(i.detected, 2, axis=0), np.repeat(i.scores, 2))] for (i,) in images]
    _assert_equal(_our_numbers(report), _coco_numbers(images))
    cut = [[image_boxes(i.reference, i.detected, i.scores)] for (i,) in unlimited]
    _assert_equal(_our_numbers(detection_report(cut, range(3))), _coco_numbers(unlimited))


def test_a_resample_is_the_evaluation_of_its_copies(copies: NDArray[np.int64]) -> None:
    images = _random_images(5, decimals=9)
    report = detection_report(images, np.arange(len(images)))
    replicated = [image for image, n in zip(images, copies, strict=True) for _ in range(n)]
    _assert_equal(_our_numbers(report, "low"), _coco_numbers(replicated))
    for ours, again in zip(report.per_class[:2], detection_report(replicated, np.arange(12)).per_class, strict=False):
        for curve, of_copies in ((ours.froc, again.froc), (ours.froc_centre, again.froc_centre)):
            assert curve is not None
            assert of_copies is not None
            for point, of_copy in zip(curve.points, of_copies.points, strict=True):
                assert point.sensitivity is not None
                assert of_copy.sensitivity is not None
                assert point.sensitivity.low == pytest.approx(of_copy.sensitivity.value)


def test_iou_is_that_of_coco() -> None:
    rng = np.random.default_rng(1)
    boxes, others = _random_boxes(rng, 20), _random_boxes(rng, 30)
    as_xywh = [np.hstack([x[:, :2], x[:, 2:] - x[:, :2]]) for x in (boxes, others)]
    np.testing.assert_allclose(box_iou(boxes, others), coco_mask.iou(*as_xywh, [0] * 30), atol=1e-12)
    np.testing.assert_array_equal(box_area(boxes), np.prod(as_xywh[0][:, 2:], axis=1))


coordinates = st.floats(-50, 50, width=32)


@given(st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), min_size=1, max_size=5))
@settings(max_examples=50)
def test_iou_is_symmetric_and_one_with_itself(corners: list[tuple[float, ...]]) -> None:
    pairs = np.sort(np.array(corners).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes = checked_boxes(pairs)
    iou = box_iou(boxes, boxes)
    np.testing.assert_array_equal(iou, iou.T)
    assert ((iou >= 0) & (iou <= 1 + 1e-12)).all()
    np.testing.assert_allclose(np.diag(iou), box_area(boxes) > 0, atol=1e-12)


def test_a_centre_on_the_far_edge_is_outside() -> None:
    points = np.array([[10.0, 10, 10, 10], [20, 20, 20, 20], [19, 5, 20, 25]])
    np.testing.assert_array_equal(holds_centre(points, np.array([BOX])), [[True], [False], [True]])


def test_the_highest_score_chooses_first_and_takes_the_best_free_box() -> None:
    reference = [[0, 0, 10, 10], [0, 0, 10, 8]]
    detected = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [30, 30, 40, 40]]
    image = image_boxes(reference, detected, [0.5, 0.9, 0.7, 0.8])
    np.testing.assert_array_equal(image.scores, [0.9, 0.8, 0.7, 0.5])
    np.testing.assert_array_equal(match_boxes(image), [0, -1, 1, -1])
    np.testing.assert_array_equal(match_boxes(image, 0.85), [0, -1, -1, -1])


def test_of_two_equal_overlaps_the_last_is_taken_as_in_coco() -> None:
    images = [[image_boxes([[0, 0, 10, 10], [2, 0, 12, 10]], [[1, 0, 11, 10], [0, 0, 10, 10]], [0.9, 0.8])]] * 3
    np.testing.assert_array_equal(match_boxes(images[0][0], 0.7), [1, 0])
    _assert_equal(_our_numbers(detection_report(images, range(3))), _coco_numbers(images))


def test_froc_by_hand() -> None:
    # Falling scores: hit, false, hit (0.8 and 0.7 on one box: the second is false), false on the image without a box.
    report = _one_class(
        image_boxes([BOX], [BOX, FAR], [0.95, 0.9]),
        image_boxes([BOX, FAR], [BOX, BOX], [0.8, 0.7]),
        image_boxes([], [FAR], [0.6]),
        image_boxes([], [], []),
    )
    froc = report.per_class[0].froc
    assert froc is not None
    np.testing.assert_allclose(froc.thresholds, [np.inf, 0.95, 0.8, 0.6])
    np.testing.assert_allclose(froc.fp_per_image, [0, 0, 0.25, 0.75])
    np.testing.assert_allclose(froc.sensitivity, [0, 1 / 3, 2 / 3, 2 / 3])
    assert (froc.n_lesions, froc.n_images) == (3, 4)
    assert [point.threshold for point in froc.points] == [0.8, 0.8, 0.6, 0.6]
    centre = report.per_class[0].froc_centre
    assert centre is not None
    np.testing.assert_allclose(centre.fp_per_image, [0, 0, 0.25, 0.5])  # the repeated hit does not count


def test_a_centre_may_hit_where_the_overlap_is_too_small() -> None:
    small = [14.0, 14.0, 16.0, 16.0]
    found = _one_class(image_boxes([BOX], [small], [0.9]), image_boxes([BOX], [small], [0.8])).per_class[0]
    assert found.froc is not None
    assert found.froc_centre is not None
    assert (found.froc.sensitivity[-1], found.froc_centre.sensitivity[-1]) == (0, 1)


def test_tied_scores_pass_a_threshold_together() -> None:
    hit, false = image_boxes([BOX], [BOX], [0.5]), image_boxes([], [FAR], [0.5])
    curves = [_one_class(*images).per_class[0].froc for images in ((hit, false), (false, hit))]
    for froc in curves:
        assert froc is not None
        np.testing.assert_allclose(froc.fp_per_image, [0, 0.5])
        assert [point.threshold for point in froc.points] == [np.inf, 0.5, 0.5, 0.5]


def test_presence_is_ranked_by_the_highest_score() -> None:
    images = _random_images(4, n_images=40, n_classes=2)
    truth = [len(image[0].reference) > 0 for image in images]
    highest = [image[0].scores.max(initial=-1.0) for image in images]
    presence = detection_report(images, np.arange(40)).per_class[0].presence_auroc
    assert presence is not None
    assert presence.value == pytest.approx(roc_auc_score(truth, highest), abs=1e-9)


def test_an_image_without_a_detection_ranks_lowest() -> None:
    report = _one_class(
        image_boxes([BOX], [BOX], [0.2]),
        image_boxes([BOX], [BOX], [0.05]),
        image_boxes([], [FAR], [0.1]),
        image_boxes([], [], []),
    )
    presence = report.per_class[0].presence_auroc
    assert presence is not None
    assert presence.value == 0.75


def test_the_order_of_images_changes_nothing() -> None:
    images = _random_images(2, decimals=9)
    turned = images[::-1]
    _assert_equal(
        _our_numbers(detection_report(turned, np.arange(12))), _our_numbers(detection_report(images, np.arange(12)))
    )


def test_a_monotone_score_changes_nothing_but_the_thresholds() -> None:
    images = _random_images(2)
    bent = [[image_boxes(i.reference, i.detected, np.exp(7 * i.scores) - 50) for i in image] for image in images]
    one, other = (detection_report(x, np.arange(12)) for x in (images, bent))
    _assert_equal(_our_numbers(one), _our_numbers(other))
    for a, b in zip(one.per_class[:2], other.per_class[:2], strict=True):
        assert a.presence_auroc == b.presence_auroc
        for first, second in ((a.froc, b.froc), (a.froc_centre, b.froc_centre)):
            assert first is not None
            assert second is not None
            np.testing.assert_array_equal(first.fp_per_image, second.fp_per_image)
            np.testing.assert_array_equal(first.sensitivity, second.sensitivity)
            assert [p.sensitivity for p in first.points] == [p.sensitivity for p in second.points]


def test_a_perfect_detector() -> None:
    report = _one_class(*[image_boxes([BOX], [BOX], [0.9]) for _ in range(10)], image_boxes([], [], []))
    (found,) = report.per_class
    assert _our_numbers(report) == [(1, 1, 1), (1, 1, 1)]
    assert found.froc is not None
    assert found.froc.points[0].sensitivity == wilson_interval(10, 10)
    assert (found.n_reference, found.n_with_reference) == (10, 10)


def test_a_detector_that_is_silent() -> None:
    report = _one_class(*[image_boxes([BOX], [], []) for _ in range(4)])
    (found,) = report.per_class
    assert _our_numbers(report) == [(0, 0, 0), (0, 0, 0)]
    assert found.froc is not None
    assert found.froc.points[3].sensitivity == wilson_interval(0, 4)
    assert found.presence_auroc is None


def test_a_class_of_one_patient_has_no_interval() -> None:
    images = [image_boxes([BOX], [BOX], [0.9]), *[image_boxes([], [FAR], [0.1])] * 9]
    (found,) = _one_class(*images).per_class
    assert found.average_precision is None
    assert found.froc is not None
    assert found.froc.points[0].sensitivity is None
    assert found.froc.sensitivity[-1] == 1


def test_repeated_images_of_a_patient_add_no_certainty() -> None:
    images = _random_images(3, n_classes=2)
    once = detection_report(images, np.arange(12))
    repeated = detection_report([image for image in images for _ in range(4)], np.repeat(np.arange(12), 4))
    first, second = once.per_class[0].average_recall, repeated.per_class[0].average_recall
    assert first is not None
    assert second is not None
    assert (second.value, second.low, second.high) == pytest.approx((first.value, first.low, first.high))


@pytest.mark.parametrize(
    ("detected", "scores"),
    [([BOX], []), ([BOX], [np.nan]), ([[5, 5, 4, 6]], [0.5]), ([[1, 2, 3]], [0.5]), ([[0, 0, np.inf, 1]], [0.5])],
)
def test_boxes_that_make_no_sense_are_refused(detected: list[list[float]], scores: list[float]) -> None:
    with pytest.raises(UsageError):
        image_boxes([], detected, scores)


def test_reports_need_two_patients_and_the_same_classes() -> None:
    image = image_boxes([BOX], [BOX], [0.5])
    with pytest.raises(UsageError, match="1 patients"):
        detection_report([[image], [image]], ["a", "a"])
    with pytest.raises(UsageError, match="classes"):
        detection_report([[image], [image, image]], ["a", "b"])
