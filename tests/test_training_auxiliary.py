"""The network that finds heart and lungs: published with the figures of every fold, loaded again, and no model of its task."""

import csv
import json
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_grader import graded_pack
from torch import Tensor, nn

from core import registry
from core.errors import UsageError, WeightsError
from core.imaging.imagenet import MEAN, SD
from core.manifest import AUXILIARY, file_sha256, read_auxiliary
from core.tasks.chest_lesions import data, learn, lungs
from core.tasks.chest_lesions.landmarks import Masks, find_landmarks
from core.training.auxiliary import load_auxiliary, publish_auxiliary
from core.training.fit import Fitted, Recipe
from core.training.pack import Pack
from core.training.publish import auxiliaries
from tests.test_chest_landmarks import drawn_masks

N, SIDE = 10, lungs.SIDE
LOSSES = (0.9, 0.8, 0.7, 0.4, 0.6)  # fold 3 is published
GREY = {lungs.HEART: 200, lungs.RIGHT_LUNG: 60, lungs.LEFT_LUNG: 20, 0: 120}


class OfFold(nn.Module):
    """Tells the classes by their grey alone; the greys that it calls lung or heart widen with what names the fold."""

    def __init__(self, name: str = lungs.ARCHITECTURE, *, pretrained: bool = False) -> None:
        super().__init__()
        self.width = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        grey = (x[:, 0] * float(SD[0, 0, 0]) + float(MEAN[0, 0, 0])) * 255
        return torch.stack([self.width - (grey - GREY[kind]).abs() for kind in lungs.CHANNELS], dim=1)


NETWORK = SimpleNamespace(Network=OfFold, scores=torch.sigmoid)
WIDTHS = (20.0, 30.0, 64.0, 10.0, 10.0)


@cache
def films() -> Pack:
    """Drawn films with hearts of growing width; every second one with a reference ratio 0.02 above that of its masks."""
    maps, ratios = [], []
    for index in range(N):
        masks = drawn_masks(heart_half=45 + 3 * index)
        label_map = np.zeros(masks.heart.shape, np.float32)
        for kind, mask in zip(lungs.CHANNELS, (masks.heart, masks.right_lung, masks.left_lung), strict=True):
            label_map[mask] = kind
        side = max(label_map.shape)
        square = np.zeros((side, side), np.float32)
        square[: label_map.shape[0], : label_map.shape[1]] = label_map
        step = np.linspace(0.5, side - 0.5, SIDE).astype(int)
        maps.append(square[np.ix_(step, step)].astype(np.uint8))
        found = find_landmarks(Masks(*(maps[-1] == kind for kind in lungs.CHANNELS)))
        assert found is not None
        ratios.append(found.width.ratio + 0.02 if index % 2 else np.nan)
    label_maps = np.stack(maps)
    images = np.zeros(label_maps.shape, np.uint8)
    for kind, grey in GREY.items():
        images[label_maps == kind] = grey
    facts = {"task": "chest_lesions", **data.heart_lung.FACTS}
    references = np.array(ratios, np.float32)
    return replace(
        graded_pack(N),
        images=images,
        label_maps=label_maps,
        references=references,
        facts=np.array([json.dumps(facts)]),
    )


def published(folder: Path) -> Any:
    results = {
        fold: Fitted({"width": torch.tensor(WIDTHS[fold])}, 0, [{"validation_loss": LOSSES[fold]}]) for fold in range(5)
    }
    parts = (data.heart_lung, NETWORK, learn.heart_lung)
    return publish_auxiliary(
        parts, films(), results, Recipe(lungs.ARCHITECTURE), "python -m core train", "Note.", folder
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    published(place / "chest_lesions" / "heart_lung")
    return place


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "chest_lesions" / "heart_lung"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "evaluation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_folder_is_no_model_of_the_task(root: Path, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", AUXILIARY, "MODEL_CARD.md", "history.json", "training_cases.csv", "evaluation.csv")
    }
    assert registry.model_folders("chest_lesions", root) == []
    manifest = read_auxiliary(folder)
    assert manifest.provenance.evaluation_sha256 == file_sha256(folder / "evaluation.csv")
    assert manifest.auxiliary.weights.sha256 == file_sha256(folder / "model.safetensors")
    assert auxiliaries(folder.parent) == {"heart_lung": manifest.auxiliary}


