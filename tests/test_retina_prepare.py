"""From a photograph to network input and to training crops: the field fills it, training sees what screening sees."""

from functools import cache

import numpy as np
import pytest
import torch
from task_manifests import manifest_of
from tiny_fundus import disc, photograph

from core.imaging.fundus import without_illumination
from core.phantom import Phantom
from core.records import Frame, LabelledCase, Region, Study
from core.tasks.retina_lesions import learn
from core.tasks.retina_lesions.data import training_array, training_map
from core.tasks.retina_lesions.locate import locate
from core.tasks.retina_lesions.phantom import make_phantom
from core.tasks.retina_lesions.prepare import LIMIT, field_mask, picture, prepare
from core.tasks.retina_lesions.task import (
    EXUDATE,
    FINER,
    HAEMORRHAGE,
    INPUT_SIDE,
    MICROANEURYSM,
    OUTSIDE,
    REACHES,
    SIDE,
    STORED_STEP,
)

MANIFEST = manifest_of("retina_lesions")
CIRCLE = (210.0, 142.0, 172.0)  # of a frame of 429 x 285 pixels, which cuts it at top and bottom
SQUARE = (240, 100, 252, 110)  # x0, y0, x1, y1 of a spot in that frame


@cache
def phantom() -> Phantom:
    return make_phantom(np.random.default_rng([81, 0]), severity=1.5, size=320)


@cache
def eye() -> Study:
    return photograph(disc((285, 429), CIRCLE))


def spotted() -> tuple[Study, np.ndarray]:
    """The eye with a bright square, and the label map of it."""
    x0, y0, x1, y1 = SQUARE
    pixels, label_map = eye().frame.pixels.copy(), np.zeros((285, 429), np.uint8)
    pixels[y0:y1, x0:x1] = (250, 230, 160)
    label_map[y0:y1, x0:x1] = EXUDATE
    return photograph(pixels), label_map


def on_input(x: float, y: float, region: Region) -> tuple[float, float]:
    """Where a point of the frame lies on the pixels of the answer."""
    x0, y0, x1, y1 = region.box_xyxy
    return (x - x0) / (x1 - x0) * SIDE, (y - y0) / (y1 - y0) * SIDE


def on_the_answer(values: np.ndarray) -> np.ndarray:
    """Mean of the input's pixels on each of the answer."""
    return values.reshape(SIDE, FINER, SIDE, FINER).mean(axis=(1, 3))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


# --- region ----------------------------------------------------------------------------------------------------------


def test_region_is_the_square_around_the_field() -> None:
    """Also where the frame cuts the circle: the square then reaches beyond it."""
    (region,) = locate(eye())
    x, y, radius = CIRCLE[0] + 0.5, CIRCLE[1] + 0.5, CIRCLE[2]
    assert region.box_xyxy == pytest.approx((x - radius, y - radius, x + radius, y + radius), abs=2.5)
    assert region.box_xyxy[1] < 0
    assert (region.source, region.mirrored, region.laterality) == ("proposed", False, None)


@pytest.mark.parametrize(
    ("tag", "chosen", "side"), [("L", None, "L"), ("L", "R", "R"), ("", "L", "L"), ("", None, None)]
)
def test_eye_is_that_of_the_header_unless_a_person_chose_one(tag: str, chosen: str | None, side: str | None) -> None:
    study = photograph(eye().frame.pixels, ImageLaterality=tag)
    (region,) = locate(study, chosen)
    assert region.laterality == side


@pytest.mark.parametrize("unit", ["rgb", "relative"])
def test_whole_frame_where_no_field_is_seen(unit: str) -> None:
    pixels = np.full((90, 120, 3), 99, np.uint8) if unit == "rgb" else eye().frame.pixels[:, :, 0].astype(np.float32)
    (region,) = locate(Study((Frame(pixels, unit),), "0" * 64, "raster"))
    assert region == Region((0, 0, pixels.shape[1], pixels.shape[0]), source="whole")


# --- input -----------------------------------------------------------------------------------------------------------


