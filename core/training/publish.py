"""From a fitted fold to a weights folder: held-out evaluation, operating points, manifest, card."""

import csv
import hashlib
import io
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from core.io.weights_file import write_atomically
from core.manifest import (
    Architecture,
    Calibration,
    Change,
    Dataset,
    ExplanationSpec,
    Manifest,
    ProvenanceRecord,
    WeightsFile,
    dump_manifest,
)
from core.training.card import model_card
from core.training.fit import Fitted, Recipe, predict
from core.training.held_out import Labelled, Scores, headline_metrics, ideal_observer, operating_points
from core.training.pack import Pack

Dtype = Literal["float32", "float16"]
FIRST_VERSION = "1.0.0"
HALF_PRECISION_LIMIT = 0.001


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _serialise(network: torch.nn.Module, learn: ModuleType, images: torch.Tensor, sigmoid: Any) -> tuple[bytes, Dtype]:
    """The weights in half precision when no score moves by more than 0.001, else in single."""
    before = sigmoid(predict(network, learn, images))
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in half.items()}
    )
    moved = float((sigmoid(predict(network, learn, images)) - before).abs().max())
    if moved < HALF_PRECISION_LIMIT:
        return save({name: value.contiguous() for name, value in half.items()}), "float16"
    network.load_state_dict(state)
    return save({name: value.contiguous() for name, value in state.items()}), "float32"


def _revision() -> str:
    """Commit of the code, with a plus when the tree holds more than it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "core") else "")


def _tables(pack: Pack, label: str, held_out: Labelled, ideal: Scores | None) -> tuple[bytes, bytes]:
    """evaluation.csv and training_cases.csv."""
    test = pack.folds < 0
    columns = {
        "case": pack.cases[test],
        "patient": pack.patients[test],
        "label": held_out[0].astype(int),
        f"p_{label}": held_out[1],
    }
    if ideal is not None:
        columns["p_ideal_observer"] = ideal.round(6)
    training = {"pixel_hash": pack.pixel_hashes[~test], "patient": pack.patients[~test], "fold": pack.folds[~test]}
    evaluation_rows, training_rows = (list(zip(*table.values(), strict=True)) for table in (columns, training))
    return _csv(list(columns), evaluation_rows), _csv(list(training), training_rows)


def _provenance(
    template: dict[str, Any], pack: Pack, fold: int, recipe: Recipe, command: str, tables: tuple[bytes, bytes]
) -> ProvenanceRecord:
    """Data, command, seed and code behind the weights."""
    facts = json.loads(str(pack.facts[0]))
    names, licence = (facts["training_name"], facts["test_name"]), facts["licence"]
    return ProvenanceRecord(
        labels=dict.fromkeys(template["labels"], facts["kind"]),
        datasets=(
            _dataset("training", names[0], licence, pack, (pack.folds >= 0) & (pack.folds != fold)),
            _dataset("validation", names[0], licence, pack, pack.folds == fold),
            _dataset("test", names[1], licence, pack, pack.folds < 0),
        ),
        command="\n".join(filter(None, (facts.get("pack_command"), command))),
        seed=recipe.seed,
        code_revision=_revision(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        training_cases_sha256=hashlib.sha256(tables[1]).hexdigest(),
        evaluation_sha256=hashlib.sha256(tables[0]).hexdigest(),
    )


def _dataset(
    role: Literal["training", "validation", "test"], name: str, licence: str, pack: Pack, mask: NDArray[np.bool_]
) -> Dataset:
    return Dataset(name=name, role=role, n=int(mask.sum()), patients=len(set(pack.patients[mask])), licence=licence)


def publish(
    task_network: ModuleType,
    learn: ModuleType,
    template: dict[str, Any],
    pack: Pack,
    fitted: Fitted,
    fold: int,
    recipe: Recipe,
    command: str,
    note: str,
    folder: Path,
) -> Manifest:
    """Evaluate a fitted fold on the held-out cases and write its weights folder; the manifest is written last.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        template: The task's part of the manifest (`data.MANIFEST`): input, transforms, labels, words.
        pack: Arrays with held-out cases (fold -1).
        fitted: Result of fit_fold.
        fold: Its validation fold.
        recipe: How it was trained.
        command: Command line to print in card and manifest.
        note: What the changelog says.
        folder: weights/<task>/<model>.
    """
    network = task_network.Network(recipe.architecture)
    network.load_state_dict(fitted.state)
    images = torch.from_numpy(pack.images)
    content, dtype = _serialise(network, learn, images[torch.from_numpy(pack.folds == fold)], task_network.scores)

    def scored(mask: NDArray[np.bool_]) -> Labelled:
        outputs = task_network.scores(predict(network, learn, images[torch.from_numpy(mask)]))
        return pack.targets[mask].astype(np.float64), outputs.numpy().astype(np.float64).round(6)

    facts, label = json.loads(str(pack.facts[0])), template["labels"][0]
    held_out, ideal = scored(pack.folds < 0), ideal_observer(pack)
    tables = _tables(pack, label, held_out, ideal)
    manifest = Manifest(
        format="fivefold-manifest-1",
        task=facts["task"],
        model=folder.name,
        version=FIRST_VERSION,
        changelog=(Change(version=FIRST_VERSION, date=f"{datetime.now(UTC):%Y-%m-%d}", text=note),),
        architecture=Architecture(name=recipe.architecture),
        weights=WeightsFile(
            file="model.safetensors",
            format="safetensors",
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            parameters=sum(p.numel() for p in network.parameters()),
            dtype=dtype,
        ),
        operating_points=tuple(
            operating_points(label, scored(pack.folds == fold), held_out, facts["test_name"], recipe.seed)
        ),
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][recipe.architecture], default_method="grad_cam"
        ),
        metrics=tuple(headline_metrics(label, held_out, ideal, facts["test_name"])),
        provenance=_provenance(template, pack, fold, recipe, command, tables),
        **{key: value for key, value in template.items() if key != "explanation_layer"},
    )
    history = {"recipe": asdict(recipe), "fold": fold, "best_epoch": fitted.best_epoch, "epochs": fitted.history}
    files = {
        "model.safetensors": content,
        "evaluation.csv": tables[0],
        "training_cases.csv": tables[1],
        "history.json": (json.dumps(history, indent=1) + "\n").encode(),
        "MODEL_CARD.md": model_card(manifest).encode(),
        "manifest.json": dump_manifest(manifest).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomically(folder / name, data)
    return manifest
