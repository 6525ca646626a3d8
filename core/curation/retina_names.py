"""How photographs of retinas and their masks are named: by patient, eye, time point and, for a mask, the kind of lesion.

    P001_t1.jpg                     photograph of patient P001 at time point 1
    P001_OD_t1.jpg                  the same of one eye: OD or R, OS or L
    P001_t1_haemorrhage.png         mask of one kind of lesion on it
    P001/t1.jpg, P001/OD/t1.jpg     a folder a patient, with or without a folder an eye
    P001/images/1.jpg, P001/masks/1_haemorrhage.png

Folders called images and masks say nothing else; a name without a patient takes that of its folder. Time points are numbers from
0 to 99; capitals do not matter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from core.records import Laterality
from core.tasks.retina_lesions.task import DISC, EXUDATE, HAEMORRHAGE, MICROANEURYSM, SOFT_EXUDATE

KINDS: Mapping[str, int] = {
    **dict.fromkeys(("disc", "optic_disc", "od"), DISC),
    **dict.fromkeys(("soft_exudate", "soft_exudates", "se"), SOFT_EXUDATE),
    **dict.fromkeys(("exudate", "exudates", "hard_exudate", "hard_exudates", "ex"), EXUDATE),
    **dict.fromkeys(("haemorrhage", "haemorrhages", "hemorrhage", "hemorrhages", "he"), HAEMORRHAGE),
    **dict.fromkeys(("microaneurysm", "microaneurysms", "ma"), MICROANEURYSM),
}
"""Class of a mask by the end of its name; the first of each row is the name in reports, the last that of IDRiD."""
NAMES: Mapping[int, str] = {kind: name for name, kind in reversed(list(KINDS.items()))}
EYES: Mapping[str, Laterality] = {"od": "R", "r": "R", "os": "L", "l": "L"}
_SILENT = ("image", "images", "mask", "masks")
_STEM = re.compile(
    r"(?:(?P<patient>.*?[^_\-\s])[_\-\s]+)??(?:(?P<eye>od|os|r|l)[_\-\s]+)?(?:t(?P<point>\d{1,2})|(?P<plain>\d{1,2}))"
    r"(?:[_\-\s]+(?P<kind>[a-z][a-z_\-\s]*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Name:
    """What the name of a file says. The patient may be a person's name: repr leaves it out.

    Attributes:
        patient: As written.
        eye: Side, None where it is not named.
        time_point: Number.
        kind: Of a mask, "" for a photograph; it may be none of KINDS.
    """

    patient: str = field(repr=False)
    eye: Laterality | None
    time_point: int
    kind: str = ""

    @property
    def place(self) -> tuple[str, str, int]:
        """Patient, eye and time point: what a photograph and its masks share."""
        return self.patient, self.eye or "", self.time_point


def read_name(path: str) -> Name | None:
    """What a path below the folder says; None for a file that is named in another way."""
    *folders, file = PurePosixPath(path).parts
    found = _STEM.fullmatch(PurePosixPath(file).stem)
    if found is None or (found["plain"] and found["patient"]):  # P001_3 may be anything
        return None
    folders = [name for name in folders if name.lower() not in _SILENT]
    eye = (found["eye"] or "").lower()
    if folders and folders[-1].lower() in EYES:
        eye = eye or folders[-1].lower()
        folders.pop()
    patient = found["patient"] or (folders[-1] if folders else "")
    kind = re.sub(r"[\-\s]+", "_", found["kind"] or "").lower().strip("_")
    return Name(patient, EYES.get(eye), int(found["point"] or found["plain"]), kind) if patient else None
