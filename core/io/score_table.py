"""A table of scores that any model gave, read in one go: a million rows are usual."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import UsageError

WANTED, OPTIONAL = ("label", "score"), ("patient", "group", "model")


@dataclass(frozen=True)
class Names:
    """A column of names.

    Attributes:
        known: The names that occur, in their order.
        place: int64 (n,), the place of each row's name among them.
    """

    known: tuple[str, ...]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, column: "pd.Series[str]") -> "Names":
        """From a column without gaps."""
        place, known = pd.factorize(column, sort=True)
        return cls(tuple(map(str, known)), place.astype(np.int64))


@dataclass(frozen=True)
class ScoreTable:
    """Checked rows.

    Attributes:
        is_positive: Boolean (n,), the reference.
        score: float64 (n,), finite, higher = more likely positive.
        patient: int64 (n,), equal for rows of one patient; None without the column: then every row is another patient.
        group, model: None without the column.
    """

    is_positive: NDArray[np.bool_]
    score: NDArray[np.float64]
    patient: NDArray[np.int64] | None
    group: Names | None
    model: Names | None

    def by(self, column: Names) -> "dict[str, ScoreTable]":
        """The rows of each name."""
        return {name: self.at(column.place == place) for place, name in enumerate(column.known)}

    def at(self, rows: NDArray[Any]) -> "ScoreTable":
        """Some of the rows, by places or by a mask."""
        return ScoreTable(
            self.is_positive[rows],
            self.score[rows],
            None if self.patient is None else self.patient[rows],
            None if self.group is None else Names(self.group.known, self.group.place[rows]),
            None if self.model is None else Names(self.model.known, self.model.place[rows]),
        )


def read_scores(path: Path) -> ScoreTable:
    """Read a CSV file with the columns label and score, and if there are patient, group and model; others are not read.

    Raises:
        UsageError: The file cannot be read as a table, a column is missing, or a row lacks a value, has a label that is neither 0
            nor 1 or a score that is no finite number. A table with a bad row has no statistics: what is missing is rarely
            missing at random.
    """
    try:
        table = pd.read_csv(
            path,
            usecols=lambda name: name in WANTED + OPTIONAL,
            dtype=dict.fromkeys(OPTIONAL, str),  # 07 is another patient than 7
            encoding="utf-8-sig",
        )
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UsageError(f"{path.name} cannot be read as a CSV table") from error
    if missing := [name for name in WANTED if name not in table]:
        raise UsageError(f"{path.name} has no column {', '.join(missing)}")
    label, score = (pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in WANTED)
    _refuse(~np.isin(label, (0, 1)), "label that is neither 0 nor 1")
    _refuse(~np.isfinite(score), "score that is no finite number")
    for name in [name for name in OPTIONAL if name in table]:
        _refuse(table[name].isna().to_numpy(), f"row without a {name}")
    patient = pd.factorize(table["patient"])[0].astype(np.int64) if "patient" in table else None
    names = (Names.of(table[name]) if name in table else None for name in ("group", "model"))
    return ScoreTable(label == 1, score, patient, *names)


def _refuse(is_bad: NDArray[np.bool_], what: str) -> None:
    if is_bad.any():
        raise UsageError(
            f"{np.count_nonzero(is_bad)} of {is_bad.size} rows: a {what}; the first is row {np.argmax(is_bad) + 1}"
        )
