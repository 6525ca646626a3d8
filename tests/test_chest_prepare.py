"""From film to network input and back, and augmentation that moves boxes and masks with what they mark."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from io_files import picture as picture_file
from io_files import read
from PIL import Image
from task_manifests import manifest_of

from core.errors import UsageError
from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.records import Frame, LabelledCase, Study
from core.tasks.chest_lesions import data, learn, lungs
from core.tasks.chest_lesions.locate import locate
from core.tasks.chest_lesions.phantom import make_phantom
from core.tasks.chest_lesions.prepare import picture, prepare, to_frame, to_network
from core.tasks.chest_lesions.task import FILM_SIDE, SIDE


@cache
def phantom() -> Phantom:
    return make_phantom(np.random.default_rng([93, 0]))


def study_of(pixels: np.ndarray, window: tuple[float, float] | None = None) -> Study:
    return Study((Frame(pixels.astype(np.float32), "relative", window=window),), "0" * 64, "raster")


def network_input(study: Study) -> np.ndarray:
    return prepare(study, locate(study), manifest_of("chest_lesions"))


# --- films -----------------------------------------------------------------------------------------------------------


def test_input_of_a_square_film_is_the_film_as_its_window_shows_it() -> None:
    study = phantom().study()
    x = network_input(study)
    assert (x.shape, x.dtype) == ((1, 3, SIDE, SIDE), np.float32)
    assert np.array_equal(picture(study, (0, 0, FILM_SIDE, FILM_SIDE), FILM_SIDE), to_display(study.frame))
    assert np.abs(x[0, 0] - picture(study, (0, 0, FILM_SIDE, FILM_SIDE))).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(x[0, 0], x[0, 1])
    assert np.array_equal(x[0, 0], x[0, 2])


def test_network_sees_a_film_as_training_stores_it() -> None:
    study = phantom().study()
    case = LabelledCase("case-00001", "patient", study, 1.0)
    stored = torch.from_numpy(data.training_array(case))[None]
    assert np.array_equal(network_input(study), learn.plain(stored).numpy())


def test_polarity_and_file_format_make_no_difference() -> None:
    plain, inverted = (network_input(read(write_dicom(phantom(), monochrome1=one))) for one in (False, True))
    assert np.abs(plain - inverted).max() < 1.5 / 255  # one of its steps
    seen = replace(phantom().study().frame, window=None)
    shown = to_bytes(to_display(seen))
    png = read(picture_file(Image.fromarray(shown), "PNG"))
    assert np.abs(network_input(png) - network_input(replace(phantom().study(), frames=(seen,)))).mean() < 0.01


def test_without_a_window_the_percentiles_bound_the_greys() -> None:
    values = np.arange(600 * 600, dtype=float).reshape(600, 600)
    x = picture(study_of(values), (0, 0, 600, 600), FILM_SIDE)
    assert (x.min(), x.max()) == (0, 1)
    assert x[FILM_SIDE // 2, FILM_SIDE // 2] == pytest.approx(0.5, abs=0.01)
    assert (x == 0).mean() == pytest.approx(0.005, abs=0.003)


@pytest.mark.parametrize("shape", [(700, 500), (500, 700), (333, 512)])
def test_the_aspect_is_kept_by_black_margins(shape: tuple[int, int]) -> None:
    study = study_of(np.full(shape, 0.8), window=(0.5, 1.0))
    x = network_input(study)[0, 0]
    side = max(shape)
    lit = x > 0.4
    assert lit.mean() == pytest.approx(shape[0] * shape[1] / side**2, abs=0.005)
    assert x[SIDE // 2, SIDE // 2] == pytest.approx(x.max())
    assert x[0, 0] == 0
    assert np.abs(lit.astype(int) - lit[::-1, ::-1]).sum() <= 4 * SIDE


def test_boxes_go_to_the_network_and_come_back() -> None:
    pixels = np.zeros((900, 600))
    pixels[300:420, 90:330] = 1
    study = study_of(pixels, window=(0.5, 1.0))
    (region,) = locate(study)
    (moved,) = to_network(np.array([[90.0, 300.0, 330.0, 420.0]]), region.box_xyxy)
    rows, columns = np.nonzero(picture(study, region.box_xyxy) > 0.5)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert moved == pytest.approx(np.array(seen, float), abs=1)
    (back,) = to_frame(moved[None], region.box_xyxy)
    assert back == pytest.approx(np.array([90.0, 300.0, 330.0, 420.0]))


# --- augmentation ----------------------------------------------------------------------------------------------------


def squares(n: int, box: tuple[int, int, int, int], side: int = 256) -> tuple[torch.Tensor, list[np.ndarray]]:
    """Grey films with a bright ellipse in a box, and its box."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[:side, :side] + 0.5
    inside = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    stored = np.where(inside, 220, 60).astype(np.uint8)
    return torch.from_numpy(np.stack([stored] * n)), [np.array([[*box, 3]], np.float32)] * n


def bounds(film: torch.Tensor) -> np.ndarray:
    """Box around the bright part."""
    seen = film.numpy()
    smooth = torch.nn.functional.avg_pool2d(film[None, None], 5, 1, 2)[0, 0].numpy()
    rows, columns = np.nonzero(smooth > (np.median(seen) + np.percentile(seen, 99)) / 2)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@pytest.mark.parametrize("box", [(60, 40, 150, 120), (110, 30, 150, 230), (30, 120, 220, 160)])
