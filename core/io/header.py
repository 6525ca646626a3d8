"""DICOM elements to plain values: numbers, allow-listed tags, age, sex, weight and the keyed pseudonym."""

import math
import re
from collections.abc import Sequence
from datetime import date

from pydicom.dataset import Dataset

from core.errors import FileError
from core.io import keys, vocabulary

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_AGES_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_OLDEST_YEARS = 120
_FARTHEST_MM = 1e5
_WEIGHT_RANGE_KG = (0.3, 500.0)
_EXAMINATION_DATES = ("StudyDate", "AcquisitionDate", "ContentDate")
# Enhanced multi-frame images keep these per frame instead of at the top.
_FRAME_KEYWORDS = {
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SliceThickness",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
}


def values(dataset: Dataset, keyword: str) -> list[object]:
    """The values of one element, [] when it is absent, empty or unreadable."""
    try:
        return _values(dataset, keyword)
    except Exception:
        return []


def numbers(dataset: Dataset, keyword: str) -> list[float] | None:
    """The finite numbers of one element; [] when it is absent or empty, None when it makes no sense."""
    try:
        found = [float(str(value)) for value in _values(dataset, keyword)]
    except Exception:
        return None
    return found if all(map(math.isfinite, found)) else None


def _values(dataset: Dataset, keyword: str) -> list[object]:
    # pydicom converts bytes on access and raises whatever the conversion does.
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return [value]


def required_int(dataset: Dataset, keyword: str, low: int, high: int) -> int:
    """An integer that the pixels cannot be read without.

    Raises:
        FileError: E_TAG naming `keyword`.
    """
    found = numbers(dataset, keyword)
    if found == []:
        raise FileError("E_TAG", f"{keyword} is missing")
    if found is None or len(found) > 1:
        raise FileError("E_TAG", f"{keyword} is no single number")
    if not low <= found[0] <= high or found[0] != int(found[0]):
        raise FileError("E_TAG", f"{keyword} is not in {low}..{high}")
    return int(found[0])


def lift_frame_groups(dataset: Dataset, index: int) -> None:
    """Copy what the functional groups say about frame `index` to the top level, as single-frame images have it."""
    for keyword, position in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
        groups = values(dataset, keyword)
        group = groups[position] if position < len(groups) else None
        for element in group if isinstance(group, Dataset) else ():
            for item in element.value[:1] if element.VR == "SQ" else ():
                for entry in item:
                    if entry.keyword in _FRAME_KEYWORDS:
                        dataset[entry.tag] = entry


def tags(dataset: Dataset, n_frames: int) -> dict[str, str]:
    """Allow-listed technical tags as short printable strings; multiple values joined by a backslash."""
    found = {keyword: _text(values(dataset, keyword)) for keyword in vocabulary.TAGS}
    # Free text: only whether there was an agent matters.
    found["ContrastBolusAgent"] = "yes" if found["ContrastBolusAgent"] else ""
    found["TransferSyntaxUID"] = _text([dataset.file_meta.TransferSyntaxUID])
    found["NumberOfFrames"] = str(n_frames)
    found["SlicePosition"] = _slice_position(dataset)
    return {keyword: text for keyword, text in sorted(found.items()) if text}


def _text(found: list[object]) -> str:
    joined = "\\".join(str(value) for value in found)
    return _UNPRINTABLE.sub("", joined).strip()[: vocabulary.MAX_TAG_CHARS].rstrip()


def _slice_position(dataset: Dataset) -> str:
    """Distance of the slice from the origin along its normal in mm (PS3.3 C.7.6.2.1.1), "" when the header does not tell."""
    corner, cosines = (numbers(dataset, f"Image{word}Patient") for word in ("Position", "Orientation"))
    if not corner or not cosines or len(corner) != 3 or len(cosines) != 6:
        return ""
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    position = sum(along * mm for along, mm in zip(normal, corner, strict=True))
    if not (0.99 < math.hypot(*normal) < 1.01 and abs(position) < _FARTHEST_MM):
        return ""
    return f"{round(position, 2) + 0:.2f}"  # + 0 makes 0.00 of -0.00


def is_phantom(dataset: Dataset) -> bool:
    """Whether value 3 or later of ImageType is PHANTOM: this project writes its phantoms so."""
    return "PHANTOM" in values(dataset, "ImageType")[2:]


def age_years(dataset: Dataset) -> float | None:
    """Whole years, from PatientAge or from the birth date, which is dropped here."""
    match = _AGE.fullmatch(_text(values(dataset, "PatientAge")))
    if match:
        years = math.floor(int(match[1]) / _AGES_PER_YEAR[match[2]])
    else:
        born, examined = _date(dataset, "PatientBirthDate"), examination_date(dataset)
        if born is None or examined is None:
            return None
        years = examined.year - born.year - ((examined.month, examined.day) < (born.month, born.day))
    return float(years) if 0 <= years <= _OLDEST_YEARS else None


def examination_date(dataset: Dataset) -> date | None:
    """Day of the study, else of the acquisition or of the content."""
    return next(filter(None, (_date(dataset, keyword) for keyword in _EXAMINATION_DATES)), None)


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return date.fromisoformat(_text(values(dataset, keyword)))
    except ValueError:
        return None


def weight_kg(dataset: Dataset) -> float | None:
    """PatientWeight when it is a person's."""
    found = numbers(dataset, "PatientWeight")
    low, high = _WEIGHT_RANGE_KG
    return found[0] if found and low <= found[0] <= high else None


def sex(dataset: Dataset) -> str | None:
    """F, M, O or None."""
    code = _text(values(dataset, "PatientSex")).upper()
    return code if code in ("F", "M", "O") else None


def pseudonym(dataset: Dataset, key: bytes) -> str | None:
    """HMAC-SHA256 of PatientID: the same person has the same one under one key, and nobody can go back without it."""
    return keys.keyed_hash(_id(dataset, "PatientID"), "patient", key) or None


def match_keys(dataset: Dataset, key: bytes) -> dict[str, str]:
    """Keyed hashes of AccessionNumber, and of PatientID with StudyDate, by kind; see core.io.keys."""
    day = keys.patient_date(_id(dataset, "PatientID"), _text(values(dataset, "StudyDate")))
    found = {
        "accession": keys.keyed_hash(_id(dataset, "AccessionNumber"), "accession", key),
        "patient_date": keys.keyed_hash(day, "patient_date", key),
    }
    return {kind: value for kind, value in found.items() if value}


def _id(dataset: Dataset, keyword: str) -> str:
    return "\\".join(str(value) for value in values(dataset, keyword)).strip()
