"""Trainings: the command `python -m core train` as a job, from prepared arrays to a weights folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core import registry
from core.errors import UsageError
from core.io.history import History, read_checkpoint
from core.io.progress import FILE as PROGRESS
from core.io.progress import State, read_progress
from core.manifest import SHIPPED
from core.registry import MODEL_NAME
from core.services.jobs import Job, Jobs, write_json

RUNS, STARTED = "runs", "started.json"
Stage = Literal["planned", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Plan:
    """What is trained on what.

    Attributes:
        task, architecture: Of the network.
        name: Of the weights folder that comes out.
        phantoms, test_phantoms: Phantoms to train and to test on; 0 with a folder.
        server_folder: Images with labels.csv; empty = phantoms.
        folds: Number of folds that are trained, 1 or 5.
        epochs, batch, optimizer, lr: See `core.training.fit.Recipe`.
        created: Seconds since 1970.
    """

    task: str
    architecture: str
    name: str
    phantoms: int
    test_phantoms: int
    server_folder: str
    folds: int
    epochs: int
    batch: int
    optimizer: str
    lr: float
    created: float


@dataclass(frozen=True)
class Training(Job):
    """One training on disk.

    Attributes:
        plan: What is trained.
    """

    plan: Plan

    @property
    def weights(self) -> Path:
        """The folder that comes out, one of the installed models."""
        return registry.WEIGHTS / self.plan.task / self.plan.name

    def histories(self) -> dict[int, History]:
        """Losses so far of every fold that has begun."""
        runs = self.folder / RUNS / self.plan.task / self.plan.architecture
        found = {fold: read_checkpoint(runs / f"fold_{fold}", fold) for fold in range(self.plan.folds)}
        return {fold: history for fold, history in found.items() if history is not None}


class Trainings:
    """All trainings of this installation.

    Args:
        root: Where they lie; made when the first one is.
    """

    def __init__(self, root: Path) -> None:
        self._jobs = Jobs(root, None)

    def create(self, plan: Plan) -> Training:
        """A new training; nothing runs yet.

        Raises:
            UsageError: The name is none, or taken; no such network.
            OSError: See `Jobs.create`.
        """
        if not MODEL_NAME.fullmatch(plan.name):
            raise UsageError("a name of 3 to 40 small letters, digits and underscores, a letter first")
        if plan.architecture not in registry.task(plan.task).architectures:
            raise UsageError(f"architecture {plan.architecture!r}")
        if (registry.WEIGHTS / plan.task / plan.name).exists():
            raise UsageError(f"a model of the name {plan.name} is installed")
        return Training(self._jobs.create(plan, {}), plan)

    def find(self, token: str) -> Training | None:
        """The training of a token, None where there is none."""
        found = self._jobs.find(token, Plan)
        return None if found is None else Training(*found)

    def start(self, training: Training) -> None:
        """Start it, or go on after the last whole epoch; nothing happens while it runs.

        Raises:
            BusyError: Another training runs.
        """

        def prepare() -> None:
            (training.folder / PROGRESS).unlink(missing_ok=True)
            write_json(training.folder / STARTED, time.time())

        self._jobs.launch(training.folder, _arguments(training), {}, prepare)

    def stage(self, training: Training) -> Stage:
        """Where it stands."""
        if self._jobs.is_alive(training.folder):
            return "running"
        told = self.progress(training)
        if told is not None:
            return "failed" if told.outcome == "failed" else "stopped"
        if not (training.folder / STARTED).is_file():
            return "planned"
        return "done" if (training.weights / SHIPPED).is_file() else "stopped"

    def progress(self, training: Training) -> State | None:
        """How far it is; None before it tells."""
        return read_progress(training.folder)

    def stop(self, training: Training) -> None:
        """End it; whole epochs are kept. Returns once it has ended, or after two seconds."""
        self._jobs.stop(training.folder)

    def delete(self, training: Training) -> None:
        """Stop it and remove its checkpoints; a weights folder that came out stays."""
        self._jobs.delete(training.folder)


def _arguments(training: Training) -> list[str]:
    folder, plan = training.folder, training.plan
    options: dict[str, object] = {
        "--job": folder,
        "--runs": folder / RUNS,
        "--out": training.weights,
        "--architecture": plan.architecture,
        "--epochs": plan.epochs,
        "--batch": plan.batch,
        "--optimizer": plan.optimizer,
        "--lr": plan.lr,
        "--schedule": "cosine",
    }
    if plan.server_folder:
        options["--data"] = plan.server_folder
    else:
        options |= {"--phantoms": plan.phantoms, "--test-phantoms": plan.test_phantoms}
    given = [str(part) for option in options.items() for part in option]
    return ["train", plan.task, *given, "--fold", *map(str, range(plan.folds))]
