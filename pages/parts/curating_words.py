"""Reasons, remarks and labels of a curation in the reader's language; the files keep the English ones."""

from core import registry
from core.errors import MESSAGES
from core.i18n import mark
from pages.parts.words import t

_CHECKS = {
    "age_outside": mark("age outside that of the model"),
    "blank": mark("blank image"),
    "blurred": mark("blurred"),
    "body_part": mark("another part of the body"),
    "burned_in": mark("text in the picture"),
    "colour": mark("colour photograph"),
    "implant": mark("implant"),
    "kind_unknown": mark("another kind of image"),
    "metal_clips": mark("metal clips"),
    "modality": mark("another modality"),
    "no_colour": mark("no colour photograph"),
    "no_hu": mark("no Hounsfield units"),
    "not_an_image": mark("no medical image"),
    "not_fundus": mark("no fundus photograph"),
    "other_kind": mark("another kind of image"),
    "scout": mark("localizer, no slice"),
    "side_unknown": mark("side not known"),
    "too_small": mark("image too small"),
    "view_other": mark("not a frontal view"),
}
"""Codes of the checks before a score, as reasons."""
_REASONS = (
    mark("box"),
    mark("box outside the image"),
    mark("box that is none"),
    mark("box without area"),
    mark("both hips"),
    mark("cannot be opened"),
    mark("copy of another file"),
    mark("copy of another film"),
    mark("copy of another photograph"),
    mark("copy of another slice"),
    mark("colour without a meaning"),
    mark("file name"),
    mark("film that cannot be read"),
    mark("finding without a box"),
    mark("header tells another patient"),
    mark("id and name differ"),
    mark("labels of the patient differ"),
    mark("mask marks the whole picture"),
    mark("mask of an unknown kind"),
    mark("mask of another size"),
    mark("mask of no photograph"),
    mark("mask twice"),
    mark("mask with more than two values"),
    mark("name tells no time point"),
    mark("named normal and with a finding"),
    mark("neither rectangle nor ellipse"),
    mark("no date"),
    mark("no DXA scan"),
    mark("no DXA scan with a value"),
    mark("no DXA scan within six months"),
    mark("no film"),
    mark("no grade"),
    mark("no label"),
    mark("no mask"),
    mark("no patient"),
    mark("no patient id"),
    mark("no readable date"),
    mark("no value"),
    mark("normal image with a box"),
    mark("not a closed line"),
    mark("patient of the test set"),
    mark("same pixels as of another patient"),
    mark("time point missing"),
    mark("time point twice"),
    mark("too small"),
    mark("unknown label"),
)
"""As the files say them."""
_LABELS = {
    "other": mark("No osteoporosis"),
    "normal": mark("Normal"),
    "none": mark("No lesion"),
    "microaneurysm": mark("Microaneurysm"),
    "soft_exudate": mark("Soft exudate"),
    "disc": mark("Optic disc"),
}
_EMPTY = "empty mask: "


def reason_words(reason: str) -> str:
    """Why something was left out, or what is worth a look."""
    code = reason.removeprefix("mask ")
    if reason.startswith(_EMPTY):
        words = t("empty mask: {kind}", kind=label_words("retina_lesions", reason.removeprefix(_EMPTY)))
    elif code in MESSAGES:
        words = t(MESSAGES[code].what).rstrip(".。")
    else:
        words = t(_CHECKS.get(reason, reason))
    return words[:1].upper() + words[1:]


def label_words(task_id: str, label: str) -> str:
    """A label of the data set; those of the task by their own name."""
    own = {one.id: one.name for one in registry.task(task_id).labels}
    return t(own.get(label) or _LABELS.get(label, label))


def split_words(split: str) -> str:
    """A side of the split."""
    return {"train": t("Training"), "test": t("Test"), "all": t("All")}.get(split, split)


def unit_words(unit: str) -> str:
    """What is counted."""
    names = {"films": t("Films"), "slices": t("Slices"), "knees": t("Knees"), "photographs": t("Photographs")}
    return names[unit]
