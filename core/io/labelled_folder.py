"""A folder of images with a table of labels, read row by row; a bad file costs its row and nothing else."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from core.errors import ScreeningError, UsageError
from core.io.reader import shared_reader
from core.io.tables import csv_bytes
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
        rows: With the column `file`, and `laterality` (L or R) where the header does not tell the side. A picture has no header:
            columns named in FACTS stand for one.
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
        yield number, row, with_facts(study, row) if study.container == "raster" else study


def inside_folder(root: Path, name: str) -> Path:
    """A file below the folder that a row of a table names.

    Raises:
        UsageError: The name leads elsewhere, or is none.
    """
    path = root if "\0" in name else (root / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise UsageError("no file of the folder")
    return path


FACTS = (
    *("Modality", "BodyPartExamined", "ViewPosition", "PixelSpacing", "WindowCenter", "WindowWidth"),
    *("PatientAge", "PatientSex", "PatientWeight", "ImageType"),
)
"""DICOM attributes that a table of labels may have as columns: what the tasks need of a header and a picture does not have.

PixelSpacing is "row\\column" in mm, PatientAge a number of years, and ImageType is PHANTOM or empty.
"""
_TAGS, _NUMBER = FACTS[:3], re.compile(r"-?\d{1,7}(\.\d{1,17})?")


def facts_of(study: Study, oldest: float) -> Row:
    """The columns FACTS of one image, from which `with_facts` gives back the same.

    Args:
        study: From the reader.
        oldest: Higher ages are written as this one: few people are so old that they could not be told apart.
    """
    frame = study.frame
    center, width = frame.window or ("", "")
    return {
        **{name: re.sub(r"[^A-Z0-9 _]", "", study.tags.get(name, "").upper())[:16] for name in _TAGS},
        "PixelSpacing": "\\".join(str(value) for value in frame.spacing_mm or ()),
        "WindowCenter": str(center),
        "WindowWidth": str(width),
        "PatientAge": "" if study.age_years is None else f"{min(study.age_years, oldest):g}",
        "PatientSex": study.sex or "",
        "PatientWeight": "" if study.weight_kg is None else f"{study.weight_kg:g}",
        "ImageType": "PHANTOM" if study.is_phantom else "",
    }


def with_facts(study: Study, row: Row) -> Study:
    """A picture with what the columns FACTS of its row say; a column that is missing, empty or makes no sense says nothing."""

    def numbers(*texts: str) -> tuple[float, ...]:
        return tuple(float(text) for text in texts if _NUMBER.fullmatch(text))

    spacing = numbers(*row.get("PixelSpacing", "").split("\\"))
    window = numbers(row.get("WindowCenter", ""), row.get("WindowWidth", ""))
    age, weight = (numbers(row.get(name, "")) for name in ("PatientAge", "PatientWeight"))
    frame = replace(
        study.frame,
        spacing_mm=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        window=(window[0], window[1]) if len(window) == 2 and window[1] >= 1 else None,
    )
    return replace(
        study,
        frames=(frame,),
        tags={**study.tags, **{name: row[name] for name in _TAGS if row.get(name)}},
        age_years=age[0] if age else None,
        weight_kg=weight[0] if weight else None,
        sex=row["PatientSex"] if row.get("PatientSex") in ("F", "M", "O") else None,
        is_phantom=row.get("ImageType") == "PHANTOM",
    )


LABELS = "labels.csv"
LABEL_COLUMNS = ("file", "patient", "label", "split")


def labelled(folder: Path, labels: Path | None, split: str, n_classes: int) -> Iterator[tuple[int, Row, Study]]:
    """A hospital's own labelled images of one split.

    Args:
        folder: Where the files lie.
        labels: CSV with the columns file, patient, label (0 to n_classes - 1), split (train or test) and optionally laterality;
            default labels.csv in the folder, as curation writes it.
        split: Rows to take.
        n_classes: Number of classes.

    Raises:
        UsageError: No table, a missing column, or an unknown label.
    """
    labels = labels or folder / LABELS
    if not labels.is_file():
        raise UsageError("--data needs --labels, or labels.csv in its folder")
    rows = [row for row in read_table(labels, LABEL_COLUMNS) if row["split"] == split]
    for row in rows:
        grade(row, "label", n_classes)
    yield from studies(folder, rows)


TRUTH = "truth.csv"


def truth_table(folder: Path, labels: Path | None, columns: tuple[str, ...]) -> list[Row]:
    """Rows of a label table for evaluation: `labels`, else truth.csv as phantoms are written with, else labels.csv."""
    own = folder / LABELS if not (folder / TRUTH).is_file() and (folder / LABELS).is_file() else folder / TRUTH
    return read_table(labels or own, columns)


def of_split(folder: Path, labels: Path | None, split: str, place: Path) -> Path:
    """Write the rows of one split of a table of labels as a table of their own.

    Args:
        folder: Of the images.
        labels: The table; default labels.csv in the folder.
        split: Value of the column `split`.
        place: Folder to write to.

    Raises:
        UsageError: There is no such column, or no row has this value.
    """
    rows = [row for row in read_table(labels or folder / LABELS, ("split",)) if row["split"] == split]
    if not rows:
        raise UsageError("no row of the table of labels has this split")
    path = place / LABELS
    head = [name for name in rows[0] if name]
    path.write_bytes(csv_bytes(head, [[row[name] for name in head] for row in rows]))
    return path


def grade(row: Row, column: str, n_classes: int) -> float:
    """The label of a row.

    Raises:
        UsageError: It is none of 0 to n_classes - 1.
    """
    if row[column] not in [str(value) for value in range(n_classes)]:
        raise UsageError(f"{column} must be 0 to {n_classes - 1}")
    return float(row[column])
