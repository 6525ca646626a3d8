import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.errors import UsageError
from core.tasks.chest_lesions.curve import curve_boxes
from core.tasks.chest_lesions.landmarks import Masks, find_landmarks
from core.tasks.chest_lesions.readers import read_yolo

KNOB = (205, 130, 18)  # x, y, radius of the drawn knob


def drawn_masks(*, heart_half: float = 60) -> Masks:
    """A chest of 290 pixels' width, so that a pixel is a millimetre; its midline is x = 190."""
    y, x = np.mgrid[:400, :380] + 0.5
    heart = ((x - 205) / heart_half) ** 2 + ((y - 240) / 62) ** 2 <= 1
    knob = (x - KNOB[0]) ** 2 + (y - KNOB[1]) ** 2 <= KNOB[2] ** 2
    trunk = (x < 212) & (y > 140)
    right = (((x - 190) / 145) ** 2 + ((y - 260) / 200) ** 2 <= 1) & (x < 172) & (y < 285)
    left = (((x - 190) / 145) ** 2 + ((y - 260) / 200) ** 2 <= 1) & (x > 206) & (y < 290)
    return Masks(heart, right & ~heart, left & ~heart & ~knob & ~trunk)


def landmarks_of(masks: Masks):
    found = find_landmarks(masks)
    assert found is not None
    return found


@pytest.mark.parametrize("heart_half", [50, 60, 75])
def test_the_ratio_is_the_drawn_one(heart_half: float) -> None:
    found = landmarks_of(drawn_masks(heart_half=heart_half))
    assert found.width.ratio == pytest.approx(2 * heart_half / 290, abs=0.004)
    assert found.width.heart_right[0] == pytest.approx(205 - heart_half, abs=1)
    assert found.width.thorax_left == (pytest.approx(335, abs=1), pytest.approx(260, abs=14))
    assert found.px_per_mm == pytest.approx(1, abs=0.01)


def test_landmarks_lie_where_they_were_drawn() -> None:
    found = landmarks_of(drawn_masks())
    _, y0, x1, y1 = found.knob
    assert (x1, (y0 + y1) / 2) == (pytest.approx(KNOB[0] + KNOB[2], abs=3), pytest.approx(KNOB[1], abs=7))
    assert np.abs(found.midline[100:300] - 190).max() < 5
    assert found.aorta[3] == pytest.approx(285, abs=8)
    for apex, lung in zip(found.apices, (found.masks.right_lung, found.masks.left_lung), strict=True):
        top = np.argwhere(lung)[0]
        assert apex[0] < top[1] < apex[2]
        assert apex[1] < top[0] < apex[1] + 6


def test_specks_far_away_change_nothing() -> None:
    masks = drawn_masks()
    specks = Masks(*(mask.copy() for mask in vars(masks).values()))
    specks.heart[5:8, 5:8] = specks.right_lung[390:395, 2:9] = specks.left_lung[390:395, 370:378] = True
    assert landmarks_of(specks).width == landmarks_of(masks).width


def test_no_heart_between_two_lungs_gives_none() -> None:
    masks, nothing = drawn_masks(), np.zeros((400, 380), bool)
    assert find_landmarks(Masks(nothing, masks.right_lung, masks.left_lung)) is None
    assert find_landmarks(Masks(masks.heart, masks.right_lung, nothing)) is None
    assert find_landmarks(Masks(masks.heart, masks.left_lung, masks.right_lung)) is None
    assert find_landmarks(Masks(masks.left_lung, masks.right_lung, masks.heart)) is None


def test_masks_of_another_kind_are_refused() -> None:
    masks = drawn_masks()
    with pytest.raises(UsageError, match="boolean"):
        find_landmarks(Masks(masks.heart, masks.right_lung, masks.left_lung[:100]))
    grey: Any = masks.heart.astype(np.uint8)
    with pytest.raises(UsageError, match="boolean"):
        find_landmarks(Masks(grey, masks.right_lung, masks.left_lung))


def read_masks(folder: Path, image: str) -> Masks:
    parts = (np.asarray(Image.open(folder / part / image)) > 0 for part in ("heart", "right_lung", "left_lung"))
    return Masks(*parts)


