"""Experiments: sound declarations, figures as published, runs that resume, and tables that follow from runs.csv."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_boxes import boxed_pack
from tiny_grader import LEARN, TASK, graded_pack

from core import registry
from core.errors import UsageError
from core.experiments import run
from core.experiments.catalogue import EXPERIMENTS, experiment
from core.experiments.chest import ONE_STAGE
from core.experiments.copies import with_copies
from core.experiments.declaration import Arm, Experiment, Published, Size
from core.experiments.detectors import Network as Detectors
from core.experiments.inputs import learner
from core.experiments.measures import measured, of_boxes, of_grades, of_pixels
from core.experiments.packs import shrunk
from core.experiments.protocols import PROTOCOLS, TRAINING, VALIDATION, arranged
from core.experiments.run import Plan, run_experiment
from core.experiments.summary import DIVERGED, FINISHED, summarise
from core.experiments.three_classes import Network as ThreeClasses
from core.experiments.three_classes import scores as three_class_scores
from core.metrics.pixel_histogram import pixel_histogram
from core.tasks.ct_osteoporosis.network import scores as ct_scores
from core.tasks.hip_osteoporosis import data as hip_data
from core.tasks.retina_lesions import data as retina_data
from core.training.collect import FOLDS, HELD_OUT
from core.training.fit import Recipe, fit_fold
from core.training.pack import Pack

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted(path.parent for path in (ROOT / "results").glob("*/summary.json"))
FILES = {"runs.csv", "curves.csv", "unseen.csv", "summary.json", "command.txt", "environment.json"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order: then equal means equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- declarations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_declaration_is_sound(declared: Experiment) -> None:
    task = registry.task(declared.task)
    assert declared.id.split("_")[0] == task.id.split("_")[0]
    assert set(declared.protocols) <= set(PROTOCOLS)
    assert "by_patient" in declared.protocols, "no careful protocol"
    names = [arm.name for arm in declared.arms]
    assert len(names) == len(set(names))
    known = {field.name for field in fields(Recipe)} - {"seed"}
    for is_fast in (True, False):
        made = [
            (Recipe(**declared.recipe_of(arm, is_fast=is_fast)), arm.augmented, arm.protocols, arm.cases)
            for arm in declared.arms_of(is_fast=is_fast)
        ]
        assert all(set(declared.recipe_of(arm, is_fast=is_fast)) <= known for arm in declared.arms)
        assert all(a != b for i, a in enumerate(made) for b in made[:i]), "two arms that train alike"
    assert declared.fast.n_training < declared.size.n_training
    assert set(declared.fast.folds) <= set(declared.size.folds) <= set(range(FOLDS))
    for cases in {declared.cases, *(arm.cases for arm in declared.arms if arm.cases)}:
        assert hasattr(registry.part(declared.task, "data"), cases)


@pytest.mark.parametrize("declared", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_arm_can_be_built(declared: Experiment) -> None:
    """The arms' options are those of their networks; networks are built without memory for their weights."""
    network = run.network_of(declared)
    for arm in declared.arms:
        recipe = Recipe(**declared.recipe_of(arm, is_fast=True))
        if not arm.name.startswith(("RetinaNet", "Faster")) and declared.task != "ct_osteoporosis":
            with torch.device("meta"):
                assert network.Network(recipe.architecture, **recipe.options)


