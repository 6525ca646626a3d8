"""Training: no patient on both sides, the reference's recipe by default, and a stopped run ends like one that was not."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from factory import TinyNetwork, hip_phantoms
from scipy.special import softmax
from tiny_grader import LEARN, PENALTY, TASK, TinyGrader, graded_pack
from torch import Tensor

from core.errors import UsageError
from core.imaging.imagenet import MEAN, SD
from core.records import Frame, LabelledCase, Study
from core.tasks.hip_osteoporosis import learn, network
from core.tasks.hip_osteoporosis.task import STORED_HIGH, STORED_LOW
from core.training import collect as collecting
from core.training import examples, fit
from core.training.collect import FOLDS, HELD_OUT, collect, patient_folds
from core.training.fit import Fitted, Recipe, epoch_order, fit_fold, kept_state, predict
from core.training.pack import Pack

SIDE = 288
ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (  # of requirements.txt, with what the kept ones do not bring
    *(
        "pydantic",
        "babel",
        "scipy",
        "sklearn",
        "pandas",
        "pydicom",
        "gdcm",
        "openjpeg",
        "jpeg_ls",
        "h5py",
        "plotly",
        "streamlit",
    ),
    *("pytorch_grad_cam", "cv2", "matplotlib"),
)
TINY = SimpleNamespace(Network=lambda name, pretrained: TinyNetwork(4))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order: then equal means equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pack_of(images: np.ndarray, targets: np.ndarray, folds: np.ndarray | None = None) -> Pack:
    n = len(targets)
    names = np.array([f"case-{index}" for index in range(n)])
    return Pack(
        images=images,
        targets=targets.astype(np.float32),
        cases=names,
        patients=names,
        folds=np.arange(n) % FOLDS if folds is None else folds,
        markers=np.zeros((n, 0), np.float32),
        references=np.full(n, np.nan, np.float32),
        pixel_hashes=names,
        facts=np.array([json.dumps({"task": "hip_osteoporosis"})]),
    )


def textured(n: int, seed: int = 0) -> Pack:
    """Half the images with fine stripes, half with coarse ones: easy to tell."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) // FOLDS % 2
    rows = np.arange(SIDE)[:, None] + np.zeros(SIDE)
    periods = np.where(targets == 1, 6.0, 48.0) * rng.uniform(0.9, 1.1, n)
    waves = [
        128 + 60 * np.sin(2 * np.pi * rows / p + rng.uniform(0, 6)) + 8 * rng.standard_normal(rows.shape)
        for p in periods
    ]
    return pack_of(np.clip(np.stack(waves), 0, 255).astype(np.uint8), targets)


# --- folds and packs -------------------------------------------------------------------------------------------------


def test_folds_never_split_a_patient_and_are_balanced() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(150), rng.integers(1, 5, 150))
    targets = (rng.random(len(patients)) < 0.45).astype(np.float32)
    folds = patient_folds(targets, patients, seed=3)
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    assert all(len(set(folds[patients == patient])) == 1 for patient in set(patients))
    for fold in range(FOLDS):
        assert np.mean(folds == fold) == pytest.approx(1 / FOLDS, abs=0.03)
        assert targets[folds == fold].mean() == pytest.approx(targets.mean(), abs=0.05)
    assert np.array_equal(folds, patient_folds(targets, patients, seed=3))
    assert not np.array_equal(folds, patient_folds(targets, patients, seed=4))


def labelled(index: int, patient: str) -> LabelledCase:
    phantom = hip_phantoms()[1][index]
    return LabelledCase(f"case-{index}", patient, phantom.study(), float(index % 2), tuple(phantom.markers.values()))


