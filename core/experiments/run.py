"""Runs the arms of an experiment one after another. A finished run is one row; a stopped one goes on at its last epoch.

At the fast size a run takes seconds: a stopped one starts anew.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import registry
from core.engine.device import choose_device
from core.experiments.declaration import Arm, Experiment
from core.experiments.inputs import learner
from core.experiments.maps import save_maps
from core.experiments.measures import NOTHING, measured, prefixed
from core.experiments.packs import load_pack, name_of
from core.experiments.pictures import MAPS
from core.experiments.protocols import PROTOCOLS, TRAINING, VALIDATION, arranged
from core.experiments.summary import DIVERGED, FINISHED, KEYS, OUTCOME, UNSEEN, run_name, summarise
from core.io.journal import Journal
from core.io.progress import Progress
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.manifest import DEMO_STATEMENT
from core.training.collect import HELD_OUT
from core.training.fit import Fitted, Recipe, fit_fold
from core.training.pack import Pack

JOURNAL = "finished.jsonl"
FORM = 2  # of what the journal keeps of a run
PHANTOMS, REAL = "phantoms", "real images"


@dataclass(frozen=True)
class Run:
    """One training."""

    arm: Arm
    protocol: str
    seed: int
    fold: int

    @property
    def key(self) -> str:
        """Arm, protocol, seed and fold in words."""
        return run_name(self.arm.name, self.protocol, self.seed, self.fold)


@dataclass(frozen=True)
class Plan:
    """What is run, and where.

    Attributes:
        experiment: The declaration.
        is_fast: At which size.
        n_seeds: Repetitions.
        command: Command line, for command.txt.
        out: Folder of results; those of the experiment lie in a folder of its name.
        work: Folder of checkpoints, prepared arrays and the journal.
        data: Folder of real images, None = phantoms.
    """

    experiment: Experiment
    is_fast: bool
    n_seeds: int
    command: str
    out: Path
    work: Path
    data: Path | None = None

    @property
    def name(self) -> str:
        """Of the folders of checkpoints and results: real images have their own."""
        return self.experiment.id + (f"-{name_of(self.data)}" if self.data else "")

    def runs(self) -> Iterator[Run]:
        """Every training: seed after seed, so that a stopped experiment has whole seeds."""
        for seed in range(self.n_seeds):
            for arm in self.experiment.arms_of(is_fast=self.is_fast):
                for protocol in arm.protocols or self.experiment.protocols:
                    for fold in self.experiment.sized(is_fast=self.is_fast).folds:
                        yield Run(arm, protocol, seed, fold)

    @property
    def explains(self) -> bool:
        """Whether maps are measured: only on phantoms, whose anatomy is known."""
        return self.experiment.explains and self.data is None

    def recipe(self, run: Run) -> Recipe:
        """How a run trains."""
        return Recipe(**self.experiment.recipe_of(run.arm, is_fast=self.is_fast), seed=run.seed)

    def about(self) -> dict[str, object]:
        """What rows depend on beside their keys."""
        own, size = self.experiment, self.experiment.sized(is_fast=self.is_fast)
        cases = {"cases": own.cases, "n_training": size.n_training, "n_test": size.n_test}
        facts = {"metric": own.metric, "network": own.network, "side": size.side, "data": self.name}
        return {"form": FORM, "experiment": own.id, **facts, **cases}

    def key(self, run: Run) -> str:
        """Name of a run, which says how it trains: an arm that was declared anew is run anew."""
        told = repr((self.recipe(run), run.arm.augmented, run.arm.cases)).encode()
        return f"{run.key} | {sha256(told).hexdigest()[:12]}"


def run_experiment(plan: Plan, pack: Pack | None = None) -> Path:
    """Run what is not finished yet and write the results.

    Args:
        plan: What and where.
        pack: Prepared arrays in place of the experiment's own.

    Returns:
        The folder with runs.csv, curves.csv, unseen.csv, summary.json, command.txt and environment.json, and maps.npz of an
        experiment that explains.
    """
    work = plan.work / plan.name
    work.mkdir(parents=True, exist_ok=True)
    packs = {name: pack or _load(plan, name) for name in {arm.cases for arm in plan.experiment.arms}}
    journal, runs = Journal(work / JOURNAL, plan.about()), list(plan.runs())
    folder = plan.out / plan.name
    done: list[dict[str, Any]] = []
    with Progress(work, plan.experiment.id, len(runs), min(len(journal), len(runs))) as progress:
        for number, run in enumerate(runs, start=1):
            print(f"{number}/{len(runs)} {run.key}", file=sys.stderr, flush=True)
            done.append(journal.once(plan.key(run), _computed(plan, run, packs[run.arm.cases], work / "fold")))
            progress.step(number)
    first = packs[runs[0].arm.cases]
    _write(plan, done, folder, first)
    if plan.explains:
        save_maps(
            folder / MAPS,
            _looks(plan.experiment).pictures(first),
            [(run, one["maps"]) for run, one in zip(runs, done, strict=True) if not run.seed],
        )
    return folder


def _load(plan: Plan, cases: str) -> Pack:
    return load_pack(plan.experiment, plan.work / "packs", is_fast=plan.is_fast, data=plan.data, cases=cases)


def _computed(plan: Plan, run: Run, pack: Pack, folder: Path) -> Callable[[], dict[str, Any]]:
    """One run, for the journal."""

    def compute() -> dict[str, Any]:
        own = None if plan.is_fast else folder / sha256(plan.key(run).encode()).hexdigest()[:16]
        found = _run(plan, run, pack, own)
        if own:
            shutil.rmtree(own)
        return found

    return compute


def network_of(experiment: Experiment) -> Any:
    """The module with the network of an experiment and its scores."""
    return import_module(experiment.network) if experiment.network else registry.part(experiment.task, "network")


def _looks(experiment: Experiment) -> Any:
    """The module with what is kept of a network's looks: maps of CT networks, scores of those that mark lesions."""
    is_segmenter = registry.task(experiment.task).kind == "segmenter"
    return import_module(f"core.experiments.{'panels' if is_segmenter else 'maps'}")


