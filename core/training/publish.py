"""From a fitted fold to a weights folder: held-out evaluation, operating points, manifest, card."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from core.io.pixel_evidence import FILE
from core.io.tables import csv_bytes
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
    read_manifest,
)
from core.training.answers import Answers
from core.training.card import model_card
from core.training.fit import Fitted, Recipe
from core.training.graded import graded
from core.training.masks import areas, evidence, segmented
from core.training.pack import Pack

Figures = NDArray[np.float64]
Dtype = Literal["float32", "float16"]
HALF_PRECISION_LIMIT = 0.001


def _serialise(network: torch.nn.Module, measure: Callable[[torch.nn.Module], Figures]) -> tuple[bytes, Dtype]:
    """The weights in half precision when no figure moves by 0.001, else in single.

    Args:
        network: Gets the rounded weights where they are good enough.
        measure: Its scores on validation cases, or what is reported of them.
    """
    before = measure(network)
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in half.items()}
    )
    if float(np.abs(measure(network) - before).max()) < HALF_PRECISION_LIMIT:
        return save({name: value.contiguous() for name, value in half.items()}), "float16"
    network.load_state_dict(state)
    return save({name: value.contiguous() for name, value in state.items()}), "float32"


def _revision() -> str:
    """Commit of the code, with a plus when the tree holds more than it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "core") else "")


def _training_cases(pack: Pack) -> bytes:
    """training_cases.csv: which pixels were used, in which fold."""
    train = pack.folds >= 0
    rows = zip(pack.pixel_hashes[train], pack.patients[train], pack.folds[train], strict=True)
    return csv_bytes(("pixel_hash", "patient", "fold"), list(rows))


def _provenance(
    template: dict[str, Any], pack: Pack, fold: int, recipe: Recipe, command: str, files: dict[str, bytes]
) -> ProvenanceRecord:
    """Data, command, seed and code behind the weights."""
    facts = json.loads(str(pack.facts[0]))
    names, licence = (facts["training_name"], facts["test_name"]), facts["licence"]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return ProvenanceRecord(
        labels=dict.fromkeys(template["labels"], facts["kind"]),
        datasets=(
            _dataset("training", names[0], licence, pack, (pack.folds >= 0) & (pack.folds != fold)),
            _dataset("validation", names[0], licence, pack, pack.folds == fold),
            _dataset("test", names[1], facts.get("test_licence", licence), pack, _tested(pack)),
        ),
        command="\n".join(filter(None, (facts.get("pack_command"), command))),
        seed=recipe.seed,
        code_revision=_revision(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        training_cases_sha256=digests["training_cases.csv"],
        evaluation_sha256=digests.get(FILE) or digests["evaluation.csv"],
        out_of_fold_sha256=digests.get("out_of_fold.csv"),
    )


def _tested(pack: Pack) -> NDArray[np.bool_]:
    """Cases that no fold was trained on; all of them, each out of its fold, where there are none."""
    held_out = pack.folds < 0
    return held_out if held_out.any() else ~held_out


def _dataset(
    role: Literal["training", "validation", "test"], name: str, licence: str, pack: Pack, mask: NDArray[np.bool_]
) -> Dataset:
    return Dataset(name=name, role=role, n=int(mask.sum()), patients=len(set(pack.patients[mask])), licence=licence)


def _changelog(folder: Path, note: str) -> tuple[Change, ...]:
    """That of the weights which lie in the folder, and one line more."""
    earlier = read_manifest(folder).changelog if (folder / "manifest.json").is_file() else ()
    return (*earlier, Change(version=f"1.{len(earlier)}.0", date=f"{datetime.now(UTC):%Y-%m-%d}", text=note))


def _weights_file(content: bytes, dtype: Dtype, network: torch.nn.Module) -> WeightsFile:
    return WeightsFile(
        file="model.safetensors",
        format="safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parameters=sum(p.numel() for p in network.parameters()),
        dtype=dtype,
    )


def _history(recipe: Recipe, fold: int, fitted: dict[int, Fitted]) -> bytes:
    """history.json: the recipe, the published fold, and every epoch of every fold."""
    folds = {str(own): {"kept_epoch": result.kept_epoch, "epochs": result.history} for own, result in fitted.items()}
    return (json.dumps({"recipe": asdict(recipe), "fold": fold, "folds": folds}, indent=1) + "\n").encode()


def publish(
    task_network: ModuleType,
    learn: ModuleType,
    template: dict[str, Any],
    pack: Pack,
    fitted: dict[int, Fitted],
    recipe: Recipe,
    command: str,
    note: str,
    folder: Path,
) -> Manifest:
    """Evaluate the fold with the lowest validation loss on the held-out cases and write its weights folder, manifest last.

    Where every fold was fitted and real cases carry a measured reference, their out-of-fold answers are written too.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        template: The task's part of the manifest (`data.MANIFEST`): input, transforms, labels, words.
        pack: Arrays with held-out cases (fold -1).
        fitted: Results of fit_fold by validation fold.
        recipe: How they were trained.
        command: Command line to print in card and manifest.
        note: What the changelog says.
        folder: weights/<task>/<model>.
    """
    fold = min(fitted, key=lambda fold: fitted[fold].kept_loss)
    answers = Answers(task_network, learn, pack, recipe)
    network = answers.network(fitted[fold])
    validation, is_segmenter = pack.folds == fold, bool(pack.label_maps.size)
    if is_segmenter:
        content, dtype = _serialise(network, lambda own: areas(evidence(answers, learn, pack, own, validation)))
        held_out = segmented(template["labels"], pack, answers, learn, network, fitted, fold)
    else:
        content, dtype = _serialise(network, lambda own: answers.scored(own, validation).probabilities)
        held_out = graded(template, pack, answers, network, fitted, fold, recipe.seed)
    files = {**held_out.files, "training_cases.csv": _training_cases(pack)}
    changelog = _changelog(folder, note)
    manifest = Manifest(
        format="fivefold-manifest-1",
        task=json.loads(str(pack.facts[0]))["task"],
        model=folder.name,
        version=changelog[-1].version,
        changelog=changelog,
        architecture=Architecture(name=recipe.architecture, options=recipe.options),
        weights=_weights_file(content, dtype, network),
        operating_points=held_out.points,
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][recipe.architecture],
            default_method=template.get("explanation_method", "grad_cam"),
        ),
        metrics=held_out.metrics,
        provenance=_provenance(template, pack, fold, recipe, command, files),
        **{key: value for key, value in template.items() if key in Manifest.model_fields},
    )
    files |= {
        "model.safetensors": content,
        "history.json": _history(recipe, fold, fitted),
        "MODEL_CARD.md": model_card(manifest).encode(),
        "manifest.json": dump_manifest(manifest).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out_of_fold.csv").unlink(missing_ok=True)  # of earlier weights
    for name, data in files.items():
        write_atomically(folder / name, data)
    return manifest
