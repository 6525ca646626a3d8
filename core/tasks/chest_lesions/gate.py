"""Checks before the boxes: a frontal chest radiograph, sharp, the heart on its own side, age in range."""

from core.i18n import mark
from core.imaging import checks
from core.imaging.display import to_grey
from core.imaging.kinds import resembles
from core.imaging.quality import measure
from core.manifest import Manifest
from core.records import Check, Laterality, Study
from core.tasks.chest_lesions.task import TASK

CHESTS = ("CHEST", "THORAX", "")
LATERAL = ("LL", "RL", "LAT", "LATERAL")  # the first two are DICOM's, the others are met in files
MIN_SHARPNESS = (
    0.02  # the least of about 60 real films is 0.033, films blurred by 1.5 % of their width have less than 0.02
)


def check(study: Study, manifest: Manifest, laterality: Laterality | None) -> list[Check]:
    """All checks of one film; a wrong kind of image ends the list.

    Args:
        study: From the reader.
        manifest: Age range and provenance.
        laterality: Has no meaning here.
    """
    if (wrong := _wrong_kind(study)) is not None:
        return [wrong]
    quality = measure(study.frame)
    readable = checks.readable(study.frame, quality)
    if readable.outcome == "refused":
        return [readable]
    kind = _kind(study)
    if kind.outcome == "refused":
        return [kind]
    return [
        checks.known_population(study, manifest),
        kind,
        readable,
        checks.sharp(quality, MIN_SHARPNESS),
        _view(study),
        _side(study),
        checks.age(study, manifest),
        checks.burned_in(study),
    ]


def _wrong_kind(study: Study) -> Check | None:
    """What header and colour already rule out."""
    words = mark("Not a radiograph: the file says that it is another kind of image")
    if (wrong := checks.wrong_modality(study, checks.RADIOGRAPHS, words)) is not None:
        return wrong
    if study.frame.unit != "relative":
        words = mark("The file holds HU or counts: a chest radiograph is needed")
        return Check("no_film", "refused", words, suggested_task=checks.fitting_task(study))
    if study.tags.get("BodyPartExamined", "").upper() not in CHESTS:
        words = mark("The header names another body part than the chest")
        return Check("body_part", "refused", words, suggested_task=checks.fitting_task(study))
    if study.tags.get("ViewPosition", "").upper() in LATERAL:
        return Check("lateral", "refused", mark("A lateral film: the model knows frontal films only"))
    return None


def _kind(study: Study) -> Check:
    """The body part of the header; where it is silent, the picture itself."""
    part = study.tags.get("BodyPartExamined", "")
    similar = None if part else resembles(to_grey(study.frame))
    if similar not in (None, TASK.id):
        words = mark("The picture looks like another kind of image")
        return Check("other_kind", "refused", words, suggested_task=similar)
    if not part or not study.tags.get("Modality"):
        return Check("kind_unknown", "confirm", mark("The file does not say that it is a chest radiograph"))
    return Check("kind", "passed", mark("Radiograph of the chest"))


def _view(study: Study) -> Check:
    view = study.tags.get("ViewPosition", "").upper()
    if view == "PA":
        return Check("view", "passed", mark("Frontal view, PA"))
    if view == "AP":
        words = mark("Frontal view, AP: the heart looks larger than it is, so the width of the heart is not judged")
        return Check("view_ap", "passed", words)
    if view:
        return Check("view_other", "confirm", mark("Not a frontal view according to the header"))
    words = mark("View not in the header: PA is assumed; on an AP film the heart looks larger than it is")
    return Check("view_unknown", "confirm", words)


def _side(study: Study) -> Check:
    """The header's direction of the rows: a mirrored film has the heart on the wrong side."""
    towards = study.tags.get("PatientOrientation", "").upper().partition("\\")[0]
    if towards.startswith("R"):
        words = mark("A mirrored film according to the header: the picture's right is the patient's right")
        return Check("mirrored", "confirm", words)
    return Check("side", "passed", mark("The picture's left is taken as the patient's right"))