def _run(plan: Plan, run: Run, pack: Pack, folder: Path | None) -> dict[str, Any]:
    """Train and measure.

    Returns:
        "row" of runs.csv, "curve", the history of every epoch, "marks" of the unseen cases, and "maps" of some of them.
    """
    experiment, protocol = plan.experiment, PROTOCOLS[run.protocol]
    recipe, side = plan.recipe(run), experiment.sized(is_fast=plan.is_fast).side
    task_network = network_of(experiment)
    augmented = run.arm.augmented and not protocol.copies
    learn = learner(experiment.task, augmented=augmented, side=side)
    cases = arranged(pack, protocol, run.seed, run.fold)
    fitted = fit_fold(task_network, learn, cases, VALIDATION, recipe, folder)
    network = task_network.Network(recipe.architecture, **recipe.options)
    network.load_state_dict(fitted.state)
    network.to(choose_device())
    parts = {"training": TRAINING} if experiment.measures_training else {}
    parts |= {"validation": VALIDATION, "unseen": HELD_OUT}
    is_finite = all(value.isfinite().all() for value in fitted.state.values())
    figures: dict[str, Any] = {}
    for name, fold in parts.items():
        mask = cases.folds == fold
        own = measured(network, task_network.scores, learn, cases, mask) if is_finite else NOTHING
        figures |= {f"{name}_cases": int(mask.sum())} | prefixed(name, own.figures)
    explained = None
    if plan.explains and is_finite:
        explained = _looks(experiment).maps_of(network, learn, cases, cases.folds == HELD_OUT)
        figures |= prefixed("unseen", explained.figures)
    marks = [None if one is None else round(one, 4) for one in own.marks]  # of the last part, the unseen cases
    return {
        "row": _row(plan, run, fitted, figures),
        "curve": [_finite(epoch) for epoch in fitted.history],
        "marks": marks,
        "maps": explained.examples if explained else {},
    }


