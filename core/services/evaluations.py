"""Evaluations that run in a process of their own, started and watched by a page: each has a folder, and the folder is all.

What runs is the command `python -m core evaluate`, first with --check and, once a person agreed, without. The server may be
restarted meanwhile: the folder tells how far the run is (core.io.progress), and the same command goes on where one stopped.
Who knows the token in the address of an evaluation may see it, nobody else.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import BusyError, UsageError
from core.io.journal import FILE as JOURNAL
from core.io.progress import FILE as PROGRESS
from core.io.progress import State, ask_to_stop, read_progress
from core.io.weights_file import write_atomically

_ROOT = Path(__file__).resolve().parents[2]
PLAN, MAPPING, CHECK, METRICS, NOTES = "plan.json", "mapping.json", "check.json", "metrics.json", "notes.json"
IMAGES, UNPACKED, LOG = "images.zip", "images", "log.txt"
FILES, TRUTH = (
    "files.json",
    "truth.csv",
)  # what the check writes: facts of each image by its hash; rows as the task reads them
KEEP_HOURS = 24.0
STOP_LIMIT_S = 2.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")
Step = Literal["check", "run"]
Stage = Literal["planned", "checking", "checked", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        task, model: The installed model.
        labels: Name of the table of labels in the folder of the evaluation.
        server_folder: Where the images lie on this machine; empty = in the uploaded archive.
        created: Seconds since 1970.
    """

    task: str
    model: str
    labels: str
    server_folder: str
    created: float


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on disk.

    Attributes:
        folder: Its name is the token.
        plan: What is measured.
    """

    folder: Path
    plan: Plan

    @property
    def token(self) -> str:
        """Who knows it may see the evaluation."""
        return self.folder.name

    @property
    def images(self) -> Path:
        """The folder or the archive of images."""
        return Path(self.plan.server_folder) if self.plan.server_folder else self.folder / IMAGES

    @property
    def data(self) -> Path:
        """The folder of images, once an archive was unpacked."""
        return Path(self.plan.server_folder) if self.plan.server_folder else self.folder / UNPACKED

    @property
    def labels(self) -> Path:
        """The table of labels as it came."""
        return self.folder / self.plan.labels

    @property
    def images_by_hash(self) -> dict[str, dict[str, str]]:
        """File below `data`, name as people know it, and group of each image, by the hash of its pixels."""
        found: dict[str, dict[str, str]] = self.read(FILES) or {}
        return found

    def read(self, name: str) -> Any:
        """A JSON file of the folder, None where it is not there."""
        path = self.folder / name
        return json.loads(path.read_bytes()) if path.is_file() else None

    def write(self, name: str, values: object) -> None:
        """Write a JSON file of the folder."""
        write_atomically(self.folder / name, json.dumps(values, ensure_ascii=False, indent=1).encode())


class Evaluations:
    """All evaluations of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which they are deleted, images and all.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._root, self._keep_s = root, 3600 * keep_hours
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def create(
        self, task: str, model: str, labels: tuple[str, bytes], images: bytes | None, server_folder: str = ""
    ) -> Evaluation:
        """A new evaluation; nothing runs yet.

        Args:
            task, model: The installed model.
            labels: Ending of the table's file (".csv"), and its bytes.
            images: A zip archive, or None where `server_folder` holds the images.
            server_folder: Allowed by the caller.
        """
        self.forget_old()
        suffix, table = labels
        folder = self._root / secrets.token_urlsafe(18)
        folder.mkdir(parents=True, mode=0o700)
        evaluation = Evaluation(folder, Plan(task, model, f"labels{suffix}", server_folder, time.time()))
        evaluation.labels.write_bytes(table)
        if images is not None:
            (folder / IMAGES).write_bytes(images)
        evaluation.write(PLAN, asdict(evaluation.plan))
        return evaluation

    def find(self, token: str) -> Evaluation | None:
        """The evaluation of a token, None where there is none."""
        folder = self._root / token
        if not _TOKEN.fullmatch(token) or not (folder / PLAN).is_file():
            return None
        return Evaluation(folder, Plan(**json.loads((folder / PLAN).read_bytes())))

    def start(self, evaluation: Evaluation, step: Step) -> None:
        """Start a step, or go on with it where it was stopped; nothing happens while one runs.

        Raises:
            BusyError: Another evaluation runs: each would take twice as long.
            UsageError: The run was not checked.
        """
        with self._lock:
            if self.stage(evaluation) in ("checking", "running"):
                return
            if any(process.poll() is None for process in self._running.values()):
                raise BusyError("another evaluation is running")
            if step == "run" and not (evaluation.folder / CHECK).is_file():
                raise UsageError("an evaluation that was not checked")
            for name in (PROGRESS,) if step == "run" else (PROGRESS, CHECK, METRICS, JOURNAL):
                (evaluation.folder / name).unlink(missing_ok=True)
            with (evaluation.folder / LOG).open("ab") as log:
                process = subprocess.Popen(
                    _command(evaluation, step),
                    cwd=_ROOT,
                    env={**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1))},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
                )
            self._running = {evaluation.token: process}

    def stage(self, evaluation: Evaluation) -> Stage:
        """Where it stands."""
        folder, told = evaluation.folder, self.progress(evaluation)
        has_check, has_metrics = ((folder / name).is_file() for name in (CHECK, METRICS))
        if told is not None and told.outcome == "failed":
            return "failed"
        process = self._running.get(evaluation.token)
        if (process is not None and process.poll() is None) or (told is not None and told.is_alive):
            return "running" if has_check else "checking"
        if has_metrics:
            return "done"
        if told is not None or (process is not None and process.returncode != 0):
            return "stopped"
        return "checked" if has_check else "planned"

    def progress(self, evaluation: Evaluation) -> State | None:
        """How far the step is; None before it tells."""
        return read_progress(evaluation.folder)

    def stop(self, evaluation: Evaluation) -> None:
        """End the step that runs; what was answered is kept. Returns once it has ended, within two seconds."""
        ask_to_stop(evaluation.folder)
        process = self._running.get(evaluation.token)
        if process is not None:
            try:
                process.wait(STOP_LIMIT_S / 2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def delete(self, evaluation: Evaluation) -> None:
        """Stop it and remove everything, images included."""
        self.stop(evaluation)
        shutil.rmtree(evaluation.folder, ignore_errors=True)

    def forget_old(self) -> None:
        """Delete evaluations that were not touched for so long, but for one that runs."""
        for path in self._root.glob(f"*/{PLAN}"):
            newest = max((one.stat().st_mtime for one in path.parent.iterdir()), default=0.0)
            evaluation = self.find(path.parent.name)
            if evaluation is None or time.time() - newest < self._keep_s:
                continue
            if self.stage(evaluation) not in ("checking", "running"):
                with contextlib.suppress(OSError):
                    shutil.rmtree(path.parent)


def _command(evaluation: Evaluation, step: Step) -> list[str]:
    folder, plan = evaluation.folder, evaluation.plan
    options: dict[str, object] = {"--model": plan.model, "--out": folder}
    if step == "check":
        options |= {"--data": evaluation.images, "--labels": evaluation.labels, "--mapping": folder / MAPPING}
    else:
        options |= {"--data": evaluation.data, "--labels": folder / TRUTH, "--json": folder / METRICS}
    given = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "core", "evaluate", plan.task, *given, *(["--check"] if step == "check" else [])]
