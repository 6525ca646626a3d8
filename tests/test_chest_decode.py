"""From detections to findings of the film: places, floors and thresholds by hand, and the scores that training reads."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from task_manifests import manifest_of

from core.manifest import Manifest, OperatingPoint
from core.records import Box, Frame, Prediction, Study
from core.tasks.chest_lesions.decode import FLOOR, decode
from core.tasks.chest_lesions.locate import locate
from core.tasks.chest_lesions.network import explained, scores
from core.tasks.chest_lesions.task import SIDE, TASK

LABELS = tuple(label.id for label in TASK.labels)
HEART, CALCIUM, CURVE = LABELS[0], LABELS[1], LABELS[6]
THRESHOLDS = {HEART: 0.6, CALCIUM: 0.05}
ROWS, COLUMNS = 1024, 768  # two pixels of the film for one of the network; 64 of these of black on either side
Detection = tuple[Box, int, float]


@cache
def manifest() -> Manifest:
    base = manifest_of("chest_lesions", "real images, synthetic findings")
    points = tuple(
        own.model_copy(update={"threshold": THRESHOLDS.get(own.label, 0.5)}) for own in base.operating_points
    )
    return base.model_copy(update={"operating_points": points})


@cache
def film() -> Study:
    return Study((Frame(np.zeros((ROWS, COLUMNS), np.float32), "relative"),), "0" * 64, "raster")


def output(*detections: Detection) -> np.ndarray:
    """As the detector gives them, filled up with rows of zeros: float32 (1, 20, 6). Boxes in 512ths of its input."""
    rows = np.zeros((1, 20, 6), np.float32)
    for row, (box, number, score) in zip(rows[0], detections, strict=False):
        row[:] = (*(np.array(box) * SIDE / 512), number, score)
    return rows


def decoded(*detections: Detection, point: OperatingPoint | None = None) -> Prediction:
    own = point or manifest().operating_points[2]
    return decode(output(*detections), film(), locate(film()), manifest(), own)


def test_boxes_lie_where_they_were_on_the_film() -> None:
    (found,) = decoded(((164.0, 100.0, 264.0, 250.0), 7, 0.9)).findings
    assert found.box_xyxy == pytest.approx((200.0, 200.0, 400.0, 500.0), abs=1e-3)
    assert (found.label, found.positive, found.grade) == (CURVE, True, None)
    assert found.probability == pytest.approx(0.9)


def test_boxes_are_cut_at_the_edge_of_the_film_and_dropped_in_its_margin() -> None:
    prediction = decoded(((10.0, 0.0, 164.0, 60.0), 3, 0.9), ((2.0, 10.0, 60.0, 90.0), 3, 0.95))
    (found,) = prediction.findings
    assert found.box_xyxy == pytest.approx((0.0, 0.0, 200.0, 120.0), abs=1e-3)
    assert prediction.measures["presence_aortic_curvature"][0] == pytest.approx(0.9)


def test_each_label_has_its_own_threshold_and_the_highest_score_comes_first() -> None:
    box = (100.0, 100.0, 200.0, 200.0)
    found = decoded((box, 1, 0.59), (box, 2, 0.06), (box, 7, 0.55), (box, 1, 0.61)).findings
    assert [(one.label, one.positive) for one in found] == [
        (HEART, True),
        (HEART, False),
        (CURVE, True),
        (CALCIUM, True),
    ]


def test_low_boxes_are_not_listed_unless_they_are_positive() -> None:
    box = (100.0, 100.0, 200.0, 200.0)
    low = FLOOR - 0.01
    prediction = decoded((box, 1, low), (box, 2, low), (box, 7, FLOOR + 0.01))
    assert [(one.label, one.positive) for one in prediction.findings] == [(CURVE, False), (CALCIUM, True)]
    assert prediction.measures[f"presence_{HEART}"][0] == pytest.approx(low)


def test_a_chosen_point_takes_the_place_of_its_label_alone() -> None:
    box = (100.0, 100.0, 200.0, 200.0)
    strict = replace_threshold(HEART, 0.95)
    found = decoded((box, 1, 0.9), (box, 7, 0.9), point=strict).findings
    assert [(one.label, one.positive) for one in found] == [(HEART, False), (CURVE, True)]


def replace_threshold(label: str, threshold: float) -> OperatingPoint:
    point = next(own for own in manifest().operating_points if own.label == label)
    return point.model_copy(update={"threshold": threshold})


def test_a_film_without_detections_has_no_finding() -> None:
    prediction = decoded()
    assert prediction.findings == ()
    assert prediction.measures == {f"presence_{label}": (0.0,) for label in LABELS}


def test_presence_is_the_highest_score_of_each_label() -> None:
    box = (100.0, 100.0, 200.0, 200.0)
    given = output((box, 3, 0.4), (box, 1, 0.3), (box, 3, 0.7))
    found = scores(torch.from_numpy(np.concatenate([given, output()])))
    assert found.shape == (2, 7)
    assert found.numpy() == pytest.approx(np.array([[0.3, 0, 0.7, 0, 0, 0, 0], [0] * 7], np.float32))
    measured = decode(given, film(), locate(film()), manifest(), manifest().operating_points[0]).measures
    assert [measured[f"presence_{label}"][0] for label in LABELS] == pytest.approx(found[0].tolist())


def test_boxes_on_a_square_film_have_no_margin() -> None:
    frame = Frame(np.zeros((512, 512), np.float32), "relative")
    square = replace(film(), frames=(frame,))
    given = output(((12.5, 40.25, 300.0, 410.0), 1, 0.9))
    (found,) = decode(given, square, locate(square), manifest(), manifest().operating_points[0]).findings
    assert found.box_xyxy == pytest.approx((12.5, 40.25, 300.0, 410.0), abs=1e-3)


def test_the_explained_score_is_that_of_the_label_behind_the_background() -> None:
    assert float(explained(torch.arange(8.0), LABELS.index(CALCIUM))) == 2.0
