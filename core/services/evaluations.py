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
from core.io.progress import State, ask_to_stop, read_progress, tell_killed
from core.io.reader import KEY
from core.io.weights_file import write_atomically

_ROOT = Path(__file__).resolve().parents[2]
PLAN, MAPPING, CHECK, METRICS, NOTES = "plan.json", "mapping.json", "check.json", "metrics.json", "notes.json"
STEP, IMAGES, UNPACKED, LOG = "step.json", "images.zip", "images", "log.txt"
# What the check writes: facts of each image by its hash; rows as the task reads them.
FILES, TRUTH = "files.json", "truth.csv"
KEEP_HOURS = 24.0
STOP_LIMIT_S, _LOOK_S = 2.0, 0.1
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
        self._root, self._keep_s = root.resolve(), 3600 * keep_hours
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # One for all steps: what a check has hashed is taken over when it goes on. It is never written down.
        self._key = os.environ.get(KEY) or secrets.token_hex(32)
        self.forget_old()

    def create(
        self, task: str, model: str, labels: tuple[str, bytes], images: bytes | None, server_folder: str = ""
    ) -> Evaluation:
        """A new evaluation; nothing runs yet.

        Args:
            task, model: The installed model.
            labels: Ending of the table's file (".csv"), and its bytes.
            images: A zip archive, or None where `server_folder` holds the images.
            server_folder: Allowed by the caller.

        Raises:
            OSError: The disk is full, or the folder cannot be written to; nothing is left behind.
        """
        self.forget_old()
        suffix, table = labels
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)  # names of folders are tokens
        folder = self._root / secrets.token_urlsafe(18)
        folder.mkdir(mode=0o700)
        source = str(Path(server_folder).resolve()) if server_folder else ""
        evaluation = Evaluation(folder, Plan(task, model, f"labels{suffix}", source, time.time()))
        try:
            evaluation.labels.write_bytes(table)
            if images is not None:
                (folder / IMAGES).write_bytes(images)
            evaluation.write(PLAN, asdict(evaluation.plan))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return evaluation

    def find(self, token: str) -> Evaluation | None:
        """The evaluation of a token, None where there is none. It counts as used now."""
        found = self._open(self._root / token) if _TOKEN.fullmatch(token) else None
        if found is not None:
            with contextlib.suppress(OSError):  # it is deleted at this moment: whoever reads it will see
                os.utime(found.folder / PLAN)
        return found

    def _open(self, folder: Path) -> Evaluation | None:
        try:
            return Evaluation(folder, Plan(**json.loads((folder / PLAN).read_bytes())))
        except (OSError, ValueError, TypeError):  # of another version of this program
            return None

    def start(self, evaluation: Evaluation, step: Step) -> None:
        """Start a step, or go on with it where it was stopped; nothing happens while one runs.

        Raises:
            BusyError: Another evaluation runs: each would take twice as long.
            UsageError: The run was not checked.
        """
        with self._lock:
            if self._is_alive(evaluation):
                return
            if any(self._is_alive(other) for other in map(self._open, self._folders()) if other is not None):
                raise BusyError("another evaluation is running")
            if step == "run" and not (evaluation.folder / CHECK).is_file():
                raise UsageError("an evaluation that was not checked")
            for name in (PROGRESS, METRICS) if step == "run" else (PROGRESS, METRICS, CHECK, JOURNAL):
                (evaluation.folder / name).unlink(missing_ok=True)
            evaluation.write(STEP, step)
            with (evaluation.folder / LOG).open("ab") as log:
                process = subprocess.Popen(
                    _command(evaluation, step),
                    cwd=_ROOT,
                    env={**os.environ, KEY: self._key, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1))},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
                )
            self._running = {evaluation.token: process}

    def stage(self, evaluation: Evaluation) -> Stage:
        """Where it stands."""
        step = evaluation.read(STEP)
        if step is None:
            return "planned"
        if self._is_alive(evaluation):
            return "checking" if step == "check" else "running"
        told = self.progress(evaluation)
        if told is not None and told.outcome == "failed":
            return "failed"
        if step == "check":
            return "checked" if (evaluation.folder / CHECK).is_file() else "stopped"
        return "done" if (evaluation.folder / METRICS).is_file() and told is None else "stopped"

    def _is_alive(self, evaluation: Evaluation) -> bool:
        """Whether a step runs; one that an earlier server started tells it itself."""
        process, told = self._running.get(evaluation.token), self.progress(evaluation)
        return (process is not None and process.poll() is None) or (told is not None and told.is_alive)

    def progress(self, evaluation: Evaluation) -> State | None:
        """How far the step is; None before it tells."""
        return read_progress(evaluation.folder)

    def stop(self, evaluation: Evaluation) -> None:
        """End the step that runs; what was answered is kept. Returns once it has ended, or after two seconds."""
        if not self._is_alive(evaluation):
            return
        ask_to_stop(evaluation.folder)
        process, limit = self._running.get(evaluation.token), time.monotonic() + STOP_LIMIT_S
        if process is not None and process.poll() is None:
            try:
                process.wait(STOP_LIMIT_S / 2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                tell_killed(evaluation.folder)
        while self._is_alive(evaluation) and time.monotonic() < limit:  # started by an earlier server
            time.sleep(_LOOK_S)

    def delete(self, evaluation: Evaluation) -> None:
        """Stop it and remove everything, images included."""
        self.stop(evaluation)
        shutil.rmtree(evaluation.folder, ignore_errors=True)

    def forget_old(self) -> None:
        """Delete evaluations that were not touched for so long, but for one that runs."""
        for folder in self._folders():
            with contextlib.suppress(OSError):  # another session deletes it too
                is_old, evaluation = time.time() - _touched(folder) >= self._keep_s, self._open(folder)
                if is_old and (evaluation is None or not self._is_alive(evaluation)):
                    shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        """Of all evaluations, those included whose server ended before they were whole."""
        return [path for path in self._root.glob("*/") if _TOKEN.fullmatch(path.name)]


def _touched(folder: Path) -> float:
    """When the youngest file of a folder was written, seconds since 1970."""
    times = [folder.stat().st_mtime]
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # a temporary file that was there a moment ago
            times.append(path.stat().st_mtime)
    return max(times)


def _command(evaluation: Evaluation, step: Step) -> list[str]:
    folder, plan = evaluation.folder, evaluation.plan
    options: dict[str, object] = {"--model": plan.model, "--out": folder}
    if step == "check":
        options |= {"--data": evaluation.images, "--labels": evaluation.labels}
        if (folder / MAPPING).is_file():
            options["--mapping"] = folder / MAPPING
    else:
        options |= {"--data": evaluation.data, "--labels": folder / TRUTH, "--json": folder / METRICS}
    given = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "core", "evaluate", plan.task, *given, *(["--check"] if step == "check" else [])]
