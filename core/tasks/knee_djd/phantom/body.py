"""The body of the bone-scan phantom without what the grade changes: pose, soft tissue, skeleton, bladder and hot lesions.

Drawn in shares of the body's height, u to the patient's left of the midline, v down from the top of the head, and then turned and
shifted into the anterior view, where image left is the patient's right.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.imaging.drawing import capsule, patch

Point = NDArray[np.float64]
Side = Literal["right", "left"]

SHAPE = (1024, 256)
MM = 1 / 1640  # of the height of the template body
SIGNS: dict[Side, int] = {"right": -1, "left": 1}


@dataclass(frozen=True)
class Pose:
    """Where a point of the body lies in the anterior view."""

    height: float  # pixels
    top: float
    middle: float
    rotation: float

    def __call__(self, points: ArrayLike) -> Point:
        """Points (..., 2) in shares of the height to (x, y) in pixels; the body turns around its centre."""
        u, v = np.moveaxis(np.asarray(points, float) - (0, 0.5), -1, 0) * self.height
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        return np.stack([self.middle + cos * u - sin * v, self.top + self.height / 2 + sin * u + cos * v], axis=-1)


@dataclass(frozen=True)
class Leg:
    """Joints of one leg in shares of the height, the uptake of its shafts and of its soft tissue, and the size of the knee."""

    hip: Point
    knee: Point
    ankle: Point
    toes: Point
    uptake: float
    soft: float
    size: float

    def around_knee(self, sign: int, lateral_mm: float, down_mm: float) -> Point:
        """A point near the joint: `lateral_mm` away from the midline, `down_mm` towards the foot."""
        down = (self.ankle - self.hip) / np.hypot(*(self.ankle - self.hip))
        lateral = sign * np.array([down[1], -down[0]])
        offset: Point = self.knee + self.size * MM * (lateral_mm * lateral + down_mm * down)
        return offset


@dataclass
class Canvas:
    """Activity seen from the front and from behind: soft tissue and bone, where the strongest part wins, and foci on top."""

    pose: Pose
    soft: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros((2, *SHAPE), np.float32))
    bone: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros((2, *SHAPE), np.float32))
    foci: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros((2, *SHAPE), np.float32))

    def rod(
        self,
        layer: NDArray[np.float32],
        ends: ArrayLike,
        radii: float | tuple[float, float],
        level: float,
        back: float = 1.0,
    ) -> None:
        """A cylinder between two points, its radius (shares of the height) changing from end to end."""
        points = self.pose(ends)
        first, last = np.broadcast_to(np.multiply(radii, self.pose.height), 2)
        place, x, y = patch(SHAPE, points, float(max(first, last)) + 1)
        distance, along = capsule(x, y, *points)
        share = distance / (first + (last - first) * along)
        profile = (level * np.sqrt(np.maximum(1 - np.square(share), 0))).astype(np.float32)
        for view, weight in enumerate((1.0, back)):
            np.maximum(layer[view][place], weight * profile, out=layer[view][place])

    def spot(self, centre: ArrayLike, sd: float, level: float, back: float = 1.0, stretch: float = 1.0) -> None:
        """A Gaussian focus of standard deviation `sd` (shares of the height), wider across by `stretch`."""
        point = self.pose(centre)
        sd_px = sd * self.pose.height
        place, x, y = patch(SHAPE, point[None], 3.5 * sd_px * stretch)
        across, along = np.square((x - point[0]) / (sd_px * stretch)), np.square((y - point[1]) / sd_px)
        profile = (level * np.exp(-0.5 * (across + along))).astype(np.float32)
        for view, weight in enumerate((1.0, back)):
            self.foci[view][place] += weight * profile


def draw_pose(rng: np.random.Generator, *, off_centre: bool) -> Pose:
    """Height, place and rotation of the body in the field of view."""
    height, top = rng.uniform(640, 760), rng.uniform(30, 90)
    shift, turn = rng.uniform(-1, 1, 2)
    if off_centre:
        shift, turn = np.sign(shift) * (1.2 + 1.2 * abs(shift)), np.sign(turn) * (1.3 + abs(turn))
    return Pose(height, top + rng.uniform(0, 60), 127.5 + 10 * shift, np.deg2rad(2.2 * turn))


def draw_legs(rng: np.random.Generator) -> dict[Side, Leg]:
    """Both legs: spread, length and toes vary by side; the uptake mostly by patient."""
    knee_v, knee_u, ankle_u = rng.uniform(0.688, 0.715), rng.uniform(0.047, 0.070), rng.uniform(0.025, 0.060)
    soft, size = np.exp(rng.normal(0, 0.45)), rng.uniform(1.0, 1.18)
    uptake = soft * np.exp(rng.normal(0, 0.45))
    legs: dict[Side, Leg] = {}
    for side, sign in SIGNS.items():
        a, b, c, d = rng.uniform(-1, 1, 4)
        ankle = np.array([sign * (ankle_u + 0.008 * a), 0.94])
        legs[side] = Leg(
            hip=np.array([sign * 0.058, 0.462]),
            knee=np.array([sign * (knee_u + 0.005 * b), knee_v + 0.004 * c]),
            ankle=ankle,
            toes=np.array([ankle[0] + sign * (0.012 + 0.018 * d), 0.992]),
            uptake=float(uptake * np.exp(rng.normal(0, 0.05))),
            soft=float(soft),
            size=size,
        )
    return legs


def _mirrored(points: ArrayLike, sign: int) -> Point:
    return np.asarray(points, float) * (sign, 1)


def draw_soft_tissue(rng: np.random.Generator, canvas: Canvas, legs: Mapping[Side, Leg]) -> None:
    """Outline of the body, brighter where it is thick."""
    level, girth = rng.uniform(0.4, 1.0), rng.uniform(0.85, 1.3)
    arm = rng.uniform(0.125, 0.15)

    def part(ends: ArrayLike, radii: float | tuple[float, float], share: float) -> None:
        canvas.rod(canvas.soft, ends, radii, share * level)

    part([(0, 0.05), (0, 0.10)], 0.052, 1.0)
    part([(0, 0.12), (0, 0.20)], (0.035, 0.07), 0.8)
    part([(0, 0.24), (0, 0.44)], 0.105 * girth, 1.25)
    for side, sign in SIGNS.items():
        leg = legs[side]
        part(_mirrored([(0.03, 0.20), (0.09, 0.185)], sign), 0.04, 0.9)
        part(_mirrored([(0.10, 0.20), (arm, 0.34)], sign), (0.036 * girth, 0.028), 0.85)
        part(_mirrored([(arm, 0.34), (arm - 0.005, 0.50)], sign), (0.028, 0.018), 0.75)
        part([leg.hip + (0, 0.01), leg.knee], (0.058 * girth, 0.036 * girth), 1.0 * leg.soft)
        part([leg.knee, leg.knee + 0.3 * (leg.ankle - leg.knee)], (0.034 * girth, 0.036 * girth), 0.9 * leg.soft)
        part([leg.knee + 0.3 * (leg.ankle - leg.knee), leg.ankle], (0.036 * girth, 0.022), 0.95 * leg.soft)
        part([leg.ankle, leg.toes], (0.023, 0.016), 0.9 * leg.soft)


def draw_trunk(rng: np.random.Generator, canvas: Canvas) -> None:
    """Skull, spine, chest, shoulders and pelvis."""
    level = np.exp(rng.normal(0, 0.15))

    def bone(ends: ArrayLike, radius: float, share: float, back: float = 1.0) -> None:
        canvas.rod(canvas.bone, ends, radius, float(share * level * rng.uniform(0.8, 1.2)), back)

    ring = np.linspace(0, 2 * np.pi, 25)
    for ends in pairwise(np.stack([0.038 * np.sin(ring), 0.055 + 0.05 * np.cos(ring)], axis=1)):
        bone(ends, 0.009, 1.0)
    bone([(0, 0.05), (0, 0.06)], 0.045, 0.5)
    canvas.spot((0, 0.078), 0.011, 2.2 * level, back=0.4, stretch=1.2)
    canvas.spot((0, 0.098), 0.010, 1.0 * level, back=0.5, stretch=1.6)
    curve = rng.uniform(-0.008, 0.008)
    for v in np.arange(0.135, 0.405, 0.0135):
        bend = curve * np.sin((v - 0.13) / 0.27 * 2 * np.pi)
        bone([(bend, v), (bend, v + 0.010)], 0.011 + 0.014 * (v - 0.1), 1.1, back=1.7)
    bone([(0, 0.19), (0, 0.21)], 0.018, 2.2, back=0.3)
    bone([(0, 0.21), (0, 0.27)], 0.009, 1.8, back=0.3)
    for sign in SIGNS.values():
        bone(_mirrored([(0.01, 0.195), (0.080, 0.165)], sign), 0.006, 1.1, back=0.6)
        bone(_mirrored([(0.076, 0.175), (0.088, 0.18)], sign), 0.021, 1.4)
        bone(_mirrored([(0.060, 0.20), (0.070, 0.26)], sign), 0.012, 0.4, back=2.5)
        bone(_mirrored([(0.095, 0.19), (0.130, 0.33)], sign), 0.009, 0.6)
        bone(_mirrored([(0.130, 0.34), (0.130, 0.47)], sign), 0.007, 0.45)
        for rib in range(9):
            v, out = 0.195 + 0.0145 * rib, 0.060 + 0.024 * np.sin(min((rib + 1) / 8, 1) * np.pi / 2)
            bone(_mirrored([(out, v + 0.012), (out - 0.014, v)], sign), 0.0045, 0.9)
            bone(_mirrored([(out - 0.014, v), (0.024, v + 0.017)], sign), 0.0045, 0.55, back=1.5)
        bone(_mirrored([(0.030, 0.385), (0.070, 0.375)], sign), 0.009, 0.9)
        bone(_mirrored([(0.070, 0.375), (0.062, 0.44)], sign), 0.012, 0.7)
        bone(_mirrored([(0.048, 0.40), (0.050, 0.43)], sign), 0.024, 0.5, back=1.4)
        bone(_mirrored([(0.024, 0.395), (0.020, 0.43)], sign), 0.010, 1.0, back=2.0)
        bone(_mirrored([(0.055, 0.455), (0.058, 0.462)], sign), 0.020, 1.1)
        bone(_mirrored([(0.045, 0.47), (0.008, 0.478)], sign), 0.009, 0.9, back=0.7)
        bone(_mirrored([(0.040, 0.475), (0.028, 0.515)], sign), 0.010, 0.9)
        canvas.spot(_mirrored((0.045, 0.335), sign), 0.016, 0.3 * level, back=4.0)  # kidney


def draw_leg_bones(canvas: Canvas, leg: Leg, sign: int) -> None:
    """Femur, tibia, fibula, foot, and the ends of the bones at the knee at the level of the shafts."""

    def bone(ends: ArrayLike, radii: float | tuple[float, float], share: float = 1.0) -> None:
        canvas.rod(canvas.bone, ends, radii, share * leg.uptake)

    def at(lateral_mm: float, down_mm: float) -> Point:
        return leg.around_knee(sign, lateral_mm, down_mm)

    mm = leg.size * MM
    trochanter = leg.hip + (sign * 0.014, 0.010)
    bone([trochanter, trochanter + (0, 0.02)], 0.014, 1.3)
    bone([trochanter, at(0, -60)], 13 * mm)
    bone([at(0, -75), at(0, -22)], (13 * mm, 31 * mm))
    bone([at(-18, -14), at(18, -14)], 20 * mm)
    bone([at(-20, 15), at(20, 15)], 17 * mm)
    bone([at(0, 20), at(-3, 80)], (29 * mm, 13 * mm))
    bone([at(-3, 80), leg.ankle], 12.5 * mm, 0.95)
    bone([at(32, 30), leg.ankle + (sign * 22 * MM, 0)], 6 * mm, 0.5)
    bone([leg.ankle, leg.ankle + (0, 0.008)], 0.016, 1.2)
    bone([leg.ankle + (0, 0.01), leg.toes], (0.016, 0.012), 0.7)


def draw_hot_places(rng: np.random.Generator, canvas: Canvas, legs: Mapping[Side, Leg], lesions: int | None) -> None:
    """Bladder, injection site and up to two lesions of trunk or limbs, never in a knee."""
    size, fill, droop = rng.uniform(0.014, 0.024), rng.uniform(1, 9), rng.uniform(0.435, 0.455)
    canvas.rod(canvas.foci, [(-0.007, droop), (0.007, droop)], size, fill, back=0.6)
    arm = rng.choice([-1, 1]) * rng.uniform(0.12, 0.14)
    canvas.spot((arm, rng.choice([0.345, 0.47])), rng.uniform(0.004, 0.008), rng.uniform(0, 8))
    number, draws = rng.integers(0, 3), rng.uniform(0, 1, (2, 6))
    for draw in draws[: number if lesions is None else int(lesions)]:
        leg = legs["right" if draw[0] < 0.5 else "left"]
        sign = -1 if draw[0] < 0.5 else 1
        femur, tibia = leg.knee - leg.hip, leg.ankle - leg.knee
        places = (
            leg.hip + 0.78 * draw[1] * femur,
            leg.knee + (0.22 + 0.6 * draw[1]) * tibia,
            np.array([0.0, 0.15 + 0.25 * draw[1]]),
            np.array([sign * (0.03 + 0.05 * draw[2]), 0.20 + 0.13 * draw[1]]),
            np.array([sign * (0.02 + 0.045 * draw[2]), 0.38 + 0.09 * draw[1]]),
        )
        canvas.spot(places[int(5 * draw[3])], 0.0035 + 0.004 * draw[4], 1.5 + 4 * draw[5])
    for side, leg in legs.items():  # a tendon insertion or old injury beside the joint
        present, across, down, level = rng.uniform(-1, 1, 4)
        if present > 0:
            place = leg.around_knee(SIGNS[side], 22 * across, np.sign(down) * (44 + 14 * abs(down)))
            canvas.spot(place, 4.5 * MM, (6 + 5 * level) * leg.uptake)
