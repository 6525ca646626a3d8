"""Batches: the command `python -m core batch` as a job, from a folder or an archive of images to one table."""

import csv
import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.io.progress import FILE as PROGRESS
from core.io.progress import State, read_progress
from core.io.series import looks_zip
from core.services.jobs import Job, Jobs, write_json

RESULTS, TABLE = "results.json", "results.csv"  # core.services.batch writes them, and loads torch
IMAGES, STARTED = "images.zip", "started.json"
KEEP_HOURS = 24.0
Stage = Literal["planned", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Plan:
    """What is screened.

    Attributes:
        task, model: The installed model.
        server_folder: Where the images lie on this machine; empty = in the uploaded archive.
        confirmed: A person wants the scores of images that raise questions.
        has_history: Whether every result is kept in the history.
        by: Who asked.
        inputs: Hash of all that and of the images: the same batch is not started twice.
        created: Seconds since 1970.
    """

    task: str
    model: str
    server_folder: str
    confirmed: bool
    has_history: bool
    by: str
    inputs: str
    created: float


@dataclass(frozen=True)
class Batch(Job):
    """One batch on disk.

    Attributes:
        plan: What is screened.
    """

    plan: Plan

    def rows(self) -> list[dict[str, str]]:
        """The table so far, a row a file; a row that is being written is left out."""
        path = self.folder / TABLE
        content = path.read_bytes() if path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1].decode()
        return list(csv.DictReader(io.StringIO(whole, newline="")))

    def file(self, name: str) -> bytes:
        """One of the files that came out."""
        return (self.folder / name).read_bytes()


class Batches:
    """All batches of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which they are deleted, uploaded images and all.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._jobs = Jobs(root, keep_hours)
        self._lock = threading.Lock()

    def create(
        self,
        task: str,
        model: str,
        images: Sequence[tuple[str, bytes]],
        server_folder: str = "",
        *,
        confirmed: bool = False,
        has_history: bool = False,
        by: str = "page",
    ) -> Batch:
        """A new batch, or the one that was made of the same images and choices; nothing runs yet.

        Args:
            task, model: The installed model.
            images: Name and content of each uploaded file, or one zip archive; none where `server_folder` holds them.
            server_folder: Allowed by the caller.
            confirmed, has_history, by: See Plan.

        Raises:
            OSError: See `Jobs.create`.
        """
        archive = _archive(images)
        chosen = (task, model, str(server_folder), confirmed, has_history, by)
        inputs = hashlib.sha256(repr(chosen).encode() + hashlib.sha256(archive).digest()).hexdigest()
        with self._lock:
            for folder in self._jobs.folders():
                found = self.find(folder.name)
                # a folder of the server may hold other images by now
                if found is not None and found.plan.inputs == inputs and (archive or self.stage(found) != "done"):
                    return found
            plan = Plan(task, model, str(server_folder), confirmed, has_history, by, inputs, time.time())
            return Batch(self._jobs.create(plan, {IMAGES: archive} if archive else {}), plan)

    def find(self, token: str) -> Batch | None:
        """The batch of a token, None where there is none. It counts as used now."""
        found = self._jobs.find(token, Plan)
        return None if found is None else Batch(*found)

    def start(self, batch: Batch) -> None:
        """Start it, or go on after the last file that was answered; nothing happens while it runs.

        Raises:
            BusyError: Another batch runs.
        """

        def prepare() -> None:
            for name in (PROGRESS, RESULTS):
                (batch.folder / name).unlink(missing_ok=True)
            write_json(batch.folder / STARTED, time.time())

        self._jobs.launch(batch.folder, _arguments(batch), {}, prepare)

    def stage(self, batch: Batch) -> Stage:
        """Where it stands."""
        if self._jobs.is_alive(batch.folder):
            return "running"
        told = self.progress(batch)
        if told is not None:
            return "failed" if told.outcome == "failed" else "stopped"
        if not (batch.folder / STARTED).is_file():
            return "planned"
        return "done" if (batch.folder / RESULTS).is_file() else "stopped"

    def progress(self, batch: Batch) -> State | None:
        """How far it is; None before it tells."""
        return read_progress(batch.folder)

    def stop(self, batch: Batch) -> None:
        """End it; what was answered is kept. Returns once it has ended, or after two seconds."""
        self._jobs.stop(batch.folder)

    def delete(self, batch: Batch) -> None:
        """Stop it and remove everything, uploaded images included."""
        self._jobs.delete(batch.folder)


def _archive(images: Sequence[tuple[str, bytes]]) -> bytes:
    """The uploaded archive, or one made of single files; empty without any."""
    if len(images) <= 1 and all(looks_zip(content) for _, content in images):
        return images[0][1] if images else b""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # not packed: what comes out is as long as what goes in
        for name, content in images:
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _arguments(batch: Batch) -> list[str]:
    folder, plan = batch.folder, batch.plan
    source = plan.server_folder or str(folder / IMAGES)
    flags = (["--confirm"] if plan.confirmed else []) + (["--history"] if plan.has_history else [])
    return ["batch", plan.task, source, "--model", plan.model, "--out", str(folder), "--by", plan.by, *flags]
