"""A folder of images with a table of labels, read row by row; a bad file costs its row and nothing else."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from core.errors import ScreeningError, UsageError
from core.io.reader import shared_reader
from core.records import Study

Row = dict[str, str]


def read_table(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """Rows of a CSV file with a header.

    Raises:
        UsageError: The file cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restval="")
            if missing := [name for name in columns if name not in (table.fieldnames or ())]:
                raise UsageError(f"{path.name} has no column {', '.join(missing)}")
            return list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path.name} cannot be read as a CSV table") from error


def studies(folder: Path, rows: list[Row], excluded: Counter[str] | None = None) -> Iterator[tuple[int, Row, Study]]:
    """The image of each row, with the row's number from 1; what cannot be read is named by its number and left out.

    Args:
        folder: Where the files lie; a path that leads out of it is left out.
        rows: With the column `file`, and `laterality` (L or R) where the header does not tell the side.
        excluded: Gets the number of rows left out by reason.
    """
    root = folder.resolve()
    for number, row in enumerate(rows, start=1):
        try:
            study = shared_reader().read(inside_folder(root, row["file"]).read_bytes())
        except (ScreeningError, OSError) as error:
            reason = error.code if isinstance(error, ScreeningError) else "cannot be opened"
            print(f"row {number}: left out, {reason}", file=sys.stderr)
            if excluded is not None:
                excluded[reason] += 1
            continue
        if row.get("laterality"):
            study = replace(study, tags={**study.tags, "Laterality": row["laterality"]})
        yield number, row, study


def inside_folder(root: Path, name: str) -> Path:
    """A file below the folder that a row of a table names.

    Raises:
        UsageError: The name leads elsewhere, or is none.
    """
    path = root if "\0" in name else (root / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise UsageError("no file of the folder")
    return path


LABEL_COLUMNS = ("file", "patient", "label", "split")


def labelled(folder: Path, labels: Path | None, split: str, n_classes: int) -> Iterator[tuple[int, Row, Study]]:
    """A hospital's own labelled images of one split.

    Args:
        folder: Where the files lie.
        labels: CSV with the columns file, patient, label (0 to n_classes - 1), split (train or test) and optionally laterality.
        split: Rows to take.
        n_classes: Number of classes.

    Raises:
        UsageError: No table, a missing column, or an unknown label.
    """
    if labels is None:
        raise UsageError("--data needs --labels")
    rows = [row for row in read_table(labels, LABEL_COLUMNS) if row["split"] == split]
    for row in rows:
        grade(row, "label", n_classes)
    yield from studies(folder, rows)


TRUTH = "truth.csv"


def truth_table(folder: Path, labels: Path | None, columns: tuple[str, ...]) -> list[Row]:
    """Rows of a label table for evaluation: `labels`, or the truth.csv that phantoms are written with."""
    return read_table(labels or folder / TRUTH, columns)


def grade(row: Row, column: str, n_classes: int) -> float:
    """The label of a row.

    Raises:
        UsageError: It is none of 0 to n_classes - 1.
    """
    if row[column] not in [str(value) for value in range(n_classes)]:
        raise UsageError(f"{column} must be 0 to {n_classes - 1}")
    return float(row[column])
