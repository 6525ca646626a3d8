"""What a search asks and what it finds: a handful of allow-listed attributes out of foreign JSON."""

import json
import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from core.errors import PacsError, UsageError

MAX_CHARS = 64  # of an id, and of what is shown of a value
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_OURS = ("PHANTOM", "DEMONSTRATION", "Research use")
_NOT_EXACT = re.compile(r"[*?\\,\x00-\x1f\x7f]")  # wildcards, lists and control characters

Item = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """Which studies; at least one of patient, accession number and dates. Ids are exact, there are no wildcards.

    Attributes:
        patient_id: As the archive knows the patient.
        accession: Number of the request.
        modalities: DICOM codes, any of them; empty = all.
        first, last: Days of the study, both included.

    Raises:
        UsageError: Nothing is asked for, or in a way that could match others.
    """

    patient_id: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    modalities: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if not (self.patient_id or self.accession or self.first or self.last):
            raise UsageError("a patient id, an accession number or days are needed")
        for name, value in (("patient id", self.patient_id), ("accession number", self.accession)):
            if len(value) > MAX_CHARS or _NOT_EXACT.search(value) or value != value.strip():
                raise UsageError(f"{name}: at most {MAX_CHARS} characters, without * ? , and backslash")
        if not all(map(_CODE.fullmatch, self.modalities)):
            raise UsageError("modality: a DICOM code, for example DX")
        if self.first and self.last and self.first > self.last:
            raise UsageError("the last day comes before the first")

    @property
    def parameters(self) -> dict[str, str]:
        """Of QIDO-RS, but for the modality: servers differ in how they take several."""
        asked = {"PatientID": self.patient_id, "AccessionNumber": self.accession}
        if self.first or self.last:
            asked["StudyDate"] = "-".join(day.strftime("%Y%m%d") if day else "" for day in (self.first, self.last))
        return {name: value for name, value in asked.items() if value}


@dataclass(frozen=True)
class StudyMatch:
    """A study that was found. What names a person is for the eye of who chooses: never kept, never logged, not in its repr."""

    study_uid: str = field(repr=False)
    patient_name: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession: str = field(repr=False)
    day: str = field(repr=False)
    modalities: tuple[str, ...]
    description: str = field(repr=False)


@dataclass(frozen=True)
class SeriesMatch:
    """A series of a study that was found."""

    study: StudyMatch
    series_uid: str = field(repr=False)
    modality: str
    number: str
    description: str = field(repr=False)

    @property
    def is_ours(self) -> bool:
        """Whether this program stored it: see derived.context, which numbers and names such series."""
        return self.number.startswith("99") and self.description.startswith(_OURS)


@dataclass(frozen=True)
class Instance:
    """One image of a series."""

    series: SeriesMatch
    instance_uid: str = field(repr=False)
    number: int

    @property
    def path(self) -> str:
        """Of its resource below the base of DICOMweb."""
        series = self.series
        return f"/studies/{series.study.study_uid}/series/{series.series_uid}/instances/{self.instance_uid}"


def items(content: bytes) -> list[Item]:
    """The objects of a DICOM JSON reply (PS3.18 F.2); an empty reply holds none.

    Raises:
        PacsError: It is something else.
    """
    try:
        found = json.loads(content) if content.strip() else []
    except (ValueError, RecursionError) as error:
        raise PacsError("its answer is no JSON") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise PacsError("its answer is no list of DICOM objects")
    return found


def study_match(item: Item) -> StudyMatch:
    """Of one object of a search for studies.

    Raises:
        PacsError: It has no UID.
    """
    return StudyMatch(
        study_uid=_uid(item, "0020000D"),
        patient_name=_text(item, "00100010"),
        patient_id=_text(item, "00100020"),
        accession=_text(item, "00080050"),
        day=_text(item, "00080020"),
        modalities=tuple(value for value in _texts(item, "00080061") if _CODE.fullmatch(value)),
        description=_text(item, "00081030"),
    )


def series_match(item: Item, study: StudyMatch) -> SeriesMatch:
    """Of one object of a search for the series of a study.

    Raises:
        PacsError: It has no UID.
    """
    return SeriesMatch(
        study=study,
        series_uid=_uid(item, "0020000E"),
        modality=_text(item, "00080060"),
        number=_text(item, "00200011"),
        description=_text(item, "0008103E"),
    )


def instance_match(item: Item, series: SeriesMatch) -> Instance:
    """Of one object of a search for the instances of a series.

    Raises:
        PacsError: It has no UID.
    """
    number = _text(item, "00200013")
    return Instance(series, _uid(item, "00080018"), int(number) if re.fullmatch(r"\d{1,9}", number) else 0)


def answers(query: Query, study: StudyMatch) -> bool:
    """Whether a study is what was asked for: some servers ignore what they do not know, and would hand out everybody."""
    day = study.day
    return (
        (not query.patient_id or study.patient_id.casefold() == query.patient_id.casefold())
        and (not query.accession or study.accession.casefold() == query.accession.casefold())
        and (query.first is None or day >= query.first.strftime("%Y%m%d"))
        and (query.last is None or "" < day <= query.last.strftime("%Y%m%d"))
    )


def sequence(item: Item, tag: str) -> list[Item]:
    """The items of a sequence, [] where there is none."""
    found = values(item, tag)
    return [own for own in found if isinstance(own, dict)]


def values(item: Item, tag: str) -> list[Any]:
    """The values of an attribute, [] where there are none."""
    element = item.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def _texts(item: Item, tag: str) -> list[str]:
    return [_printable(value.get("Alphabetic") if isinstance(value, dict) else value) for value in values(item, tag)]


def _text(item: Item, tag: str) -> str:
    return next(iter(_texts(item, tag)), "")


def _printable(value: object) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:MAX_CHARS]
    ).strip()


def _uid(item: Item, tag: str) -> str:
    value = _text(item, tag)
    if not _UID.fullmatch(value):
        raise PacsError("its answer names no UID")
    return value
