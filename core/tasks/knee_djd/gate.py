"""Checks before the grades: an anterior whole-body bone scan in counts, with enough of them, and both knees in the field."""

from core.i18n import mark
from core.imaging import checks
from core.imaging.display import to_grey
from core.imaging.kinds import resembles
from core.imaging.quality import measure
from core.manifest import Manifest
from core.records import Check, Laterality, Study
from core.tasks.knee_djd.locate import is_cut_off, locate

MIN_ASPECT = 2.5  # rows over columns of a whole-body scan
MIN_COUNTS = 500_000.0  # guidelines ask for 1.5 million a view; below a third of it noise decides
MIN_INSIDE = 0.9  # share of a knee region that lies in the frame


def check(study: Study, manifest: Manifest, laterality: Laterality | None) -> list[Check]:
    """All checks of one scan; a wrong kind of image ends the list.

    Args:
        study: From the reader.
        manifest: Age range and provenance.
        laterality: Has no meaning here: both knees are in the scan.
    """
    if (wrong := _wrong_kind(study)) is not None:
        return [wrong]
    readable = checks.readable(study.frame, measure(study.frame))
    if readable.outcome == "refused":
        return [readable]
    return [
        checks.known_population(study, manifest),
        Check("kind", "passed", mark("Whole-body scan in counts")),
        readable,
        _view(study),
        _counts(study),
        _knees(study),
        checks.age(study, manifest),
        checks.burned_in(study),
    ]


def _wrong_kind(study: Study) -> Check | None:
    if study.container != "matlab":
        words = mark("Not a bone scan: the file says that it is another kind of image")
        if (wrong := checks.wrong_modality(study, ("NM",), words)) is not None:
            return wrong
    if study.frame.unit != "counts":
        words = mark("The file holds no counts: a bone scan as DICOM or MATLAB file is needed, not a picture of one")
        return Check("no_counts", "refused", words, suggested_task=resembles(to_grey(study.frame)))
    rows, columns = study.frame.pixels.shape[:2]
    if rows < MIN_ASPECT * columns:
        return Check(
            "not_whole_body", "refused", mark("Not a whole-body scan: one is at least 2.5 times as high as wide")
        )
    return None


def _view(study: Study) -> Check:
    view = study.tags.get("ViewPosition", "").upper()[:1]  # as `locate` reads it
    if view == "A":
        return Check("view", "passed", mark("Anterior view: the image's left is the patient's right"))
    if view == "P":
        return Check("view_posterior", "confirm", mark("Posterior view: the model knows the anterior view only"))
    words = mark("View not in the file: taken as anterior, so that the image's left is the patient's right")
    return Check("view_unknown", "confirm", words)


def _counts(study: Study) -> Check:
    millions = float(study.frame.pixels.sum()) / 1e6
    values: dict[str, object] = {"value": round(millions, 2), "limit": MIN_COUNTS / 1e6}
    if millions * 1e6 < MIN_COUNTS:
        return Check(
            "low_counts", "confirm", mark("Only {value} million counts: at least {limit} million are wanted"), values
        )
    return Check("counts", "passed", mark("{value} million counts"), values)


def _knees(study: Study) -> Check:
    if is_cut_off(study):
        words = mark("The body is cut off at the lower edge: look whether the frames hold the knees")
        return Check("cut_off", "confirm", words)
    rows, columns = study.frame.pixels.shape[:2]
    for region in locate(study):
        x0, y0, x1, y1 = region.box_xyxy
        inside = max(0, min(x1, columns) - max(x0, 0)) * max(0, min(y1, rows) - max(y0, 0))
        if inside < MIN_INSIDE * (x1 - x0) * (y1 - y0):
            return Check(
                "knee_outside",
                "confirm",
                mark("A knee region leaves the image: look whether the frames hold the knees"),
            )
    return Check("knees", "passed", mark("Two knee regions proposed; look whether the frames hold the knees"))
