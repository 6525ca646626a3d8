"""Verify the installed weights, add some that were trained elsewhere, or remove those again."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core import registry
from core.errors import ScreeningError, UsageError, WeightsError
from core.io.options import read_options
from core.training.stated import TRAINED_ON, Line, Stated

if TYPE_CHECKING:  # loads pydantic, which training from prepared arrays need not have
    from core.manifest import Manifest

MEMORY_BYTES, SECONDS = 3 * 2**30, 300  # beside the libraries, and three copies of the file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("action", nargs="?", choices=("check", "add", "remove"), default="check")
    parser.add_argument("task", nargs="?", help="check: only this task")
    parser.add_argument("--model", help="name of the weights folder to add or remove")
    add = parser.add_argument_group("add")
    add.add_argument("--file", type=Path, help="safetensors, or a state dict as torch.save writes it")
    add.add_argument("--architecture", help="a network of the task; default: its first")
    add.add_argument("--options", nargs="*", default=[], metavar="KEY=VALUE", help="of the network")
    add.add_argument("--trained-on", choices=tuple(TRAINED_ON), help="what the network saw in training")
    add.add_argument("--data", default="", help="name of the training data")
    add.add_argument("--licence", default="", help="terms of the training data and of the weights")
    add.add_argument("--images", type=int, help="how many it was trained on, where that is known")
    add.add_argument("--patients", type=int, help="how many they are of, where that is known")
    add.add_argument("--by", default="", help="who brings the weights")
    add.add_argument("--sha256", default="", help="of the file, as its maker published it")
    add.add_argument(
        "--threshold", nargs="*", default=[], metavar="LABEL=VALUE", help="stated by the maker, where places are found"
    )
    add.add_argument("--size", type=int, help="side of the network input, pixels; default: the task's")
    add.add_argument("--ages", type=float, nargs=2, metavar=("LOW", "HIGH"), help="years; default: the task's")
    add.add_argument("--json", action="store_true", help="one JSON object a finding, one a line")


def run(options: argparse.Namespace) -> int:
    """Exit code 3 when weights are refused."""
    if options.action == "check":
        return _check(options.task)
    if not options.task or not options.model:
        raise UsageError(f"weights {options.action} needs a task and --model")
    if options.action == "remove":
        from core.services.own_weights import remove

        remove(options.task, options.model)
        print(f"{options.task}/{options.model}: removed")
        return 0
    return _add(options)


# --- add -------------------------------------------------------------------------------------------------------------


def _add(options: argparse.Namespace) -> int:
    from core.io.limits import limit_memory, set_alarm
    from core.training.brought import bring  # what it loads does not count

    stated = _stated(options)
    try:
        n_bytes = options.file.stat().st_size
        limit_memory(MEMORY_BYTES + 3 * n_bytes)
        set_alarm(SECONDS // 2)
        content = options.file.read_bytes()
    except OSError as error:
        raise UsageError(f"the file cannot be opened: {type(error).__name__}") from error

    def tell(line: Line) -> None:
        print(json.dumps(asdict(line)) if options.json else _words(line), flush=True)

    try:
        manifest = bring(content, stated, registry.WEIGHTS, tell)
    except WeightsError as error:
        print(f"{options.task}/{options.model}: refused: {error.got}", file=sys.stderr)
        return 3
    except MemoryError as error:
        raise WeightsError("the process ran out of memory") from error
    if manifest.statement and not options.json:
        print(manifest.statement)
    return 0


def _words(line: Line) -> str:
    return f"{line.outcome:<7} {line.message.format(**line.values)}"


def _stated(options: argparse.Namespace) -> Stated:
    task = registry.task(options.task)
    if options.file is None or options.trained_on is None:
        raise UsageError("weights add needs --file and --trained-on")
    return Stated(
        task=task.id,
        model=options.model,
        architecture=options.architecture or task.architectures[0],
        options=read_options(options.options),
        kind=TRAINED_ON[options.trained_on],
        data=options.data,
        licence=options.licence,
        n=options.images,
        patients=options.patients,
        by=options.by,
        sha256=options.sha256,
        thresholds=_thresholds(options.threshold),
        size=options.size,
        ages=tuple(options.ages) if options.ages else None,
    )


def _thresholds(items: list[str]) -> dict[str, float]:
    try:
        return {label: float(value) for label, value in read_options(items).items()}
    except ValueError as error:
        raise UsageError("--threshold: LABEL=VALUE, a number") from error


# --- check -----------------------------------------------------------------------------------------------------------


def _check(task_id: str | None) -> int:
    """Manifest, size, hash, tensors, files beside them, and a run on an empty image: one line a model."""
    refused = False
    for own in [task_id] if task_id else list(registry.tasks()):
        folders = registry.model_folders(own, registry.WEIGHTS)
        if not folders:
            print(f"{own}: no model installed")
        for folder in folders:
            try:
                manifest = _checked(folder)
            except ScreeningError as error:
                refused = True
                print(f"{own}/{folder.name}: refused: {error.got}")
                continue
            size = manifest.weights.bytes / 2**20
            print(f"{own}/{folder.name} {manifest.version}: ok, {size:.1f} MiB, sha256 {manifest.weights.sha256[:12]}")
            if manifest.statement:
                print(f"  {manifest.statement}")
            if manifest.provenance.is_brought:
                print("  Brought from outside: what is said of its data and training was not checked")
    return 3 if refused else 0


def _checked(folder: Path) -> "Manifest":
    """The manifest of a model that holds.

    Raises:
        ScreeningError: What does not.
    """
    import numpy as np

    from core.engine.device import choose_device
    from core.engine.loader import load_model
    from core.engine.runner import run as run_network
    from core.manifest import read_manifest
    from core.screening import build

    manifest = read_manifest(folder)
    made = manifest.provenance
    for name, wanted in (
        (_evaluation(folder), made.evaluation_sha256),
        ("training_cases.csv", made.training_cases_sha256),
        ("out_of_fold.csv", made.out_of_fold_sha256),
    ):
        if wanted is not None and not _is_file(folder / name, wanted):
            raise WeightsError(f"{folder.name}: {name} is missing or not the file of the manifest")
    model = load_model(folder, build, choose_device())  # from the file, whatever is loaded already
    run_network(model, np.zeros((1, manifest.input.channels, *manifest.input.size), np.float32))
    return manifest


def _is_file(path: Path, sha256: str) -> bool:
    from core.manifest import file_sha256

    return path.is_file() and file_sha256(path) == sha256


def _evaluation(folder: Path) -> str:
    """Name of the file with the held-out answers."""
    from core.manifest import EVALUATIONS

    return next((name for name in EVALUATIONS if (folder / name).is_file()), EVALUATIONS[-1])
