"""Training a detector: boxes in the pack, four losses and AP in the history, and a stopped run ends like one that was not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_metrics_detection import _coco_numbers
from tiny_boxes import LABELS, LOSSES, SIDE, TASK, TinyDetector, boxed_pack

from core.metrics.coco import average_precision_and_recall, by_label, image_boxes
from core.records import Frame, LabelledCase, Study
from core.tasks.chest_lesions import data, learn
from core.tasks.chest_lesions.task import SIDE as FILM_SIDE
from core.training.collect import collect
from core.training.examples import Examples
from core.training.fit import Fitted, Recipe, fit_fold, predict
from core.training.pack import Pack

RECIPE = Recipe("tiny", epochs=4, batch=8, lr=0.05)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order: then equal means equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- pack ------------------------------------------------------------------------------------------------------------


def films(n: int, name: str) -> list[LabelledCase]:
    """Noise of 40 x 20 pixels; no finding, one or two."""
    rng = np.random.default_rng(len(name))
    made = []
    for index in range(n):
        study = Study((Frame(rng.random((40, 20), dtype=np.float32), "relative"),), "0" * 64, "raster")
        boxes = tuple(
            (label.id, (2.0 + index, 5.0, 8.0 + index, 30.0)) for label in data.TASK.labels[4 : 4 + index % 3]
        )
        made.append(LabelledCase(f"{name}-{index}", f"{name}-{index}", study, float(bool(boxes)), boxes=boxes))
    return made


@pytest.fixture(scope="module")
def collected() -> Pack:
    return collect("chest_lesions", films(15, "training"), films(3, "test"), {}, seed=0)


def test_collected_pack_holds_the_boxes_of_every_film(collected: Pack) -> None:
    assert collected.has_boxes
    assert (collected.images.shape, collected.images.dtype) == ((18, FILM_SIDE, FILM_SIDE), np.uint8)
    assert (collected.boxes.shape, collected.boxes.dtype) == ((18, 5), np.float32)
    assert collected.box_offsets.dtype == np.int64
    for index, own in enumerate(collected.boxes_of(np.arange(18) < 15)):
        assert own[:, 4].tolist() == [5, 6][: index % 3]
        for row in own:  # 10 columns beside the film make it square
            assert row[:4] == pytest.approx(np.array([12 + index, 5, min(18 + index, 40), 30]) * FILM_SIDE / 40)


def test_boxes_come_back_from_the_file_and_those_of_other_tasks_are_empty(collected: Pack, tmp_path: Path) -> None:
    collected.save(tmp_path / "films.npz")
    loaded = Pack.load(tmp_path / "films.npz")
    assert np.array_equal(loaded.boxes, collected.boxes)
    assert np.array_equal(loaded.box_offsets, collected.box_offsets)
    without = replace(collected, boxes=np.empty((0, 5), np.float32), box_offsets=np.empty(0, np.int64))
    assert not without.has_boxes


def test_boxes_follow_their_images() -> None:
    pack = boxed_pack(12)
    chosen = np.arange(12) % 4 == 2
    examples = Examples.of(pack, chosen)
    assert examples.boxes is not None
    assert [own[:, 4].tolist() for own in examples.boxes] == [[2], [1, 2], [2]]
    for image, own in zip(examples.images.numpy(), examples.boxes, strict=True):
        for x0, y0, x1, y1 in own[:, :4].astype(int):
            assert image[y0:y1, x0:x1].mean() > 140 > image.mean()
    x, truth = examples.augmented(learn, torch.tensor([2, 0]), torch.device("cpu"), np.random.default_rng(0))
    assert x.shape == (2, 3, SIDE, SIDE)
    for film, target in zip(x, truth, strict=True):
        ((x0, y0, x1, y1),) = target["boxes"].int().tolist()
        assert film[0, y0:y1, x0:x1].mean() > film.mean() + 0.1


# --- words in place of boxes -----------------------------------------------------------------------------------------


def half_worded(n: int) -> Pack:
    """Of every other film only the presence of the first label is known, as the boxes that it had tell it."""
    pack = boxed_pack(n)
    worded = np.arange(n) % 2 == 1
    presence = np.full((n, len(LABELS)), np.nan, np.float32)
    rows = pack.boxes_of(np.ones(n, bool))
    presence[worded, 0] = [(own[:, 4] == 1).any() for own, is_worded in zip(rows, worded, strict=True) if is_worded]
    left = [own[:0] if is_worded else own for own, is_worded in zip(rows, worded, strict=True)]
    offsets = np.cumsum([0, *map(len, left)])
    return replace(pack, boxes=np.concatenate(left), box_offsets=offsets, presence=presence)


def test_presence_follows_its_images(tmp_path: Path) -> None:
    half_worded(12).save(tmp_path / "films.npz")
    pack = Pack.load(tmp_path / "films.npz")
    assert pack.is_boxed.tolist() == [True, False] * 6
    assert boxed_pack(3).is_boxed.all()
    examples = Examples.of(pack, np.arange(12) % 3 == 0)  # 0, 3, 6, 9
    _, truth = examples.augmented(learn, torch.tensor([3, 0, 1]), torch.device("cpu"), np.random.default_rng(0))
    assert [own.get("presence", torch.zeros(0)).nan_to_num(-1).tolist() for own in truth] == [[1, -1], [], [1, -1]]
    ((_, plain),) = examples.plain(learn, torch.device("cpu"))
    assert ["presence" in own for own in plain] == [False, True, False, True]


def test_films_with_words_are_no_part_of_the_boxes_that_choose_an_epoch(tmp_path: Path) -> None:
    pack = half_worded(40)
    found = fit_fold(TASK, learn, pack, 0, replace(RECIPE, epochs=1, keep="last"), tmp_path)
    network = TinyDetector("tiny")
    network.load_state_dict(found.state)
    held = (pack.folds == 0) & pack.is_boxed
    detected = predict(network, learn, torch.from_numpy(pack.images[held])).numpy()
    images = [by_label(rows, own, len(LABELS)) for rows, own in zip(detected, pack.boxes_of(held), strict=True)]
    assert 0 < len(images) < (pack.folds == 0).sum()
    assert found.history[0]["validation_ap50"] == pytest.approx(_coco_numbers(images)[-1][1])


# --- fitting ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    torch.set_num_threads(1)
    return fit_fold(TASK, learn, boxed_pack(), 1, RECIPE, tmp_path_factory.mktemp("runs"))


def test_every_loss_is_logged_on_both_sides(fitted: Fitted) -> None:
    names = {f"{part}_{name}" for part in ("train", "validation") for name in ("loss", *LOSSES)}
    for row in fitted.history:
        assert set(row) == names | {"validation_ap50", "validation_ar", "seconds"}
        for part in ("train", "validation"):
            assert row[f"{part}_loss"] == pytest.approx(sum(row[f"{part}_{name}"] for name in LOSSES), rel=1e-5)
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]


def test_validation_is_that_of_the_networks_own_loss_and_of_coco(tmp_path: Path) -> None:
    """By the definitions: mean loss over the fold in evaluation mode, AP50 and AR of pycocotools."""
    pack = boxed_pack(60)
    recipe = replace(RECIPE, epochs=1, keep="last")
    found = fit_fold(TASK, learn, pack, 0, recipe, tmp_path)
    network = TinyDetector("tiny")
    network.load_state_dict(found.state)
    held = pack.folds == 0
    films, boxes = torch.from_numpy(pack.images[held]), pack.boxes_of(held)
    network.eval()
    with torch.no_grad():
        own = network.loss(learn.plain(films), learn.truth(boxes))
    for name in ("loss", *LOSSES):
        assert found.history[0][f"validation_{name}"] == pytest.approx(float(own[name]), rel=1e-5)
    detected = predict(network, learn, films).numpy()
    images = [by_label(rows, truth, len(LABELS)) for rows, truth in zip(detected, boxes, strict=True)]
    _, average_precision_50, average_recall = _coco_numbers(images)[-1]
    assert found.history[0]["validation_ap50"] == pytest.approx(average_precision_50)
    assert found.history[0]["validation_ar"] == pytest.approx(average_recall)


def test_stopped_run_ends_like_one_that_was_not(fitted: Fitted, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    class Stopping(TinyDetector):
        """Stops in the third epoch."""

        n_calls = 0

        def loss(self, x: torch.Tensor, targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
            Stopping.n_calls += 1
            if Stopping.n_calls > 12:
                raise Stop
            return super().loss(x, targets)

    stopping = type(TASK)(Network=Stopping)
    with pytest.raises(Stop):
        fit_fold(stopping, learn, boxed_pack(), 1, RECIPE, tmp_path)
    again = fit_fold(TASK, learn, boxed_pack(), 1, RECIPE, tmp_path)
    assert again.kept_epoch == fitted.kept_epoch
    for row, other in zip(again.history, fitted.history, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    assert all(torch.equal(value, again.state[name]) for name, value in fitted.state.items())


def test_fold_without_a_box_has_no_precision(tmp_path: Path) -> None:
    pack = boxed_pack(20)
    boxes = [own if fold else own[:0] for own, fold in zip(pack.boxes_of(pack.folds >= 0), pack.folds, strict=True)]
    pack = replace(pack, boxes=np.concatenate(boxes), box_offsets=np.cumsum([0, *map(len, boxes)]))
    (row,) = fit_fold(TASK, learn, pack, 0, replace(RECIPE, epochs=1), tmp_path).history
    assert "validation_ap50" not in row
    assert np.isfinite(row["validation_loss"])


def test_labels_without_a_reference_box_do_not_count() -> None:
    box = [[10.0, 10.0, 20.0, 20.0]]
    nothing = image_boxes([], box, [0.9])
    assert average_precision_and_recall([[image_boxes(box, box, [0.5]), nothing]]) == (pytest.approx(1.0), 1.0)
    assert average_precision_and_recall([[nothing]]) is None