def test_the_ratio_of_real_masks_is_that_of_the_reference(data_dir: Path) -> None:
    folder = data_dir / "chest_heart_lung"
    with (folder / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["ctr"]][::4]
    errors = [landmarks_of(read_masks(folder, row["image"])).width.ratio - float(row["ctr"]) for row in rows]
    assert len(errors) >= 30
    assert np.abs(errors).mean() < 0.003


def test_mixed_up_mask_files_are_noticed(data_dir: Path) -> None:
    # in this film's folder the file of the heart holds the left lung and the other way round
    assert find_landmarks(read_masks(data_dir / "chest_heart_lung", "case_053.png")) is None


# --- curves of the spine ---------------------------------------------------------------------------------------------

ROWS, COLUMNS = 1000, 500


def spine(x_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """YOLO boxes of 17 vertebrae 50 pixels apart at these x."""
    y = 80 + 50.0 * np.arange(17)
    size = np.full((17, 2), (0.12, 0.045))
    return np.column_stack([np.zeros(17), x_px / COLUMNS, y / ROWS, size])


def bow(cobb_deg: float, waves: float) -> NDArray[np.float64]:
    """x of a sine whose steepest places are tilted by half a Cobb angle to both sides."""
    at = np.arange(17) / 16
    slope = np.tan(np.deg2rad(cobb_deg / 2))
    return 250 - slope * 800 / (2 * np.pi * waves) * np.cos(2 * np.pi * waves * at)


@pytest.mark.parametrize("cobb_deg", [16.0, 30.0, 60.0])
def test_a_curve_has_its_angle_and_box(cobb_deg: float) -> None:
    shuffled = np.random.default_rng(1).permutation(spine(bow(cobb_deg, 1)))
    upper, *_ = [curve for curve in curve_boxes(shuffled, (ROWS, COLUMNS)) if curve.angle_deg > 0.7 * cobb_deg]
    assert upper.angle_deg == pytest.approx(cobb_deg, rel=0.12)
    assert upper.ends[0] == pytest.approx(4, abs=1)
    assert upper.ends[1] == pytest.approx(12, abs=1)
    x = bow(cobb_deg, 1)[upper.ends[0] : upper.ends[1] + 1]
    assert upper.box[0] == pytest.approx(x.min() - 30, abs=1)
    assert upper.box[2] == pytest.approx(x.max() + 30, abs=1)


def test_a_straight_spine_has_no_curve_even_when_tilted_or_marked_shakily() -> None:
    shaky = 250 + np.random.default_rng(2).normal(0, 1.5, 17)
    for x in (np.full(17, 250.0), 200 + 8.0 * np.arange(17), shaky, bow(7.0, 1)):
        assert curve_boxes(spine(x), (ROWS, COLUMNS)) == ()


def test_angles_need_the_shape_of_the_image() -> None:
    wide, narrow = (curve_boxes(spine(bow(30.0, 1)), (ROWS, columns)) for columns in (COLUMNS, COLUMNS // 2))
    assert max(curve.angle_deg for curve in narrow) < 0.6 * max(curve.angle_deg for curve in wide)


def test_too_few_or_damaged_boxes() -> None:
    assert curve_boxes(spine(bow(60.0, 1))[:4], (ROWS, COLUMNS)) == ()
    assert curve_boxes([], (ROWS, COLUMNS)) == ()
    with pytest.raises(UsageError, match="boxes of shape"):
        curve_boxes([[0, 0.5, 0.5, 0.1]], (ROWS, COLUMNS))
    with pytest.raises(UsageError, match="outside"):
        curve_boxes(spine(np.full(17, 900.0)), (ROWS, COLUMNS))


def test_every_real_scoliosis_has_a_curve(data_dir: Path) -> None:
    folder = data_dir / "spine_scoliosis"
    angles = []
    for path in sorted((folder / "boxes").iterdir())[::6]:
        with Image.open(folder / "images" / f"{path.stem}.jpg") as image:
            boxes, left_out = read_yolo(path.read_bytes())
            assert left_out == 0
            angles.append(max(curve.angle_deg for curve in curve_boxes(boxes, image.size[::-1])))
    assert len(angles) >= 12
    assert 30 < np.median(angles) < 80
