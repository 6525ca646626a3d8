"""Verify the installed weights: manifest, size, hash, tensors."""

import argparse
from pathlib import Path

from core import registry
from core.errors import WeightsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task", nargs="?", help="only this task")


def _is_file(path: Path, sha256: str) -> bool:
    from core.manifest import file_sha256

    return path.is_file() and file_sha256(path) == sha256


def _evaluation(folder: Path) -> str:
    """Name of the file with the held-out answers."""
    from core.manifest import EVALUATIONS

    return next((name for name in EVALUATIONS if (folder / name).is_file()), EVALUATIONS[-1])


def run(options: argparse.Namespace) -> int:
    """Print one line a model; exit code 3 when one is refused."""
    from core.manifest import read_manifest
    from core.screening import load

    chosen = [options.task] if options.task else list(registry.tasks())
    refused = False
    for task_id in chosen:
        folders = registry.model_folders(task_id)
        if not folders:
            print(f"{task_id}: no model installed")
        for folder in folders:
            try:
                manifest = read_manifest(folder)
                made = manifest.provenance
                for name, wanted in (
                    (_evaluation(folder), made.evaluation_sha256),
                    ("training_cases.csv", made.training_cases_sha256),
                    ("out_of_fold.csv", made.out_of_fold_sha256),
                ):
                    if wanted is not None and not _is_file(folder / name, wanted):
                        raise WeightsError(f"{folder.name}: {name} is missing or not the file of the manifest")
                load(task_id, folder.name)
                size = manifest.weights.bytes / 2**20
                print(
                    f"{task_id}/{folder.name} {manifest.version}: ok, {size:.1f} MiB, sha256 {manifest.weights.sha256[:12]}"
                )
                if manifest.statement:
                    print(f"  {manifest.statement}")
            except WeightsError as error:
                refused = True
                print(f"{task_id}/{folder.name}: refused: {error.got}")
    return 3 if refused else 0