# What METHODS of the reference systems print; arms in order.
PUBLISHED = {
    "ct_ablation": [64.00, 68.44, 74.00, 77.11, 63.89, 66.67],
    "ct_maps": [68.44, 77.11],
    "ct_alpha": [74.00, 73.00, 74.22, 73.56, 71.22, 77.11],
    "ct_networks": [66.67, 68.44, 69.22, 68.77, 72.11, 55.67, 77.11],
    "hip_stages": [73, None, None, 0.9167],
    "hip_networks": [0.8333, 0.8333, 0.8333, 0.8095, 0.7738],
    "hip_copies": [0.8333, 0.8333, 0.8333, 0.8095, 0.7738],
    "hip_three_classes": [None],
    "retina_networks": [0.6051, 0.9681, 0.73, 0.9398, 0.95],
    "retina_splits": [None],
    "retina_training": [None] * 10,
    "retina_backbones": [None] * 3,
    "retina_epochs": [None] * 6,
    "chest_detectors": [None] * 3,
    "chest_bones": [None] * 2,
    "knee_layers": [None] * 3,
    "knee_optimizers": [None] * 4,
    "knee_training": [None] * 8,
    "knee_final_relu": [None] * 4,
}


def test_figures_are_those_published() -> None:
    declared = {one.id: [arm.published and arm.published.value for arm in one.arms] for one in EXPERIMENTS.values()}
    assert declared == PUBLISHED


@pytest.mark.parametrize("name", ["ct_ablation", "ct_alpha", "ct_networks"])
def test_published_percentages_are_of_900_slices(name: str) -> None:
    """68.77 is printed where 619 of 900 is 68.78: truncated."""
    for arm in experiment(name).arms:
        assert arm.published is not None
        assert arm.published.unit == "%"
        assert arm.published.share * 900 == pytest.approx(round(arm.published.share * 900), abs=0.1)


def test_the_published_log_of_the_knees_is_of_402_knees() -> None:
    curve = experiment("knee_final_relu").curve
    assert [len(values) for values in curve.values()] == [20, 20]
    assert (curve["train_loss"][0], curve["train_loss"][-1]) == (1.6243, 1.4307)
    right = np.array(curve["training_accuracy"]) / 100 * 402
    assert right == pytest.approx(np.rint(right), abs=0.001)


def test_unknown_experiment_names_the_known() -> None:
    with pytest.raises(UsageError, match="knee_layers"):
        experiment("knee")


def test_changes_of_size_come_before_those_of_an_arm() -> None:
    declared = experiment("knee_training")
    assert declared.recipe_of(declared.arm("twice the epochs"), is_fast=True)["epochs"] == 16
    assert declared.recipe_of(declared.arm("batch 8"), is_fast=True)["epochs"] == 8
    assert declared.recipe_of(declared.arm("twice the epochs"), is_fast=False)["epochs"] == 200


def test_options_of_an_arm_join_those_of_the_experiment() -> None:
    arm = Arm("a", {"options": {"size": 2}})
    declared = replace(experiment("retina_training"), arms=(arm,))
    assert declared.recipe_of(arm, is_fast=False)["options"] == {"loss": "entropy", "size": 2}


# --- protocols -------------------------------------------------------------------------------------------------------


