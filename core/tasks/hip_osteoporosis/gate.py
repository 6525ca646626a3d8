"""Checks before the score: a frontal hip or pelvis radiograph, sharp, without metal, side known, age in range."""

from core.i18n import mark
from core.imaging import checks
from core.imaging.display import to_grey
from core.imaging.kinds import resembles
from core.imaging.quality import Quality, count_metal_clips, measure
from core.manifest import Manifest
from core.records import Check, Laterality, Study
from core.tasks.hip_osteoporosis.locate import is_pelvis

HIPS = ("HIP", "PELVIS", "FEMUR", "UPPER FEMUR", "PROXIMAL FEMUR", "")
FRONTAL = ("AP", "PA")
MIN_SHARPNESS = 0.025
# Dense bone in a slim patient stands out like thin screws do, so both must hold: of 600 phantoms without metal none did, of 300
# with screws all.
MAX_BRIGHTNESS_GAP, MAX_EDGE_STEEPNESS = 0.35, 0.13


def check(study: Study, manifest: Manifest, laterality: Laterality | None) -> list[Check]:
    """All checks of one film; a wrong kind of image ends the list.

    Args:
        study: From the reader.
        manifest: Age range and provenance.
        laterality: Side chosen by a person, or None.
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
        _metal(study, quality),
        _view(study),
        _side(study, laterality),
        checks.age(study, manifest),
        checks.burned_in(study),
    ]


def _wrong_kind(study: Study) -> Check | None:
    """What header and colour already rule out."""
    words = mark("Not a radiograph: the file says that it is another kind of image")
    if (wrong := checks.wrong_modality(study, checks.RADIOGRAPHS, words)) is not None:
        return wrong
    if study.tags.get("BodyPartExamined", "").upper() not in HIPS:
        words = mark("The header names another body part than the hip")
        return Check("body_part", "refused", words, suggested_task=checks.fitting_task(study))
    return None


def _kind(study: Study) -> Check:
    """The body part of the header; where it is silent, the picture itself."""
    part = study.tags.get("BodyPartExamined", "")
    similar = None if part else resembles(to_grey(study.frame))
    if similar is not None:
        words = mark("The picture looks like another kind of image")
        return Check("other_kind", "refused", words, suggested_task=similar)
    if not part or not study.tags.get("Modality"):
        return Check("kind_unknown", "confirm", mark("The file does not say that it is a hip radiograph"))
    if is_pelvis(study):
        return Check("kind", "passed", mark("Radiograph of the pelvis: both hips are examined"))
    return Check("kind", "passed", mark("Radiograph of the hip"))


def _metal(study: Study, quality: Quality) -> Check:
    """Training excluded metal on the femur."""
    if quality.brightness_gap > MAX_BRIGHTNESS_GAP and quality.edge_steepness > MAX_EDGE_STEEPNESS:
        return Check("implant", "confirm", mark("Metal implant: such films were excluded from training"))
    if clips := count_metal_clips(study.frame):
        return Check(
            "metal_clips",
            "confirm",
            mark("Small metal objects ({n}): such films were excluded from training"),
            {"n": clips},
        )
    return Check("no_metal", "passed", mark("No metal found"))


def _view(study: Study) -> Check:
    view = study.tags.get("ViewPosition", "").upper()
    if view in FRONTAL:
        return Check("view", "passed", mark("Frontal view"))
    if view:
        return Check("view_other", "confirm", mark("Not a frontal view according to the header"))
    return Check("view_unknown", "confirm", mark("View not in the header: a frontal view is assumed"))


def _side(study: Study, laterality: Laterality | None) -> Check:
    if is_pelvis(study):
        return Check("side", "passed", mark("Both sides in the film"))
    side = laterality or study.laterality
    if side is None:
        return Check("side_unknown", "confirm", mark("Side not in the header: taken as left"))
    return Check("side", "passed", mark("Left hip") if side == "L" else mark("Right hip"))
