"""How a hospital's table of labels becomes the rows that the tasks read: said once by a person, saved, and used again."""

import json
import math
import re
from functools import cached_property
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core import registry
from core.errors import TableError, UsageError
from core.i18n import mark
from core.io.label_table import LabelTable

NOT_READ: Final = "not read"
Key = Literal["file", "accession", "patient_date"]
Layout = Literal["one", "sides", "readers"]
Rule = Literal["majority", "all agree", "first", "highest"]
Several = Literal["first", "refuse", "all"]
Meaning = int | Literal["not read"]

NO_LABEL = mark("The label is empty or was not read.")
UNKNOWN_TEXT = mark("The label is a text whose class nobody told.")
NO_T_SCORE = mark("The T-score is no number between −10 and 10.")
READERS_TIED = mark("No label has the majority of the readers.")
READERS_DISAGREE = mark("The readers disagree.")
_FARTHEST_T = 10.0
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+|\d+,\d{1,2})")  # 1,000 may be a thousand


class Unlabelled(Exception):
    """A row gives no label; the text is the reason, a message id."""


class TableMapping(BaseModel):
    """Which columns of a table say what.

    Attributes:
        task: A classifier or grader.
        key: What tells which image a row is about: its file, the accession number, or patient and day of the examination.
        key_columns: One column, of "patient_date" two in this order.
        layout: One label a row; a label of the right and one of the left side; or one label of each of several readers.
        label_columns: One, (right, left), or those of the readers in the order that the rule "first" follows.
        rule: Of several readers. Empty cells do not count; a tie gives no label.
        vocabulary: Class of each text, upper and lower case alike.
        cuts: Instead of a vocabulary, ascending T-scores: the highest class reaches up to the first and includes it, the lowest
            begins at the last and includes it where there are two.
        laterality: Column of the side.
        patient, group: Columns, where the table has them.
        several: Which images of one examination are taken: the first by name, none, or all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["fivefold-mapping-1"] = "fivefold-mapping-1"
    task: str
    key: Key
    key_columns: tuple[str, ...]
    layout: Layout = "one"
    label_columns: tuple[str, ...]
    rule: Rule = "majority"
    vocabulary: dict[str, Meaning] = {}
    cuts: tuple[float, ...] = Field(default=(), max_length=2)
    laterality: str | None = None
    patient: str | None = None
    group: str | None = None
    several: Several = "refuse"

    @model_validator(mode="after")
    def _fits_the_task(self) -> "TableMapping":
        n = n_classes(self.task)
        if bool(self.vocabulary) == bool(self.cuts):
            raise ValueError("either a vocabulary or cuts")
        if len(self._words) < len(self.vocabulary):
            raise ValueError("two texts that are the same but for upper and lower case")
        if any(meaning != NOT_READ and meaning not in range(n) for meaning in self.vocabulary.values()):
            raise ValueError(f"a class that is none of 0 to {n - 1}")
        if self.cuts and (len(self.cuts) != n - 1 or list(self.cuts) != sorted(set(self.cuts))):
            raise ValueError(f"{n - 1} ascending cuts are needed")
        if not all(map(math.isfinite, self.cuts)):
            raise ValueError("a cut is no finite number")
        if self.layout == "sides" and (self.laterality or not registry.task(self.task).has_sides):
            raise ValueError("labels of two sides, and a column of sides or a task without sides")
        return self

    @model_validator(mode="after")
    def _counts_its_columns(self) -> "TableMapping":
        if len(self.key_columns) != (2 if self.key == "patient_date" else 1):
            raise ValueError("wrong number of key columns")
        n_labels = len(self.label_columns)
        if not {"one": n_labels == 1, "sides": n_labels == 2, "readers": n_labels > 1}[self.layout]:
            raise ValueError("wrong number of label columns")
        if len(set(self.label_columns)) < n_labels:
            raise ValueError("one label column twice")
        return self

    @property
    def patient_column(self) -> str | None:
        """The column of patients: the one that is named, else that of the key."""
        return self.patient or (self.key_columns[0] if self.key == "patient_date" else None)

    @cached_property
    def _words(self) -> dict[str, Meaning]:
        return {text.strip().casefold(): meaning for text, meaning in self.vocabulary.items()}

    def to_json(self) -> str:
        """JSON text, stable under re-writing."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "TableMapping":
        """A mapping that was saved.

        Raises:
            TableError: E_MAPPING when it is of another form or does not fit its task.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"][:1]) or "the columns together"
            raise TableError("E_MAPPING", f"the saved mapping: {where}") from error

    def check(self, table: LabelTable) -> None:
        """See that the table has every column.

        Raises:
            TableError: E_MAPPING telling what the missing column is for.
        """
        wanted = {"key": self.key_columns, "label": self.label_columns}
        wanted |= {word: (getattr(self, word),) for word in ("laterality", "patient", "group") if getattr(self, word)}
        if missing := [word for word, columns in wanted.items() if not set(columns) <= set(table.columns)]:
            raise TableError("E_MAPPING", f"the table has no column for: {', '.join(missing)}")

    def label(self, cells: list[str]) -> int:
        """The class that one row gives.

        Args:
            cells: Of one label column, or of all readers.

        Raises:
            Unlabelled: With the reason.
        """
        given = [value for cell in cells if (value := self._class(cell)) is not None]
        if not given:
            raise Unlabelled(NO_LABEL)
        if self.layout != "readers" or self.rule == "first":
            return given[0]
        if self.rule == "highest":
            return max(given)
        if self.rule == "all agree" and len(set(given)) > 1:
            raise Unlabelled(READERS_DISAGREE)
        most = max(map(given.count, given))
        modes = {value for value in given if given.count(value) == most}
        if len(modes) > 1:
            raise Unlabelled(READERS_TIED)
        return modes.pop()

    def _class(self, cell: str) -> int | None:
        """None where the cell is empty or was not read."""
        if not cell:
            return None
        if self.cuts:
            return self._class_of_t_score(cell)
        meaning = self._words.get(cell.casefold(), self._words.get(_plain(cell)))
        if meaning is None:
            raise Unlabelled(UNKNOWN_TEXT)
        return None if isinstance(meaning, str) else meaning

    def _class_of_t_score(self, cell: str) -> int:
        value = number(cell)
        if value is None or abs(value) > _FARTHEST_T:
            raise Unlabelled(NO_T_SCORE)
        if value <= self.cuts[0]:
            return len(self.cuts)
        return sum(value < cut for cut in self.cuts[1:])


def n_classes(task: str) -> int:
    """Number of classes of a task whose labels a table can hold.

    Raises:
        ValueError: There is no such task, or its labels are boxes or masks.
    """
    try:
        found = registry.task(task)
    except UsageError as error:
        raise ValueError("unknown task") from error
    if found.kind not in ("classifier", "grader"):
        raise ValueError("the labels of this task are boxes or masks")
    return max(2, len(found.labels))


def number(cell: str) -> float | None:
    """A number as spreadsheets write it, with a point or, before one or two digits, a comma; None of anything else."""
    text = cell.replace("−", "-")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def _plain(cell: str) -> str:
    """2 of 2.0: a column with gaps becomes one of decimal numbers in many programs."""
    value = number(cell)
    return f"{value:g}" if value is not None else cell