def pairs_pack() -> Pack:
    """60 cases of 30 patients, and 10 held-out cases of others."""
    pack = graded_pack(60, 10)
    numbers = np.concatenate([np.arange(60) // 2, np.arange(100, 110)])
    return replace(pack, patients=np.array([f"patient-{number}" for number in numbers]))


@pytest.mark.parametrize("name", sorted(set(PROTOCOLS) - {"copies", "time_point"}))
def test_a_protocol_leaks_as_it_says(name: str) -> None:
    pack, protocol = pairs_pack(), PROTOCOLS[name]
    made = arranged(pack, protocol, 3, 0)
    sides = {fold: set(made.patients[made.folds == fold]) for fold in (TRAINING, VALIDATION, HELD_OUT)}
    assert not sides[HELD_OUT] & (sides[TRAINING] | sides[VALIDATION]), "an unseen patient was trained on"
    assert bool(sides[TRAINING] & sides[VALIDATION]) != protocol.is_careful
    assert (made.folds == HELD_OUT).sum() == 10
    again, other = arranged(pack, protocol, 3, 0), arranged(pack, protocol, 4, 0)
    assert made.cases.tolist() == again.cases.tolist()
    assert made.cases.tolist() != other.cases.tolist()


def test_shares_are_those_of_the_reference() -> None:
    pack = pairs_pack()
    names = ("random_90_10", "random_55_45", "by_patient")
    trained = [(arranged(pack, PROTOCOLS[name], 0, 0).folds == TRAINING).sum() for name in names]
    assert trained == [54, 33, 48]
    inside = arranged(pack, PROTOCOLS["inside"], 0, 0)
    assert (inside.folds == TRAINING).sum() == 60
    assert set(inside.cases[inside.folds == VALIDATION]) <= set(inside.cases[inside.folds == TRAINING])


def test_folds_of_a_protocol_cover_every_case_once() -> None:
    pack = pairs_pack()
    for name in ("by_patient", "random"):
        made = [arranged(pack, PROTOCOLS[name], 1, fold) for fold in range(FOLDS)]
        held = [case for own in made for case in own.cases[own.folds == VALIDATION]]
        assert sorted(held) == sorted(pack.cases[:60])


def test_time_points_of_an_eye_are_on_both_sides() -> None:
    cases = np.array([f"training-{number // 5:05d}-t{number % 5}" for number in range(50)])
    pack = graded_pack(50, cases=cases, patients=np.array([case[:-3] for case in cases]))
    made = arranged(pack, PROTOCOLS["time_point"], 0, 2)
    assert {case[-1] for case in made.cases[made.folds == VALIDATION]} == {"2"}
    assert {case[-1] for case in made.cases[made.folds == TRAINING]} == set("0134")
    with pytest.raises(UsageError, match="60 cases to train on and 0 to measure"):
        arranged(pairs_pack(), PROTOCOLS["time_point"], 0, 0)


def test_stored_copies_double_what_may_be_trained_on() -> None:
    pack = pairs_pack()
    doubled = with_copies(pack, np.random.default_rng(0))
    assert doubled.cases.tolist() == [*pack.cases[:60], *pack.cases[:60], *pack.cases[60:]]
    assert np.array_equal(doubled.images[:60], pack.images[:60])
    assert np.array_equal(doubled.images[120:], pack.images[60:])
    changed = (doubled.images[60:120] != pack.images[:60]).any(axis=(1, 2))
    assert changed.all()
    means = doubled.images[60:120].mean(axis=(1, 2)) - pack.images[:60].mean(axis=(1, 2))
    assert np.abs(means).max() < 12, "a copy is another image"
    made = arranged(pack, PROTOCOLS["copies"], 0, 0)
    both = set(made.cases[made.folds == TRAINING]) & set(made.cases[made.folds == VALIDATION])
    assert len(both) > 5, "no copy on the other side"


def test_rows_of_a_detectors_pack_keep_their_boxes() -> None:
    pack = boxed_pack(20, 4)
    made = arranged(pack, PROTOCOLS["by_patient"], 0, 1)
    before = dict(zip(pack.cases, pack.boxes_of(np.ones(24, bool)), strict=True))
    for case, boxes in zip(made.cases, made.boxes_of(np.ones(24, bool)), strict=True):
        assert np.array_equal(boxes, before[case])


def test_fewer_pixels_move_boxes_and_maps_along() -> None:
    small = shrunk(boxed_pack(6), 32)
    assert small.images.shape == (6, 32, 32)
    assert small.boxes[:, :4] * 2 == pytest.approx(boxed_pack(6).boxes[:, :4])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 32, 32, 6)).astype(np.uint8)
    maps = np.kron(rng.integers(0, 6, (2, 4, 4)), np.ones((4, 4))).astype(np.uint8)
    pack = replace(graded_pack(2), images=images, label_maps=maps)
    small = shrunk(pack, 4)
    assert small.images.shape == (2, 8, 8, 6)
    assert np.array_equal(np.kron(small.label_maps, np.ones((4, 4))), maps)
    assert small.images[0, 0, 0] == pytest.approx(images[0, :4, :4].mean(axis=(0, 1)), abs=0.5)


