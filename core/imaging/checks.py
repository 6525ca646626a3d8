"""Checks that every task's gate asks in the same words."""

from core.i18n import mark
from core.imaging.quality import Quality
from core.manifest import Manifest
from core.records import Check, Frame, Study

MIN_SIDE, MAX_ASPECT = 64, 4.0
MAX_NOISE_SHARE = 0.12
RADIOGRAPHS = ("CR", "DX", "RG", "DR", "RF")
TASKS_BY_MODALITY = {"CT": "ct_osteoporosis", "NM": "knee_djd", "OP": "retina_lesions"}
TASKS_BY_PART = {
    "HIP": "hip_osteoporosis",
    "PELVIS": "hip_osteoporosis",
    "CHEST": "chest_lesions",
    "THORAX": "chest_lesions",
}


def fitting_task(study: Study) -> str | None:
    """Id of the task whose kind of image this is, as far as colour, unit and header tell."""
    modality, part = (study.tags.get(tag, "").upper() for tag in ("Modality", "BodyPartExamined"))
    if study.frame.unit == "rgb":
        return "retina_lesions"
    if study.container == "matlab" or study.frame.unit == "counts":
        return "knee_djd"
    if modality in RADIOGRAPHS:
        return TASKS_BY_PART.get(part)
    return TASKS_BY_MODALITY.get(modality)


def wrong_modality(study: Study, modalities: tuple[str, ...], not_one: str) -> Check | None:
    """Refusal of colour, of counts and of other modalities; None for what may be right or does not tell.

    Args:
        study: From the reader.
        modalities: DICOM modalities that the task reads.
        not_one: Message id for another modality ("Not a radiograph: ...").
    """
    modality = study.tags.get("Modality", "").upper()
    if study.frame.unit == "rgb":
        return Check("colour", "refused", mark("A colour photograph"), suggested_task=fitting_task(study))
    if modality in modalities or not (modality or study.container == "matlab"):
        return None
    return Check("modality", "refused", not_one, suggested_task=fitting_task(study))


def readable(frame: Frame, quality: Quality) -> Check:
    """Size and content: refuses blank, tiny and ribbon-like pictures."""
    if quality.is_blank:
        return Check("blank", "refused", mark("The image is blank: every pixel has the same value."))
    if quality.short_side < MIN_SIDE or quality.aspect > MAX_ASPECT:
        return Check(
            "too_small",
            "refused",
            mark("The image is too small or too narrow: at least {limit} pixels a side are needed."),
            {"limit": MIN_SIDE},
        )
    if quality.noise_share > MAX_NOISE_SHARE:
        return Check("not_an_image", "refused", mark("The picture is noise, text or a drawing, not a medical image."))
    rows, columns = frame.pixels.shape[:2]
    return Check("readable", "passed", mark("Readable, {columns} x {rows} pixels"), {"columns": columns, "rows": rows})


def sharp(quality: Quality, limit: float) -> Check:
    """Blur: asks for confirmation below `limit`."""
    values = {"value": round(quality.sharpness, 3), "limit": limit}
    if quality.sharpness < limit:
        return Check("blurred", "confirm", mark("Blurred: sharpness {value}, at least {limit} is wanted"), values)
    return Check("sharp", "passed", mark("Sharp enough: sharpness {value}, at least {limit} is wanted"), values)


def age(study: Study, manifest: Manifest) -> Check:
    """Age against the range of the model card."""
    if manifest.eligible_age_years is None:
        return Check("age", "passed", mark("Any age"))
    low, high = (int(value) for value in manifest.eligible_age_years)
    values: dict[str, object] = {"low": low, "high": high}
    if study.age_years is None:
        return Check(
            "age_unknown", "confirm", mark("Age not in the file: the model is meant for {low} to {high} years"), values
        )
    values["age"] = int(study.age_years)
    if not low <= study.age_years <= high:
        return Check(
            "age_outside", "confirm", mark("Age {age} is outside the model's range of {low} to {high} years"), values
        )
    return Check("age", "passed", mark("Age {age}, within {low} to {high} years"), values)


def known_population(study: Study, manifest: Manifest) -> Check:
    """A model that never saw a patient asks for confirmation on any image that is not a phantom."""
    if manifest.data_kind != "phantom" or study.is_phantom:
        return Check("population", "passed", mark("The kind of image that the model was made for"))
    return Check(
        "never_saw_a_patient",
        "confirm",
        mark("This model never saw a patient: its score on a real image means nothing yet"),
    )


def burned_in(study: Study) -> Check:
    """Names written into the picture would show on a projector."""
    if study.tags.get("BurnedInAnnotation", "").upper() == "YES":
        return Check(
            "burned_in",
            "confirm",
            mark("The header says that text is burned into the picture: it may name the patient"),
        )
    return Check("burned_in_none", "passed", mark("No text burned into the picture, as far as the header tells"))
