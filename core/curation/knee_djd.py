"""Bone scans that name grades themselves: a table of all knees, with every conflict, and the labels that can be used.

A file is a patient, since .mat files name none; both knees stay on one side of the split. labels.csv names the files as they are,
because `train knee_djd --data FOLDER --labels DIR/labels.csv` reads them where they lie.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core import registry
from core.curation.films import ID_DIGITS
from core.curation.splits import split_patients
from core.errors import FileError, UsageError
from core.io.labelled_folder import LABEL_COLUMNS, LABELS
from core.io.reader import Reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.records import Study

KNEES, COLUMNS = "knees.csv", ("film", "file_number", "laterality", "code", "code_by_name", "label", "reason")
COPY = "copy of another file"


@dataclass(frozen=True)
class Knee:
    """One knee of one file, or the file itself where it cannot be read (laterality "").

    Attributes:
        film: First digits of the SHA-256 of the file.
        number: Place of the file in the order of names, from 1.
        code, code_by_name: As `kneejointid` and `kneejointname` give them.
        label: Grade 0 to 4, None where it has none.
        reason: Why it cannot be used, or "".
    """

    film: str
    number: int
    path: Path
    laterality: str
    code: str
    code_by_name: str
    label: int | None
    reason: str


def curate(reader: Reader, folder: Path, out: Path) -> Counter[str]:
    """Write knees.csv and labels.csv.

    Args:
        reader: Of the files.
        folder: Holds .mat files.
        out: Folder to write to.

    Returns:
        Number of knees by split, and of knees and files left out by reason.

    Raises:
        UsageError: There is no .mat file, or no knee can be used.
    """
    paths = sorted(folder.glob("*.mat"))
    if not paths:
        raise UsageError("the folder holds no .mat file")
    knees = list(_knees(reader, paths))
    used = [knee for knee in knees if not knee.reason]
    if not used:
        raise UsageError("no knee can be used: " + ", ".join(sorted({knee.reason for knee in knees})))
    splits = split_patients({knee.film: knee.film for knee in used})
    rows = [(k.film, k.number, k.laterality, k.code, k.code_by_name, k.label, k.reason) for k in knees]
    write_atomically(out / KNEES, csv_bytes(COLUMNS, [["" if cell is None else cell for cell in row] for row in rows]))
    labels = [(knee.path.name, knee.film, knee.label, splits[knee.film], knee.laterality) for knee in used]
    write_atomically(out / LABELS, csv_bytes((*LABEL_COLUMNS, "laterality"), labels))
    return Counter(splits[knee.film] for knee in used) + Counter(knee.reason for knee in knees if knee.reason)


def _knees(reader: Reader, paths: list[Path]) -> Iterator[Knee]:
    seen: set[str] = set()
    for number, path in enumerate(paths, start=1):
        content = path.read_bytes()
        film = hashlib.sha256(content).hexdigest()[:ID_DIGITS]
        try:
            study = reader.read(content)
        except FileError as error:
            yield Knee(film, number, path, "", "", "", None, error.code)
            continue
        is_copy = study.pixel_hash in seen
        seen.add(study.pixel_hash)
        yield from _of_study(study, film, number, path, is_copy)


def _of_study(study: Study, film: str, number: int, path: Path, is_copy: bool) -> Iterator[Knee]:
    grades, _ = registry.part("knee_djd", "data").grades_of(study)
    codes, names = (study.tags.get(tag, ",").split(",") for tag in ("KneeJointId", "KneeJointName"))
    for side, code, name in zip("RL", codes, names, strict=True):
        is_conflict = bool(name and code and name != code)
        reason = "" if side in grades else "id and name differ" if is_conflict else "no grade"
        yield Knee(film, number, path, side, code, name, grades.get(side), COPY if is_copy else reason)
