"""A hospital made of phantoms: hip films, a DXA table full of decoys, and the pairs that a right curation finds.

The truth follows from how each patient is made, not from the rules of `core.curation.pairing`, which it is there to test.
"""

import calendar
import copy
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.io.phantom_file import write_dicom
from core.io.tables import csv_bytes
from core.phantom import Phantom
from core.tasks.hip_osteoporosis.phantom import FIRST_DAY, OSTEOPOROSIS_T, make_phantom

LAST_DAY = date(2022, 12, 31)
COLUMNS = ("PatientID", "ScanDate", "Neck_BMD", "T_score")
TRUTH_COLUMNS = ("film", "dexa_row", "days", "t_score", "source", "label", "split")
BMD_MEAN, BMD_SD = 0.858, 0.120  # g/cm2, femoral neck of young women
NEAREST_DAYS = 150  # a scan that belongs to a film is at most so far away, and every decoy with a value farther
SURELY_OUT_DAYS = 184  # no six months are longer
SECOND_VISIT_DAYS = (800, 1000)  # so far apart that no scan of one visit is near the other
FILM_FAULTS = ("metal", "blurred", "lateral", "knee", "pelvis", "no_patient", "cut", "child")
"""Each makes a film that no curation may use."""


@dataclass
class _Scan:
    """A row of the table to be; `row` is its number once all rows are shuffled."""

    cells: tuple[str, str, str, str]
    row: int = 0