def test_collected_pack_holds_every_case_with_its_fold() -> None:
    training = [labelled(index, f"patient-{index // 2}") for index in range(20)]
    test = [labelled(index, f"other-{index}") for index in range(20, 24)]
    pack = collect("hip_osteoporosis", training, test, {"licence": "none"}, seed=1)
    assert (pack.images.shape, pack.images.dtype) == ((24, SIDE, SIDE), np.uint8)
    assert pack.cases.tolist() == [case.case_id for case in (*training, *test)]
    assert pack.folds[20:].tolist() == [HELD_OUT] * 4
    assert set(pack.folds[:20]) == set(range(FOLDS))
    for patient in set(pack.patients[:20]):
        assert len(set(pack.folds[pack.patients == patient])) == 1
    assert pack.markers == pytest.approx(np.array([case.markers for case in (*training, *test)]), abs=1e-6)
    assert pack.pixel_hashes.tolist() == [case.study.pixel_hash for case in (*training, *test)]
    assert len(set(pack.pixel_hashes)) == 24
    assert json.loads(pack.facts[0]) == {"task": "hip_osteoporosis", "seed": 1, "licence": "none"}


def test_patient_in_training_and_test_is_refused() -> None:
    training = [labelled(index, f"patient-{index}") for index in range(10)]
    with pytest.raises(ValueError, match="training and in test"):
        collect("hip_osteoporosis", training, [labelled(10, "patient-3")], {}, seed=1)


def small_case(index: int, **facts: Any) -> LabelledCase:
    study = Study((Frame(np.full((8, 8), index, np.float32), "HU"),), "0" * 64, "dicom", {})
    return LabelledCase(f"case-{index}", f"patient-{index}", study, float(index % 2), **facts)


def collect_small(
    monkeypatch: pytest.MonkeyPatch, training: list[LabelledCase], test: list[LabelledCase] | tuple[()] = ()
) -> Pack:
    stored = SimpleNamespace(training_array=lambda case: case.study.frame.pixels.astype(np.int16))
    monkeypatch.setattr(collecting, "part", lambda task, name, auxiliary: stored)
    return collect("ct_osteoporosis", training, test, {}, seed=0)


def test_real_cases_beside_phantoms_have_no_markers_and_may_have_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = [small_case(index, markers=(index / 2, -1.0)) for index in range(10)]
    real = [small_case(10, reference=142.5), small_case(11)]
    held_out = [small_case(12, markers=(3.0, 4.0))]
    pack = collect_small(monkeypatch, [*phantoms, *real], held_out)
    assert (pack.images.dtype, pack.images.shape) == (np.int16, (13, 8, 8))
    assert pack.images[:, 0, 0].tolist() == list(range(13))
    assert pack.markers[:10] == pytest.approx(np.column_stack([np.arange(10) / 2, np.full(10, -1.0)]))
    assert np.isnan(pack.markers[10:12]).all()
    assert pack.markers[12].tolist() == [3, 4]
    assert np.isnan(pack.references).tolist() == [True] * 10 + [False, True, True]
    assert pack.references[10] == 142.5


def test_real_cases_alone_have_no_marker_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = collect_small(monkeypatch, [small_case(index) for index in range(10)])
    assert pack.markers.shape == (10, 0)
    assert pack.folds.min() == 0


def test_pack_comes_back_from_its_file(tmp_path: Path) -> None:
    pack = textured(10)
    pack.save(tmp_path / "cases.npz")
    loaded = Pack.load(tmp_path / "cases.npz")
    for name, value in asdict(pack).items():
        assert np.array_equal(getattr(loaded, name), value, equal_nan=value.dtype.kind == "f")
        assert getattr(loaded, name).dtype == value.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["cases.npz"]


def test_pack_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    facts = {**asdict(textured(10)), "facts": np.array([{"a": 1}], object)}
    np.savez(tmp_path / "cases.npz", **facts)
    with pytest.raises(ValueError, match="allow_pickle"):
        Pack.load(tmp_path / "cases.npz")


# --- recipe and samplers ---------------------------------------------------------------------------------------------


