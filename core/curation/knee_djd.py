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
from core.curation.films import ID_DIGITS, named_files
from core.curation.report import Report, Tell, by_number, shares, tell_nobody, write_report
from core.curation.splits import split_patients
from core.errors import FileError, UsageError
from core.io.labelled_folder import LABEL_COLUMNS, LABELS
from core.io.reader import Reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.records import Study

TASK_ID = "knee_djd"
KNEES, COLUMNS = "knees.csv", ("film", "file_number", "laterality", "code", "code_by_name", "label", "reason")
COPY = "copy of another file"


@dataclass(frozen=True)
class Knee:
    """One knee of one file, or the file itself where it cannot be read (laterality "").

    Attributes:
        film: First digits of the SHA-256 of the file.
        number: Place of the file among the .mat files in the order of their paths, from 1.
        name: Of the file, as people know it.
        code, code_by_name: As `kneejointid` and `kneejointname` give them.
        label: Grade 0 to 4, None where it has none.
        reason: Why it cannot be used, or "".
        is_phantom: The file says so.
    """

    film: str
    number: int
    name: str
    laterality: str
    code: str
    code_by_name: str
    label: int | None
    reason: str
    is_phantom: bool = False


def curate(reader: Reader, folder: Path, out: Path, tell: Tell = tell_nobody) -> Report:
    """Write knees.csv, labels.csv and curation.json.

    Args:
        reader: Of the files.
        folder: Holds .mat files, in it or below.
        out: Folder to write to.
        tell: Gets the progress.

    Raises:
        UsageError: There is no .mat file, or no knee can be used.
    """
    files = [(name, path) for name, path in named_files(folder) if name.lower().endswith(".mat")]
    if not files:
        raise UsageError("the folder holds no .mat file")
    knees = list(_knees(reader, files, tell))
    used = [knee for knee in knees if not knee.reason]
    if not used:
        raise UsageError("no knee can be used: " + ", ".join(sorted({knee.reason for knee in knees})))
    splits = split_patients({knee.film: knee.film for knee in used})
    rows = [(k.film, k.number, k.laterality, k.code, k.code_by_name, k.label, k.reason) for k in knees]
    write_atomically(out / KNEES, csv_bytes(COLUMNS, [["" if cell is None else cell for cell in row] for row in rows]))
    labels = [(knee.name, knee.film, knee.label, splits[knee.film], knee.laterality) for knee in used]
    write_atomically(out / LABELS, csv_bytes((*LABEL_COLUMNS, "laterality"), labels))
    known = registry.task(TASK_ID).labels
    report = Report(
        task=TASK_ID,
        unit="knees",
        files=len(files),
        splits=shares(TASK_ID, [(splits[knee.film], knee.film, (known[int(knee.label or 0)].id,)) for knee in used]),
        excluded=by_number(Counter(knee.reason for knee in knees if knee.reason)),
        is_phantom=any(knee.is_phantom for knee in used),
    )
    write_report(out, report)
    return report


def _knees(reader: Reader, files: list[tuple[str, Path]], tell: Tell) -> Iterator[Knee]:
    seen: set[str] = set()
    for number, (name, path) in enumerate(files, start=1):
        content = path.read_bytes()
        film = hashlib.sha256(content).hexdigest()[:ID_DIGITS]
        try:
            study = reader.read(content)
        except FileError as error:
            yield Knee(film, number, name, "", "", "", None, error.code)
            continue
        is_copy = study.pixel_hash in seen
        seen.add(study.pixel_hash)
        yield from _of_study(study, film, number, name, is_copy)
        tell("reading", number, len(files))


def _of_study(study: Study, film: str, number: int, name: str, is_copy: bool) -> Iterator[Knee]:
    grades, _ = registry.part(TASK_ID, "data").grades_of(study)
    codes, names = (study.tags.get(tag, ",").split(",") for tag in ("KneeJointId", "KneeJointName"))
    for side, code, by_name in zip("RL", codes, names, strict=True):
        is_conflict = bool(by_name and code and by_name != code)
        reason = "" if side in grades else "id and name differ" if is_conflict else "no grade"
        reason = COPY if is_copy else reason
        yield Knee(film, number, name, side, code, by_name, grades.get(side), reason, study.is_phantom)
