"""Phantom of an axial CT slice through a vertebra with known T-score.

The cause (T-score) is drawn first, then markers = monotone function of the cause + biological noise, then nuisance (body, level,
contrast medium, degeneration, scanner) independent of the cause. Trabecular density falls by 33 HU per unit of the T-score so
that T = -1 and T = -2.5 meet the published limits of 160 and 110 HU (Pickhardt 2013); trabecular texture coarsens. Cortex,
sclerosis, osteophytes and calcified vessels are bright and know nothing of the T-score.

Every stream of random numbers belongs to one part of the picture, so two phantoms that differ in the T-score only differ inside
the vertebral body only. Anatomy is drawn in mm around the centre of the body, x to the right of the picture, y to the back.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from core.clinical.osteoporosis import WhoClass, who_class
from core.i18n import mark
from core.imaging.drawing import Canvas
from core.phantom import Phantom
from core.tasks.ct_osteoporosis.phantom.patient import (
    KERNELS,
    SHAPE,
    Cut,
    Kernel,
    Patient,
    PatientKey,
    draw_patient,
    stream,
)
from core.tasks.ct_osteoporosis.phantom.trunk import draw_organs, draw_trunk
from core.tasks.ct_osteoporosis.phantom.vertebra import draw_screws, draw_vertebra
from core.tasks.ct_osteoporosis.task import SIDE_MM

LEVELS = ("T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4")
LUNG_LEVELS = LEVELS[:3]
LEVEL_SHARES = (0.1, 0.1, 0.12, 0.1, 0.16, 0.16, 0.15, 0.11)
MARKERS = ("trabecular_hu", "texture_hu")
CLASSES: tuple[WhoClass, ...] = ("normal", "low_bone_mass", "osteoporosis")
SLICE_SD = 5.0  # HU between slices of a patient
LEVEL_MM = 32.0  # between neighbouring vertebrae


def _scan(rng: np.random.Generator, slate: Canvas, patient: Patient) -> NDArray[np.float32]:
    """What the scanner makes of the tissue: tube voltage, point spread, kernel, beam hardening, noise."""
    _, grain, _, _, edge = KERNELS[patient.kernel]
    hu = slate.pixels + np.float32(patient.bone_factor - 1) * np.maximum(slate.pixels - 50, 0)
    hu = gaussian_filter(hu, patient.blur_px)
    if edge:
        hu += np.float32(edge) * (hu - gaussian_filter(hu, 1.3))
    wide, deep = patient.trunk_half
    cup = np.float32(patient.cupping_hu) * np.clip(0.7 - np.square(slate.x / wide) - np.square(slate.y / deep), -0.3, 1)
    white = rng.standard_normal(SHAPE, dtype=np.float32)
    noise = gaussian_filter(white, grain) - 0.6 * gaussian_filter(white, 3 * grain)
    streaks = gaussian_filter1d(gaussian_filter1d(rng.standard_normal(SHAPE, dtype=np.float32), 6, axis=1), 0.7, axis=0)
    noise = noise / noise.std() + rng.uniform(0, 0.5) * streaks / streaks.std()
    hu += np.float32(patient.noise_hu) * noise + np.float32(patient.offset_hu) - cup
    return np.clip(hu, -1024, 3071).astype(np.float32)


def _cut(seed: int, patient: Patient, level: str | None, beside: str | None) -> Cut:
    """Where a slice cuts the patient: the level `level`, one at most one step from `beside`, or any."""
    rng = stream(seed, "level")
    place, step = int(rng.choice(len(LEVELS), p=LEVEL_SHARES)), int(rng.integers(-1, 2))
    if beside is not None:
        place = int(np.clip(LEVELS.index(beside) + step, 0, len(LEVELS) - 1))
    name = LEVELS[place] if level is None else level
    thoracic = name.startswith("T")
    size = rng.uniform(0.95, 1.05)
    half = (
        patient.half_mm[0] * size * (0.76 if thoracic else 1.0),
        patient.half_mm[1] * size * (0.95 if thoracic else 1.0),
    )
    middle = half[1] + 56 - patient.trunk_half[1]  # y of the trunk's centre, mm
    column, row = rng.uniform(-15, 15), (middle - rng.uniform(-12, 22)) / patient.spacing_mm
    return Cut(
        level=name,
        lungs=name in LUNG_LEVELS,
        ribs=thoracic,
        half_mm=half,
        taper=rng.uniform(0.08, 0.3) if thoracic else rng.uniform(-0.05, 0.08),
        body_xy=(255.5 + column, 255.5 - row),
        angle=float(np.deg2rad(rng.uniform(-8, 8))),
        trabecular_hu=patient.trabecular_hu + float(rng.normal(0, SLICE_SD)),
    )


def make_phantom(
    rng: np.random.Generator,
    *,
    t_score: float | None = None,
    like: Phantom | None = None,
    level: str | None = None,
    contrast: bool | None = None,
    kernel: Kernel | None = None,
    metal: bool = False,
    shifted: bool = False,
) -> Phantom:
    """One slice of 512 x 512 pixels in HU with its truth. The same generator state gives the same bytes.

    Args:
        rng: Source of all randomness: two integers are drawn from it, the seeds of the patient and of the slice.
        t_score: Cause; drawn from N(-1.75, 1.25) when None.
        like: Another slice of the same patient: T-scores, anatomy, contrast medium and scanner are kept.
        level: One of LEVELS; drawn when None, beside that of `like`.
        contrast: Contrast medium in vessels and organs; drawn when None.
        kernel: Reconstruction kernel; drawn when None.
        metal: Pedicle screws, for the gate.
        shifted: Noise, tube voltage and offset outside the training range, to measure robustness.

    Returns:
        Phantom with `truth` keys t_score, t_score_dxa, label (0/1/2), trabecular_hu (before scanner effects), body_xy (px),
        body_half_mm (half width, half depth), box_xyxy (px), level, patient (what `like` takes over), and the boolean mask
        trabecular (H, W), outside which nothing depends on the T-score.
    """
    seed, slice_seed = (int(n) for n in rng.integers(2**62, size=2))
    if like is not None:
        patient = draw_patient(*cast(PatientKey, like.truth["patient"]))
    else:
        patient = draw_patient(seed, t_score, contrast, kernel, shifted)
    cut = _cut(slice_seed, patient, level, None if like is None else str(like.truth["level"]))
    slate = Canvas.blank(SHAPE, cut.body_xy, patient.spacing_mm, cut.angle, -1000.0)
    draw_trunk(slate, slice_seed, patient, cut)
    draw_organs(slate, slice_seed, patient, cut)
    trabecular = draw_vertebra(slate, slice_seed, patient, cut)
    if metal:
        draw_screws(slate, cut)
    (x, y), reach = cut.body_xy, SIDE_MM / 2 / patient.spacing_mm
    return Phantom(
        pixels=_scan(stream(slice_seed, "noise"), slate, patient),
        unit="HU",
        truth={
            "t_score": patient.t_score,
            "t_score_dxa": patient.t_score_dxa,
            "label": CLASSES.index(who_class(patient.t_score_dxa)),
            "trabecular_hu": cut.trabecular_hu,
            "body_xy": cut.body_xy,
            "body_half_mm": cut.half_mm,
            "box_xyxy": (x - reach, y - reach, x + reach, y + reach),
            "level": cut.level,
            "trabecular": trabecular,
            "patient": (patient.seed, patient.t_score, patient.contrast, patient.kernel, patient.shifted),
        },
        markers=dict(zip(MARKERS, (cut.trabecular_hu, patient.texture_hu), strict=True)),
        meta={
            **patient.meta,
            "PatientID": f"PHANTOM-{patient.seed % 16**8:08x}",
            "SlicePosition": round(slice_seed % 200 / 10 - LEVEL_MM * LEVELS.index(cut.level), 2),
        },
    )


SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "osteoporosis": (mark("Osteoporosis"), {"t_score": -3.6, "level": "L1"}, 11),
    "osteopenia": (mark("Osteopenia"), {"t_score": -1.8, "level": "L2"}, 12),
    "normal": (mark("Normal"), {"t_score": 0.2, "level": "L1"}, 13),
    "borderline": (mark("Borderline"), {"t_score": -2.4, "level": "L3"}, 14),
    "contrast": (mark("With contrast medium"), {"t_score": -2.0, "level": "L2", "contrast": True}, 15),
    "thoracic": (mark("Thoracic vertebra"), {"t_score": -3.0, "level": "T10"}, 16),
    "sharp_kernel": (mark("Sharp kernel"), {"t_score": -1.2, "level": "T12", "kernel": "sharp"}, 17),
    "metal": (mark("With implant"), {"t_score": -2.0, "level": "L3", "metal": True}, 18),
}


def make_sample(sample_id: str) -> Phantom:
    """A phantom of the page's sample list: title, what is asked of `make_phantom`, and the seed."""
    _, options, seed = SAMPLES[sample_id]
    return make_phantom(np.random.default_rng([2026, seed]), **options)