def test_input_has_the_shape_of_the_manifest_and_no_value_beyond_the_limit() -> None:
    study = phantom().study()
    regions = locate(study)
    batch = prepare(study, regions, MANIFEST)
    assert (batch.shape, batch.dtype) == ((1, MANIFEST.input.channels, *MANIFEST.input.size), np.float32)
    assert batch.flags.c_contiguous
    assert LIMIT >= np.abs(batch).max() > 4
    inside = picture(study, regions[0].box_xyxy)[1]
    assert not batch[0][:, ~inside].any()
    assert 1.4826 * np.median(np.abs(batch[0][:, inside]), axis=1) == pytest.approx(1, abs=1e-2)


def test_field_is_the_circle_as_far_as_the_frame_goes() -> None:
    (region,) = locate(eye())
    rows, columns = np.ogrid[:SIDE, :SIDE]
    at = (np.array([-0.5, 284.5]) - region.box_xyxy[1] + 0.5) / (region.box_xyxy[3] - region.box_xyxy[1]) * SIDE
    drawn = np.hypot(columns - SIDE / 2 + 0.5, rows - SIDE / 2 + 0.5) < SIDE / 2
    drawn = drawn & (rows + 0.5 > at[0]) & (rows + 0.5 < at[1])
    found = field_mask(eye(), region.box_xyxy)
    assert overlap(found, drawn) > 0.95
    assert not (found & ~drawn).any()


def test_field_is_that_of_the_phantom() -> None:
    study = phantom().study()
    (region,) = locate(study)
    case = LabelledCase("a", "a", study, 0.0, label_map=phantom().truth["field"].astype(np.uint8))
    assert overlap(training_map(case) == 1, field_mask(study, region.box_xyxy)) > 0.99
    lit = phantom().truth["field"].sum() * (SIDE / (region.box_xyxy[2] - region.box_xyxy[0])) ** 2
    assert field_mask(study, region.box_xyxy).sum() == pytest.approx(lit, rel=0.05)


def test_spot_comes_out_at_its_place() -> None:
    study, _ = spotted()
    (region,) = locate(study)
    green = on_the_answer(prepare(study, (region,), MANIFEST)[0, 1])
    rows, columns = np.nonzero(green > 7)
    x0, y0, x1, y1 = SQUARE
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(
        on_input((x0 + x1) / 2, (y0 + y1) / 2, region), abs=1
    )


def test_black_margin_of_the_frame_makes_no_difference() -> None:
    study = phantom().study()
    wide = photograph(np.pad(study.frame.pixels, ((15, 40), (70, 25), (0, 0))))
    (region,), (other,) = locate(study), locate(wide)
    x0, y0, x1, y1 = region.box_xyxy
    assert other.box_xyxy == pytest.approx((x0 + 70, y0 + 15, x1 + 70, y1 + 15), abs=1)
    shifted = Region((x0 + 70, y0 + 15, x1 + 70, y1 + 15))
    same = picture(study, region.box_xyxy)[1] & picture(wide, shifted.box_xyxy)[1]
    one, another = prepare(study, (region,), MANIFEST)[0], prepare(wide, (shifted,), MANIFEST)[0]
    assert np.quantile(np.abs(one - another)[:, same], 0.99) < 0.05


def test_camera_with_another_gain_and_tint_gives_nearly_the_same_input() -> None:
    study = phantom().study()
    regions = locate(study)
    gain = np.array([0.7, 0.8, 0.75])
    other = photograph(np.rint(gain * study.frame.pixels).astype(np.uint8))
    one, another = (prepare(own, regions, MANIFEST)[0].ravel() for own in (study, other))
    assert np.corrcoef(one, another)[0, 1] > 0.99


def test_every_region_is_an_input() -> None:
    boxes = [Region((40, 20, 380, 260)), Region((100, 30, 300, 230))]
    both = prepare(eye(), tuple(boxes), MANIFEST)
    assert both.shape == (2, 6, INPUT_SIDE, INPUT_SIDE)
    assert np.array_equal(both[1:], prepare(eye(), (boxes[1],), MANIFEST))


# --- training --------------------------------------------------------------------------------------------------------


def test_training_sees_what_screening_sees() -> None:
    study = phantom().study()
    stored = training_array(LabelledCase("a", "a", study, 0.0))
    assert (stored.shape, stored.dtype) == ((INPUT_SIDE, INPUT_SIDE, 6), np.uint8)
    trained = learn.plain(torch.from_numpy(stored[None])).numpy()
    assert np.abs(trained - prepare(study, locate(study), MANIFEST)).max() <= 1.001 * STORED_STEP / 2


