"""CT slices and a table of one label a patient: a label for every slice, all slices of a patient on one side of the split.

labels.csv names the files as they are, because `train ct_osteoporosis --data FOLDER --labels DIR/labels.csv` reads them where
they lie.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core import registry
from core.clinical.osteoporosis import WhoClass, who_class
from core.curation.films import ID_DIGITS, Film, Judge, named_files, read_films
from core.curation.report import EXCLUDED, EXCLUDED_COLUMNS, Report, Tell, by_number, shares, tell_nobody, write_report
from core.curation.splits import split_patients
from core.errors import TableError, UsageError
from core.io.labelled_folder import LABEL_COLUMNS, LABELS
from core.io.reader import Reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.records import Study

TASK_ID = "ct_osteoporosis"
GRADES: Mapping[WhoClass, int] = {"normal": 0, "low_bone_mass": 1, "osteoporosis": 2}
NO_PATIENT, NO_LABEL, CONFLICT, COPY = (
    "no patient id",
    "no label",
    "labels of the patient differ",
    "copy of another slice",
)


def read_grades(reader: Reader, table: Path) -> dict[str, int | None]:
    """Grade 0 to 2 by keyed hash of the patient id; None where rows of one patient differ. Rows without a grade are left out.

    Args:
        reader: Parses the table and hashes the ids.
        table: CSV or XLSX with PatientID and T_score (class after WHO) or label (0 to 2).

    Raises:
        TableError: The table cannot be read.
        UsageError: There is none, or a column is missing.
    """
    try:
        content = table.read_bytes()
    except OSError as error:
        raise UsageError("the table of labels cannot be opened") from error
    found = reader.read_table(content)
    column = "T_score" if "T_score" in found.columns else "label"
    if missing := [name for name in ("PatientID", column) if name not in found.columns]:
        raise TableError("E_MAPPING", f"no column {missing[0]}" + " and no T_score" * (missing == ["label"]))
    grades: dict[str, int | None] = {}
    patients = reader.hash_keys([row["PatientID"] for row in found.rows], "patient")
    for patient, row in zip(patients, found.rows, strict=True):
        grade = _grade(row[column], column)
        if patient and grade is not None:
            grades[patient] = grade if grades.get(patient, grade) == grade else None
    return grades


def _grade(text: str, column: str) -> int | None:
    if column == "label":
        return int(text) if text in ("0", "1", "2") else None
    try:
        t_score = float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None
    return GRADES[who_class(t_score)] if -8 <= t_score <= 8 else None


def curate(
    reader: Reader, folder: Path, grades: Mapping[str, int | None], out: Path, tell: Tell = tell_nobody
) -> Report:
    """Write labels.csv, excluded.csv and curation.json.

    Args:
        reader: The one that hashed the ids of the table.
        folder: Of slices, with everything below it.
        grades: From `read_grades`.
        out: Folder to write to.
        tell: Gets the progress.

    Raises:
        UsageError: No slice can be used.
    """
    slices = _without_copies([_labelled(one, grades) for one in read_films(reader, folder, _judge(), tell)])
    used = [one for one in slices if not one.reason and one.patient]
    if not used:
        raise UsageError("no slice can be used: " + ", ".join(sorted({one.reason for one in slices})))
    first: dict[str, str] = {}
    for one in used:
        first[str(one.patient)] = min(first.get(str(one.patient), one.film), one.film)
    splits, names = split_patients(first), named_files(folder)
    rows = [
        (
            names[one.number - 1][0],
            str(one.patient)[:ID_DIGITS],
            grades[str(one.patient)],
            splits[str(one.patient)],
        )
        for one in used
    ]
    left_out = [(one.film, one.number, one.reason) for one in slices if one.reason]
    write_atomically(out / LABELS, csv_bytes(LABEL_COLUMNS, rows))
    write_atomically(out / EXCLUDED, csv_bytes(EXCLUDED_COLUMNS, left_out))
    known = registry.task(TASK_ID).labels
    report = Report(
        task=TASK_ID,
        unit="slices",
        files=len(slices),
        splits=shares(TASK_ID, [(split, patient, (known[int(str(grade))].id,)) for _, patient, grade, split in rows]),
        excluded=by_number(Counter(reason for *_, reason in left_out)),
        is_phantom=any(one.facts["ImageType"] for one in used),
    )
    write_report(out, report)
    return report


def _judge() -> Judge:
    manifest = registry.manifest_of(TASK_ID)
    if manifest is None:
        raise UsageError(f"no model of {TASK_ID} is installed, and its checks judge the slices")
    check = registry.part(TASK_ID, "gate").check

    def judge(study: Study) -> str:
        return next((one.code for one in check(study, manifest, None) if one.outcome == "refused"), "")

    return judge


def _labelled(one: Film, grades: Mapping[str, int | None]) -> Film:
    """The slice with its reason, where it has no label."""
    if one.reason:
        return one
    if one.patient is None:
        return replace(one, reason=NO_PATIENT)
    if one.patient not in grades:
        return replace(one, reason=NO_LABEL)
    return replace(one, reason=CONFLICT) if grades[one.patient] is None else one


def _without_copies(slices: list[Film]) -> list[Film]:
    """Slices with a reason where an earlier one has the same pixels."""
    seen: set[str] = set()
    result = []
    for one in slices:
        result.append(replace(one, reason=COPY) if not one.reason and one.pixel_hash in seen else one)
        seen.add(one.pixel_hash if not one.reason else "")
    return result
