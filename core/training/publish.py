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
    read_manifest,
)
from core.training.card import model_card
from core.training.fit import Fitted, Recipe, predict
from core.training.held_out import (
    Scored,
    Scores,
    headline_metrics,
    ideal_observer,
    operating_points,
    reference_metrics,
)
from core.training.pack import Pack

Columns = dict[str, NDArray[Any]]
Dtype = Literal["float32", "float16"]
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


def _evaluation(pack: Pack, labels: Sequence[str], test: Scored, ideal: Scores | None) -> bytes:
    """evaluation.csv: one row a held-out case."""
    mask = pack.folds < 0
    columns: Columns = {"case": pack.cases[mask], "patient": pack.patients[mask], "label": test.targets.astype(int)}
    columns |= {f"p_{label}": test.probabilities[:, place] for place, label in enumerate(labels)}
    if ideal is not None and len(labels) == 1:
        columns["p_ideal_observer"] = ideal[:, 0].round(6)
    elif ideal is not None:
        columns |= {f"ideal_{label}": ideal[:, place].round(6) for place, label in enumerate(labels)}
    return _csv(list(columns), list(zip(*columns.values(), strict=True)))


def _out_of_fold(pack: Pack, labels: Sequence[str], mask: NDArray[np.bool_], real: Scored) -> bytes:
    """out_of_fold.csv: every real case with a measured reference, answered by the fold model that never saw its patient."""
    columns: Columns = {
        "pixel_hash": pack.pixel_hashes[mask],
        "case": pack.cases[mask],
        "patient": pack.patients[mask],
        "fold": pack.folds[mask],
        "label": real.targets.astype(int),
        "reference": pack.references[mask].round(1),
    }
    columns |= {f"p_{label}": real.probabilities[:, place] for place, label in enumerate(labels)}
    return _csv(list(columns), list(zip(*columns.values(), strict=True)))


def _training_cases(pack: Pack) -> bytes:
    """training_cases.csv: which pixels were used, in which fold."""
    train = pack.folds >= 0
    rows = zip(pack.pixel_hashes[train], pack.patients[train], pack.folds[train], strict=True)
    return _csv(("pixel_hash", "patient", "fold"), list(rows))


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
            _dataset("test", names[1], facts.get("test_licence", licence), pack, pack.folds < 0),
        ),
        command="\n".join(filter(None, (facts.get("pack_command"), command))),
        seed=recipe.seed,
        code_revision=_revision(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        training_cases_sha256=digests["training_cases.csv"],
        evaluation_sha256=digests["evaluation.csv"],
        out_of_fold_sha256=digests.get("out_of_fold.csv"),
    )


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


class _Answers:
    """Scores of the fitted folds on the cases of a pack."""

    def __init__(self, task_network: ModuleType, learn: ModuleType, pack: Pack, recipe: Recipe) -> None:
        self._task, self._learn, self._pack, self._recipe = task_network, learn, pack, recipe

    def network(self, fitted: Fitted) -> torch.nn.Module:
        """The network with the weights of a fold."""
        network: torch.nn.Module = self._task.Network(self._recipe.architecture, **self._recipe.options)
        network.load_state_dict(fitted.state)
        return network

    def images(self, mask: NDArray[np.bool_]) -> torch.Tensor:
        """Stored images of some cases."""
        return torch.from_numpy(self._pack.images[mask])

    def scored(self, network: torch.nn.Module, mask: NDArray[np.bool_]) -> Scored:
        """Some cases with the answers of a network."""
        outputs = self._task.scores(predict(network, self._learn, self.images(mask)))
        probabilities = outputs.numpy().astype(np.float64).round(6)
        return Scored(self._pack.targets[mask].astype(np.float64), probabilities, self._pack.patients[mask])

    def out_of_fold(self, fitted: dict[int, Fitted], mask: NDArray[np.bool_]) -> Scored:
        """Some training cases, each answered by the fold that never saw its patient; needs every fold."""
        targets, probabilities = self._pack.targets[mask].astype(np.float64), np.empty(0)
        for fold, own in fitted.items():
            scored = self.scored(self.network(own), mask & (self._pack.folds == fold))
            if probabilities.size == 0:
                probabilities = np.full((len(targets), scored.probabilities.shape[1]), np.nan)
            probabilities[self._pack.folds[mask] == fold] = scored.probabilities
        return Scored(targets, probabilities, self._pack.patients[mask])


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
    answers = _Answers(task_network, learn, pack, recipe)
    network = answers.network(fitted[fold])
    content, dtype = _serialise(network, learn, answers.images(pack.folds == fold), task_network.scores)
    facts, labels = json.loads(str(pack.facts[0])), template["labels"]
    test, ideal = answers.scored(network, pack.folds < 0), ideal_observer(pack)
    metrics = headline_metrics(labels, test, ideal, facts["test_name"])
    files = {"evaluation.csv": _evaluation(pack, labels, test, ideal), "training_cases.csv": _training_cases(pack)}
    measured = np.isfinite(pack.references) & (pack.folds >= 0)
    if measured.any() and set(fitted) == set(pack.folds[pack.folds >= 0]):
        real = answers.out_of_fold(fitted, measured)
        files["out_of_fold.csv"] = _out_of_fold(pack, labels, measured, real)
        references = pack.references[measured].astype(np.float64)
        metrics += reference_metrics(labels, real, references, facts["reference_name"])
    points = operating_points(
        template["cuts"], labels, answers.scored(network, pack.folds == fold), test, facts["test_name"], recipe.seed
    )
    changelog = _changelog(folder, note)
    manifest = Manifest(
        format="fivefold-manifest-1",
        task=facts["task"],
        model=folder.name,
        version=changelog[-1].version,
        changelog=changelog,
        architecture=Architecture(name=recipe.architecture, options=recipe.options),
        weights=_weights_file(content, dtype, network),
        operating_points=tuple(points),
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][recipe.architecture],
            default_method=template.get("explanation_method", "grad_cam"),
        ),
        metrics=tuple(metrics),
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