# --- measures --------------------------------------------------------------------------------------------------------


def test_the_published_matrix_of_the_hips_gives_its_printed_figures() -> None:
    """Figure 4-8: [[32, 5], [2, 45]] prints 0.94 0.86 0.90 and 0.90 0.96 0.93, accuracy 0.92."""
    targets = np.repeat([0, 0, 1, 1], [32, 5, 2, 45])
    figures = of_grades(targets, np.repeat([0.1, 0.9, 0.1, 0.9], [32, 5, 2, 45])[:, None])
    assert (figures["k"], figures["n"]) == (77, 84)
    printed = [figures[f"{name}_{c}"] for c in (0, 1) for name in ("precision", "recall", "f1")]
    assert printed == pytest.approx([0.94, 0.86, 0.90, 0.90, 0.96, 0.93], abs=0.005)
    assert figures["auroc"] == pytest.approx((32 / 37 + 45 / 47) / 2)


def test_each_network_of_a_pair_is_measured_alone_too() -> None:
    class Pair(torch.nn.Module):
        """The answer and s are always right, t says the highest class."""

        rows = ("fused", "s", "t")

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            right = torch.nn.functional.one_hot(x[:, 0].long(), 3).float()
            highest = torch.tensor([0.0, 0, 1]).expand(len(x), 3)
            return torch.stack([right, right, highest], dim=1) * 5 * self.scale

    pack = replace(graded_pack(9), images=(np.arange(9) % 3).astype(np.uint8)[:, None, None])
    learn = SimpleNamespace(plain=lambda stored: stored.flatten(1))
    figures = measured(Pair(), ct_scores, learn, pack, pack.folds >= 0).figures
    assert (figures["accuracy"], figures["s_accuracy"], figures["t_accuracy"]) == (1, 1, pytest.approx(1 / 3))
    assert [figures[f"t_recall_{grade}"] for grade in range(3)] == [0, 0, 1]


def test_grades_of_one_kind_have_no_kappa() -> None:
    figures = of_grades(np.zeros(4, np.int64), np.tile([0.8, 0.1, 0.1], (4, 1)))
    assert (figures["k"], figures["kappa"], figures["mae"]) == (4, None, 0)


def test_pixels_are_counted_and_empty_masks_too() -> None:
    truth = np.zeros((3, 2, 8, 8), bool)
    truth[0, 0, :2] = truth[1, 1, :4] = True  # the third image has no lesion
    scores = np.where(truth, 0.9, 0.1)
    scores[1] = 0.2  # its lesion is not called anywhere
    inside = np.ones((8, 8), bool)
    figures = of_pixels(
        np.array(
            [
                [pixel_histogram(s, m, inside) for s, m in zip(*one, strict=True)]
                for one in zip(scores, truth, strict=True)
            ]
        )
    )
    assert (figures["n_empty"], figures["n_marked"]) == (1, 2)
    assert (figures["n_image_auroc"], figures["n_below_half"], figures["image_auroc_best"]) == (2, 0, 1.0)
    assert figures["image_auroc"] == pytest.approx(0.75)
    assert figures["dice"] == pytest.approx((1.0 + 0.0) / 2)


def test_boxes_where_they_are_marked_are_found() -> None:
    reference = [np.array([[2, 2, 9, 9, 1]], np.float32), np.empty((0, 5), np.float32)]
    detected = np.zeros((2, 3, 6), np.float32)
    detected[0, 0] = (2, 2, 9, 9, 1, 0.9)
    assert of_boxes(detected, reference) == {"ap50": 1.0, "ar": 1.0}
    assert of_boxes(detected, [own[:0] for own in reference]) == {}


# --- networks and inputs of the experiments ----------------------------------------------------------------------------