def test_map_has_the_lesion_at_its_place_and_knows_the_field() -> None:
    study, label_map = spotted()
    (region,) = locate(study)
    found = training_map(LabelledCase("a", "a", study, 1.0, label_map=label_map))
    (left, top), (right, bottom) = (on_input(*corner, region) for corner in (SQUARE[:2], SQUARE[2:]))
    rows, columns = np.nonzero(found == EXUDATE)
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert edges == pytest.approx((left, top, right, bottom), abs=0.51)
    assert len(rows) == pytest.approx((right - left) * (bottom - top), rel=0.05)
    assert np.array_equal(found == OUTSIDE, ~field_mask(study, region.box_xyxy))
    assert set(np.unique(found)) == {0, EXUDATE, OUTSIDE}


def test_map_lies_on_the_picture() -> None:
    """What is marked bright is bright in the stored picture, and what is marked red is dark, in green."""
    one = phantom()
    label_map = HAEMORRHAGE * one.truth["red"].astype(np.uint8)
    label_map[one.truth["bright"]] = EXUDATE
    case = LabelledCase("a", "a", one.study(), 1.0, label_map=label_map)
    stored, found = on_the_answer(training_array(case)[:, :, 1].astype(float)), training_map(case)
    assert stored[found == EXUDATE].mean() > stored[found == 0].mean() + 1 / STORED_STEP
    assert stored[found == HAEMORRHAGE].mean() < stored[found == 0].mean() - 1 / STORED_STEP


def test_truth_of_a_map_is_a_channel_a_label_and_the_field() -> None:
    label_map = np.array([[0, HAEMORRHAGE, EXUDATE], [MICROANEURYSM, OUTSIDE, 5]], np.uint8)
    found, inside = learn.truth(label_map)
    assert found.tolist() == [[[False, True, False], [False] * 3], [[False, False, True], [False] * 3]]
    assert inside.tolist() == [[True] * 3, [True, False, True]]
    assert MANIFEST.labels == ("haemorrhage", "exudate")


def test_rule_takes_dark_green_for_blood_and_bright_green_for_exudate() -> None:
    stored = np.full((3 * FINER, 3 * FINER, 6), 128, np.uint8)
    stored[:, :, 1] = np.repeat([128 - 32, 128, 128 + 32], FINER)
    found = learn.rule(stored)
    assert (found.shape, found.dtype) == ((2, 3, 3), np.float32)
    dark, bright = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))
    assert found[:, 0] == pytest.approx(np.array([[dark, 0.5, bright], [bright, 0.5, dark]]))


# --- augmentation ----------------------------------------------------------------------------------------------------

SMALL = 80  # pixels a side: augmentation knows shares of the side alone


