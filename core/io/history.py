"""history.json of a weights folder: the losses of every epoch of the fold that is published."""

import json
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError

FILE, CHECKPOINT = "history.json", "checkpoint.json"
TRAIN, VALIDATION = "train_", "validation_"


@dataclass(frozen=True)
class History:
    """How one fold was trained.

    Attributes:
        fold: The published one: its images chose the epoch and the thresholds.
        kept_epoch: Index of the epoch whose weights are published.
        epochs: Every number of every epoch by name: `train_NAME` and `validation_NAME` of each loss, and what else was measured
            on the validation fold.
    """

    fold: int
    kept_epoch: int
    epochs: tuple[dict[str, float], ...]

    def losses(self) -> list[str]:
        """Names of the losses that were logged on both sides, the sum of them first."""
        names = {name.removeprefix(TRAIN) for row in self.epochs for name in row if name.startswith(TRAIN)}
        both = [name for name in names if any(VALIDATION + name in row for row in self.epochs)]
        return sorted(both, key=lambda name: (name != "loss", name))

    def of(self, name: str) -> list[float | None]:
        """One number of every epoch, None where it was not logged."""
        return [row.get(name) for row in self.epochs]


def read_checkpoint(folder: Path, fold: int) -> History | None:
    """What a training that is under way has logged of a fold; None before its first epoch ended.

    Args:
        folder: Of the fold's checkpoint.
        fold: Its number.
    """
    try:
        facts = json.loads((folder / CHECKPOINT).read_bytes())
        return History(fold, int(facts["kept_epoch"]), tuple(facts["history"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_history(folder: Path) -> History:
    """The published fold of a weights folder.

    Raises:
        UsageError: The file is missing or has another form.
    """
    try:
        facts = json.loads((folder / FILE).read_bytes())
        own = facts["folds"][str(facts["fold"])]
        return History(int(facts["fold"]), int(own["kept_epoch"]), tuple(own["epochs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{FILE} of the weights is missing or has another form") from error
