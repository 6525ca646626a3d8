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
from torch import Tensor

from core.records import LabelledCase
from core.tasks.hip_osteoporosis import learn, network
from core.tasks.hip_osteoporosis.task import MEAN, SD, STORED_HIGH, STORED_LOW
from core.training import fit
from core.training.collect import FOLDS, HELD_OUT, collect, patient_folds, pixel_hash
from core.training.fit import Fitted, Recipe, epoch_order, fit_fold, predict
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
    assert pack.pixel_hashes.tolist() == [pixel_hash(case.study) for case in (*training, *test)]
    assert len(set(pack.pixel_hashes)) == 24
    assert json.loads(pack.facts[0]) == {"task": "hip_osteoporosis", "seed": 1, "licence": "none"}


def test_patient_in_training_and_test_is_refused() -> None:
    training = [labelled(index, f"patient-{index}") for index in range(10)]
    with pytest.raises(ValueError, match="training and in test"):
        collect("hip_osteoporosis", training, [labelled(10, "patient-3")], {}, seed=1)


def test_pack_comes_back_from_its_file(tmp_path: Path) -> None:
    pack = textured(10)
    pack.save(tmp_path / "cases.npz")
    loaded = Pack.load(tmp_path / "cases.npz")
    for name, value in asdict(pack).items():
        assert np.array_equal(getattr(loaded, name), value)
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
    assert fitted.best_epoch == expected.best_epoch
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


def test_checkpoint_of_another_recipe_is_not_continued(tmp_path: Path) -> None:
    pack = textured(10)
    fit_fold(TINY, learn, pack, 0, Recipe(epochs=1), tmp_path)
    with pytest.raises(SystemExit, match="another recipe"):
        fit_fold(TINY, learn, pack, 0, Recipe(epochs=2), tmp_path)


def test_best_epoch_has_the_lowest_validation_loss_and_its_weights(tmp_path: Path) -> None:
    pack = textured(25)
    fitted = fit_fold(TINY, learn, pack, 1, replace(RECIPE, lr=0.3), tmp_path)
    validation = [epoch["validation_loss"] for epoch in fitted.history]
    assert fitted.best_loss == min(validation)
    assert fitted.best_epoch == int(np.argmin(validation))
    best = TinyNetwork(4)
    best.load_state_dict(fitted.state)
    held = pack.folds == 1
    logits = predict(best, learn, torch.from_numpy(pack.images[held]))[:, 0].double()
    p = torch.sigmoid(logits).numpy()
    expected = -np.mean(np.where(pack.targets[held] == 1, np.log(p), np.log(1 - p)))
    assert fitted.best_loss == pytest.approx(expected, abs=1e-5)


def test_last_batch_of_one_case_is_left_out(tmp_path: Path) -> None:
    sizes = []

    def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
        sizes.append(len(stored))
        return learn.augment(stored, rng)

    pack = textured(20)  # 16 in training
    fit_fold(TINY, SimpleNamespace(augment=augment, plain=learn.plain), pack, 0, Recipe(epochs=1), tmp_path)
    assert Counter(sizes) == {5: 3}


def test_prediction_does_not_depend_on_the_batch() -> None:
    net, images = TinyNetwork(4), torch.from_numpy(textured(10).images)
    assert torch.allclose(predict(net, learn, images, 3), predict(net, learn, images, 10), atol=1e-6)
    assert not net.training


@pytest.mark.parametrize("sampler", ["none", "weighted"])
def test_easy_set_is_learnt(tmp_path: Path, sampler: str) -> None:
    pack = textured(60, seed=1)
    recipe = Recipe(epochs=8, lr=0.05, sampler=sampler)
    fitted = fit_fold(TINY, learn, pack, 3, recipe, tmp_path)
    assert fitted.history[0]["train_loss"] > 0.5
    assert fitted.best_loss < 0.2
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
    assert fitted.best_loss > 0.5


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
