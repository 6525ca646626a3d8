"""Checks before the masks: a colour fundus photograph, bright and sharp enough to be graded."""

import numpy as np

from core.i18n import mark
from core.imaging import checks
from core.imaging.display import to_grey
from core.imaging.fundus import Field, find_field
from core.imaging.kinds import resembles
from core.imaging.quality import measure
from core.manifest import Manifest
from core.records import Check, Laterality, Study
from core.tasks.retina_lesions.task import TASK

MIN_SHARPNESS = 0.03
MIN_IN_FRAME = 0.7  # of the circle of the field of view
MIN_RED = 1.3  # red over blue within the field: a retina is orange, and no greener than red
MIN_BRIGHTNESS = 30.0  # of 255, median of the brightest colour within the field


def check(study: Study, manifest: Manifest, laterality: Laterality | None) -> list[Check]:
    """All checks of one photograph; a wrong kind of image ends the list.

    Args:
        study: From the reader.
        manifest: Age range and provenance.
        laterality: Eye chosen by a person.
    """
    if study.frame.unit != "rgb":
        return [_not_colour(study)]
    quality = measure(study.frame)
    readable = checks.readable(study.frame, quality)
    if readable.outcome == "refused":
        return [readable]
    pixels = study.frame.pixels.astype(np.uint8, copy=False)
    field = find_field(pixels)
    colours = None if field is None else _colours(pixels, field)
    if field is None or colours is None or colours[0] < max(MIN_RED * colours[2], colours[1]):
        words = mark("Not a fundus photograph: one shows a lit orange disc on black")
        return [Check("not_fundus", "refused", words)]
    return [
        checks.known_population(study, manifest),
        Check("kind", "passed", mark("Fundus photograph")),
        readable,
        _gradable(quality.sharpness, max(colours)),
        _complete(field, pixels.shape),
        _eye(study, laterality),
        checks.age(study, manifest),
        checks.burned_in(study),
    ]


def _not_colour(study: Study) -> Check:
    words = mark("Not a colour photograph: a fundus photograph in colour is needed")
    fitting = checks.fitting_task(study) or resembles(to_grey(study.frame))
    return Check("no_colour", "refused", words, suggested_task=None if fitting == TASK.id else fitting)


def _colours(pixels: np.ndarray, field: Field) -> tuple[float, float, float]:
    """Median red, green and blue of every fourth pixel of the field."""
    y, x = np.ogrid[: pixels.shape[0] : 4, : pixels.shape[1] : 4]
    inside = np.hypot(x - field.x, y - field.y) < 0.9 * field.radius
    red, green, blue = np.median(pixels[::4, ::4][inside], axis=0)
    return float(red), float(green), float(blue)


def _gradable(sharpness: float, brightness: float) -> Check:
    if brightness < MIN_BRIGHTNESS:
        return Check("dark", "confirm", mark("Ungradable: too dark"))
    if sharpness < MIN_SHARPNESS:
        values = {"value": round(sharpness, 3), "limit": MIN_SHARPNESS}
        return Check(
            "blurred", "confirm", mark("Ungradable: blurred, sharpness {value}, at least {limit} is wanted"), values
        )
    return Check("gradable", "passed", mark("Bright and sharp enough to be graded"))


def _complete(field: Field, shape: tuple[int, ...]) -> Check:
    """How much of the circle lies in the frame."""
    at = np.linspace(-1, 1, 101)
    x, y = np.meshgrid(field.x + at * field.radius, field.y + at * field.radius)
    circle = np.hypot(*np.meshgrid(at, at)) <= 1
    in_frame = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    share = round(float(in_frame[circle].mean()), 2)
    if share < MIN_IN_FRAME:
        words = mark("Ungradable: only {share} of the field of view lies in the image")
        return Check("cut_field", "confirm", words, {"share": share})
    return Check("field", "passed", mark("Field of view found; look whether the frame holds it"))


def _eye(study: Study, laterality: Laterality | None) -> Check:
    side = laterality or study.laterality
    if side is None:
        return Check("eye_unknown", "passed", mark("Eye not in the file; the masks do not depend on it"))
    return Check("eye", "passed", mark("Right eye (OD)") if side == "R" else mark("Left eye (OS)"))
