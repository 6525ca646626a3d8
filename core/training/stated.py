"""What people state about weights that were trained elsewhere, and what the check of them says, line by line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from core import registry
from core.errors import UsageError
from core.i18n import mark

if TYPE_CHECKING:  # loads pydantic, which training from prepared arrays need not have
    from core.provenance import DataKind

MOST_LETTERS = 200  # of a stated name or licence
TRAINED_ON: "dict[str, DataKind]" = {
    "phantoms": "phantom",
    "synthetic": "real images, synthetic findings",
    "patients": "real images, real labels",
}
"""Words of the command line for what a network saw."""
UNKNOWN_CASES = mark(
    "Which images these weights were trained on is not known here, so no result of them can be called held-out."
)
WITH_PLACES = ("detector", "segmenter")  # kinds of tasks that draw nothing without a threshold


@dataclass(frozen=True)
class Stated:
    """Everything that a weights file does not say.

    Attributes:
        task: Id of the task.
        model: Name of the weights folder.
        architecture, options: A network of the task.
        kind: What the network was trained on.
        data, licence: Name and terms of that.
        n, patients: Images and patients; None where nobody knows.
        by: Who brings the weights.
        sha256: Of the file, as its maker published it; "" where that was not done.
        thresholds: By label, where the task finds places.
        size: Side of the network input in pixels; None = as the task has it.
        ages: Years that the training data spans; None = as the task has it.
    """

    task: str
    model: str
    architecture: str
    kind: "DataKind"
    data: str
    licence: str
    by: str
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    n: int | None = None
    patients: int | None = None
    sha256: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    size: int | None = None
    ages: tuple[float, float] | None = None

    def check(self) -> None:
        """Whether it can be used.

        Raises:
            UsageError: Which field is at fault, and what was wanted.
        """
        task = registry.task(self.task)
        if not registry.MODEL_NAME.fullmatch(self.model) or self.model in task.architectures:
            raise UsageError(
                "model: a name of 3 to 40 small letters, digits and underscores, a letter first, that is not a network's"
            )
        if self.architecture not in task.architectures:
            raise UsageError(f"architecture: one of {', '.join(task.architectures)}")
        if not all(name.isidentifier() for name in self.options) or "pretrained" in self.options:
            raise UsageError("options: NAME=VALUE of the network, but for pretrained")
        for name in ("data", "licence", "by"):
            text = getattr(self, name)
            if not text.strip() or len(text) > MOST_LETTERS or not text.isprintable():
                raise UsageError(f"{name}: one line of 1 to {MOST_LETTERS} letters")
        for name in ("n", "patients"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"{name}: 1 or more, or nothing where nobody knows")
        wanted = {label.id for label in task.labels} if task.kind in WITH_PLACES else set()
        if set(self.thresholds) != wanted or not all(0 < value < 1 for value in self.thresholds.values()):
            raise UsageError(f"threshold: one between 0 and 1 for each of {', '.join(sorted(wanted)) or 'no label'}")
        if self.ages is not None and not 0 <= self.ages[0] < self.ages[1] <= 130:
            raise UsageError("ages: from a lower to a higher number of years")
        if self.size is not None and not 32 <= self.size <= 2048:
            raise UsageError("size: 32 to 2048 pixels")


@dataclass(frozen=True)
class Line:
    """One finding of the check.

    Attributes:
        outcome: "failed" is the last line.
        message: Message id.
        values: Of its placeholders; text in them comes from the file.
    """

    outcome: Literal["passed", "note", "failed"]
    message: str
    values: Mapping[str, str | int] = field(default_factory=dict)