@pytest.fixture
def bloodless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No large haemorrhage is drawn."""
    monkeypatch.setattr(learn, "BLOOD", 0.0)


def augmented(stored: np.ndarray, label_map: np.ndarray, n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """`n` copies of one picture: (n, 6, S, S), (n, S, S)."""
    torch.manual_seed(seed)
    images = torch.from_numpy(stored.repeat(FINER, axis=0).repeat(FINER, axis=1)).expand(n, -1, -1, -1)
    x, maps = learn.augment_with_map(images, torch.from_numpy(label_map).expand(n, -1, -1), np.random.default_rng(seed))
    return x.numpy(), maps.numpy()


def test_pictures_keep_their_size_and_hold_classes_only() -> None:
    label_map = np.full((SMALL, SMALL), OUTSIDE, np.uint8)
    label_map[5:75, 5:75] = 0
    label_map[36:44, 36:44] = HAEMORRHAGE
    x, maps = augmented(np.full((SMALL, SMALL, 6), 128, np.uint8), label_map, 2)
    assert (x.shape, maps.shape) == ((2, 6, SMALL, SMALL), (2, SMALL, SMALL))
    assert (x.dtype, maps.dtype) == (np.float32, np.uint8)
    assert set(np.unique(maps)) <= {0, HAEMORRHAGE, OUTSIDE}


@pytest.mark.usefixtures("bloodless")
def test_image_and_map_move_together() -> None:
    stored, label_map = np.full((SMALL, SMALL, 6), 128, np.uint8), np.zeros((SMALL, SMALL), np.uint8)
    stored[50:60, 22:42] = 255
    label_map[50:60, 22:42] = EXUDATE
    x, maps = augmented(stored, label_map, 60)
    overlaps = [
        overlap(own.mean(axis=0) > 3.5, marked == EXUDATE)
        for own, marked in zip(x, maps, strict=True)
        if (marked == EXUDATE).sum() > 40
    ]
    assert len(overlaps) > 40
    assert min(overlaps) > 0.75
    assert np.mean(overlaps) > 0.9


@pytest.mark.usefixtures("bloodless")
def test_pictures_are_turned_to_all_sides_mirrored_and_scaled() -> None:
    """By the triangle of three marks: its direction, its sense of rotation, its size."""
    label_map = np.zeros((SMALL, SMALL), np.uint8)
    for kind, (x, y) in {HAEMORRHAGE: (37, 37), EXUDATE: (43, 37), MICROANEURYSM: (37, 43)}.items():
        label_map[y - 1 : y + 2, x - 1 : x + 2] = kind
    _, maps = augmented(np.full((SMALL, SMALL, 6), 128, np.uint8), label_map, 400)
    a, b, c = ([np.argwhere(own == kind).mean(axis=0)[::-1] for own in whole(maps)] for kind in (2, 3, 1))
    along, across = np.subtract(b, a), np.subtract(c, a)
    assert len(along) > 180
    is_kept = np.cross(np.pad(along, ((0, 0), (0, 1))), np.pad(across, ((0, 0), (0, 1))))[:, 2] > 0
    assert is_kept.mean() == pytest.approx(0.5, abs=0.1)
    directions = np.histogram(np.arctan2(along[:, 1], along[:, 0]), 4, (-np.pi, np.pi))[0] / len(along)
    assert directions == pytest.approx(0.25, abs=0.1)
    scale = np.hypot(*along.T) / 6
    assert np.quantile(scale, [0.03, 0.92]) == pytest.approx(np.exp([-learn.ZOOM[1], -learn.ZOOM[0]]), rel=0.15)
    assert 1.6 < scale.max() < np.exp(-learn.WIDE_ZOOM[0]) + 0.2
    assert np.hypot(*across.T) / 6 == pytest.approx(scale, abs=0.25)


def whole(maps: np.ndarray) -> list[np.ndarray]:
    """The pictures that show all three marks, none at the edge."""
    inner = maps[:, 2:-2, 2:-2]
    return [
        own
        for own, part in zip(maps, inner, strict=True)
        if all((own == k).sum() == (part == k).sum() > 3 for k in (1, 2, 3))
    ]


@pytest.mark.usefixtures("bloodless")
def test_pictures_are_moved_as_far_as_stated() -> None:
    """By where a mark in the middle comes to lie: uniform over the whole reach, but for the scale."""
    label_map = np.zeros((SMALL, SMALL), np.uint8)
    label_map[38:42, 38:42] = EXUDATE
    _, maps = augmented(np.full((SMALL, SMALL, 6), 128, np.uint8), label_map, 400)
    places = [np.argwhere(own == EXUDATE).mean(axis=0) for own in maps if (own == EXUDATE).any()]
    assert len(places) > 380
    away = (np.abs(np.array(places) + 0.5 - SMALL / 2) / SMALL).max(axis=1)  # of the turned square: up to its diagonal
    assert 0.15 < np.quantile(away, 0.5) < learn.SHIFT
    assert np.quantile(away, 0.97) < learn.SHIFT * np.sqrt(2) * np.exp(-learn.ZOOM[0])


@pytest.mark.usefixtures("bloodless")
def test_beyond_the_picture_is_outside_of_the_field() -> None:
    stored, label_map = np.full((SMALL, SMALL, 6), 250, np.uint8), np.zeros((SMALL, SMALL), np.uint8)
    label_map[:3, :3] = HAEMORRHAGE
    x, maps = augmented(stored, label_map, 40)
    is_beyond = maps == OUTSIDE
    assert 0.1 < is_beyond.mean() < 0.9
    assert overlap(np.abs(x).mean(axis=1) < 3.5, is_beyond) > 0.95


@pytest.mark.usefixtures("bloodless")
def test_light_and_noise_change_as_far_as_stated() -> None:
    """A picture in two levels, 0 and 4: their distance is the gain, the lower one the tint."""
    stored, label_map = np.full((SMALL, SMALL, 6), 128, np.uint8), np.zeros((SMALL, SMALL), np.uint8)
    stored[20:60, 20:60], label_map[20:60, 20:60] = 192, 5
    x, maps = augmented(stored, label_map, 300)
    enough = [index for index, own in enumerate(maps) if (own == 5).sum() > 300 and (own == 0).sum() > 300]
    assert len(enough) > 100
    low, high = (np.array([[np.median(colour[maps[i] == kind]) for colour in x[i]] for i in enough]) for kind in (0, 5))
    gain, tint = (high - low) / 4, low
    assert np.quantile(np.log(gain), [0.02, 0.98]) == pytest.approx([-learn.GAIN, learn.GAIN], abs=0.07)
    assert np.quantile(tint, [0.02, 0.98]) == pytest.approx([-learn.TINT, learn.TINT], abs=0.07)
    assert abs(np.corrcoef(tint[:, 0], tint[:, 1])[0, 1]) < 0.3  # each colour has its own
    noise = np.array([x[i][:, maps[i] == 0].std() for i in enough])
    assert 0.4 < np.quantile(noise, 0.9) < 0.6
    assert np.quantile(noise, 0.05) < 0.35


def test_augmentation_repeats_with_its_seeds() -> None:
    stored = np.random.default_rng(6).integers(0, 255, (SMALL, SMALL, 6)).astype(np.uint8)
    label_map = np.random.default_rng(7).integers(0, 5, (SMALL, SMALL)).astype(np.uint8)
    (x, maps), (same, same_maps), (other, _) = (augmented(stored, label_map, 3, seed) for seed in (3, 3, 4))
    assert np.array_equal(x, same)
    assert np.array_equal(maps, same_maps)
    assert not np.array_equal(x, other)


# --- drawn haemorrhages ----------------------------------------------------------------------------------------------


def test_blood_is_drawn_as_often_as_stated_and_marked() -> None:
    _, maps = augmented(np.full((SMALL, SMALL, 6), 128, np.uint8), np.zeros((SMALL, SMALL), np.uint8), 400)
    shares = (maps == HAEMORRHAGE).mean(axis=(1, 2))
    assert np.mean(shares > 0) == pytest.approx(learn.BLOOD, abs=0.05)
    assert shares.max() <= learn.BLOOD_AREA[1] + 0.02


def test_drawn_blood_looks_as_if_it_had_been_photographed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both views of a picture into which the same blood is drawn before the means are taken off, by the road's own function."""
    side, grey = 320, np.full((320, 320, 3), 120, np.float32)
    inside = np.ones((side, side), bool)
    rng = np.random.default_rng(5)
    grey += rng.normal(0, 3, grey.shape).astype(np.float32)
    views = np.concatenate([without_illumination(grey, inside, reach) for reach in REACHES], axis=2)
    monkeypatch.setattr(learn, "_CLARITY", 1.0)
    x, truth = torch.from_numpy(views).permute(2, 0, 1).clone(), torch.zeros(side, side)
    learn._draw_haemorrhage(x, truth, np.random.default_rng(7))
    blood = truth.numpy() == HAEMORRHAGE
    assert 0.02 < blood.mean() < 0.26
    taken = views.transpose(2, 0, 1) - x.numpy()
    depth = taken[3:].max(axis=(1, 2)) - taken[3:].min(axis=(1, 2))  # the far view keeps the whole step
    spread = np.array([1.4826 * np.median(np.abs(grey[:, :, k] - np.median(grey[:, :, k]))) for k in range(3)])
    drawn = grey - (depth / learn.WHOLE * spread) * blood[:, :, None]
    photographed = without_illumination(drawn.astype(np.float32), inside, REACHES[0]) - views[:, :, :3]
    for colour in (0, 1):
        assert np.corrcoef(photographed[:, :, colour].ravel(), -taken[colour].ravel())[0, 1] > 0.88  # its edge is soft


def test_blood_stays_within_the_field() -> None:
    x, truth = torch.zeros(6, SMALL, SMALL), torch.zeros(SMALL, SMALL)
    truth[:, :40] = OUTSIDE
    learn._draw_haemorrhage(x, truth, np.random.default_rng(2))
    assert bool((truth[:, :40] == OUTSIDE).all())
    assert not x[:, :, :40].any()
    assert bool((truth[:, 40:] == HAEMORRHAGE).any())