def test_a_detector_of_one_stage_learns_and_answers_like_the_others() -> None:
    torch.manual_seed(0)
    network = Detectors(ONE_STAGE, size=64)
    targets = [
        {"boxes": torch.tensor([[4.0, 6, 40, 50]]), "labels": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    losses = network.loss(torch.rand(2, 3, 64, 64), targets)
    assert set(losses) == {"loss", "classification", "bbox_regression"}
    losses["loss"].backward()
    parts = losses["classification"].detach() + losses["bbox_regression"].detach()
    assert losses["loss"].detach() == pytest.approx(parts)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        network.loss(torch.rand(2, 3, 64, 64), targets)
        found = network(torch.rand(2, 3, 64, 64))
    assert found.shape == (2, 100, 6)
    assert not network.training
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(UsageError, match="COCO"):
        Detectors(ONE_STAGE, pretrained=True)


def test_three_classes_learn_from_whole_numbers() -> None:
    torch.manual_seed(0)
    network, x = ThreeClasses("resnet18"), torch.rand(2, 3, 64, 64)
    network.loss(x, torch.tensor([0.0, 2.0]))["loss"].backward()
    assert three_class_scores(network(x)).sum(dim=1).tolist() == pytest.approx([1, 1])


def test_three_classes_of_hips_agree_with_two() -> None:
    two, three = (list(make(1, "training", 4)) for make in (hip_data.phantom_cases, hip_data.three_class_cases))
    assert [case.target == 2 for case in three] == [case.target == 1 for case in two]
    assert {case.target for case in three} <= {0, 1, 2}


def test_time_points_show_one_eye_with_the_same_lesions() -> None:
    cases = list(retina_data.time_point_cases(1, "training", 1))
    assert [case.case_id[-3:] for case in cases] == ["-t0", "-t1", "-t2", "-t3", "-t4"]
    assert len({case.patient for case in cases}) == 1
    (first,) = retina_data.phantom_cases(1, "training", 1)
    assert np.array_equal(first.study.frame.pixels, cases[0].study.frame.pixels)
    assert len({case.study.pixel_hash for case in cases}) == 5


def test_inputs_without_augmentation_are_the_plain_ones() -> None:
    rng = np.random.default_rng(0)
    stored = torch.from_numpy(rng.integers(0, 3000, (2, 128, 128)).astype(np.int16))
    knee = learner("knee_djd", augmented=False, side=0)
    assert torch.equal(knee.augment(stored, rng), knee.plain(stored))
    moved = learner("knee_djd", augmented=True, side=32)
    assert moved.plain(stored).shape == moved.augment(stored, rng).shape == (2, 1, 32, 32)
    assert not torch.equal(moved.augment(stored, rng), moved.plain(stored))
    picture = torch.from_numpy(rng.integers(0, 255, (1, 16, 16, 6)).astype(np.uint8))
    label_map = torch.zeros(1, 8, 8, dtype=torch.uint8)
    x, truth = learner("retina_lesions", augmented=False, side=8).augment_with_map(picture, label_map, rng)
    assert (x.shape, truth is label_map) == ((1, 6, 16, 16), True)
    film, boxes = torch.zeros(1, 64, 64, dtype=torch.uint8), [np.array([[1, 2, 30, 40, 3]], np.float32)]
    x, targets = learner("chest_lesions", augmented=False, side=64).augment_with_boxes(film, boxes, rng)
    assert (x.shape, targets[0]["boxes"].tolist()) == ((1, 3, 64, 64), [[1, 2, 30, 40]])


# --- runs ------------------------------------------------------------------------------------------------------------

TINY = Experiment(
    id="tiny",
    task="ct_osteoporosis",
    title="",
    question="",
    metric="accuracy",
    recipe={"architecture": "tiny", "epochs": 2, "batch": 8, "lr": 0.05},
    arms=(
        Arm("adam", {"optimizer": "adam"}, Published(50, "%", "Table 1")),
        Arm("slow", {"lr": 1e-4}),
        Arm("big", fast=None),
    ),
    protocols=("random", "by_patient"),
    size=Size(40, 10, 2, folds=(0, 1)),
    fast=Size(20, 10, 2, folds=(0, 1)),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "network_of", lambda experiment: TASK)
    monkeypatch.setattr(run, "learner", lambda task, augmented, side: LEARN)


def plan(folder: Path, *, is_fast: bool = True, n_seeds: int = 2, declared: Experiment = TINY) -> Plan:
    return Plan(declared, is_fast, n_seeds, "python -m core experiment tiny", folder / "results", folder / "runs")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without_time(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


class Killed(BaseException):
    """As a signal ends a process."""


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("is_fast", [True, False])
def test_a_killed_experiment_ends_like_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    pack = pairs_pack()
    whole = run_experiment(plan(tmp_path / "whole", is_fast=is_fast), pack)
    calls = 0

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise Killed
        return fit_fold(*arguments)

    monkeypatch.setattr(run, "fit_fold", dying)
    own = plan(tmp_path / "killed", is_fast=is_fast)
    with pytest.raises(Killed):
        run_experiment(own, pack)
    assert not (own.out / "tiny" / "runs.csv").exists()
    with (own.work / "tiny" / run.JOURNAL).open("ab") as file:
        file.write(b'["half a li')
    folder = run_experiment(own, pack)
    n_runs = 2 * (2 if is_fast else 3) * 2 * 2  # seeds, arms, protocols, folds
    assert calls == n_runs + 1, "a finished run was run again"
    assert without_time(rows_of(folder)) == without_time(rows_of(whole))
    assert len(rows_of(folder)) == n_runs
    assert {path.name for path in folder.iterdir()} == FILES
    assert list((own.work / "tiny").glob("fold/*")) == [], "a checkpoint was left behind"


@pytest.mark.usefixtures("tiny")
def test_more_seeds_add_to_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = pairs_pack()
    first = rows_of(run_experiment(plan(tmp_path, n_seeds=1), pack))
    calls = []
    monkeypatch.setattr(run, "fit_fold", lambda *arguments: calls.append(1) or fit_fold(*arguments))
    both = rows_of(run_experiment(plan(tmp_path, n_seeds=2), pack))
    assert len(calls) == len(first) == len(both) // 2
    assert both[: len(first)] == first
    with pytest.raises(UsageError, match="another run"):
        run_experiment(plan(tmp_path, declared=replace(TINY, metric="kappa")), pack)


@pytest.mark.usefixtures("tiny")
def test_rows_say_what_was_measured_on_whom(tmp_path: Path) -> None:
    folder = run_experiment(plan(tmp_path, n_seeds=1), pairs_pack())
    row = rows_of(folder)[0]
    assert (row["experiment"], row["arm"], row["protocol"], row["seed"], row["fold"]) == (
        "tiny",
        "adam",
        "random",
        "0",
        "0",
    )
    assert (row["validation_cases"], row["unseen_cases"], row["epochs"], row["outcome"]) == ("12", "10", "2", FINISHED)
    assert float(row["unseen_accuracy"]) == pytest.approx(int(row["unseen_k"]) / int(row["unseen_n"]), abs=1e-6)
    gap = float(row["validation_accuracy"]) - float(row["unseen_accuracy"])
    assert float(row["optimism"]) == pytest.approx(gap, abs=2e-6)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["fast"] is True
    assert summary["only_in_full"] == ["big"]
    assert summary["arms"][0]["published"] == {"value": 50, "unit": "%", "source": "Table 1"}
    with (folder / "curves.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    assert len(curve) == 2 * len(rows_of(folder))
    assert {"train_loss", "validation_loss", "epoch"} <= set(curve[0])
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"] == torch.__version__


@pytest.mark.usefixtures("tiny")
def test_a_run_that_diverges_is_a_row_that_says_so(tmp_path: Path) -> None:
    declared = replace(TINY, arms=(Arm("explodes", {"lr": 1e30}), Arm("learns")))
    folder = run_experiment(plan(tmp_path, n_seeds=2, declared=declared), pairs_pack())
    rows = [row for row in rows_of(folder) if row["arm"] == "explodes"]
    assert {row["outcome"] for row in rows} == {DIVERGED}
    assert {row["unseen_accuracy"] for row in rows} == {""}
    (entry, *_) = json.loads((folder / "summary.json").read_text())["arms"]
    assert (entry["n_runs"], entry["n_diverged"], entry["metrics"]) == (4, 4, {})


# --- summaries -------------------------------------------------------------------------------------------------------


def row(seed: int, fold: int, accuracy: float, outcome: str = FINISHED) -> dict[str, str]:
    keys = {"experiment": "tiny", "arm": "adam", "protocol": "random", "seed": str(seed), "fold": str(fold)}
    return {**keys, "outcome": outcome, "unseen_accuracy": str(accuracy)}


def test_the_interval_is_students_over_seeds_of_fold_means() -> None:
    rows = [row(0, 0, 0.5), row(0, 1, 0.7), row(1, 0, 0.8), row(1, 1, 0.8), row(2, 0, 0.7), row(2, 1, 0.7)]
    rows += [row(3, 0, 0.0, DIVERGED)]
    found = summarise(rows, TINY, is_fast=True, data="phantoms")["arms"][0]
    means = [0.6, 0.8, 0.7]
    expected = stats.t.interval(0.95, 2, loc=np.mean(means), scale=stats.sem(means))
    assert found["metrics"]["unseen_accuracy"] == {
        "mean": pytest.approx(0.7),
        "sd": pytest.approx(0.1),
        "low": pytest.approx(expected[0], abs=1e-6),
        "high": pytest.approx(expected[1], abs=1e-6),
        "n_seeds": 3,
    }
    assert (found["n_runs"], found["n_diverged"]) == (7, 1)


def test_one_seed_has_no_spread() -> None:
    found = summarise([row(0, 0, 0.5)], TINY, is_fast=True, data="phantoms")["arms"][0]
    assert found["metrics"]["unseen_accuracy"] == {"mean": 0.5, "sd": None, "low": None, "high": None, "n_seeds": 1}


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_committed_summary_follows_from_its_runs(folder: Path) -> None:
    summary, rows = json.loads((folder / "summary.json").read_text()), rows_of(folder)
    declared = experiment(summary["experiment"])
    assert folder.name.startswith(declared.id)
    assert summarise(rows, declared, is_fast=summary["fast"], data=summary["data"]) == summary
    more = {"maps.npz"} if declared.explains and summary["data"] == "phantoms" else set()
    assert {path.name for path in folder.iterdir()} in (FILES | more, FILES - {"unseen.csv"}), "run again"
    runs = {(one["arm"], one["protocol"], one["seed"], one["fold"]) for one in rows}
    planned = Plan(declared, summary["fast"], summary["n_seeds"], "", folder, folder)
    assert runs == {(one.arm.name, one.protocol, str(one.seed), str(one.fold)) for one in planned.runs()}
    assert len(runs) == len(rows)
    epochs = {one.arm.name: planned.recipe(one).epochs for one in planned.runs()}
    assert all(int(one["epochs"]) == epochs[one["arm"]] for one in rows), "run under another declaration"
    assert ("--fast" in (folder / "command.txt").read_text()) == summary["fast"]
    for one in rows:
        for part in ("validation", "unseen"):
            if one.get(f"{part}_k"):
                share = int(one[f"{part}_k"]) / int(one[f"{part}_n"])
                assert float(one[f"{part}_accuracy"]) == pytest.approx(share, abs=1e-6)


# --- command ---------------------------------------------------------------------------------------------------------


def core(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_lists_every_experiment() -> None:
    listed = core("experiment", "--list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(EXPERIMENTS)
    unknown = core("experiment", "knee")
    assert unknown.returncode == 2
    assert "knee_layers" in unknown.stderr
    assert core("experiment").returncode == 2
