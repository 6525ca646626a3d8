"""Phantom of a frontal hip radiograph with known T-score.

The cause (T-score) is drawn first, then markers = monotone function of the cause + biological noise, then nuisance (size, pose,
dose, soft tissue, display) independent of the cause, so no trivial feature of the picture tells the label. Bone, cortex and soft
tissue attenuate by path length (Beer-Lambert); five trabecular groups fade in the order of Singh's index (Singh 1970); the
cortical thickness index follows Nguyen 2018. One T-score is not visible in one film: marker noise is set so that the ideal
observer, who knows every marker exactly, still errs.

Anatomy is drawn in mm around the centre of the femoral head, x lateral, y down, as a left hip; a right hip is its mirror image.
"""

import copy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from core.i18n import mark
from core.imaging.drawing import Array, blob, capsule, path_length, stripes
from core.phantom import Phantom
from core.records import Laterality
from core.tasks.hip_osteoporosis.locate import region_box

Implant = Literal["nail", "screws", "plate"]

SPACING_MM = 0.5
HIP_SHAPE = (440, 380)
PELVIS_SHAPE = (480, 840)
MARKERS = ("cortical_index", "bone_fraction", "compressive", "tensile", "secondary", "trochanter", "ward")
T_MEAN, T_SD = -2.35, 1.15  # 45 % osteoporosis, as in the reference data (141 of 312)
OSTEOPOROSIS_T = -2.5
FIRST_DAY = date(2018, 1, 1)  # films of five years, as in the reference data


@dataclass(frozen=True)
class Anatomy:
    """Everything about one femur that the picture is drawn from (mm, radians, and marker values)."""

    t_score: float
    markers: dict[str, float]
    head_radius: float
    neck_half: float
    shaft_half: float
    neck_shaft: float
    neck_length: float
    rotation: float


def draw_markers(rng: np.random.Generator, t_score: float) -> dict[str, float]:
    """Marker values of one hip for a T-score.

    The noise sets the correlation of each marker with the T-score to 0.6-0.75, as cortical indices and Singh grades show; the
    trabecular groups share one noise term because readers' grades agree only moderately (kappa 0.56).
    """
    z = t_score + 1.0
    shared = rng.normal(0, 0.8)

    def group(offset: float) -> float:
        return float(1 / (1 + np.exp(-(1.1 * (z + offset + shared + rng.normal(0, 0.6))))))

    return {
        "cortical_index": float(np.clip(0.57 + 0.055 * z + rng.normal(0, 0.06), 0.28, 0.78)),
        "bone_fraction": float(np.clip(0.21 + 0.045 * z + rng.normal(0, 0.05), 0.05, 0.42)),
        "compressive": group(3.0),
        "tensile": group(1.8),
        "secondary": group(0.8),
        "trochanter": group(0.3),
        "ward": float(np.clip(0.45 - 0.12 * z + rng.normal(0, 0.15), 0.0, 1.0)),
    }


def draw_anatomy(rng: np.random.Generator, t_score: float) -> Anatomy:
    """One femur: markers from the T-score, size and pose independent of it."""
    size = rng.uniform(0.9, 1.1)
    return Anatomy(
        t_score=t_score,
        markers=draw_markers(rng, t_score),
        head_radius=23.0 * size * rng.uniform(0.96, 1.04),
        neck_half=16.5 * size * rng.uniform(0.92, 1.08),
        shaft_half=15.5 * size * rng.uniform(0.92, 1.08),
        neck_shaft=np.deg2rad(128 + rng.uniform(-5, 5)),
        neck_length=52.0 * size * rng.uniform(0.78, 1.0),
        rotation=np.deg2rad(rng.uniform(-12, 12)),
    )