def test_defaults_are_the_reference_recipe() -> None:
    """METHODS A1, items 13 and 14: five folds, 50 epochs, batches of 5, SGD 0.001, StepLR 15; ResNet18 was chosen."""
    recipe = Recipe()
    assert FOLDS == 5
    assert (recipe.architecture, recipe.epochs, recipe.batch, recipe.lr) == ("resnet18", 50, 5, 1e-3)
    assert (recipe.schedule, recipe.step, recipe.sampler) == ("step", 15, "none")
    assert (recipe.momentum, recipe.weight_decay, recipe.pretrained) == (0.9, 0.0, False)


def test_learning_rate_steps_like_torchs_step_lr() -> None:
    recipe = Recipe()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], recipe.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.1)
    for epoch in range(50):
        assert fit._learning_rate(recipe, epoch, 0.5) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_cosine_warms_up_and_falls_to_zero() -> None:
    recipe = Recipe(schedule="cosine", epochs=10, lr=0.1)
    rates = [fit._learning_rate(recipe, epoch, share) for epoch in range(10) for share in (0.0, 0.5)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert fit._learning_rate(recipe, 9, 1.0) == pytest.approx(0, abs=1e-9)


TARGETS = np.array([1] * 30 + [0] * 90, np.float32)


def test_no_sampler_takes_every_case_once_in_random_order() -> None:
    order = epoch_order(TARGETS, "none", np.random.default_rng(0))
    assert sorted(order) == list(range(120))
    assert order.tolist() != list(range(120))
    assert np.array_equal(order, epoch_order(TARGETS, "none", np.random.default_rng(0)))
    assert not np.array_equal(order, epoch_order(TARGETS, "none", np.random.default_rng(1)))


@pytest.mark.parametrize("targets", [TARGETS, 1 - TARGETS])
def test_undersampling_takes_as_many_of_the_larger_class_as_of_the_smaller(targets: np.ndarray) -> None:
    order = epoch_order(targets, "under", np.random.default_rng(0))
    assert len(order) == len(set(order)) == 60
    assert targets[order].sum() == 30
    assert set(order) != set(epoch_order(targets, "under", np.random.default_rng(1)))


def test_weighted_sampling_draws_both_classes_alike() -> None:
    draws = np.concatenate([epoch_order(TARGETS, "weighted", np.random.default_rng(seed)) for seed in range(20)])
    assert len(draws) == 20 * 120
    assert TARGETS[draws].mean() == pytest.approx(0.5, abs=0.04)
    assert set(draws) == set(range(120))


GRADES = np.repeat([0, 1, 2], [50, 20, 10]).astype(np.float32)


def test_undersampling_takes_as_many_of_every_grade_as_of_the_rarest() -> None:
    order = epoch_order(GRADES, "under", np.random.default_rng(0))
    assert len(set(order)) == len(order)
    assert np.bincount(GRADES[order].astype(int)).tolist() == [10, 10, 10]
    assert np.count_nonzero(np.diff(GRADES[order])) > 10  # mixed, not grade by grade


def test_weighted_sampling_draws_every_grade_alike() -> None:
    draws = np.concatenate([epoch_order(GRADES, "weighted", np.random.default_rng(seed)) for seed in range(40)])
    assert len(draws) == 40 * len(GRADES)
    assert np.bincount(GRADES[draws].astype(int)) / len(draws) == pytest.approx([1 / 3] * 3, abs=0.025)
    assert set(draws) == set(range(len(GRADES)))


def test_positives_are_four_of_five_draws_however_rare_they_are() -> None:
    draws = np.concatenate([epoch_order(GRADES, "positives", np.random.default_rng(seed)) for seed in range(40)])
    assert len(draws) == 40 * len(GRADES)
    assert np.mean(GRADES[draws] != 0) == pytest.approx(0.8, abs=0.025)
    own = draws[GRADES[draws] != 0]
    shares = np.bincount(own, minlength=len(GRADES))[GRADES != 0] / len(own)
    assert shares == pytest.approx(1 / np.count_nonzero(GRADES), abs=0.02)  # each case alike, not each class
    assert set(epoch_order(np.ones(8, np.float32), "positives", np.random.default_rng(0))) <= set(range(8))


# --- augmentation ----------------------------------------------------------------------------------------------------


def shown(batch: Tensor) -> np.ndarray:
    """Grey values of network input, (N, 224, 224)."""
    return batch.numpy()[:, 0] * SD[0] + MEAN[0]


def bar(n: int) -> Tensor:
    """A bright vertical bar, twice as long as it is wide or more, on black."""
    low, full = (round(255 * (value - STORED_LOW) / (STORED_HIGH - STORED_LOW)) for value in (0.0, 0.7))
    image = np.full((SIDE, SIDE), low, np.uint8)
    image[84:204, 134:154] = full
    return torch.from_numpy(np.repeat(image[None], n, axis=0))


def bars_of(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angle (degrees), length (pixels) and centre (n, 2) by moments."""
    rows, columns = np.indices(images.shape[1:])
    angles, lengths, centres = [], [], []
    for image in np.where(images > 0.3, images, 0):
        y, x = (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()
        yy, xx, xy = (
            (image * a * b).sum() / image.sum()
            for a, b in ((rows - y, rows - y), (columns - x, columns - x), (rows - y, columns - x))
        )
        angles.append(np.rad2deg(0.5 * np.arctan2(2 * xy, yy - xx)))
        lengths.append(np.sqrt(12 * np.linalg.eigvalsh([[yy, xy], [xy, xx]])[1]))
        centres.append((x, y))
    return np.array(angles), np.array(lengths), np.array(centres)


def test_augmentation_turns_within_twenty_degrees_and_moves_a_little() -> None:
    rng = np.random.default_rng(2)
    found = [bars_of(shown(learn.augment(bar(40), rng))) for _ in range(6)]
    angles, lengths, centres = (np.concatenate(column) for column in zip(*found, strict=True))
    assert np.abs(angles).max() <= 20.5
    assert angles.max() > 17
    assert angles.min() < -17
    assert angles.mean() == pytest.approx(0, abs=3.5)
    (plain_length,) = bars_of(shown(learn.plain(bar(1))))[1]
    assert lengths / plain_length == pytest.approx(1, abs=0.075)
    assert np.ptp(lengths) > 0.08 * plain_length
    assert np.abs(centres - 111.5).max() <= 0.04 * 224 * 1.5
    assert np.abs(centres - 111.5).max() > 0.02 * 224


def test_augmentation_changes_the_brightness_of_three_in_ten_by_at_most_five_percent() -> None:
    stored = torch.full((60, SIDE, SIDE), 128, dtype=torch.uint8)
    base = float(shown(learn.plain(stored[:1])).mean())
    rng = np.random.default_rng(4)
    changes = np.concatenate([shown(learn.augment(stored, rng)).mean(axis=(1, 2)) - base for _ in range(8)])
    touched = np.abs(changes) > 1e-4
    assert touched.mean() == pytest.approx(0.3, abs=0.065)  # three standard errors
    assert 0.04 < np.abs(changes).max() <= 0.0501
    assert changes[touched].mean() == pytest.approx(0, abs=0.01)


def test_augmentation_leaves_no_blank_corner() -> None:
    """The stored context fills what turning uncovers."""
    stored = torch.full((40, SIDE, SIDE), 200, dtype=torch.uint8)
    values = shown(learn.augment(stored, np.random.default_rng(0)))
    assert np.ptp(values, axis=(1, 2)).max() < 1e-4


def test_same_generator_gives_the_same_augmentation() -> None:
    stored = torch.from_numpy(textured(4).images)
    first, second, third = (learn.augment(stored, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_validation_is_never_augmented_and_never_trained_on(tmp_path: Path) -> None:
    """Every image carries its number as its grey value."""
    n = 20
    numbers = 5 + 10 * np.arange(n)
    images = np.repeat(numbers[:, None, None], SIDE, axis=1).repeat(SIDE, axis=2).astype(np.uint8)
    folds = np.arange(n) % FOLDS
    folds[-3:] = HELD_OUT
    augmented, plain = set(), set()

    def numbers_in(stored: Tensor) -> set[int]:
        return {(int(value) - 5) // 10 for value in stored[:, 0, 0]}

    def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
        augmented.update(numbers_in(stored))
        return learn.augment(stored, rng)

    def unchanged(stored: Tensor) -> Tensor:
        plain.update(numbers_in(stored))
        return learn.plain(stored)

    spy = SimpleNamespace(augment=augment, plain=unchanged)
    fit_fold(TINY, spy, pack_of(images, np.arange(n) % 2, folds), 2, Recipe(epochs=2), tmp_path)
    assert plain == set(np.flatnonzero(folds == 2))
    assert augmented == set(np.flatnonzero((folds >= 0) & (folds != 2)))


# --- fitting ---------------------------------------------------------------------------------------------------------

RECIPE = Recipe(epochs=4, lr=0.02, step=2, seed=7)


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


def dies_at(call: int) -> Any:
    """The task's learn.py, killed in the middle of an epoch."""
    count = 0

    def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
        nonlocal count
        count += 1
        if count == call:
            raise Killed
        return learn.augment(stored, rng)

    return SimpleNamespace(augment=augment, plain=learn.plain)


def losses(fitted: Fitted) -> list[tuple[float, float]]:
    return [(epoch["train_loss"], epoch["validation_loss"]) for epoch in fitted.history]


def assert_same(fitted: Fitted, expected: Fitted) -> None:
    assert len(fitted.history) == len(expected.history) == RECIPE.epochs
    assert np.abs(np.array(losses(fitted)) - np.array(losses(expected))).max() <= 1e-6
    assert fitted.kept_epoch == expected.kept_epoch
    assert fitted.state.keys() == expected.state.keys()
    for name, value in expected.state.items():
        assert torch.allclose(fitted.state[name].float(), value.float(), atol=1e-6), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    torch.set_num_threads(1)
    return fit_fold(TINY, learn, textured(25), 0, RECIPE, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("call", [2, 6, 11], ids=["first epoch", "second epoch", "third epoch"])
def test_run_killed_in_an_epoch_ends_like_an_uninterrupted_one(
    uninterrupted: Fitted, tmp_path: Path, call: int
) -> None:
    with pytest.raises(Killed):
        fit_fold(TINY, dies_at(call), textured(25), 0, RECIPE, tmp_path)
    assert_same(fit_fold(TINY, learn, textured(25), 0, RECIPE, tmp_path), uninterrupted)


def test_run_killed_while_it_writes_a_checkpoint_ends_like_an_uninterrupted_one(
    uninterrupted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = fit.save_file, []

    def half(tensors: dict[str, Tensor], path: Path) -> None:
        write(tensors, path)
        written.append(path)
        if len(written) == 2:
            content = Path(path).read_bytes()
            Path(path).write_bytes(content[: len(content) // 2])
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_file", half)
        with pytest.raises(Killed):
            fit_fold(TINY, learn, textured(25), 0, RECIPE, tmp_path)
    assert_same(fit_fold(TINY, learn, textured(25), 0, RECIPE, tmp_path), uninterrupted)


def test_finished_run_is_not_trained_again(uninterrupted: Fitted, tmp_path: Path) -> None:
    fit_fold(TINY, learn, textured(25), 0, RECIPE, tmp_path)
    assert_same(fit_fold(TINY, dies_at(1), textured(25), 0, RECIPE, tmp_path), uninterrupted)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "rmsprop"])
def test_every_optimizer_remembers_over_a_kill(tmp_path: Path, optimizer: Any) -> None:
    """With dropout, whose draws a resumed run must repeat too."""
    pack = graded_pack()
    recipe = Recipe(
        "tiny", 4, 7, optimizer, 0.03, weight_decay=0.01, average=0.9, keep="last", options={"dropout": 0.5}
    )
    whole = fit_fold(TASK, LEARN, pack, 0, recipe, tmp_path / "whole")
    calls = 0

    def dies(stored: Tensor, rng: np.random.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 15:  # of 6 an epoch: in the third
            raise Killed
        return LEARN.augment(stored, rng)

    stopped = SimpleNamespace(augment=dies, plain=LEARN.plain)
    with pytest.raises(Killed):
        fit_fold(TASK, stopped, pack, 0, recipe, tmp_path / "killed")
    assert (tmp_path / "killed" / "checkpoint-002.safetensors").is_file()
    torch.rand(5)  # whatever else drew numbers meanwhile
    resumed = fit_fold(TASK, LEARN, pack, 0, recipe, tmp_path / "killed")
    assert np.array(losses(resumed)) == pytest.approx(np.array(losses(whole)), abs=1e-6)
    for name, value in whole.state.items():
        assert torch.allclose(resumed.state[name].float(), value.float(), atol=1e-6), name
    fresh = fit_fold(TASK, LEARN, pack, 0, replace(recipe, epochs=3), tmp_path / "shorter")
    assert not torch.equal(fresh.state["last.weight"], whole.state["last.weight"])


def test_checkpoint_of_another_recipe_is_not_continued(tmp_path: Path) -> None:
    pack = textured(10)
    fit_fold(TINY, learn, pack, 0, Recipe(epochs=1), tmp_path)
    with pytest.raises(SystemExit, match="another recipe"):
        fit_fold(TINY, learn, pack, 0, Recipe(epochs=2), tmp_path)


def test_kept_epoch_has_the_lowest_validation_loss_and_its_weights(tmp_path: Path) -> None:
    pack = textured(25)
    fitted = fit_fold(TINY, learn, pack, 1, replace(RECIPE, lr=0.3), tmp_path)
    validation = [epoch["validation_loss"] for epoch in fitted.history]
    assert fitted.kept_loss == min(validation)
    assert fitted.kept_epoch == int(np.argmin(validation))
    best = TinyNetwork(4)
    best.load_state_dict(fitted.state)
    held = pack.folds == 1
    logits = predict(best, learn, torch.from_numpy(pack.images[held]))[:, 0].double()
    p = torch.sigmoid(logits).numpy()
    expected = -np.mean(np.where(pack.targets[held] == 1, np.log(p), np.log(1 - p)))
    assert fitted.kept_loss == pytest.approx(expected, abs=1e-5)


def test_last_epoch_is_kept_where_nothing_may_be_chosen(tmp_path: Path) -> None:
    pack = graded_pack()
    recipe = Recipe("tiny", epochs=5, lr=0.8, seed=3)
    best = fit_fold(TASK, LEARN, pack, 1, recipe, tmp_path / "best")
    last = fit_fold(TASK, LEARN, pack, 1, replace(recipe, keep="last"), tmp_path / "last")
    assert losses(best) == losses(last)
    assert best.kept_epoch == int(np.argmin([epoch["validation_loss"] for epoch in best.history])) < 4
    assert last.kept_epoch == 4
    for fitted, name in ((best, "best"), (last, "last")):  # what evaluation loads is what was kept
        state = kept_state(tmp_path / name)
        assert all(torch.equal(state[key], value) for key, value in fitted.state.items())
    assert last.kept_loss == last.history[4]["validation_loss"] > best.kept_loss
    assert last.kept_loss == pytest.approx(own_loss(last, pack, 1), abs=1e-5)
    assert best.kept_loss == pytest.approx(own_loss(best, pack, 1), abs=1e-5)


def own_loss(fitted: Fitted, pack: Pack, fold: int) -> float:
    """Loss of a TinyGrader on a fold by its definition, cross-entropy and penalty."""
    net = TinyGrader("tiny")
    net.load_state_dict(fitted.state)
    held = pack.folds == fold
    logits = predict(net, LEARN, torch.from_numpy(pack.images[held])).double().numpy()
    chosen = softmax(logits, axis=1)[np.arange(held.sum()), pack.targets[held].astype(int)]
    return float(-np.log(chosen).mean() + PENALTY * float(fitted.state["alpha"]) ** 2)


def test_validation_loss_is_the_networks_own_over_all_batches(tmp_path: Path) -> None:
    """69 cases: one batch of 64 and one of 5 that must not weigh as much."""
    pack = graded_pack(345)
    fitted = fit_fold(TASK, LEARN, pack, 2, Recipe("tiny", epochs=1, batch=50, lr=0.01), tmp_path)
    assert np.count_nonzero(pack.folds == 2) == 69
    assert fitted.kept_loss == pytest.approx(own_loss(fitted, pack, 2), abs=1e-5)


def test_network_is_built_with_the_options_of_the_recipe(tmp_path: Path) -> None:
    recipe = Recipe("tiny", epochs=1, options={"width": 7})
    assert fit_fold(TASK, LEARN, graded_pack(20), 0, recipe, tmp_path).state["last.weight"].shape == (3, 7)
    with pytest.raises(SystemExit, match="another recipe"):
        fit_fold(TASK, LEARN, graded_pack(20), 0, replace(recipe, options={"width": 6}), tmp_path)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        ("sgd", torch.optim.SGD),
        ("adam", torch.optim.Adam),
        ("adagrad", torch.optim.Adagrad),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimizer_follows_the_recipe_and_decays_no_scalar(optimizer: Any, kind: type[torch.optim.Optimizer]) -> None:
    net = TinyGrader("tiny")
    recipe = Recipe("tiny", optimizer=optimizer, lr=0.002, momentum=0.7, weight_decay=0.1)
    made = fit._build_optimizer(net, recipe)
    assert type(made) is kind
    assert {group["lr"] for group in made.param_groups} == {0.002}
    assert {group.get("momentum", 0.7) for group in made.param_groups} == {0.7}
    grouped = [id(parameter) for group in made.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in net.parameters())
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():  # decay is all that is left to move anything
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    assert torch.equal(net.alpha, before["alpha"])
    for name in ("last.weight", "body.0.weight"):
        now = dict(net.named_parameters())[name].detach()
        assert float(now.abs().sum()) < float(before[name].abs().sum()), name


def test_average_follows_the_weights_as_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replayed by hand from the weights after every step; the first steps forget more, so that the start does not linger."""
    seen: list[dict[str, Tensor]] = []
    follow = fit._follow

    def watched(average: torch.nn.Module, network: torch.nn.Module, keeps: float) -> None:
        if not seen:
            seen.append({name: value.clone() for name, value in average.state_dict().items()})
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        follow(average, network, keeps)

    monkeypatch.setattr(fit, "_follow", watched)
    fitted = fit_fold(TASK, LEARN, graded_pack(), 0, Recipe("tiny", 2, 7, lr=0.05, average=0.6, keep="last"), tmp_path)
    name, steps = "last.weight", seen[1:]
    assert len(steps) == 12
    by_hand = seen[0][name].double()
    for step, weights in enumerate(steps):
        keeps = min(0.6, (step + 1) / (step + 10))
        by_hand = keeps * by_hand + (1 - keeps) * weights[name].double()
    torch.testing.assert_close(fitted.state[name].double(), by_hand, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(fitted.state[name], steps[-1][name], atol=1e-4)


def test_training_starts_from_the_weights_kept_elsewhere(tmp_path: Path) -> None:
    pack, recipe = graded_pack(), Recipe("tiny", 1, 7, lr=0.05, keep="last")
    first = fit_fold(TASK, LEARN, pack, 0, recipe, tmp_path / "first")
    still = replace(recipe, lr=0.0, start=str(tmp_path / "first"))
    second = fit_fold(TASK, LEARN, pack, 1, still, tmp_path / "second")
    assert torch.equal(second.state["last.weight"], first.state["last.weight"])
    with pytest.raises(UsageError, match="holds no checkpoint"):
        fit_fold(TASK, LEARN, pack, 1, replace(still, start=str(tmp_path / "none")), tmp_path / "third")


def test_last_batch_of_one_case_is_left_out(tmp_path: Path) -> None:
    sizes = []

    def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
        sizes.append(len(stored))
        return learn.augment(stored, rng)

    pack = textured(20)  # 16 in training
    fit_fold(TINY, SimpleNamespace(augment=augment, plain=learn.plain), pack, 0, Recipe(epochs=1), tmp_path)
    assert Counter(sizes) == {5: 3}


def test_batches_of_one_case_leave_none_out_and_a_fold_without_folder_ends_alike(tmp_path: Path) -> None:
    pack, recipe = graded_pack(20), Recipe("tiny", 2, 1, lr=0.01)
    kept = fit_fold(TASK, LEARN, pack, 0, recipe, tmp_path)
    unkept = fit_fold(TASK, LEARN, pack, 0, recipe, None)
    assert losses(unkept) == losses(kept)
    assert kept.history[0]["train_loss"] > 0
    assert not torch.equal(
        kept.state["last.weight"], fit_fold(TASK, LEARN, pack, 0, replace(recipe, lr=0.0), None).state["last.weight"]
    )


def test_prediction_does_not_depend_on_what_is_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = TinyNetwork(4), torch.from_numpy(textured(10).images)
    together = predict(net, learn, images)
    monkeypatch.setattr(examples, "ANSWERED_PIXELS", 3 * images[0].numel())
    assert torch.allclose(predict(net, learn, images), together, atol=1e-6)
    assert not net.training


@pytest.mark.parametrize("sampler", ["none", "weighted"])
def test_easy_set_is_learnt(tmp_path: Path, sampler: str) -> None:
    pack = textured(60, seed=1)
    recipe = Recipe(epochs=8, lr=0.05, sampler=sampler)
    fitted = fit_fold(TINY, learn, pack, 3, recipe, tmp_path)
    assert fitted.history[0]["train_loss"] > 0.5
    assert fitted.kept_loss < 0.2
    net = TinyNetwork(4)
    net.load_state_dict(fitted.state)
    unseen = textured(20, seed=9)
    answers = predict(net, learn, torch.from_numpy(unseen.images))[:, 0] > 0
    assert np.array_equal(answers.numpy(), unseen.targets == 1)


def test_shuffled_labels_are_not_learnt(tmp_path: Path) -> None:
    """The same set would be learnt if a validation case leaked into training."""
    pack = textured(60, seed=1)
    shuffled = replace(pack, targets=np.random.default_rng(1).permutation(pack.targets))
    fitted = fit_fold(TINY, learn, shuffled, 3, Recipe(epochs=8, lr=0.05), tmp_path)
    assert fitted.kept_loss > 0.5


def test_hip_network_trains_with_the_loop(tmp_path: Path) -> None:
    module: ModuleType = network
    torch.set_num_threads(2)
    fitted = fit_fold(module, learn, textured(10), 0, Recipe(epochs=1), tmp_path)
    assert np.isfinite(losses(fitted)).all()
    fresh = network.Network("resnet18")
    fresh.load_state_dict(fitted.state)
    assert sum(p.numel() for p in fresh.parameters()) == 11_177_025


def test_training_from_a_pack_needs_only_torch_and_its_kin(tmp_path: Path) -> None:
    """A lent machine has torch, torchvision, timm, safetensors, NumPy and what they bring; the rest must not be asked for."""
    pack, runs = tmp_path / "pack.npz", tmp_path / "runs"
    textured(10).save(pack)
    recipe = ["--fold", "0", "--epochs", "1", "--batch", "4", "--fit-only", "--runs", str(runs)]
    code = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_present(name, path=None, target=None):
    return None if name.partition(".")[0] in {LEFT_OUT!r} else find(name, path, target)
PathFinder.find_spec = find_present
from core.cli.main import main
sys.exit(main({["train", "hip_osteoporosis", "--packed", str(pack), *recipe]!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (runs / "hip_osteoporosis" / "resnet18" / "fold_0" / "checkpoint.json").is_file()
