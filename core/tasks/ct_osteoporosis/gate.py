"""Checks before the score: an axial CT slice in HU with a vertebral body, without metal, reconstructed as the model knows it."""

import re

import numpy as np

from core.i18n import mark
from core.imaging import checks
from core.imaging.display import to_grey
from core.imaging.kinds import resembles
from core.imaging.quality import measure
from core.manifest import Manifest
from core.records import Check, Laterality, Region, Study
from core.tasks.ct_osteoporosis.locate import Body, find_body, pixel_spacing, region_around
from core.tasks.ct_osteoporosis.prepare import crop_region
from core.tasks.ct_osteoporosis.task import SIZE, TASK

METAL_HU, METAL_SHARE = 2200.0, 0.001  # of the region around the vertebral body
MAX_THICKNESS_MM = 5.0
# By name (GE and others), by number from 50 on (Siemens) and in groups (Canon), by letter (Philips)
SHARP_KERNEL = re.compile(
    r"LUNG|BONE|EDGE|SHARP|ULTRA|DETAIL|HIGHRES|^(?!FC)[A-Z]{1,2}[5-9]\d|^FC(3|5|8)\d|^Y[B-E]\b|^[ED]\b"
)


def check(study: Study, manifest: Manifest, laterality: Laterality | None) -> list[Check]:
    """All checks of one slice; a wrong kind of image ends the list.

    Args:
        study: From the reader.
        manifest: Age range and provenance.
        laterality: Has no meaning here.
    """
    if (wrong := _wrong_kind(study)) is not None:
        return [wrong]
    readable = checks.readable(study.frame, measure(study.frame))
    if readable.outcome == "refused":
        return [readable]
    hu, spacing = to_grey(study.frame), pixel_spacing(study)
    body = find_body(hu, spacing)
    return [
        checks.known_population(study, manifest),
        Check("kind", "passed", mark("Axial CT slice in HU")),
        readable,
        _body(study, body),
        _metal(study, region_around(hu, spacing, body)),
        checks.age(study, manifest),
        _kernel(study),
        _thickness(study),
        _contrast(study),
        checks.burned_in(study),
    ]


def _wrong_kind(study: Study) -> Check | None:
    words = mark("Not a CT slice: the file says that it is another kind of image")
    if (wrong := checks.wrong_modality(study, ("CT",), words)) is not None:
        return wrong
    if study.frame.unit != "HU":
        words = mark("The file holds no HU: a CT slice as DICOM is needed, not a picture of one")
        similar = resembles(to_grey(study.frame))
        return Check("no_hu", "refused", words, suggested_task=None if similar == TASK.id else similar)
    if "LOCALIZER" in study.tags.get("ImageType", "").upper():
        return Check("scout", "refused", mark("A scout view, not an axial slice"))
    return None


def _body(study: Study, body: Body | None) -> Check:
    if study.frame.spacing_mm is None:
        return Check("spacing_unknown", "confirm", mark("Pixel spacing not in the file: 0.8 mm is assumed"))
    if body is None:
        return Check("no_body", "confirm", mark("No vertebral body found: draw the region around it"))
    if study.tags.get("PatientPosition", "").upper()[2:3] == "P":
        words = mark("Prone patient: the vertebral body is sought as in a supine one; look whether the frame holds it")
        return Check("prone", "confirm", words)
    return Check("body", "passed", mark("A vertebral body was found; look whether the frame holds it"))


def _metal(study: Study, region: Region) -> Check:
    crop = crop_region(study, region, SIZE)
    if float(np.mean(crop > METAL_HU)) > METAL_SHARE:
        return Check(
            "implant", "confirm", mark("Metal or cement at the vertebra: such slices were not in the training data")
        )
    return Check("no_metal", "passed", mark("No metal found"))


def _kernel(study: Study) -> Check:
    kernel = study.tags.get("ConvolutionKernel", "").upper()
    if not kernel:
        return Check("kernel_unknown", "passed", mark("Reconstruction kernel not in the file"))
    if SHARP_KERNEL.search(kernel):
        return Check(
            "sharp_kernel", "confirm", mark("Sharp reconstruction kernel: noise hides the texture of the bone")
        )
    return Check("kernel", "passed", mark("Standard or soft reconstruction kernel"))


def _thickness(study: Study) -> Check:
    try:
        millimetres = float(study.tags.get("SliceThickness", ""))
    except ValueError:
        millimetres = 0.0
    if not 0 < millimetres < np.inf:  # some scanners write 0
        return Check("thickness_unknown", "passed", mark("Slice thickness not in the file"))
    values: dict[str, object] = {"value": round(millimetres, 2), "limit": MAX_THICKNESS_MM}
    if millimetres > MAX_THICKNESS_MM:
        words = mark("Slice thickness {value} mm: at most {limit} mm is wanted, thicker slices mix bone with disc")
        return Check("thick_slice", "confirm", words, values)
    return Check("thickness", "passed", mark("Slice thickness {value} mm"), values)


def _contrast(study: Study) -> Check:
    voltage = study.tags.get("KVP", "").partition(".")[0]
    if study.tags.get("ContrastBolusAgent"):
        words = mark("Contrast medium given: trabecular bone reads somewhat higher")
        return Check("contrast", "passed", words)
    if voltage.isdigit() and voltage != "120":
        words = mark("Tube voltage {value} kV: bone reads higher below 120 kV and lower above")
        return Check("tube_voltage", "passed", words, {"value": int(voltage)})
    return Check("acquisition", "passed", mark("No contrast medium named in the file"))