def _row(plan: Plan, run: Run, fitted: Fitted, figures: dict[str, Any]) -> dict[str, Any]:
    losses = [epoch[side] for epoch in fitted.history for side in ("train_loss", "validation_loss")]
    is_finished = all(map(isfinite, losses))
    metric = plan.experiment.metric
    seen, unseen = figures.get(f"validation_{metric}"), figures.get(f"unseen_{metric}")
    return _finite(
        {
            **dict(zip(KEYS, (plan.experiment.id, run.arm.name, run.protocol, run.seed, run.fold), strict=True)),
            OUTCOME: FINISHED if is_finished else DIVERGED,
            "epochs": len(fitted.history),
            "kept_epoch": fitted.kept_epoch + 1,
            "seconds": round(sum(epoch["seconds"] for epoch in fitted.history), 1),
            "train_loss": fitted.history[fitted.kept_epoch]["train_loss"],
            "validation_loss": fitted.kept_loss,
            **figures,
            "optimism": None if seen is None or unseen is None else seen - unseen,
        }
    )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """With numbers of six digits, and None in place of those that JSON does not know."""

    def kept(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return round(value, 6) if isfinite(value) else None

    return {name: kept(value) for name, value in row.items()}


def _table(rows: Sequence[dict[str, Any]]) -> bytes:
    """CSV with every column that a row has, in the order of their first appearance; empty = not measured."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return csv_bytes(columns, [["" if row.get(name) is None else row[name] for name in columns] for row in rows])


def as_text(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows as they are read from runs.csv."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: "" if row.get(name) is None else str(row[name]) for name in columns} for row in rows]


def _unseen(rows: list[dict[str, Any]], marks: list[list[float | None]], pack: Pack, statement: str) -> bytes:
    """One row an unseen case, numbered, with its patient, and what every run is worth on it; see `measures.Measured.marks`."""
    _, patients = np.unique(pack.patients[pack.folds == HELD_OUT], return_inverse=True)
    heads = [run_name(row["arm"], row["protocol"], row["seed"], row["fold"]) for row in rows]
    columns = [own or [None] * len(patients) for own in marks]
    cells = [["" if one[case] is None else f"{one[case]:g}" for one in columns] for case in range(len(patients))]
    return csv_bytes(
        ["case", "patient", *heads, "statement"],
        [[case + 1, int(patients[case]) + 1, *row, statement] for case, row in enumerate(cells)],
    )


def _write(plan: Plan, done: list[dict[str, Any]], folder: Path, pack: Pack) -> None:
    """The six files of results."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [one["row"] for one in done]
    curves = [
        {**{name: one["row"][name] for name in KEYS}, "epoch": number, **epoch}
        for one in done
        for number, epoch in enumerate(one["curve"], start=1)
    ]
    data = REAL if plan.data else PHANTOMS
    summary = summarise(as_text(rows), plan.experiment, is_fast=plan.is_fast, data=data)
    files = {
        "runs.csv": _table(rows),
        "curves.csv": _table(curves),
        UNSEEN: _unseen(rows, [one["marks"] for one in done], pack, "" if plan.data else DEMO_STATEMENT),
        "summary.json": json.dumps(summary, indent=1).encode() + b"\n",
        "command.txt": plan.command.encode() + b"\n",
        "environment.json": json.dumps(_environment(plan, rows), indent=1).encode() + b"\n",
    }
    for name, content in files.items():
        write_atomically(folder / name, content)


def _environment(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Where and with what the last run was made."""
    import torchvision

    device = choose_device()
    recipe = asdict(Recipe(**{**plan.experiment.recipe, **plan.experiment.sized(is_fast=plan.is_fast).changes}))
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "training_seconds": round(sum(row["seconds"] for row in rows), 1),
        "recipe": recipe,
    }
