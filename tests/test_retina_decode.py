"""From logits to masks of the photograph: places, areas and thresholds by hand, and the score that explanations explain."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import label as connected
from task_manifests import manifest_of
from tiny_fundus import disc, photograph

from core.io.pixel_evidence import MIN_AREA_PX
from core.manifest import Manifest, OperatingPoint
from core.records import Box, Prediction, Region, Study
from core.tasks.retina_lesions.decode import decode, score_maps
from core.tasks.retina_lesions.network import explained, scores
from core.tasks.retina_lesions.prepare import field_mask
from core.tasks.retina_lesions.task import SIDE

LOW = -6.0
BOX: Box = (30.0, 10.0, 30.0 + SIDE, 10.0 + SIDE)  # a pixel of the network is one of the frame
THRESHOLDS = {"haemorrhage": 0.5, "exudate": 0.25}


@cache
def manifest() -> Manifest:
    base = manifest_of("retina_lesions", "real images, real labels")
    points = tuple(own.model_copy(update={"threshold": THRESHOLDS[own.label]}) for own in base.operating_points)
    return base.model_copy(update={"operating_points": points})


@cache
def eye() -> Study:
    return photograph(
        disc((SIDE + 20, SIDE + 60), (SIDE / 2 + 29.5, SIDE / 2 + 9.5, SIDE / 2), texture=0), ImageLaterality="L"
    )


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def logits(*squares: tuple[int, int, int, int, int, float], base: float = LOW) -> np.ndarray:
    """Low logits but for squares of (channel, x0, y0, x1, y1, probability): float32 (1, 2, SIDE, SIDE)."""
    output = np.full((1, 2, SIDE, SIDE), base, np.float32)
    for channel, x0, y0, x1, y1, probability in squares:
        output[0, channel, y0:y1, x0:x1] = logit(probability)
    return output


def decoded(output: np.ndarray, point: OperatingPoint | None = None) -> Prediction:
    return decode(output, eye(), (Region(BOX, "L"),), manifest(), point or manifest().operating_points[0])


def bounds(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


# --- places ----------------------------------------------------------------------------------------------------------


def test_square_of_a_full_frame_comes_back_at_its_place() -> None:
    """The field of IDRiD, which the frame cuts at top and bottom: 7.7 pixels of the frame to one of the network."""
    study = photograph(np.full((2848, 4288, 3), 90, np.uint8))
    box = (386.3, -294.1, 3816.3, 3135.9)
    step = (box[2] - box[0]) / SIDE
    output = logits((0, 200, 300, 240, 316, 0.97), (1, 350, 280, 353, 283, 0.6))
    prediction = decode(output, study, (Region(box, "R"),), manifest(), manifest().operating_points[0])
    for finding, corners in zip(prediction.findings, ((200, 300, 240, 316), (350, 280, 353, 283)), strict=True):
        wanted = [(386.3, -294.1)[index % 2] + step * at for index, at in enumerate(corners)]
        assert finding.mask is not None
        assert finding.mask.shape == (2848, 4288)
        (lesion,) = finding.lesions
        assert lesion.box_xyxy == pytest.approx(wanted)
        assert bounds(finding.mask) == pytest.approx(wanted, abs=1)
        area = (corners[2] - corners[0]) * (corners[3] - corners[1]) * step**2
        assert lesion.area_px == pytest.approx(area)
        assert finding.mask.sum() == pytest.approx(area, rel=0.1)
        assert (finding.laterality, finding.box_xyxy) == ("R", box)


def test_field_beyond_the_frame_costs_the_mask_what_lies_there_and_no_more() -> None:
    """Two squares in a field whose right half the frame does not hold: only that in the frame can be called."""
    study = photograph(disc((320, 200), (199.5, 159.5, 158)))
    box = (41.5, 1.5, 358.5, 318.5)
    output = logits((0, 200, 300, 220, 320, 0.9), (0, 400, 300, 420, 320, 0.9))
    finding = decode(output, study, (Region(box),), manifest(), manifest().operating_points[0]).findings[0]
    assert finding.mask is not None
    assert finding.mask.shape == (320, 200)
    assert len(finding.lesions) == 1
    assert bounds(finding.mask) == pytest.approx(finding.lesions[0].box_xyxy, abs=1)


def test_mask_is_the_union_of_the_lesions() -> None:
    """Of a ragged map, piece by piece: box and area are those of the mask, and no called pixel belongs to none."""
    rng = np.random.default_rng(4)
    output = logits()
    for x, y in rng.integers(84, 350, (40, 2)):
        output[0, 0, y : y + rng.integers(2, 12), x : x + rng.integers(2, 12)] = logit(rng.uniform(0.5, 0.99))
    finding = decoded(output).findings[0]
    assert finding.mask is not None
    pieces, n_pieces = connected(finding.mask, np.ones((3, 3)))
    assert n_pieces == len(finding.lesions) > 20
    found = sorted((*bounds(pieces == k), (pieces == k).sum()) for k in range(1, n_pieces + 1))
    assert found == sorted((*own.box_xyxy, own.area_px) for own in finding.lesions)


def test_lesions_are_sorted_by_area_and_carry_their_highest_score() -> None:
    output = logits((0, 300, 300, 310, 310, 0.7), (0, 200, 200, 240, 240, 0.6), (0, 400, 300, 404, 304, 0.9))
    output[0, 0, 305, 305] = logit(0.8)
    finding = decoded(output).findings[0]
    assert [own.area_px for own in finding.lesions] == [1600, 100, 16]
    assert [own.probability for own in finding.lesions] == pytest.approx([0.6, 0.8, 0.9])
    assert finding.probability == pytest.approx(0.9)
    assert finding.positive


# --- what is called --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "n_lesions"), [(1, 0), (MIN_AREA_PX - 1, 0), (MIN_AREA_PX, 1), (8, 1)])
def test_small_pieces_are_dropped(width: int, n_lesions: int) -> None:
    prediction = decoded(logits((0, 300, 300, 300 + width, 301, 0.99)))
    finding = prediction.findings[0]
    assert finding.mask is not None
    assert (len(finding.lesions), finding.positive, finding.mask.any()) == (n_lesions, n_lesions > 0, n_lesions > 0)
    assert (prediction.measures["area_share_haemorrhage"][0] > 0) == (n_lesions > 0)


def test_pixels_that_touch_at_a_corner_are_one_piece() -> None:
    output = logits()
    for step in range(5):
        output[0, 0, 300 + step, 300 + step] = 3
    (lesion,) = decoded(output).findings[0].lesions
    assert (lesion.area_px, lesion.box_xyxy) == (5, (330, 310, 335, 315))


def test_each_label_has_its_own_threshold() -> None:
    """A score of 0.4 is an exudate and no haemorrhage; the threshold itself is called."""
    both = logits((0, 300, 300, 320, 320, 0.4), (1, 300, 300, 320, 320, 0.4))
    assert [own.positive for own in decoded(both).findings] == [False, True]
    assert [own.label for own in decoded(both).findings] == ["haemorrhage", "exudate"]
    at_threshold = logits((0, 300, 300, 320, 320, 0.5))
    assert decoded(at_threshold).findings[0].positive


@pytest.mark.parametrize("label", ["haemorrhage", "exudate"])
def test_chosen_point_takes_the_place_of_its_own_label_only(label: str) -> None:
    """At 0.7, both squares of 0.6 would be lost."""
    output = logits((0, 300, 300, 320, 320, 0.6), (1, 400, 300, 420, 320, 0.6))
    chosen = manifest().operating_points[0].model_copy(update={"id": "other", "label": label, "threshold": 0.7})
    found = {own.label: own.positive for own in decoded(output, chosen).findings}
    assert found == {"haemorrhage": label == "exudate", "exudate": label == "haemorrhage"}


def test_first_point_of_a_label_is_its_own() -> None:
    """A further point of the same label is for those who choose it."""
    second = manifest().operating_points[1].model_copy(update={"id": "strict", "threshold": 0.9})
    more = manifest().model_copy(update={"operating_points": (*manifest().operating_points, second)})
    output = logits((1, 300, 300, 320, 320, 0.6))
    points = more.operating_points
    found = [decode(output, eye(), (Region(BOX),), more, point).findings[1].positive for point in points]
    assert found == [True, True, False]


def test_nothing_is_called_beyond_the_field() -> None:
    output = logits(base=5.0)
    prediction = decoded(output)
    inside = field_mask(eye(), BOX)
    for finding, name in zip(prediction.findings, THRESHOLDS, strict=True):
        assert finding.mask is not None
        assert np.array_equal(finding.mask[10 : 10 + SIDE, 30 : 30 + SIDE], inside)
        assert finding.mask.sum() == inside.sum()
        assert prediction.measures[f"area_share_{name}"] == (1.0,)
    maps = score_maps(output[0], inside)
    assert not maps[:, ~inside].any()
    assert np.allclose(maps[:, inside], 1 / (1 + np.exp(-5.0)))


def test_area_share_is_of_the_field() -> None:
    prediction = decoded(logits((0, 300, 300, 340, 330, 0.9), (0, 400, 300, 401, 301, 0.9)))
    assert prediction.measures["area_share_haemorrhage"] == pytest.approx((1200 / field_mask(eye(), BOX).sum(),))
    assert prediction.measures["area_share_exudate"] == (0.0,)


def test_healthy_eye_has_two_negative_findings_with_empty_masks() -> None:
    prediction = decoded(logits())
    for finding in prediction.findings:
        assert finding.mask is not None
        assert not finding.mask.any()
        assert (finding.positive, finding.lesions, finding.laterality) == (False, (), "L")
        assert finding.probability == pytest.approx(1 / (1 + np.exp(-LOW)))


def test_two_regions_are_an_error() -> None:
    """There is one field of view."""
    with pytest.raises(ValueError, match="too many values"):
        decode(logits(), eye(), (Region(BOX), Region(BOX)), manifest(), manifest().operating_points[0])


# --- explanations ----------------------------------------------------------------------------------------------------


def test_scores_are_the_probabilities_of_the_masks() -> None:
    output = torch.from_numpy(np.random.default_rng(5).normal(0, 3, (1, 2, 40, 40)).astype(np.float32))
    wanted = score_maps(output[0].numpy(), np.ones((40, 40), bool))
    assert scores(output)[0].numpy() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("cut", "threshold"), [(0, 0.5), (1, 0.3), (1, 0.9)])
def test_explained_score_is_the_mean_logit_where_the_label_is_called(cut: int, threshold: float) -> None:
    values = np.random.default_rng(6).normal(-1, 2, (2, 30, 30)).astype(np.float32)
    row = torch.from_numpy(values).requires_grad_()
    score = explained(row, cut, threshold)
    own, called = values[cut], values[cut] >= np.log(threshold / (1 - threshold))
    assert float(score.detach()) == pytest.approx(own[called].mean(), rel=1e-4)
    (gradient,) = torch.autograd.grad(score, row)
    assert gradient[cut].numpy() == pytest.approx(np.where(called, 1 / called.sum(), 0), rel=1e-5)
    assert not gradient[1 - cut].any()


def test_nothing_is_explained_where_nothing_is_called() -> None:
    row = torch.full((2, 8, 8), -1.0)
    row[1] = 2.0
    row.requires_grad_()
    score = explained(row, 0, 0.5)
    assert float(score.detach()) == 0
    (gradient,) = torch.autograd.grad(score, row)
    assert not gradient.any()


def test_pixels_called_on_the_picture_itself_still_count_when_it_is_changed() -> None:
    """A lesion that is blanked lowers the mean instead of leaving it."""
    picture, changed = torch.full((2, 8, 8), -2.0), torch.full((2, 8, 8), -2.0)
    picture[0, :2], changed[0, 0] = 3.0, 3.0  # two rows are called; the second one is blanked
    assert float(explained(changed, 0, 0.5)) == pytest.approx(3.0)
    assert float(explained(changed, 0, 0.5, picture)) == pytest.approx(0.5)
    assert float(explained(picture, 0, 0.5, picture)) == float(explained(picture, 0, 0.5)) == pytest.approx(3.0)
