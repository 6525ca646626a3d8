"""Hip films and a DXA table become a labelled data set: pairs, reasons, a test year, pictures without a header.

Rules, in this order; the first that applies is the reason why a film is left out:

1. The file cannot be read, or a check of the gate speaks against it (another image or body part, blank, blurred, metal, not
   frontal, no side, both hips in one film, an age outside the model's, text in the picture).
2. It names no patient or no day, or the DXA table has no row of the patient, none with a value, none within six months.
3. Another film has the same pixels: of one patient the first by hash stays, of two patients none.
4. The patient is in the test set, and the film is older than the test year.

Films of the test year or later are for testing, all others for training, so no patient stands on both sides.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from core import registry
from core.clinical.osteoporosis import who_class
from core.curation.dexa import DexaTable
from core.curation.films import ID_DIGITS, Film, Judge, read_films
from core.curation.pairing import Scan, nearest
from core.curation.report import Tell, tell_nobody
from core.errors import UsageError
from core.io.reader import Reader
from core.records import Check, Study

TASK_ID = "hip_osteoporosis"
EXCLUDING = frozenset({"blurred", "implant", "metal_clips", "view_other", "side_unknown", "age_outside", "burned_in"})
"""Checks of the gate that a person could override on a page; their refusals always exclude."""
BOTH_HIPS = "both hips"
NO_PATIENT, NO_DATE = "no patient id", "no date"
NO_SCAN, NO_VALUE, TOO_FAR = "no DXA scan", "no DXA scan with a value", "no DXA scan within six months"
COPY, TWO_PATIENTS, TEST_PATIENT = (
    "copy of another film",
    "same pixels as of another patient",
    "patient of the test set",
)


@dataclass(frozen=True)
class Pair:
    """A film and the scan that gives its label."""

    film: Film
    scan: Scan
    year: int
    days: int
    split: str

    @property
    def label(self) -> int:
        """1 for osteoporosis after WHO, else 0: low bone mass and normal together."""
        return int(who_class(self.scan.t_score) == "osteoporosis")


@dataclass(frozen=True)
class Curated:
    """All films, and those that can be used, in the order of their hashes."""

    films: tuple[Film, ...]
    pairs: tuple[Pair, ...]
    test_year: int


def hip_judge() -> Judge:
    """The checks of the task's gate, and one more: a label is of one hip.

    Raises:
        UsageError: No model is installed whose manifest says for whom it is meant.
    """
    manifest = registry.manifest_of(TASK_ID)
    if manifest is None:
        raise UsageError(f"no model of {TASK_ID} is installed, and its checks judge the films")
    gate, locate = (registry.part(TASK_ID, name) for name in ("gate", "locate"))

    def judge(study: Study) -> str:
        checks: list[Check] = gate.check(study, manifest, None)
        codes = [one.code for one in checks if one.outcome == "refused" or one.code in EXCLUDING]
        return next(iter(codes), BOTH_HIPS if locate.is_pelvis(study) else "")

    return judge


def curate(reader: Reader, dicom: Path, dexa: DexaTable, test_year: int | None, tell: Tell = tell_nobody) -> Curated:
    """Read and check every film, pair it, and split; see `assemble`.

    Args:
        reader: The one whose key hashed the patient ids of the DXA table.
        dicom: Folder of films.
        dexa: From `read_dexa`.
        test_year: First year of the test set; None = the last year of all pairs.
        tell: Gets the progress.

    Raises:
        UsageError: There are no films, or none can be paired.
    """
    return assemble(list(read_films(reader, dicom, hip_judge(), tell)), dexa, test_year)


def assemble(read: list[Film], dexa: DexaTable, test_year: int | None) -> Curated:
    """Pair and split films that were read: rules 2 to 4.

    Args:
        read: In any order.
        dexa: From `read_dexa`.
        test_year: First year of the test set; None = the last year of all pairs.

    Raises:
        UsageError: No film can be paired.
    """
    films = sorted((_without_scan(film, dexa) for film in read), key=lambda film: (film.film, film.number))
    films = _without_copies(films)
    found = [_pair(film, dexa) for film in films if not film.reason]
    if not found:
        reasons = Counter(film.reason for film in films)
        raise UsageError("no film can be paired: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()))
    year = test_year or max(pair.year for pair in found)
    tested = {pair.film.patient for pair in found if pair.year >= year}
    left_out = {pair.film.number for pair in found if pair.year < year and pair.film.patient in tested}
    return Curated(
        tuple(replace(film, reason=TEST_PATIENT) if film.number in left_out else film for film in films),
        tuple(
            replace(pair, split="test" if pair.year >= year else "train")
            for pair in found
            if pair.film.number not in left_out
        ),
        year,
    )


def _without_scan(film: Film, dexa: DexaTable) -> Film:
    """The film with its reason, where nothing can be paired with it."""
    if film.reason:
        return film
    if film.patient is None:
        return replace(film, reason=NO_PATIENT)
    if film.examined is None:
        return replace(film, reason=NO_DATE)
    if film.patient not in dexa.scans:
        return replace(film, reason=NO_SCAN)
    if not (scans := dexa.scans[film.patient]):
        return replace(film, reason=NO_VALUE)
    return film if nearest(film.examined, scans) else replace(film, reason=TOO_FAR)


def _without_copies(films: list[Film]) -> list[Film]:
    """Films in the order of their hashes, with a reason where another one has the same pixels."""
    patients: dict[str, set[str | None]] = {}
    for film in films:
        if not film.reason:
            patients.setdefault(film.pixel_hash, set()).add(film.patient)
    seen: set[str] = set()
    result = []
    for film in films:
        reason = film.reason
        if not reason:
            reason = TWO_PATIENTS if len(patients[film.pixel_hash]) > 1 else COPY if film.pixel_hash in seen else ""
            seen.add(film.pixel_hash)
        result.append(replace(film, reason=reason))
    return result


def _pair(film: Film, dexa: DexaTable) -> Pair:
    assert film.patient is not None
    assert film.examined is not None
    scan = nearest(film.examined, dexa.scans[film.patient])
    assert scan is not None
    return Pair(film, scan, film.examined.year, (scan.day - film.examined).days, "")


def short_patient(film: Film) -> str:
    """The patient as the tables name it: the first digits of the keyed hash."""
    return (film.patient or "")[:ID_DIGITS]
