"""The command line of the chest task: its auxiliary network, films of both kinds, composites."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_evaluation_boxes import Split, film
from test_training_auxiliary import NETWORK, OfFold
from test_training_detected import films, published
from torch import Tensor

from core import registry
from core.cli import train
from core.cli.main import main
from core.engine.loader import Model
from core.io.box_evidence import FILE
from core.manifest import read_auxiliary
from core.records import LabelledCase
from core.tasks.chest_lesions import data
from core.training.pack import Pack
from tests.test_chest_landmarks import drawn_masks


class Learning(OfFold):
    """The closed-form network of the tests of publishing, with something to learn."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__(name, pretrained=pretrained)
        self.width.data.fill_(15)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        assert x.shape[2:] == targets.shape[1:]
        return {"loss": (self.width - 20) ** 2 + 0 * x.mean()}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marked")
    rows = ["image,ctr"]
    for index in range(5):
        masks = drawn_masks(heart_half=50 + 5 * index)
        grey = np.where(masks.heart, 200, np.where(masks.right_lung, 60, np.where(masks.left_lung, 20, 255)))
        grey[:40, :40] = 0  # with the white around it, so that stretching changes no grey
        pictures = {"images": grey, "heart": masks.heart * 255, "right_lung": masks.right_lung * 255}
        for name, pixels in {**pictures, "left_lung": masks.left_lung * 255}.items():
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"case_{index}.png")
        rows.append(f"case_{index}.png,{(100 + 10 * index) / 290:.4f}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_auxiliary_network_is_packed_trained_and_published(
    marked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = SimpleNamespace(**{**vars(NETWORK), "Network": Learning, "ARCHITECTURES": ("unet_resnet18",)})
    monkeypatch.setattr("core.tasks.chest_lesions.network.heart_lung", own)
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path / "weights")
    pack = tmp_path / "marked.npz"
    command = ["train", "chest_lesions", "--auxiliary", "heart_lung"]
    assert main([*command, "--data", str(marked), "--pack", str(pack)]) == 0
    packed = Pack.load(pack)
    assert packed.label_maps.shape == (5, 256, 256)
    assert packed.references == pytest.approx((100 + 10 * np.arange(5)) / 290, abs=1e-3)
    recipe = ["--epochs", "1", "--batch", "2", "--runs", str(tmp_path / "runs")]
    assert main([*command, "--packed", str(pack), *recipe]) == 0
    manifest = read_auxiliary(tmp_path / "weights" / "chest_lesions" / "heart_lung")
    assert {metric.name for metric in manifest.metrics} == {"dice_heart", "dice_lungs", "cardiothoracic_ratio_error"}
    assert manifest.provenance.command.count("--auxiliary heart_lung") == 2
    assert "fold_0" in {path.name for path in (tmp_path / "runs/chest_lesions/heart_lung").iterdir()}
    assert "cardiothoracic_ratio_error: " in capsys.readouterr().out


def test_auxiliary_network_needs_images_and_a_known_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "chest_lesions", "--auxiliary", "heart_lung"]) == 2
    assert main(["train", "chest_lesions", "--auxiliary", "kidneys"]) == 2
    assert main(["train", "hip_osteoporosis", "--auxiliary", "heart_lung"]) == 2


