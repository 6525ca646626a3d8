"""A table of scores that any model gave, read in one go: a million rows are usual."""

import csv
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import TableError

WANTED, OPTIONAL = ("label", "score"), ("patient", "group", "model")
# More are a column of patients under the wrong name: nobody reads so many, and every two models are compared.
MOST = {"group": 200, "model": 20}
_MOST_COLUMNS = 1000  # pandas takes minutes over a million, and such a file is no table of scores


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

    @property
    def n_patients(self) -> int:
        """As many as rows where none are named."""
        return self.score.size if self.patient is None else int(np.count_nonzero(np.bincount(self.patient)))

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


def read_scores(source: Path | bytes) -> ScoreTable:
    """Read a CSV table with the columns label and score, and if there are patient, group and model; others are not kept.

    Args:
        source: A file, or what is in it.

    Raises:
        TableError: It cannot be read as a table; a column is missing, there twice or names more than `MOST`; or a row lacks a
            value, has more values than the head has columns, a label that is neither 0 nor 1 or a score that is no finite number.
            A table with a bad row has no statistics: what is missing is rarely missing at random.
    """
    name = source.name if isinstance(source, Path) else "the file"  # the name of an upload may be that of a person
    try:
        _check_shape(source)
        table = pd.read_csv(
            source if isinstance(source, Path) else BytesIO(source),
            usecols=lambda name: name in WANTED + OPTIONAL,
            dtype=dict.fromkeys(OPTIONAL, str),  # 07 is another patient than 7
            encoding="utf-8-sig",
            low_memory=False,  # else a column is typed piece by piece
        )
    except (OSError, ValueError, csv.Error) as error:  # pandas' own errors are ValueErrors
        raise TableError("E_TABLE", f"{name} cannot be read as a CSV table") from error
    if missing := [column for column in WANTED if column not in table]:
        raise TableError("E_COLUMN", f"{name} has no column {', '.join(missing)}")
    if table.empty:
        raise TableError("E_ROW", f"{name} has no row below its head")
    label, score = (pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64) for column in WANTED)
    _refuse(~np.isin(label, (0, 1)), "label that is neither 0 nor 1")
    _refuse(~np.isfinite(score), "score that is no finite number")
    for column in [column for column in OPTIONAL if column in table]:
        _refuse(table[column].isna().to_numpy(), f"row without a {column}")
    patient = pd.factorize(table["patient"])[0].astype(np.int64) if "patient" in table else None
    group, model = (Names.of(table[column]) if column in table else None for column in MOST)
    for column, names in (("group", group), ("model", model)):
        if names is not None and len(names.known) > MOST[column]:
            raise TableError("E_COLUMN", f"{len(names.known)} names in the column {column}, at most {MOST[column]}")
    return ScoreTable(label == 1, score, patient, group, model)


def _check_shape(source: Path | bytes) -> None:
    """Refuse what pandas reads without a word: a row too long shifts all values by a column or loses its last, of two columns
    with one name the first wins.

    Raises:
        TableError: Such a row or column, or more columns than any table of scores has.
        OSError, ValueError, csv.Error: The file cannot be read as text in rows.
    """
    with (
        source.open("rb") if isinstance(source, Path) else BytesIO(source) as data,
        TextIOWrapper(data, "utf-8-sig", newline="") as text,
    ):
        rows = (row for row in csv.reader(text) if row)  # blank lines are no rows, here and to pandas
        head = next(rows, [])
        if len(head) > _MOST_COLUMNS:
            raise TableError("E_TABLE", f"{len(head)} columns, at most {_MOST_COLUMNS}")
        if twice := [name for name in WANTED + OPTIONAL if head.count(name) > 1]:
            raise TableError("E_COLUMN", f"more than one column {', '.join(twice)}")
        for place, row in enumerate(rows, 1):
            if len(row) > len(head):
                got = f"a row with more values than the {len(head)} columns of the head; the first is row {place}"
                raise TableError("E_ROW", got)


def _refuse(is_bad: NDArray[np.bool_], what: str) -> None:
    if is_bad.any():
        got = f"{np.count_nonzero(is_bad)} of {is_bad.size} rows: a {what}; the first is row {np.argmax(is_bad) + 1}"
        raise TableError("E_ROW", got)