def _axes(anatomy: Anatomy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Base of the neck on the shaft axis, and the unit vector of the shaft pointing down."""
    lean = np.array([-0.09, 1.0]) / np.hypot(0.09, 1.0)
    turn = np.pi - anatomy.neck_shaft
    to_base = np.array(
        [lean[0] * np.cos(turn) + lean[1] * np.sin(turn), -lean[0] * np.sin(turn) + lean[1] * np.cos(turn)]
    )
    return anatomy.neck_length * to_base, lean


def _femur(x: Array, y: Array, anatomy: Anatomy) -> tuple[Array, Array]:
    """Total path (mm) through the femur and the part of it in cortical bone.

    Head, neck, shaft and both trochanters are tapered cylinders `(distance, radius, cortical shell)`; where they overlap the
    longer path wins, with a rounded transition.
    """
    base, down = _axes(anatomy)
    tube = anatomy.markers["cortical_index"] * anatomy.shaft_half
    neck, neck_at = capsule(x, y, 0.1 * base, base)
    shaft, shaft_at = capsule(x, y, base - 8 * down, base + 400 * down)
    below = 400 * shaft_at - 8  # mm under the base of the neck
    flare = 5.5 * np.exp(-np.square(below / 26))
    parts: list[tuple[Array, Array | float, Array | float]] = [
        (np.hypot(x, y), anatomy.head_radius, 1.3),
        (neck, anatomy.neck_half * (1 + 0.22 * np.square(2 * neck_at - 0.9)), 1.4 + 0.3 * tube * neck_at),
        (shaft, anatomy.shaft_half + flare, tube * np.clip((below + 2) / 36, 0.16, 1)),
        (capsule(x, y, base + (3.0, -17.0), base + (6.0, 10.0))[0], 14.0, 1.3),
        (capsule(x, y, base + (-9.0, 24.0), base + (-5.0, 36.0))[0], 11.0, 1.8),
    ]
    paths = np.stack([path_length(distance, radius) for distance, radius, _ in parts])
    shells = np.stack(
        [path_length(d, r) - path_length(d, np.maximum(np.subtract(r, shell), 0)) for d, r, shell in parts]
    )
    weights = np.exp((paths - paths.max(axis=0)) / 2.5)
    weights /= weights.sum(axis=0)
    return (weights * paths).sum(axis=0).astype(np.float32), (weights * shells).sum(axis=0).astype(np.float32)


def _trabeculae(rng: np.random.Generator, x: Array, y: Array, anatomy: Anatomy) -> Array:
    """Relative change of trabecular density by the five groups and Ward's triangle."""
    base, _ = _axes(anatomy)
    markers, head = anatomy.markers, anatomy.head_radius
    calcar, crown = base + (-13.0, 6.0), np.array([-0.15, -0.75]) * head

    def fan(centre: NDArray[np.float64], pitch: float) -> Array:
        angle, radius = np.arctan2(y - centre[1], x - centre[0]), np.hypot(x - centre[0], y - centre[1])
        return stripes(rng, 60 * np.unwrap(angle, axis=1), radius, pitch)

    def arc(centre: NDArray[np.float64], pitch: float) -> tuple[Array, Array]:
        angle, radius = np.arctan2(y - centre[1], x - centre[0]), np.hypot(x - centre[0], y - centre[1])
        return stripes(rng, radius, 45 * angle, pitch), radius

    compressive = fan(calcar + (22.0, 70.0), 2.2) * blob(capsule(x, y, calcar, crown)[0], 9.0)
    tensile_lines, radius = arc(base + (-24.0, 16.0), 2.2)
    tensile = tensile_lines * blob(radius - 1.02 * anatomy.neck_length, 7.0) * (y < base[1] + 6)
    secondary = fan(base + (-30.0, 60.0), 2.6) * blob(capsule(x, y, base + (-8.0, 24.0), base + (9.0, -8.0))[0], 8.0)
    trochanter = fan(base + (10.0, 80.0), 2.4) * blob(np.hypot(x - base[0] - 7, y - base[1] + 12), 9.0)
    ward = blob(np.hypot(x - 0.62 * base[0], y - 0.62 * base[1] - 3), 6.5)
    change = (
        0.34 * markers["compressive"] * compressive
        + 0.34 * markers["tensile"] * tensile
        + 0.34 * markers["secondary"] * secondary
        + 0.34 * markers["trochanter"] * trochanter
        - 0.75 * markers["ward"] * ward
    )
    return np.maximum(1 + change, 0.1).astype(np.float32)


def _pelvis(rng: np.random.Generator, x: Array, y: Array, anatomy: Anatomy) -> Array:
    """Path (mm) through acetabulum, ilium, pubis and ischium, scaled to the density of trabecular bone."""
    socket = anatomy.head_radius + rng.uniform(3.0, 4.5)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    roof_side = 1 / (1 + np.exp((angle + 0.35) * 6)) + 1 / (1 + np.exp((2.5 - angle) * 6))
    rim = blob(radius - socket - 1.6, 1.5) * roof_side

    def bone(start: tuple[float, float], end: tuple[float, float], half: float, depth: float) -> Array:
        return depth / half * path_length(capsule(x, y, np.array(start), np.array(end))[0], half)

    parts = [
        bone((-26.0, -34.0), (-30.0, -60.0), 26.0, 13.0),
        bone((-22.0, -70.0), (16.0, -150.0), 34.0, 8.0),
        bone((-44.0, -70.0), (-70.0, -150.0), 34.0, 8.0),
        bone((-34.0, -2.0), (-36.0, 18.0), 15.0, 9.0),
        bone((-36.0, 12.0), (-88.0, 22.0), 9.0, 8.0),
        bone((-38.0, 18.0), (-50.0, 62.0), 12.0, 10.0),
        bone((-54.0, 66.0), (-88.0, 34.0), 8.0, 7.0),
    ]
    body = np.maximum.reduce(parts)
    inside = 0.35 + 0.65 / (
        1 + np.exp(-(radius - socket) / 0.8)
    )  # the walls of the socket lie before and behind the head
    return gaussian_filter(body * inside + 15 * rim, 1.2).astype(np.float32)


def _soft_tissue(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Attenuation of soft tissue: thickness, a lateral gradient and slow variation; air beside the thigh is not in the field."""
    rows, columns = shape
    thickness = rng.uniform(90, 230)
    slow = zoom(rng.standard_normal((6, 6)).astype(np.float32), (rows / 6, columns / 6), order=3)
    tilt_x = np.linspace(-1, 1, columns, dtype=np.float32) * rng.uniform(-0.25, 0.25)
    tilt_y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None] * rng.uniform(-0.15, 0.15)
    return (0.0195 * thickness * (1 + tilt_x + tilt_y + 0.03 * slow[:rows, :columns])).astype(np.float32)


def _implant(x: Array, y: Array, anatomy: Anatomy, kind: Implant) -> Array:
    """Attenuation of metal, about eight times that of bone."""
    base, down = _axes(anatomy)
    head = 0.35 * base - 8 * base / np.hypot(*base)
    if kind == "nail":
        rods = [(base - 14 * down, base + 110 * down, 5.5), (base + (8.0, 6.0), head, 4.5)]
    elif kind == "screws":
        offset = np.array([-0.6, 0.8]) * 6
        rods = [(1.35 * base + k * offset, head + k * offset, 2.8) for k in (-1, 0, 1)]
    else:
        side = anatomy.shaft_half + 2
        rods = [(base + (side, -4.0), base + (side - 8.0, 90.0), 3.0), (base + (side, 0.0), head, 5.0)]
    return np.maximum.reduce([0.9 * path_length(capsule(x, y, a, b)[0], r) for a, b, r in rods]).astype(np.float32)


def _attenuation(
    rng: np.random.Generator, x: Array, y: Array, anatomy: Anatomy, implant: Implant | None
) -> tuple[Array, NDArray[np.bool_]]:
    """Line integral of attenuation in excess of soft tissue for one hip, and where its femur lies, on a grid given in mm."""
    total, cortex = _femur(x, y, anatomy)
    bone = 0.02 + 0.11 * anatomy.markers["bone_fraction"]
    spongy = bone * (total - cortex) * _trabeculae(rng, x, y, anatomy)
    hip = spongy + 0.066 * cortex + 0.042 * _pelvis(rng, x, y, anatomy)
    return (hip if implant is None else hip + _implant(x, y, anatomy, implant)), total > 0


def _grid(shape: tuple[int, int], head_px: tuple[float, float], rotation: float, mirrored: bool) -> tuple[Array, Array]:
    """mm coordinates of every pixel around the femoral head at `head_px` (x, y), turned by `rotation`."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x, y = (columns - head_px[0]) * SPACING_MM, (rows - head_px[1]) * SPACING_MM
    x = -x if mirrored else x
    cos, sin = np.float32(np.cos(rotation)), np.float32(np.sin(rotation))
    return cos * x + sin * y, -sin * x + cos * y


def _detect(rng: np.random.Generator, attenuation: Array, *, blur: float, quanta: float) -> Array:
    """Detector signal in [0, 1]: quantum noise, blur, and a display curve drawn independently of the anatomy."""
    relative = attenuation - np.percentile(attenuation, 5)
    counts = rng.poisson(quanta * np.exp(-np.clip(0.55 * relative, -1, 6)) + 1).astype(np.float32)
    signal = gaussian_filter(-np.log(counts + 1), blur)
    low, high = np.percentile(signal, [rng.uniform(0.2, 3), rng.uniform(98, 99.8)])
    signal = np.clip((signal - low) / (high - low), 0, 1) ** rng.uniform(0.7, 1.45)
    return np.clip(rng.uniform(0.65, 1) * signal + rng.uniform(0, 0.15), 0, 1).astype(np.float32)


def make_phantom(
    rng: np.random.Generator,
    *,
    t_score: float | None = None,
    like: Phantom | None = None,
    laterality: Laterality | None = None,
    view: Literal["hip", "pelvis"] = "hip",
    implant: Implant | None = None,
    blurred: bool = False,
    shifted: bool = False,
) -> Phantom:
    """One radiograph with its truth. The same generator state gives the same bytes.

    Args:
        rng: Source of all randomness.
        t_score: Cause; drawn from N(-2.35, 1.15) when None.
        like: The other hip of the same patient: T-scores, markers, sex, age and weight are kept, the side changes.
        laterality: "L" or "R"; drawn when None; unused for a pelvis.
        view: "hip" (440, 380) or "pelvis" (480, 840) with both hips; pixels of 0.5 mm.
        implant: Metal to add, for the gate.
        blurred: Motion blur strong enough for the gate to object.
        shifted: Dose and blur outside the training range, to measure robustness.

    Returns:
        Phantom with `truth` keys t_score, t_score_dxa, label (0/1), hips (list of laterality, head_px, radius_px, box_xyxy), and
        the boolean mask femur (H, W): no marker of the T-score lies outside it.
    """
    if like is not None:
        t_score = float(str(like.truth["t_score"]))
        laterality = "R" if like.meta["Laterality"] == "L" else "L"
    t_score = float(rng.normal(T_MEAN, T_SD)) if t_score is None else t_score
    anatomy = draw_anatomy(rng, t_score)
    if like is not None:
        anatomy = replace(anatomy, markers=dict(like.markers))
    drawn: Laterality = "L" if rng.random() < 0.5 else "R"
    sides: list[Laterality] = ["R", "L"] if view == "pelvis" else [laterality or drawn]
    shape = PELVIS_SHAPE if view == "pelvis" else HIP_SHAPE
    attenuation = _soft_tissue(rng, shape)
    height = 0.36 * shape[0] + rng.uniform(-18, 18)
    hips, femur = [], np.zeros(shape, bool)
    for side in sides:
        across = (0.4 if view == "hip" else 0.275) * shape[1]
        head_px = (across + rng.uniform(-14, 14), height + rng.uniform(-4, 4))
        if (view == "hip" and side == "R") or (view == "pelvis" and side == "L"):
            head_px = (shape[1] - 1 - head_px[0], head_px[1])
        posed = replace(anatomy, rotation=anatomy.rotation if view == "hip" else 0.3 * anatomy.rotation)
        x, y = _grid(shape, head_px, posed.rotation, mirrored=side == "R")
        hip, bone = _attenuation(rng, x, y, posed, implant)
        attenuation, femur = attenuation + hip, femur | bone
        radius_px = anatomy.head_radius / SPACING_MM
        hips.append(
            {
                "laterality": side,
                "head_px": head_px,
                "radius_px": radius_px,
                "box_xyxy": region_box(head_px, radius_px, side),
            }
        )
    quanta = rng.uniform(300, 2500) * (0.4 if shifted else 1.0)
    blur = rng.uniform(0.5, 0.9) * (1.6 if shifted else 1.0) + (5.0 if blurred else 0.0)
    pixels = _detect(rng, attenuation, blur=blur, quanta=quanta)
    t_dxa = t_score + float(rng.normal(0, 0.25))
    patient: dict[str, object] = {
        "PatientSex": "F" if rng.random() < 0.85 else "M",
        "PatientAge": int(rng.integers(50, 90)),
        "PatientWeight": round(float(np.clip(rng.normal(57, 9), 36, 95)), 1),
    }
    if like is not None:
        t_dxa = float(str(like.truth["t_score_dxa"]))
        patient = {key: like.meta[key] for key in patient}
    shown = {"hips": hips, "femur": femur}
    days = int(copy.deepcopy(rng).integers(0, 1826))  # from a copy: the other hip's picture does not depend on it
    return Phantom(
        pixels=pixels,
        truth={"t_score": t_score, "t_score_dxa": t_dxa, "label": int(t_dxa <= OSTEOPOROSIS_T), **shown},
        markers={name: anatomy.markers[name] for name in MARKERS},
        meta={
            "Modality": "CR",
            "BodyPartExamined": "HIP" if view == "hip" else "PELVIS",
            "ViewPosition": "AP",
            "Laterality": sides[0] if view == "hip" else "B",
            "PixelSpacing": SPACING_MM,
            "StudyDate": f"{FIRST_DAY + timedelta(days=days):%Y%m%d}",
            **patient,
        },
    )


SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "likely_positive": (mark("Likely positive"), {"t_score": -4.0, "laterality": "L"}, 11),
    "borderline": (mark("Borderline"), {"t_score": -2.4, "laterality": "L"}, 12),
    "likely_negative": (mark("Likely negative"), {"t_score": 0.2, "laterality": "L"}, 13),
    "right_hip": (mark("Right hip"), {"t_score": -3.2, "laterality": "R"}, 14),
    "pelvis": (mark("Pelvis, both hips"), {"t_score": -3.0, "view": "pelvis"}, 15),
    "implant": (mark("With implant"), {"t_score": -2.0, "laterality": "L", "implant": "nail"}, 16),
    "blurred": (mark("Blurred"), {"t_score": -2.0, "laterality": "L", "blurred": True}, 17),
}


def make_sample(sample_id: str) -> Phantom:
    """A phantom of the page's sample list: title, what is asked of `make_phantom`, and the seed."""
    _, options, seed = SAMPLES[sample_id]
    return make_phantom(np.random.default_rng([2026, seed]), **options)
