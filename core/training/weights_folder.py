"""What every weights folder holds, be it of a model or of an auxiliary network: tensors, provenance, training cases, history."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.manifest import EVALUATIONS, Change, WeightsFile
from core.provenance import Dataset, ProvenanceRecord
from core.training.fit import Fitted, Recipe
from core.training.pack import Pack

Figures = NDArray[np.float64]
Dtype = Literal["float32", "float16"]
HALF_PRECISION_LIMIT = 0.001
BOXES_LIMIT = 0.01  # of figures of boxes, which jump where rounding swaps two of nearly the same score


def serialise(
    network: torch.nn.Module, measure: Callable[[torch.nn.Module], Figures], limit: float = HALF_PRECISION_LIMIT
) -> tuple[bytes, Dtype]:
    """The weights in half precision when no figure moves by `limit`, else in single.

    Args:
        network: Gets the rounded weights where they are good enough.
        measure: Its scores on validation cases, or what is reported of them.
        limit: What a figure may move.
    """
    before = measure(network)
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in half.items()}
    )
    if float(np.abs(measure(network) - before).max()) < limit:
        return save({name: value.contiguous() for name, value in half.items()}), "float16"
    network.load_state_dict(state)
    return save({name: value.contiguous() for name, value in state.items()}), "float32"


def _revision() -> str:
    """Commit of the code, with a plus when the tree holds more than it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "core") else "")


def training_cases(pack: Pack) -> bytes:
    """training_cases.csv: which pixels were used, in which fold."""
    train = pack.folds >= 0
    rows = zip(pack.pixel_hashes[train], pack.patients[train], pack.folds[train], strict=True)
    return csv_bytes(("pixel_hash", "patient", "fold"), list(rows))


def provenance(
    labels: Sequence[str],
    pack: Pack,
    folds: Collection[int],
    fold: int,
    recipe: Recipe,
    command: str,
    files: dict[str, bytes],
) -> ProvenanceRecord:
    """Data, command, seed and code behind the weights.

    Args:
        labels: That were learnt.
        pack: What was trained on.
        folds: Those that were fitted.
        fold: The published one.
        recipe: How it was trained.
        command: Command line.
        files: Of the weights folder by name, one of EVALUATIONS and training_cases.csv among them.
    """
    facts = json.loads(str(pack.facts[0]))
    names, licence = (facts["training_name"], facts["test_name"]), facts["licence"]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return ProvenanceRecord(
        labels=dict.fromkeys(labels, facts["kind"]),
        datasets=(
            _dataset("training", names[0], licence, pack, (pack.folds >= 0) & (pack.folds != fold)),
            _dataset("validation", names[0], licence, pack, pack.folds == fold),
            _dataset("test", names[1], facts.get("test_licence", licence), pack, _tested(pack, folds)),
        ),
        command="\n".join(filter(None, (facts.get("pack_command"), command))),
        seed=recipe.seed,
        code_revision=_revision(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        training_cases_sha256=digests["training_cases.csv"],
        evaluation_sha256=next(digests[name] for name in EVALUATIONS if name in digests),
        out_of_fold_sha256=digests.get("out_of_fold.csv"),
    )


def _tested(pack: Pack, folds: Collection[int]) -> NDArray[np.bool_]:
    """Cases that no fold was trained on; where there are none, those of the fitted folds, each out of its own."""
    held_out = pack.folds < 0
    return held_out if held_out.any() else np.isin(pack.folds, list(folds))


def _dataset(
    role: Literal["training", "validation", "test"], name: str, licence: str, pack: Pack, mask: NDArray[np.bool_]
) -> Dataset:
    return Dataset(name=name, role=role, n=int(mask.sum()), patients=len(set(pack.patients[mask])), licence=licence)


def changelog(earlier: Sequence[Change], note: str) -> tuple[Change, ...]:
    """That of the weights which lie in the folder already, and one line more."""
    return (*earlier, Change(version=f"1.{len(earlier)}.0", date=f"{datetime.now(UTC):%Y-%m-%d}", text=note))


def weights_file(content: bytes, dtype: Dtype, network: torch.nn.Module) -> WeightsFile:
    """The declaration of model.safetensors."""
    return WeightsFile(
        file="model.safetensors",
        format="safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        parameters=sum(p.numel() for p in network.parameters()),
        dtype=dtype,
    )


def history(recipe: Recipe, fold: int, fitted: dict[int, Fitted]) -> bytes:
    """history.json: the recipe, the published fold, and every epoch of every fold."""
    folds = {str(own): {"kept_epoch": result.kept_epoch, "epochs": result.history} for own, result in fitted.items()}
    return (json.dumps({"recipe": asdict(recipe), "fold": fold, "folds": folds}, indent=1) + "\n").encode()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files in their order, after those are gone that only earlier weights had."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*EVALUATIONS, "out_of_fold.csv"):
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_atomically(folder / name, content)