def test_boxes_move_with_what_they_mark(box: tuple[int, int, int, int]) -> None:
    stored, boxes = squares(12, box)
    x, targets = learn.augment_with_boxes(stored, boxes, np.random.default_rng(4))
    assert (x.shape, x.dtype) == ((12, 3, 256, 256), torch.float32)
    assert (float(x.min()) >= 0, float(x.max()) <= 1) == (True, True)
    moved = np.stack([target["boxes"][0].numpy() for target in targets])
    assert {int(target["labels"][0]) for target in targets} == {3}
    assert np.abs(moved - np.stack([bounds(film[0]) for film in x])).max() < 4
    assert np.ptp(moved, axis=0).min() > 5


def test_augmentation_depends_on_the_generator_alone() -> None:
    stored, boxes = squares(2, (60, 40, 150, 120))
    first, again, other = (learn.augment_with_boxes(stored, boxes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1][0]["boxes"], again[1][0]["boxes"])
    assert not torch.equal(first[1][0]["boxes"], other[1][0]["boxes"])


def test_a_normal_film_has_an_empty_target() -> None:
    stored, _ = squares(1, (60, 40, 150, 120))
    (target,) = learn.augment_with_boxes(stored, [np.zeros((0, 5), np.float32)], np.random.default_rng(1))[1]
    assert (target["boxes"].shape, target["labels"].shape) == ((0, 4), (0,))
    assert (target["boxes"].dtype, target["labels"].dtype) == (torch.float32, torch.int64)


def test_boxes_stay_in_the_picture_and_have_area() -> None:
    stored, _ = squares(40, (60, 40, 150, 120))
    edge = np.array([[0, 0, 6, 6, 1], [246, 100, 256, 256, 2], [0, 0, 256, 256, 7]], np.float32)
    _, targets = learn.augment_with_boxes(stored, [edge] * 40, np.random.default_rng(2))
    boxes = torch.cat([target["boxes"] for target in targets])
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 256
    assert float((boxes[:, 2:] - boxes[:, :2]).min()) >= learn.MIN_SIDE_PX
    assert len(boxes) < 120
    assert sum(7 in target["labels"].tolist() for target in targets) == 40


def test_no_film_is_mirrored() -> None:
    """What lies far to one side stays there."""
    stored, boxes = squares(30, (190, 100, 240, 150))
    _, targets = learn.augment_with_boxes(stored, boxes, np.random.default_rng(3))
    assert min(float(target["boxes"][0, 0]) for target in targets) > 140


def test_plain_is_the_stored_film() -> None:
    stored, boxes = squares(2, (60, 40, 150, 120))
    x = learn.plain(stored)
    assert x.shape == (2, 3, 256, 256)
    assert torch.equal((x[:, 2] * 255).round().to(torch.uint8), stored)
    assert learn.truth(boxes)[0]["boxes"].tolist() == [[60, 40, 150, 120]]


# --- heart and lungs -------------------------------------------------------------------------------------------------


def test_films_for_heart_and_lungs_are_stretched_and_normalised_as_in_training() -> None:
    film = np.linspace(0.4, 0.6, 300 * 300).reshape(300, 300).astype(np.float32)
    x = lungs.prepare(film)
    assert (x.shape, x.dtype) == ((1, 3, lungs.SIDE, lungs.SIDE), np.float32)
    stored = np.rint(lungs.stretched(film) * 255).astype(np.uint8)
    assert (stored.min(), stored.max()) == (0, 255)
    assert learn.heart_lung.plain(torch.from_numpy(stored)[None]).numpy() == pytest.approx(x, abs=0.01)
    with pytest.raises(UsageError, match="square"):
        lungs.prepare(film[:100])


def test_masks_lie_where_the_logits_are_high() -> None:
    output = np.full((1, 3, lungs.SIDE, lungs.SIDE), -4, np.float32)
    output[0, 1, 60:120, 40:90] = 4
    heart, right, left = lungs.masks(output, 512)
    assert (right.shape, right.dtype) == ((512, 512), bool)
    assert (heart.any(), left.any()) == (False, False)
    rows, columns = np.nonzero(right)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (120, 240, 80, 180)


def test_masks_move_with_their_film_and_keep_their_side() -> None:
    label_map = np.zeros((128, 128), np.uint8)
    label_map[30:90, 15:50], label_map[30:90, 78:113], label_map[70:95, 50:85] = 2, 3, 1
    stored = (label_map * 80).astype(np.uint8)
    n = 8
    x, maps = learn.heart_lung.augment_with_map(
        torch.from_numpy(np.stack([stored] * n)), torch.from_numpy(np.stack([label_map] * n)), np.random.default_rng(5)
    )
    assert (x.shape, maps.dtype, maps.shape) == ((n, 3, 128, 128), torch.uint8, (n, 128, 128))
    for film, own in zip(x[:, 0].numpy(), maps.numpy(), strict=True):
        means = [film[own == kind].mean() for kind in (0, 1, 2, 3)]
        assert means == sorted(means)
        assert np.nonzero(own == 2)[1].mean() < 60 < np.nonzero(own == 3)[1].mean()
        expected = np.array(means)[own]
        assert np.corrcoef(film.ravel(), expected.ravel())[0, 1] > 0.9
    assert len({own.numpy().tobytes() for own in maps}) == n


def test_truth_and_rule_of_a_label_map() -> None:
    label_map = np.array([[0, 1], [2, 3]], np.uint8)
    marked, inside = learn.heart_lung.truth(label_map)
    assert marked.tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 1]]]
    assert inside.all()
    rule = learn.heart_lung.rule(np.array([[255, 0], [0, 255]], np.uint8))
    assert rule.tolist() == [[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]
