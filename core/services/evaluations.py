"""Evaluations: the command `python -m core evaluate` as a job, first with --check and, once a person agreed, without."""

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError
from core.io.journal import FILE as JOURNAL
from core.io.progress import FILE as PROGRESS
from core.io.progress import State, read_progress
from core.io.reader_process import KEY
from core.services.jobs import Job, Jobs, read_json, write_json

MAPPING, CHECK, METRICS, NOTES = "mapping.json", "check.json", "metrics.json", "notes.json"
STEP, IMAGES, UNPACKED = "step.json", "images.zip", "images"
# What the check writes: facts of each image by its hash; rows as the task reads them.
FILES, TRUTH = "files.json", "truth.csv"
KEEP_HOURS = 24.0
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
class Evaluation(Job):
    """One evaluation on disk.

    Attributes:
        plan: What is measured.
    """

    plan: Plan

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
        return read_json(self.folder / name)

    def write(self, name: str, values: object) -> None:
        """Write a JSON file of the folder."""
        write_json(self.folder / name, values)


class Evaluations:
    """All evaluations of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which they are deleted, images and all.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._jobs = Jobs(root, keep_hours)
        # One for all steps: what a check has hashed is taken over when it goes on. It is never written down.
        self._key = os.environ.get(KEY) or secrets.token_hex(32)

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
            OSError: See `Jobs.create`.
        """
        suffix, table = labels
        source = str(Path(server_folder).resolve()) if server_folder else ""
        plan = Plan(task, model, f"labels{suffix}", source, time.time())
        files = {plan.labels: table} | ({} if images is None else {IMAGES: images})
        return Evaluation(self._jobs.create(plan, files), plan)

    def find(self, token: str) -> Evaluation | None:
        """The evaluation of a token, None where there is none. It counts as used now."""
        found = self._jobs.find(token, Plan)
        return None if found is None else Evaluation(*found)

    def start(self, evaluation: Evaluation, step: Step) -> None:
        """Start a step, or go on with it where it was stopped; nothing happens while one runs.

        Raises:
            BusyError: Another evaluation runs.
            UsageError: The run was not checked.
        """
        if step == "run" and not (evaluation.folder / CHECK).is_file():
            raise UsageError("an evaluation that was not checked")

        def prepare() -> None:
            for name in (PROGRESS, METRICS) if step == "run" else (PROGRESS, METRICS, CHECK, JOURNAL):
                (evaluation.folder / name).unlink(missing_ok=True)
            evaluation.write(STEP, step)

        self._jobs.launch(evaluation.folder, _arguments(evaluation, step), {KEY: self._key}, prepare)

    def stage(self, evaluation: Evaluation) -> Stage:
        """Where it stands."""
        step = evaluation.read(STEP)
        if step is None:
            return "planned"
        if self._jobs.is_alive(evaluation.folder):
            return "checking" if step == "check" else "running"
        told = self.progress(evaluation)
        if told is not None and told.outcome == "failed":
            return "failed"
        if step == "check":
            return "checked" if (evaluation.folder / CHECK).is_file() else "stopped"
        return "done" if (evaluation.folder / METRICS).is_file() and told is None else "stopped"

    def progress(self, evaluation: Evaluation) -> State | None:
        """How far the step is; None before it tells."""
        return read_progress(evaluation.folder)

    def stop(self, evaluation: Evaluation) -> None:
        """End the step that runs; what was answered is kept. Returns once it has ended, or after two seconds."""
        self._jobs.stop(evaluation.folder)

    def delete(self, evaluation: Evaluation) -> None:
        """Stop it and remove everything, images included."""
        self._jobs.delete(evaluation.folder)

    def forget_old(self) -> None:
        """Delete evaluations that were not used for so long, but for one that runs."""
        self._jobs.forget_old()


def _arguments(evaluation: Evaluation, step: Step) -> list[str]:
    folder, plan = evaluation.folder, evaluation.plan
    options: dict[str, object] = {"--model": plan.model, "--out": folder}
    if step == "check":
        options |= {"--data": evaluation.images, "--labels": evaluation.labels}
        if (folder / MAPPING).is_file():
            options["--mapping"] = folder / MAPPING
    else:
        options |= {"--data": evaluation.data, "--labels": folder / TRUTH, "--json": folder / METRICS}
    given = [str(part) for option in options.items() for part in option]
    return ["evaluate", plan.task, *given, *(["--check"] if step == "check" else [])]
