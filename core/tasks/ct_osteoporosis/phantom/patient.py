"""The patient and the scanner of a CT phantom: cause, markers, and nuisance that knows nothing of the cause."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from core.tasks.ct_osteoporosis.task import OSTEOPENIA_HU

Kernel = Literal["soft", "standard", "sharp"]
PatientKey = tuple[int, float | None, bool | None, Kernel | None, bool]
"""What `draw_patient` makes a patient from."""

SHAPE = (512, 512)
T_MEAN, T_SD, DXA_SD = -1.75, 1.25, 0.25
HU_PER_T, PATIENT_SD = 33.0, 11.0
FIRST_DAY = date(2018, 1, 1)
STREAMS = (
    "cause",
    "markers",
    "anatomy",
    "scanner",
    "person",
    "level",
    "trunk",
    "organs",
    "spine",
    "wear",
    "texture",
    "noise",
)
KERNELS: dict[Kernel, tuple[tuple[str, ...], float, tuple[float, float], tuple[float, float], float]] = {
    "soft": (("SOFT", "B30f", "FC08"), 1.1, (0.8, 1.05), (7.0, 18.0), 0.0),
    "standard": (("STANDARD", "B31f", "FC17"), 0.7, (0.65, 0.9), (10.0, 32.0), 0.25),
    "sharp": (("LUNG", "B60f", "BONE"), 0.45, (0.5, 0.6), (28.0, 70.0), 0.8),
}
"""Names in the header, grain of the noise (px), spread of the point (px), noise (HU) and edge enhancement of each kernel."""


@dataclass(frozen=True)
class Patient:
    """What all slices of a patient share (mm, HU)."""

    seed: int
    t_score: float
    t_score_dxa: float
    trabecular_hu: float
    texture_hu: float
    half_mm: tuple[float, float]
    trunk_half: tuple[float, float]
    fat: float
    contrast: bool
    kernel: Kernel
    meta: dict[str, object]
    noise_hu: float
    blur_px: float
    bone_factor: float
    offset_hu: float
    cupping_hu: float
    spacing_mm: float
    shifted: bool


@dataclass(frozen=True)
class Cut:
    """One slice of a patient: its level and size (mm), pose, and density (HU).

    Attributes:
        taper: How much the vertebral body narrows towards the front.
        angle: Turn of the patient in the picture (rad).
    """

    level: str
    lungs: bool
    ribs: bool
    half_mm: tuple[float, float]
    taper: float
    body_xy: tuple[float, float]
    angle: float
    trabecular_hu: float


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of the picture: what another part draws never shifts them."""
    return np.random.default_rng([seed, STREAMS.index(name)])


def draw_markers(rng: np.random.Generator, t_score: float) -> dict[str, float]:
    """Trabecular density and texture amplitude (HU) of a patient: few, coarse trabeculae make a louder pattern."""
    z = t_score + 1.0
    return {
        "trabecular_hu": OSTEOPENIA_HU + HU_PER_T * z + float(rng.normal(0, PATIENT_SD)),
        "texture_hu": max(26.0 - 3.5 * z + float(rng.normal(0, 6.0)), 6.0),
    }


def draw_patient(
    seed: int, t_score: float | None, contrast: bool | None, kernel: Kernel | None, shifted: bool
) -> Patient:
    """One patient and the scanner: the cause, its markers, and everything that does not depend on it."""
    cause = stream(seed, "cause").normal(size=2)
    t_score = float(T_MEAN + T_SD * cause[0]) if t_score is None else t_score
    body, scanner, person = (stream(seed, name) for name in ("anatomy", "scanner", "person"))
    size, wide, fat = body.uniform(0.9, 1.1), body.uniform(135, 185), body.uniform(8, 34)
    share, medium, days = scanner.random(), scanner.random() < 0.4, int(person.integers(0, 1826))
    drawn: Kernel = "soft" if share < 0.4 else "standard" if share < 0.75 else "sharp"
    kernel = drawn if kernel is None else kernel
    contrast = bool(medium) if contrast is None else contrast
    names, _, blur, noise, _ = KERNELS[kernel]
    kvp = int(scanner.choice((100, 120, 120, 140)))
    loud, out = (1.7, 2.0) if shifted else (1.0, 1.0)
    field_mm = float(np.clip(2 * wide * scanner.uniform(0.95, 1.35), 300, 480))
    return Patient(
        seed=seed,
        t_score=t_score,
        t_score_dxa=t_score + DXA_SD * float(cause[1]),
        **draw_markers(stream(seed, "markers"), t_score),
        half_mm=(22.0 * size * body.uniform(0.94, 1.06), 16.5 * size * body.uniform(0.94, 1.06)),
        trunk_half=(wide, max(wide * body.uniform(0.64, 0.78), 94 + 0.5 * fat)),
        fat=fat,
        contrast=contrast,
        kernel=kernel,
        noise_hu=loud * scanner.uniform(*noise),
        blur_px=scanner.uniform(*blur),
        bone_factor=1 + out * ({100: 0.05, 120: 0.0, 140: -0.05}[kvp] + scanner.uniform(-0.02, 0.02)),
        offset_hu=out * scanner.uniform(-6, 6),
        cupping_hu=out * scanner.uniform(0, 10),
        spacing_mm=round(field_mm / SHAPE[0], 4),
        shifted=shifted,
        meta={
            "Modality": "CT",
            "BodyPartExamined": "SPINE" if scanner.random() < 0.4 else "ABDOMEN",
            "PixelSpacing": round(field_mm / SHAPE[0], 4),
            "SliceThickness": float(scanner.choice((1.0, 1.25, 2.0, 2.5, 5.0))),
            "KVP": kvp,
            "ConvolutionKernel": names[int(scanner.integers(len(names)))],
            "ContrastBolusAgent": "yes" if contrast else "",
            "PatientSex": "F" if person.random() < 0.7 else "M",
            "PatientAge": int(person.integers(40, 90)),
            "StudyDate": f"{FIRST_DAY + timedelta(days=days):%Y%m%d}",
        },
    )
