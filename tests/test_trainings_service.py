"""Trainings as jobs: from the form to an installed model, stopped and gone on with, and names that are refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import registry
from core.errors import UsageError
from core.manifest import read_manifest
from core.services import trainings
from core.services.trainings import Plan, Training, Trainings

LIMIT_S = 240


def plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "task": "knee_djd",
        "architecture": "simple_cnn_1",
        "name": "own_cnn",
        "phantoms": 60,
        "test_phantoms": 60,
        "server_folder": "",
        "folds": 1,
        "epochs": 3,
        "batch": 16,
        "optimizer": "adam",
        "lr": 0.001,
        "created": 0.0,
    }
    return Plan(**(facts | changes))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Models are installed in a folder of their own, here and in the process that trains."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIVEFOLD_WEIGHTS", str(folder))
        patch.setattr(registry, "WEIGHTS", folder)
        yield folder


@pytest.fixture(scope="module")
def finished(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainings, Training]:
    """Stopped after its first epoch and gone on with by another server."""
    root = tmp_path_factory.mktemp("trainings")
    store = Trainings(root)
    training = store.create(plan())
    assert store.stage(training) == "planned"
    store.start(training)
    wait(lambda: bool(training.histories()))
    store.stop(training)
    if store.stage(training) == "stopped":  # a fast machine may have ended by now
        store = Trainings(root)
        store.start(training)
    wait(lambda: store.stage(training) != "running")
    return store, training


def wait(is_so: object) -> None:
    assert callable(is_so)
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)


def test_a_training_ends_as_an_installed_model(finished: tuple[Trainings, Training], weights: Path) -> None:
    store, training = finished
    assert store.stage(training) == "done", (training.folder / "log.txt").read_text()[-2000:]
    assert training.weights == weights / "knee_djd" / "own_cnn"
    manifest = read_manifest(training.weights)
    assert manifest.architecture.name == "simple_cnn_1"
    assert manifest.data_kind == "phantom"
    assert (training.weights / "MODEL_CARD.md").is_file()
    history = training.histories()[0]
    assert len(history.epochs) == 3
    published = json.loads((training.weights / "history.json").read_text())
    assert published["folds"]["0"]["epochs"] == list(history.epochs)


def test_the_card_names_neither_the_token_nor_a_place(finished: tuple[Trainings, Training]) -> None:
    _, training = finished
    for path in training.weights.iterdir():
        content = path.read_bytes()
        assert training.token.encode() not in content, path.name
        assert str(training.folder.parent).encode() not in content, path.name


def test_a_finished_training_is_found_by_its_token_alone(finished: tuple[Trainings, Training]) -> None:
    store, training = finished
    assert store.find(training.token) == training
    for token in ("", "..", "x" * 24, training.token[:-1]):
        assert store.find(token) is None


@pytest.mark.parametrize("name", ["", "ab", "../x", "Own", "1st", "a" * 41, "own cnn"])
def test_names_that_are_no_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name"):
        Trainings(tmp_path).create(plan(name=name))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_and_an_unknown_network_are_refused(
    weights: Path, tmp_path: Path, finished: tuple[Trainings, Training]
) -> None:
    with pytest.raises(UsageError, match="installed"):
        Trainings(tmp_path).create(plan())
    with pytest.raises(UsageError, match="architecture"):
        Trainings(tmp_path).create(plan(architecture="resnet18", name="other"))


def test_deleting_leaves_the_model(finished: tuple[Trainings, Training], tmp_path: Path) -> None:
    _, training = finished
    store = Trainings(tmp_path)
    other = store.create(plan(name="another"))
    store.delete(other)
    assert store.find(other.token) is None
    assert training.weights.is_dir()


def test_options_of_the_command_are_those_of_the_plan(tmp_path: Path) -> None:
    training = Training(tmp_path, plan(folds=5, server_folder="/data/knees", lr=0.05))
    given = trainings._arguments(training)
    assert given[:2] == ["train", "knee_djd"]
    assert given[given.index("--data") + 1] == "/data/knees"
    assert "--phantoms" not in given
    assert given[given.index("--lr") + 1] == "0.05"
    assert given[given.index("--fold") + 1 :] == ["0", "1", "2", "3", "4"]
