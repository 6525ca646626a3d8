"""Phantom of a whole-body bone scan with known grade of degenerative joint disease in each knee.

A latent cause, correlated between the knees of a patient, gives the grade; the grade gives the uptake ratio of knee to shaft
(Mazzuca 2004: 170-240 % in osteoarthritis), split over the medial, lateral and patellofemoral compartments. Size, pose, uptake
of the leg bones, soft tissue, bladder, hot lesions, blur, counts and scatter are drawn independently of the grade and from
generators of their own: with the same seed only the knees change with the grade. Counts alone do not tell the grade; the ratio
does.

The posterior view has the same activity weighted by depth and is stored mirrored, as a camera behind the patient sees it.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from core.i18n import mark
from core.imaging.drawing import field
from core.phantom import Phantom
from core.tasks.knee_djd.phantom.body import (
    MM,
    SHAPE,
    SIGNS,
    Canvas,
    Leg,
    Side,
    draw_hot_places,
    draw_leg_bones,
    draw_legs,
    draw_pose,
    draw_soft_tissue,
    draw_trunk,
)

GRADE_SHARES = (0.24, 0.20, 0.20, 0.20, 0.16)
RATIOS = (1.5, 1.9, 2.4, 3.0, 3.9)  # knee to shaft, median of each grade
RATIO_SD = 0.10  # of the logarithm, within a grade
KNEES_CORRELATION = 0.5
COMPARTMENTS = ("medial", "lateral", "patella")
MARKERS = tuple(f"{name}_{side}" for side in ("right", "left") for name in ("ratio", *COMPARTMENTS))
CENTRES_MM = {"medial": (-20.0, 0.0), "lateral": (20.0, 0.0), "patella": (0.0, -20.0)}  # away from the midline, down
JOINT_AREA = np.pi * 38 * 34  # mm^2 that the uptake ratio is a mean over
FIRST_DAY = date(2018, 1, 1)


def draw_grades(rng: np.random.Generator) -> tuple[int, int]:
    """Grades 0-4 of right and left knee from two normal causes with correlation 0.5."""
    shared, right, left = rng.standard_normal(3)
    limits = np.cumsum(GRADE_SHARES)[:-1]
    causes = np.sqrt(KNEES_CORRELATION) * shared + np.sqrt(1 - KNEES_CORRELATION) * np.array([right, left])
    grades = np.searchsorted(limits, ndtr(causes))
    return int(grades[0]), int(grades[1])


def draw_markers(rng: np.random.Generator, grade: int) -> dict[str, float]:
    """Uptake of one knee relative to the shafts: the mean of the joint ("ratio") and of each compartment."""
    ratio = float(np.exp(np.log(RATIOS[grade]) + RATIO_SD * rng.standard_normal()))
    shares = rng.dirichlet((3.0, 2.4, 2.0))
    return {"ratio": ratio} | {
        name: float(1 + (ratio - 1) * 3 * share) for name, share in zip(COMPARTMENTS, shares, strict=True)
    }


def _knee_uptake(rng: np.random.Generator, canvas: Canvas, leg: Leg, sign: int, markers: Mapping[str, float]) -> None:
    """What a knee takes up beyond the shafts, by compartment: bands along the joint line and two random foci."""
    for name in COMPARTMENTS:
        lateral, down = CENTRES_MM[name]
        back = 0.45 if name == "patella" else 1.0
        activity = (markers[name] - 1) / 3 * JOINT_AREA * leg.uptake
        focal, split, first = 0.8 * rng.uniform(), rng.uniform(0.35, 0.65), rng.uniform()
        if name == "patella":
            parts = [(1 - focal, lateral, down, 11.0, 1.0)]
        else:
            parts = [
                ((1 - focal) * split, lateral, down - 11, 7.5, 1.5),
                ((1 - focal) * (1 - split), lateral, down + 12, 7.5, 1.5),
            ]
        for share in (first, 1 - first):
            a, b = rng.uniform(-1, 1, 2)
            parts.append((focal * share, lateral + 11 * a, down + 13 * b, rng.uniform(3.5, 7.5), 1.0))
        for share, x, y, sd, stretch in parts:
            level = share * activity / (2 * np.pi * sd * sd * stretch)
            canvas.spot(leg.around_knee(sign, x, y), sd * leg.size * MM, level, back, stretch)


def _detect(
    rng: np.random.Generator, activity: NDArray[np.float32], quiet: float, *, shifted: bool
) -> NDArray[np.float32]:
    """Counts of both views: blur, scatter and counting noise; the camera stores zeros outside its field of view.

    The noise is a field of normal deviates, mapped by a Cornish-Fisher expansion of the Poisson distribution, so that the number
    of deviates does not depend on the counts.

    Args:
        rng: Source of the camera's properties and the noise.
        activity: float32 (2, H, W).
        quiet: Sum of the front view without the knees' own uptake, which sets the exposure.
        shifted: Blur and counts outside the training range.
    """
    fwhm, counts = rng.uniform(4, 5.6), np.exp(rng.uniform(np.log(0.7e6), np.log(3.6e6)))
    if shifted:
        fwhm, counts = fwhm + 2.0, 0.45 * counts
    scatter = np.exp(rng.uniform(np.log(0.3), np.log(12)))
    edges, rows, trimmed = rng.integers(0, 14, 2), rng.integers(0, 24, 2), rng.random() < 0.5
    expected = gaussian_filter(activity, (0, fwhm / 2.355, fwhm / 2.355)) * np.float32(counts / quiet)
    expected += scatter + 0.06 * gaussian_filter(expected[:, ::4, ::4], (0, 9, 9)).repeat(4, 1).repeat(4, 2)
    deviate = rng.standard_normal(expected.shape, np.float32)
    noisy = np.maximum(np.rint(expected + np.sqrt(expected) * deviate + (np.square(deviate) - 1) / 6), 0)
    if trimmed:
        noisy[:, : rows[0]], noisy[:, SHAPE[0] - rows[1] :] = 0, 0
        noisy[:, :, : edges[0]], noisy[:, :, SHAPE[1] - edges[1] :] = 0, 0
    noisy[1] = noisy[1][:, ::-1]
    return noisy.astype(np.float32)


def make_phantom(
    rng: np.random.Generator,
    *,
    grades: tuple[int, int] | None = None,
    grade_right: float | None = None,
    grade_left: float | None = None,
    lesions: float | None = None,
    off_centre: bool = False,
    shifted: bool = False,
) -> Phantom:
    """One whole-body scan with its truth. The same generator state gives the same bytes.

    Args:
        rng: Source of all randomness.
        grades: Grades 0-4 of right and left knee; drawn when None.
        grade_right, grade_left: One of the two, in place of the one given or drawn.
        lesions: Number of hot lesions, 0-2; drawn when None.
        off_centre: The patient lies to one side and turned.
        shifted: Blur and counts outside the training range, to measure robustness.

    Returns:
        Phantom with `truth` keys grade_right, grade_left, ratio_right, ratio_left, knee_right_xy, knee_left_xy (joint centres,
        pixels of the front view) and label (the higher grade).
    """
    seeds = rng.integers(2**63, size=6)
    cause, body, hot, right, left, camera = (np.random.default_rng(seed) for seed in seeds)
    drawn = grades or draw_grades(cause)
    chosen: dict[Side, int] = {
        "right": int(drawn[0] if grade_right is None else grade_right),
        "left": int(drawn[1] if grade_left is None else grade_left),
    }
    pose, legs = draw_pose(body, off_centre=off_centre), draw_legs(body)
    canvas = Canvas(pose)
    draw_soft_tissue(body, canvas, legs)
    draw_trunk(body, canvas)
    draw_hot_places(hot, canvas, legs, None if lesions is None else int(lesions))
    for side, leg in legs.items():
        draw_leg_bones(canvas, leg, SIGNS[side])
    quiet = float((canvas.soft[0] + canvas.bone[0]).sum())
    truth: dict[str, object] = {}
    markers: dict[str, float] = {}
    for side, own in (("right", right), ("left", left)):
        values = draw_markers(own, chosen[side])
        _knee_uptake(own, canvas, legs[side], SIGNS[side], values)
        truth |= {f"grade_{side}": chosen[side], f"ratio_{side}": values["ratio"]}
        truth[f"knee_{side}_xy"] = tuple(float(value) for value in pose(legs[side].knee))
        markers |= {f"{name}_{side}": value for name, value in values.items()}
    uneven = np.exp(0.10 * field(body, SHAPE, 8) + 0.12 * field(body, SHAPE, 60))
    views = _detect(camera, (canvas.soft + canvas.bone + canvas.foci) * uneven, quiet, shifted=shifted)
    return Phantom(
        pixels=views[0],
        truth={**truth, "label": max(chosen.values())},
        markers={name: markers[name] for name in MARKERS},
        meta=_patient(body) | {"KneeJointId": f"{chosen['right'] + 2},{chosen['left'] + 2}"},
        unit="counts",
        posterior=views[1],
    )


def _patient(rng: np.random.Generator) -> dict[str, object]:
    """Header of the file; independent of the grades."""
    return {
        "Modality": "NM",
        "BodyPartExamined": "WHOLE BODY",
        "ViewPosition": "A",
        "PixelSpacing": round(float(rng.uniform(2.26, 2.4)), 3),
        "PatientSex": "F" if rng.random() < 0.7 else "M",
        "PatientAge": int(rng.integers(45, 88)),
        "StudyDate": f"{FIRST_DAY + timedelta(days=int(rng.integers(0, 1826))):%Y%m%d}",
    }


SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "moderate_right": (mark("Moderate, right knee"), {"grades": (3, 1)}, 11),
    "moderate_and_normal": (mark("Moderate and normal"), {"grades": (0, 3)}, 12),
    "both_severe": (mark("Both knees severe"), {"grades": (4, 4)}, 13),
    "normal": (mark("Both knees normal"), {"grades": (0, 0), "lesions": 0}, 14),
    "mild_both": (mark("Both knees mild"), {"grades": (2, 2)}, 15),
    "hot_lesion": (mark("With hot lesions"), {"grades": (1, 2), "lesions": 2}, 16),
    "off_centre": (mark("Patient off centre"), {"grades": (2, 3), "off_centre": True}, 17),
}


def make_sample(sample_id: str) -> Phantom:
    """A phantom of the page's sample list: title, what is asked of `make_phantom`, and the seed."""
    _, options, seed = SAMPLES[sample_id]
    return make_phantom(np.random.default_rng([2026, seed]), **options)
