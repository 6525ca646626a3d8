"""What an experiment is: arms that differ in one thing, protocols that differ in what is measured on, and what was published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Changes = Mapping[str, Any]  # of a Recipe


@dataclass(frozen=True)
class Published:
    """A figure of the reference system.

    Attributes:
        value: As it is printed there.
        unit: "%" or "" for a share or an area.
        source: Number of its table or figure.
    """

    value: float
    unit: str
    source: str

    @property
    def share(self) -> float:
        """The value on the scale of our columns, [0, 1]."""
        return self.value / 100 if self.unit == "%" else self.value


@dataclass(frozen=True)
class Arm:
    """One row of a table.

    Attributes:
        name: In runs.csv, as the field says it: "Adam", "lr 0.001".
        changes: What it changes of the experiment's recipe.
        published: What the reference reports of it on the experiment's metric, None = nothing.
        fast: Further changes at the fast size; None = too slow for it, at the full size alone.
        augmented: Whether training images are changed at random.
        protocols: Those it is run under where not under all of the experiment.
        cases: What makes its phantoms where not the experiment's: other pictures of the same patients.
    """

    name: str
    changes: Changes = field(default_factory=dict)
    published: Published | None = None
    fast: Changes | None = field(default_factory=dict)
    augmented: bool = True
    protocols: tuple[str, ...] = ()
    cases: str = ""


@dataclass(frozen=True)
class Size:
    """How much is trained on.

    Attributes:
        n_training: Cases (of the retina patients) that protocols split.
        n_test: Of further patients, whom no protocol trains on.
        seeds: Repetitions, each with other splits and other first weights.
        changes: Of the recipe, before those of an arm.
        side: Of the network input, pixels; 0 = that of the task.
        folds: Validation folds that are run.
    """

    n_training: int
    n_test: int
    seeds: int = 3
    changes: Changes = field(default_factory=dict)
    side: int = 0
    folds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Experiment:
    """A table of a reference system, to be measured again.

    Attributes:
        id: Of its command and its folder in results.
        task: Id of the task.
        title: Message id.
        question: Message id: what is asked, in one sentence.
        notes: Message ids: what is ours where the reference is silent, and what differs from it.
        metric: The column that is compared, without the part that it is measured on.
        recipe: Common to all arms.
        arms: In the order of the table.
        protocols: Ids of `protocols.PROTOCOLS`, the reference's first.
        size, fast: Cases and seeds in full, and in minutes on two cores.
        cases: Function of the task's data module that makes phantoms.
        network: Module of the network where it is not the task's.
        measures_training: Whether the final network is measured on its training cases too.
        explains: Whether what the networks look at or mark on unseen phantoms is kept, see `maps` and `panels`.
        curve: What the reference prints of every epoch, by name of our column.
    """

    id: str
    task: str
    title: str
    question: str
    metric: str
    recipe: Changes
    arms: tuple[Arm, ...]
    protocols: tuple[str, ...]
    size: Size
    fast: Size
    notes: tuple[str, ...] = ()
    cases: str = "phantom_cases"
    network: str = ""
    measures_training: bool = False
    explains: bool = False
    curve: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def arm(self, name: str) -> Arm:
        """The arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    def sized(self, *, is_fast: bool) -> Size:
        """Cases and seeds."""
        return self.fast if is_fast else self.size

    def arms_of(self, *, is_fast: bool) -> tuple[Arm, ...]:
        """Those that are run at a size."""
        return tuple(arm for arm in self.arms if not is_fast or arm.fast is not None)

    def recipe_of(self, arm: Arm, *, is_fast: bool) -> dict[str, Any]:
        """What is changed of `training.fit.Recipe`: the experiment's, then those of the size, then those of the arm."""
        layers = [self.recipe, self.sized(is_fast=is_fast).changes, arm.changes, (arm.fast or {}) if is_fast else {}]
        changes: dict[str, Any] = {}
        for layer in layers:
            options = {**changes.get("options", {}), **layer.get("options", {})}
            changes |= {**layer, **({"options": options} if options else {})}
        return changes
