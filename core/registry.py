"""Finds tasks by walking core.tasks. Imports no torch and is instant; heavy parts of a task are imported when asked for."""

import os
import pkgutil
import re
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import core.tasks
from core.errors import UsageError
from core.task import Task

if TYPE_CHECKING:  # a machine that only trains reads no manifest
    from core.manifest import Manifest

MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{2,39}")
"""Of a model that people name: a folder in `weights/<task>/`."""
WEIGHTS = Path(os.environ.get("FIVEFOLD_WEIGHTS") or Path(__file__).resolve().parents[1] / "weights")


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    """Every task by id, in menu order."""
    found = [
        import_module(f"core.tasks.{module.name}.task").TASK for module in pkgutil.iter_modules(core.tasks.__path__)
    ]
    return {task.id: task for task in sorted(found, key=lambda task: task.order)}


def task(task_id: str) -> Task:
    """The declaration of one task.

    Raises:
        UsageError: No task has this id.
    """
    if task_id not in tasks():
        raise UsageError(f"task {task_id!r}; known: {', '.join(tasks())}")
    return tasks()[task_id]


def part(task_id: str, name: str, auxiliary: str | None = None) -> Any:
    """One file of a task's folder: "gate", "locate", "prepare", "decode", "phantom", "data", "network" or "learn".

    Args:
        task_id: Id of the task.
        name: Of the file.
        auxiliary: Name of an auxiliary network of the task: then what the file says of that, in place of the file.

    Raises:
        UsageError: The task has no such auxiliary network.
    """
    module = import_module(f"core.tasks.{task(task_id).id}.{name}")
    if auxiliary is None:
        return module
    if not isinstance(found := getattr(module, auxiliary, None), SimpleNamespace):
        raise UsageError(f"auxiliary network {auxiliary!r} of {task_id}; there is none of this name")
    return found


def model_folders(task_id: str, root: Path = WEIGHTS) -> list[Path]:
    """Installed models of a task: folders with a manifest, those named like its architectures first, in their order."""
    known = task(task_id).architectures
    places = {name: place for place, name in enumerate(known)}
    folders = [path.parent for path in (root / task(task_id).id).glob("*/manifest.json")]
    return sorted(folders, key=lambda folder: (places.get(folder.name, len(known)), folder.name))


def manifest_of(task_id: str, model: str | None = None, root: Path = WEIGHTS) -> "Manifest | None":
    """Manifest of an installed model of a task, of the first one without a name; None where it is not installed.

    Raises:
        WeightsError: The manifest is there and wrong.
    """
    from core.manifest import read_manifest

    folders = [folder for folder in model_folders(task_id, root) if model in (None, folder.name)]
    return read_manifest(folders[0]) if folders else None
