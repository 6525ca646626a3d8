"""A hospital's DXA table: patients as keyed hashes, days, and the T-score of the femoral neck or what it follows from."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from core.clinical.osteoporosis import neck_t_score
from core.curation.pairing import Scan
from core.errors import UsageError
from core.io.database import is_url, read_database
from core.io.keys import iso_date
from core.io.label_table import LabelTable
from core.io.reader import Reader

NAMES: Mapping[str, tuple[str, ...]] = {
    "patient": ("patientid",),
    "date": ("scandate", "examdate", "studydate", "date"),
    "t_score": ("tscore", "necktscore"),
    "neck_bmd": ("neckbmd",),
}
"""Usual names of the columns, in small letters without blanks and signs."""
T_RANGE = (-8.0, 8.0)  # beyond it stand codes for missing values such as 99
BMD_RANGE = (0.1, 2.5)  # g/cm2


@dataclass(frozen=True)
class DexaTable:
    """Scans by patient, and what the table holds besides.

    Attributes:
        scans: By keyed hash of the patient id; patients whose rows give no label have an empty list.
        n_rows: Of the table.
        left_out: Number of rows without a patient, a day or a value, by what they lack.
    """

    scans: Mapping[str, list[Scan]] = field(repr=False)
    n_rows: int
    left_out: Counter[str]


def read_dexa(reader: Reader, source: str, table: str, columns: Mapping[str, str]) -> DexaTable:
    """Read a DXA table.

    The label comes from the T-score; where there is none, from the bone mineral density of the neck (`neck_t_score`).

    Args:
        reader: Parses the file and hashes the patient ids with its key.
        source: A CSV or XLSX file, or the URL of a database.
        table: Of the database.
        columns: Name of a column by key of NAMES, where it is none of the usual ones.

    Raises:
        TableError: The file or the database cannot be read.
        UsageError: A column is missing or not named, or there is no such file.
    """
    found = read_database(source, table) if is_url(source) else reader.read_table(_content(Path(source)))
    names = find_columns(found.columns, columns)
    patients = reader.hash_keys([row[names["patient"]] for row in found.rows], "patient")
    scans: dict[str, list[Scan]] = {patient: [] for patient in patients if patient}
    left_out = Counter[str]()
    for number, (patient, lacking, scan) in enumerate(_scans(found, names, patients), start=1):
        if scan is None:
            left_out[lacking] += 1
        else:
            scans[patient].append(Scan(number, *scan))
    return DexaTable(scans, len(found.rows), left_out)


def find_columns(head: tuple[str, ...], chosen: Mapping[str, str]) -> dict[str, str]:
    """Name of the column for each key of NAMES that the table has.

    Raises:
        UsageError: A key or a chosen column is unknown, several columns fit, or there is none for patient, date or a value.
    """
    if unknown := sorted(set(chosen) - set(NAMES)):
        raise UsageError(f"column {unknown[0]!r}; known: {', '.join(NAMES)}")
    names: dict[str, str] = {}
    for key, usual in NAMES.items():
        fitting = [name for name in head if name == chosen[key]] if key in chosen else _fitting(head, usual)
        if len(fitting) > 1:
            raise UsageError(f"several columns of the DXA table may be {key}: choose one with --columns {key}=NAME")
        if key in chosen and not fitting:
            raise UsageError(f"the DXA table has no column of the name given for {key}")
        names |= dict.fromkeys([key] * len(fitting), "".join(fitting))
    lacking = [key for key in ("patient", "date") if key not in names]
    lacking += [] if {"t_score", "neck_bmd"} & set(names) else ["t_score or neck_bmd"]
    if lacking:
        raise UsageError(f"no column of the DXA table is {', '.join(lacking)}: name it with --columns KEY=NAME")
    return names


def _fitting(head: tuple[str, ...], usual: tuple[str, ...]) -> list[str]:
    return [name for name in head if re.sub(r"[\W_]", "", name.lower()) in usual]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError("the DXA table cannot be opened") from error


_Values = tuple[date, float, Literal["t_score", "neck_bmd"]]


def _scans(
    table: LabelTable, names: Mapping[str, str], patients: list[str]
) -> Iterator[tuple[str, str, _Values | None]]:
    """Of every row the patient, and either what it lacks or its values."""
    for row, patient in zip(table.rows, patients, strict=True):
        day = iso_date(row[names["date"]])
        value = _value(row, names)
        if not patient or not day or value is None:
            yield patient, "no patient" if not patient else "no readable date" if not day else "no value", None
        else:
            yield patient, "", (date.fromisoformat(day), *value)


def _value(row: Mapping[str, str], names: Mapping[str, str]) -> tuple[float, Literal["t_score", "neck_bmd"]] | None:
    t_score = _number(row.get(names.get("t_score", ""), ""), T_RANGE)
    if t_score is not None:
        return t_score, "t_score"
    bmd = _number(row.get(names.get("neck_bmd", ""), ""), BMD_RANGE)
    return None if bmd is None else (neck_t_score(bmd), "neck_bmd")


def _number(text: str, limits: tuple[float, float]) -> float | None:
    """A number within limits; the sign may be a real minus, as word processors write it."""
    try:
        value = float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None
    return value if math.isfinite(value) and limits[0] <= value <= limits[1] else None
