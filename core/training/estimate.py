"""How long a training will take on this machine, from a few cases and a few steps of the real thing."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from core import registry
from core.records import LabelledCase
from core.training.collect import collect, phantom_facts
from core.training.fit import Recipe, fit_fold

_CASES = 2  # that are made
_OF_A_CLASS = 6  # copies, so that every fold has one of every class
_SEED = 20_000  # no phantom of the estimate is one of a training


@dataclass(frozen=True)
class Estimate:
    """Seconds on this machine.

    Attributes:
        prepare: To make and prepare one phantom case.
        step: To train on one case once, validation included.
    """

    prepare: float
    step: float

    def total(self, n_training: int, n_test: int, epochs: int, folds: int) -> float:
        """Of a whole training on phantoms."""
        return self.prepare * (n_training + n_test) + self.step * n_training * epochs * folds


def estimate(task_id: str, recipe: Recipe) -> Estimate:
    """Time a tiny training.

    Args:
        task_id: Of the network.
        recipe: Its architecture and batch count.
    """
    data, network, learn = (registry.part(task_id, name) for name in ("data", "network", "learn"))
    started = time.perf_counter()
    made = list(islice(data.phantom_cases(_SEED, "training", _CASES), _CASES))
    for case in made:
        data.training_array(case)
    prepare = (time.perf_counter() - started) / len(made)
    pack = collect(task_id, _copies(made, task_id), (), phantom_facts(task_id, _SEED, _CASES, 0), 0)
    n = len(pack.targets)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_fold(network, learn, pack, 0, replace(recipe, epochs=1), Path(folder))
    return Estimate(prepare, fitted.history[-1]["seconds"] / n)


def _copies(made: list[LabelledCase], task_id: str) -> Iterator[LabelledCase]:
    """Cases of as many patients, all classes alike: only their size counts."""
    n_classes = max(2, len(registry.task(task_id).labels)) if registry.task(task_id).kind == "grader" else 2
    for number in range(_OF_A_CLASS * n_classes):
        case = made[number % len(made)]
        yield replace(case, case_id=str(number), patient=str(number), target=float(number % n_classes))