def test_composites_are_made_with_the_installed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three phantoms and two composites to train on, one of each held out."""
    asked: list[tuple[str, int]] = []

    def composites(folder: Path, find: Any, seed: int, part: str, n: int) -> Iterator[LabelledCase]:
        assert (folder, seed) == (Path("films"), 1)
        assert find(np.zeros((2, 2), np.float32)) == "masks of the installed network"
        asked.append((part, n))
        yield film(n, 0.5)

    def worded(folder: Path, seed: int, part: str) -> Iterator[LabelledCase]:
        assert (folder, seed) == (Path("films"), 1)
        yield film(800 + len(part), 0.5)

    def phantoms(seed: int, part: str, n: int) -> Iterator[LabelledCase]:
        yield film(900 + n, 0.5)

    collected: dict[str, list[str]] = {}

    def collect(task: str, training: Any, test: Any, facts: dict[str, object], *rest: object) -> str:
        collected.update(training=[case.case_id for case in training], test=[case.case_id for case in test])
        assert facts["kind"] == "real images, synthetic findings"
        return "pack"

    monkeypatch.setattr(data, "composite_cases", composites)
    monkeypatch.setattr(data, "worded_cases", worded)
    monkeypatch.setattr(data, "phantom_cases", phantoms)
    monkeypatch.setattr("core.training.collect.collect", collect)
    monkeypatch.setattr(
        "core.training.auxiliary.load_auxiliary", lambda task, name: f"masks of the {task[:0]}installed"
    )
    own = SimpleNamespace(find=lambda network, film: f"{network} network")
    monkeypatch.setattr("core.tasks.chest_lesions.network.heart_lung", own)
    options: Any = SimpleNamespace(
        **dict.fromkeys(("packed", "auxiliary", "data", "pack", "labels")),
        **{"task": "chest_lesions", "backgrounds": Path("films"), "data_seed": 1, "composites": [2, 1]},
        **{"phantoms": 3, "test_phantoms": 1, "copies": 12, "command_line": ""},
    )
    packed: Any = train._pack(options)
    assert packed == "pack"
    assert asked == [("training", 2), ("test", 1)]
    assert collected == {"training": ["film-903", "film-2", "film-808"], "test": ["film-901", "film-1", "film-804"]}


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    folder = tmp_path / "tiny"
    made = Model(published(folder, films()), Split(), torch.device("cpu"), folder)
    monkeypatch.setattr("core.screening.load", lambda task, name: made)
    return made


def pictures(folder: Path, n: int) -> list[str]:
    """Blotchy films by name; more and more of them are bright."""
    (folder / "images").mkdir(parents=True)
    for index in range(n):
        pixels = film(index, 0.3 + 0.03 * index).study.frame.pixels.copy()
        pixels[:8, :8], pixels[-8:, -8:] = 0, 1  # or the stretch between percentiles would undo it
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(folder / f"images/{index}.png")
    return [f"{index}.png" for index in range(n)]


@pytest.fixture
def any_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The content check takes no blotches for a chest."""
    monkeypatch.setattr("core.tasks.chest_lesions.gate.resembles", lambda grey: None)


@pytest.mark.usefixtures("any_picture")
def test_films_with_boxes_are_measured(model: Model, tmp_path: Path) -> None:
    names = pictures(tmp_path / "films", 6)
    rows = [
        f"images/{name},{'cardiac_hypertrophy,12,12,37,37' if index > 2 else 'normal,,,,'}"
        for index, name in enumerate(names)
    ]
    (tmp_path / "films/boxes.csv").write_text("\n".join(["file,label,x_min,y_min,x_max,y_max", *rows]) + "\n")
    command = ["evaluate", "chest_lesions", "--data", str(tmp_path / "films"), "--json", str(tmp_path / "found.json")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["n"] == 6
    assert found["metrics"]["cardiac_hypertrophy"]["presence_auroc"]["value"] > 0.8
    assert (tmp_path / "out" / FILE).read_text().count(",image,") == 6


@pytest.mark.usefixtures("any_picture")
def test_films_with_words_are_measured(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = pictures(tmp_path / "films", 24)
    words = ["No Finding" if index < 10 or index % 5 == 0 else "Cardiomegaly" for index in range(24)]
    rows = [f"{name},{index},50,PA,{word}" for index, (name, word) in enumerate(zip(names, words, strict=True))]
    (tmp_path / "films/index.csv").write_text("\n".join(["image,patient,age,view,labels", *rows]) + "\n")
    command = ["evaluate", "chest_lesions", "--data", str(tmp_path / "films"), "--json", str(tmp_path / "found.json")]
    assert main([*command, "--out", str(tmp_path / "out"), "--prevalence", "0.2"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["n"], found["n_images"]) == (24, {"cardiac_hypertrophy": words.count("Cardiomegaly")})
    assert found["abnormality"]["rule_out"]["prevalence"] == 0.2
    assert len((tmp_path / "out/cases.csv").read_text().splitlines()) == 25
    assert "ruled out below" in capsys.readouterr().out
