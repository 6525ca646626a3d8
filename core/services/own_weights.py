"""Weights that a hospital brings: checked and installed by the command `python -m core weights add`, removed again here.

The file is foreign: it is parsed in a process of its own, with its memory and its time limited. The server only writes it down.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from core import registry
from core.errors import BusyError, UsageError, WeightsError
from core.i18n import mark
from core.manifest import SHIPPED, Manifest, read_manifest
from core.training.stated import TRAINED_ON, Line, Stated

LIMIT_S = 300.0
_ROOT = Path(__file__).resolve().parents[2]
_ENDED = mark("The check ended before it was done: it took too long, or the file needs more memory than it may take.")
_ONE = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        lines: Findings of the check in their order.
        is_installed: Whether the task's page can choose the model now.
    """

    lines: tuple[Line, ...]
    is_installed: bool


def add(content: bytes, stated: Stated, limit_s: float = LIMIT_S) -> Outcome:
    """Check a file and install it where everything holds.

    Args:
        content: The file as it came.
        stated: What is not in it.
        limit_s: After which the check is ended.

    Raises:
        UsageError: What was stated cannot be used.
        BusyError: Another file is being checked.
    """
    stated.check()
    if (registry.WEIGHTS / stated.task / stated.model).exists():
        raise UsageError(f"a model of the name {stated.model} is installed")
    if not _ONE.acquire(blocking=False):
        raise BusyError("another file of weights is being checked")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights"
            path.write_bytes(content)
            code, told = _run([*arguments(stated), f"--file={path}", "--json"], limit_s)
    finally:
        _ONE.release()
    lines = tuple(Line(**json.loads(line)) for line in told.splitlines() if line.startswith("{"))
    if code and (not lines or lines[-1].outcome != "failed"):
        lines = (*lines, Line("failed", _ENDED))
    return Outcome(lines, code == 0)


def _run(words: list[str], limit_s: float) -> tuple[int, str]:
    """Exit code and standard output of `python -m core` with these words."""
    environment = {**os.environ, "FIVEFOLD_WEIGHTS": str(registry.WEIGHTS), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "core", *words],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return 1, (error.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def arguments(stated: Stated) -> list[str]:
    """Of the command; each option and its value in one word, so that no value can be taken for an option."""
    kinds = {kind: word for word, kind in TRAINED_ON.items()}
    words = {
        "model": stated.model,
        "architecture": stated.architecture,
        "trained-on": kinds[stated.kind],
        "data": stated.data,
        "licence": stated.licence,
        "images": stated.n,
        "patients": stated.patients,
        "by": stated.by,
        "sha256": stated.sha256,
        "size": stated.size,
    }
    given = [f"--{name}={value}" for name, value in words.items() if value not in (None, "")]
    if stated.thresholds:
        given += ["--threshold", *(f"{label}={value}" for label, value in stated.thresholds.items())]
    if stated.options:
        given += ["--options", *(f"{name}={_word(value)}" for name, value in stated.options.items())]
    if stated.ages:
        given += ["--ages", *map(str, stated.ages)]
    return ["weights", "add", stated.task, *given]


def _word(value: str | int | float | bool) -> str:
    """An option's value as `read_options` reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def brought(task_id: str) -> list[Manifest]:
    """Installed models of a task that were brought; one whose manifest is wrong is left out: its page says so."""
    found = []
    for folder in registry.model_folders(task_id, registry.WEIGHTS):
        try:
            manifest = read_manifest(folder)
        except WeightsError:
            continue
        if manifest.provenance.is_brought:
            found.append(manifest)
    return found


def remove(task_id: str, model: str) -> None:
    """Remove a model that was brought; others stay.

    Raises:
        UsageError: No such model, one that was trained or shipped, or its folder cannot be removed.
        WeightsError: Its manifest is wrong.
    """
    manifest = registry.manifest_of(task_id, model, registry.WEIGHTS)
    if manifest is None:
        raise UsageError(f"no model of the name {model!a} is installed")
    if not manifest.provenance.is_brought:
        raise UsageError(f"{model} was not brought from outside: only such a model is removed here")
    folder = registry.WEIGHTS / task_id / model
    try:
        (folder / SHIPPED).unlink()  # first: a folder without a manifest is no model
        shutil.rmtree(folder)
    except OSError as error:
        raise UsageError("the weights folder cannot be written to") from error