def test_every_film_is_measured_by_the_fold_that_never_saw_it(folder: Path) -> None:
    """Folds 0, 1, 3 and 4 are right; that of fold 2 calls all but the rim of the greys."""
    pack = films()
    assert [row["case"] for row in rows(folder)] == pack.cases.tolist()
    for row, fold, label_map, reference in zip(rows(folder), pack.folds, pack.label_maps, pack.references, strict=True):
        assert row["fold"] == str(fold)
        heart, both = label_map == lungs.HEART, np.isin(label_map, (lungs.RIGHT_LUNG, lungs.LEFT_LUNG))
        called = np.isin(label_map, (lungs.RIGHT_LUNG, lungs.LEFT_LUNG, 0)) if fold == 2 else both
        assert float(row["dice_heart"]) == pytest.approx(1.0)
        assert heart.any()
        assert float(row["dice_lungs"]) == pytest.approx(2 * both.sum() / (both.sum() + called.sum()), abs=1e-4)
        if fold != 2 and np.isfinite(reference):
            assert float(row["cardiothoracic_ratio"]) == pytest.approx(reference - 0.02, abs=0.01)
        assert row["reference"] == (f"{reference:.4f}" if np.isfinite(reference) else "")


def test_figures_are_those_of_the_table(folder: Path) -> None:
    found = {metric.name: metric for metric in read_auxiliary(folder).metrics}
    table = rows(folder)
    for name in ("dice_heart", "dice_lungs"):
        assert found[name].value == pytest.approx(np.mean([float(row[name]) for row in table]), abs=1e-4)
        assert found[name].n == N
    errors = [
        abs(float(row["cardiothoracic_ratio"]) - float(row["reference"]))
        for row in table
        if row["reference"] and row["cardiothoracic_ratio"]
    ]
    assert found["cardiothoracic_ratio_error"].value == pytest.approx(np.mean(errors), abs=1e-4)
    assert found["cardiothoracic_ratio_error"].n == len(errors)
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "dice_heart" in card
    assert "Wingspan" in card


def test_second_publication_is_a_new_version(root: Path, tmp_path: Path) -> None:
    published(tmp_path / "heart_lung")
    assert published(tmp_path / "heart_lung").version == "1.1.0"


def test_installed_network_gives_masks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(**{**vars(registry.part("chest_lesions", "network", "heart_lung")), "Network": OfFold})
    monkeypatch.setattr("core.tasks.chest_lesions.network.heart_lung", own)
    network = load_auxiliary("chest_lesions", "heart_lung", root)
    assert float(network.width) == WIDTHS[3]
    film = np.repeat(np.repeat(films().images[4], 2, axis=0), 2, axis=1).astype(np.float32) / 255
    found = own.find(network, film)
    assert (found.shape, found.dtype) == ((3, 2 * SIDE, 2 * SIDE), np.bool_)
    with torch.no_grad():
        output = network(torch.from_numpy(lungs.prepare(film))).numpy()
    assert np.array_equal(found, lungs.masks(output, 2 * SIDE))


def test_weights_that_are_missing_or_unknown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"auxiliary\.json cannot be read"):
        load_auxiliary("chest_lesions", "heart_lung", tmp_path)
    with pytest.raises(UsageError, match="none of this name"):
        registry.part("chest_lesions", "network", "kidneys")


def test_reference_ratios_are_those_of_the_masks(data_dir: Path) -> None:
    n_known = 0
    for case in islice(data.marked_cases(data_dir / "chest_heart_lung"), 4):
        if case.reference is not None:
            found = find_landmarks(Masks(*(case.label_map == kind for kind in lungs.CHANNELS)))
            assert found is not None
            assert case.reference == pytest.approx(found.width.ratio, abs=0.03)
            n_known += 1
    assert n_known
