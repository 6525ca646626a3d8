"""A pair of the CT task that is small enough for tests: two convolutions a branch instead of a ResNet."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from factory import make_manifest, manifest_facts, tensor_facts
from safetensors.torch import save
from torch import Tensor, nn

from core.engine.loader import Model
from core.engine.networks import pair
from core.engine.networks.classifiers import Classifier
from core.engine.networks.split import Activations
from core.manifest import Manifest, dump_manifest
from core.tasks.ct_osteoporosis.network import Network

GRADES = ("normal", "osteopenia", "osteoporosis")
THRESHOLDS = {"below_normal": ("osteopenia", 0.6), "osteoporosis": ("osteoporosis", 0.3)}


class TinyBranch(Classifier):
    """Two convolutions and a linear layer, in the place of a torchvision classifier."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(
            nn.ModuleDict(
                {
                    "body": nn.Sequential(
                        nn.Conv2d(3, 6, 7, stride=4, padding=3),
                        nn.BatchNorm2d(6),
                        nn.ReLU(),
                        nn.Conv2d(6, 8, 5, stride=4, padding=2),
                        nn.ReLU(),
                    ),
                    "last": nn.Linear(8, n_classes),
                }
            )
        )

    def features(self, x: Tensor) -> Activations:
        return Activations(self.net["body"](x))

    def head(self, activations: Activations) -> Tensor:
        logits: Tensor = self.net["last"](activations.target.mean(dim=(2, 3)))
        return logits


def shrink(patch: pytest.MonkeyPatch) -> None:
    """From now on every pair is made of TinyBranches."""
    patch.setattr(pair, "_build_branch", lambda architecture, n_classes, pretrained, size: TinyBranch(n_classes))


def tiny_pair(seed: int = 0, **options: Any) -> Network:
    """The pair of the CT task with random weights, in evaluation mode; the heads are spread so that answers differ."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        shrink(patch)
        torch.manual_seed(seed)
        network = Network("resnet18", **options)
        for head in (network.fused, *(network.branches[name].net["last"] for name in "st")):
            nn.init.normal_(head.weight, std=2.0)
    return network.requires_grad_(False).eval()


def pair_manifest(**changes: Any) -> Manifest:
    """A manifest of the CT task with three grades and two operating points."""
    facts = manifest_facts()
    (first,) = facts["operating_points"]
    points = [{**first, "id": id, "label": label, "threshold": t} for id, (label, t) in THRESHOLDS.items()]
    return make_manifest(
        **{
            "task": "ct_osteoporosis",
            "architecture": {"name": "resnet18", "options": {}},
            "input": {**facts["input"], "modality": ["CT"], "size": [160, 160], "channels": 6, "unit": "HU"},
            "labels": list(GRADES),
            "operating_points": points,
            "eligible_age_years": [18.0, 100.0],
            "provenance": {**facts["provenance"], "labels": dict.fromkeys(GRADES, "phantom")},
            **changes,
        }
    )


def pair_model(network: Network, folder: Path = Path("nowhere"), **changes: Any) -> Model:
    """The pair as a frozen model in memory."""
    return Model(pair_manifest(**changes), network, torch.device("cpu"), folder)


Rows = Sequence[Sequence[object]]


def write_table(path: Path, header: Sequence[str], rows: Rows) -> str:
    """Write a CSV file and give its sha256."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pair_folder(folder: Path, network: Network, training: Rows = (), out_of_fold: Rows | None = None) -> Path:
    """A weights folder of the pair.

    Args:
        training: (pixel_hash, patient, fold) of cases that took part in training.
        out_of_fold: (pixel_hash, p_normal, p_osteopenia, p_osteoporosis); None = no such file.
    """
    folder.mkdir(parents=True)
    content = save(network.state_dict())
    (folder / "model.safetensors").write_bytes(content)
    made = {
        "training_cases_sha256": write_table(
            folder / "training_cases.csv", ("pixel_hash", "patient", "fold"), training
        ),
        "evaluation_sha256": write_table(folder / "evaluation.csv", ("case",), ()),
    }
    if out_of_fold is not None:
        header = ("pixel_hash", *(f"p_{grade}" for grade in GRADES))
        made["out_of_fold_sha256"] = write_table(folder / "out_of_fold.csv", header, out_of_fold)
    facts = pair_manifest().provenance.model_dump() | made
    weights = tensor_facts(content, sum(p.numel() for p in network.parameters()))
    (folder / "manifest.json").write_text(dump_manifest(pair_manifest(weights=weights, provenance=facts)))
    return folder