@dataclass(frozen=True)
class _Film:
    """A file; `scan` is the one that belongs to it, None where none may be taken."""

    content: bytes
    patient: str
    day: date
    scan: _Scan | None

    @property
    def film(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


def write_hospital(out: Path, n_patients: int, seed: int, tell: Callable[[str, int, int], None]) -> None:
    """Write dicom/, dexa.csv and truth.csv.

    Args:
        out: Folder to write to.
        n_patients: Number of patients with films.
        seed: Same seed, same bytes.
        tell: Gets the progress: "making", and the numbers of patients done and in all.
    """
    films: list[_Film] = []
    scans: list[_Scan] = []
    for number in range(n_patients):
        own_films, own_scans = _patient(np.random.default_rng([seed, number]), f"P{seed % 100:02d}{number:06d}")
        films += own_films
        scans += own_scans
        tell("making", number + 1, n_patients)
    order = np.random.default_rng([seed, n_patients, 1]).permutation(len(scans))
    table = [scans[place] for place in order]
    for row, scan in enumerate(table, start=1):
        scan.row = row
    (out / "dicom").mkdir(parents=True, exist_ok=True)
    for number, film in enumerate(films):
        (out / "dicom" / f"film_{number:05d}.dcm").write_bytes(film.content)
    (out / "dexa.csv").write_bytes(csv_bytes(COLUMNS, [scan.cells for scan in table]))
    (out / "truth.csv").write_bytes(csv_bytes(TRUTH_COLUMNS, _truth(films)))


def _truth(films: list[_Film]) -> list[tuple[object, ...]]:
    """Rows of truth.csv: films of the last year are for testing, those of other years only where the patient has none there."""
    paired = [(film, film.scan) for film in films if film.scan is not None]
    last = max((film.day.year for film, _ in paired), default=0)
    tested = {film.patient for film, _ in paired if film.day.year == last}
    rows: list[tuple[object, ...]] = []
    for film, scan in sorted(paired, key=lambda pair: pair[0].film):
        if film.day.year < last and film.patient in tested:
            continue
        _, day, bmd, text = scan.cells
        t_score = float(text) if text else (float(bmd) - BMD_MEAN) / BMD_SD
        label = int(t_score <= OSTEOPOROSIS_T + 1e-9)
        days = (date.fromisoformat(day) - film.day).days
        source, split = "t_score" if text else "neck_bmd", "test" if film.day.year == last else "train"
        rows.append((film.film, scan.row, days, f"{t_score:.3f}", source, label, split))
    return rows


def _patient(rng: np.random.Generator, patient: str) -> tuple[list[_Film], list[_Scan]]:
    """One or two visits, each with one or two films, a scan and its decoys; sometimes the scan of somebody without a film."""
    first = make_phantom(rng)
    day = FIRST_DAY + timedelta(days=int(rng.integers(0, (LAST_DAY - FIRST_DAY).days + 1)))
    films, scans = _visit(rng, patient, first, day)
    later = day + timedelta(days=int(rng.integers(*SECOND_VISIT_DAYS)))
    if rng.random() < 0.25 and later <= LAST_DAY:
        again = make_phantom(rng, t_score=float(str(first.truth["t_score"])))
        more_films, more_scans = _visit(rng, patient, again, later)
        films, scans = films + more_films, scans + more_scans
    if rng.random() < 0.15:
        scans.append(_scan(rng, f"{patient}X", day, float(rng.normal(-2, 1))))
    return films, scans


def _visit(rng: np.random.Generator, patient: str, phantom: Phantom, day: date) -> tuple[list[_Film], list[_Scan]]:
    """The films of one day and the scans around it."""
    t_score = float(str(phantom.truth["t_score_dxa"]))
    true, scans = _scans(rng, patient, day, t_score)
    films = list(_films(rng, patient, phantom, day, true))
    if rng.random() < 0.3:
        films += _films(rng, patient, make_phantom(rng, like=phantom), day, true)
    return films, scans


def _scans(rng: np.random.Generator, patient: str, day: date, t_score: float) -> tuple[_Scan | None, list[_Scan]]:
    """The scan that belongs to a film of that day, if there is one, and all scans: that one and decoys."""

    def decoy(days: int) -> _Scan:
        return _scan(rng, patient, day + timedelta(days=days), t_score + float(rng.normal(0, 0.6)))

    side = int(rng.choice([-1, 1]))
    days = int(rng.integers(-NEAREST_DAYS, NEAREST_DAYS + 1))
    kind = rng.choice(
        ["plain", "last day", "tie", "density only", "too far", "six months", "no value", "none"], p=_KINDS
    )
    scans: list[_Scan] = []
    true: _Scan | None = _scan(rng, patient, day + timedelta(days=days), t_score)
    if kind == "density only":
        true = _scan(rng, patient, day + timedelta(days=days), t_score, hidden="t_score")
    elif kind == "last day":
        true = _scan(rng, patient, _six_months_after(day) - timedelta(days=1), t_score)
    elif kind == "tie":
        days = max(abs(days), 1)
        true = _scan(rng, patient, day - timedelta(days=days), t_score)
        scans.append(decoy(days))
    elif kind in ("too far", "six months", "no value", "none"):
        true = None
    if kind == "too far":
        scans.append(decoy(side * int(rng.integers(SURELY_OUT_DAYS, SURELY_OUT_DAYS + 10))))
    if kind == "six months":
        scans.append(_scan(rng, patient, _six_months_after(day), t_score))
    if kind == "no value" or rng.random() < 0.1:
        scans.append(_scan(rng, patient, day + timedelta(days=side), t_score, hidden="both"))
    if true is not None:
        scans.append(true)
        scans += [decoy(side * int(rng.integers(NEAREST_DAYS + 1, 180)))] * bool(
            kind == "plain" and rng.random() < 0.15
        )
    if kind != "none" and rng.random() < 0.3:
        scans.append(decoy(side * int(rng.integers(330, 420))))
    return true, scans


_KINDS = (0.62, 0.05, 0.05, 0.06, 0.06, 0.05, 0.05, 0.06)


def _six_months_after(day: date) -> date:
    """The same day half a year later, or the last day of that month."""
    year, month = (day.year, day.month + 6) if day.month <= 6 else (day.year + 1, day.month - 6)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _scan(rng: np.random.Generator, patient: str, day: date, t_score: float, hidden: str = "") -> _Scan:
    """A row, its values as a report prints them; `hidden` leaves out the T-score or both values."""
    bmd, text = f"{BMD_MEAN + BMD_SD * t_score:.3f}", f"{t_score:.1f}"
    if hidden == "both":
        bmd, text = "", str(rng.choice(["", "N/A", "999"]))
    elif hidden:
        text = ""
    return _Scan((patient, f"{day:%Y-%m-%d}", bmd, text))


def _films(rng: np.random.Generator, patient: str, phantom: Phantom, day: date, scan: _Scan | None) -> Iterator[_Film]:
    """The film, in one of ten its copy too, in one of eight a faulty one in its place."""
    fault = str(rng.choice(FILM_FAULTS)) if rng.random() < 0.12 else ""
    made = replace(phantom, meta={**phantom.meta, "StudyDate": f"{day:%Y%m%d}", "PatientID": patient})
    if fault:
        yield _Film(_faulty(rng, made, fault), patient, day, None)
        return
    contents = [write_dicom(made, monochrome1=bool(rng.random() < 0.15))]
    if rng.random() < 0.1:
        weighed = float(str(made.meta["PatientWeight"])) + 1
        contents.append(write_dicom(replace(made, meta={**made.meta, "PatientWeight": weighed})))
    films = sorted((_Film(content, patient, day, scan) for content in contents), key=lambda film: film.film)
    yield films[0]
    yield from (replace(film, scan=None) for film in films[1:])  # of copies the first by hash counts


def _faulty(rng: np.random.Generator, phantom: Phantom, fault: str) -> bytes:
    """A file that looks like a film of the patient and is of no use."""
    meta = dict(phantom.meta)
    side = str(meta["Laterality"])
    if fault in ("metal", "blurred", "pelvis"):
        options: dict[str, dict[str, Any]] = {
            "metal": {"implant": str(rng.choice(["nail", "screws", "plate"])), "laterality": side},
            "blurred": {"blurred": True, "laterality": side},
            "pelvis": {"view": "pelvis"},
        }
        made = make_phantom(copy.deepcopy(rng), t_score=float(str(phantom.truth["t_score"])), **options[fault])
        kept = ("StudyDate", "PatientID", "PatientSex", "PatientAge", "PatientWeight")
        return write_dicom(replace(made, meta={**made.meta, **{key: meta[key] for key in kept}}))
    meta |= {"lateral": {"ViewPosition": "LATERAL"}, "knee": {"BodyPartExamined": "KNEE"}}.get(fault, {})
    meta |= {"PatientAge": 7} if fault == "child" else {}
    content = write_dicom(replace(phantom, meta=meta))
    if fault == "cut":
        return content[: len(content) // 2]
    return _without_patient(content) if fault == "no_patient" else content


def _without_patient(content: bytes) -> bytes:
    """The file with an empty patient id."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.PatientID = ""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
