"""Composites: findings drawn into real chest radiographs at their landmarks, so that the image is real and the boxes are known.

Shapes change by smooth warps (heart, knob, spine), densities by shadows that add to the film's own greys (plaques, caps,
infiltrates, osteophytes, the descending aorta). A severity means what it means for the phantom: from 0 (none) to 1 (marked),
and from 0.5 on the finding is present and has boxes; below, its change is drawn without a box, as anatomy near the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.records import Box
from core.tasks.chest_lesions.composite import aorta, apex, calcium, heart, infiltrate, scoliosis, wear
from core.tasks.chest_lesions.composite.nuisance import disturb
from core.tasks.chest_lesions.composite.tone import Tone, add_shadow, film_tone
from core.tasks.chest_lesions.composite.warp import Warp
from core.tasks.chest_lesions.landmarks import Landmarks
from core.tasks.chest_lesions.task import TASK

__all__ = ["Composite", "compose", "disturb"]

HEART, CALCIUM, AORTA, APEX, LUNG, WEAR, CURVE = FINDINGS = tuple(label.id for label in TASK.labels)
PRESENT = 0.5  # severity from which a finding has boxes
MAX_RATIO = 0.50  # cardiothoracic ratio above which the heart is enlarged, on PA films
MAX_COBB_DEG = 10.0


@dataclass(frozen=True, eq=False)
class Composite:
    """A real film with drawn findings.

    Attributes:
        film: float32 (H, W), 0..1.
        boxes: Label and box of every finding that is present, in the order of the labels.
        landmarks: Of the new film; its cardiothoracic ratio is `landmarks.width.ratio`.
        cobb_deg: Of the curve that was added, 0 without one.
    """

    film: NDArray[np.float32]
    boxes: tuple[tuple[str, Box], ...]
    landmarks: Landmarks
    cobb_deg: float


@dataclass(frozen=True, eq=False)
class _Shape:
    """The film's new shape: all warps as one, the landmarks and the spine's axis after it, and what was bent.

    `small_heart` are the landmarks before the heart grew.
    """

    warp: Warp
    landmarks: Landmarks
    axis: NDArray[np.float64]
    small_heart: Landmarks | None
    curve: scoliosis.Bend | None
    course: aorta.Unfolding | None


def compose(
    film: NDArray[np.float32], landmarks: Landmarks, findings: Mapping[str, float], rng: np.random.Generator
) -> Composite:
    """Draw findings into a film.

    Args:
        film: float32 (H, W), 0..1, bone bright.
        landmarks: Of this film.
        findings: Severity by label, 0 (none) to 1 (marked); labels that are not named change nothing.
        rng: One integer is drawn from it; what one finding draws does not depend on which others are drawn.

    Returns:
        The composite. Cardiomegaly has a box where the ratio measured afterwards exceeds 0.50, scoliosis where the Cobb angle
        exceeds 10 degrees, the others from severity 0.5 on.

    Raises:
        UsageError: An unknown label, a severity outside 0 to 1, a film of another kind or size, or one that looks inverted.
    """
    _check(film, landmarks, findings)
    seed = int(rng.integers(2**62))
    streams = {label: np.random.default_rng([seed, number]) for number, label in enumerate(FINDINGS)}
    shape = _reshape(landmarks, findings, streams)
    bent = shape.warp.film(film, np.random.default_rng([seed, len(FINDINGS)]))
    tone = film_tone(bent, shape.landmarks)
    rise, boxes = _shadows(bent, tone, shape, findings, streams)
    if HEART in findings and shape.landmarks.width.ratio > MAX_RATIO:
        boxes[HEART] = [shape.landmarks.heart]
    if shape.curve is not None and shape.curve.cobb_deg > MAX_COBB_DEG:
        boxes[CURVE] = [shape.curve.box]
    return Composite(
        film=add_shadow(bent, rise),
        boxes=tuple((label, box) for label in FINDINGS for box in boxes.get(label, ())),
        landmarks=shape.landmarks,
        cobb_deg=shape.curve.cobb_deg if shape.curve is not None else 0.0,
    )


def _check(film: NDArray[np.float32], landmarks: Landmarks, findings: Mapping[str, float]) -> None:
    if unknown := sorted(set(findings) - set(FINDINGS)):
        raise UsageError(f"finding {unknown[0]!r}; known: {', '.join(FINDINGS)}")
    for label, severity in findings.items():
        if not 0 <= severity <= 1:
            raise UsageError(f"severity of {label}: {severity:g}; wanted: 0 to 1")
    if film.dtype != np.float32 or film.shape != landmarks.masks.heart.shape:
        raise UsageError(f"film {film.dtype} {film.shape}; wanted: float32 {landmarks.masks.heart.shape}")
    if not (film.min() >= 0 and film.max() <= 1):
        raise UsageError("a film with greys outside 0 to 1")


def _reshape(landmarks: Landmarks, findings: Mapping[str, float], streams: Mapping[str, np.random.Generator]) -> _Shape:
    """Warps of spine, heart and aorta, one after the other."""
    warp, axis = Warp.none(landmarks.masks.heart.shape), landmarks.midline
    small_heart = curve = course = None
    if CURVE in findings:
        curve = scoliosis.bend(landmarks, findings[CURVE], streams[CURVE])
        warp, axis, landmarks = curve.warp, axis + curve.shift, curve.warp.landmarks(landmarks)
    if HEART in findings:
        small_heart = landmarks
        grown = heart.enlarge(landmarks, heart.drawn_ratio(findings[HEART]), streams[HEART])
        warp, landmarks = warp.then(grown), grown.landmarks(landmarks)
    if AORTA in findings:
        course = aorta.unfold(landmarks, findings[AORTA], streams[AORTA])
        warp = warp.then(course.warp)
        landmarks = replace(course.warp.landmarks(landmarks), knob=course.knob)
    return _Shape(warp, landmarks, axis, small_heart, curve, course)


def _shadows(
    film: NDArray[np.float32],
    tone: Tone,
    shape: _Shape,
    findings: Mapping[str, float],
    streams: Mapping[str, np.random.Generator],
) -> tuple[NDArray[np.float32], dict[str, list[Box]]]:
    """The rise in grey of all densities, and the boxes of those that are present."""
    rise, boxes, landmarks = np.zeros(film.shape, np.float32), dict[str, list[Box]](), shape.landmarks
    if shape.small_heart is not None:
        rise = rise + heart.thicken(tone, shape.small_heart, landmarks)
    if shape.course is not None:
        strip, box = aorta.bow(tone, landmarks, shape.course)
        rise, boxes[AORTA] = rise + strip, [box]
    if CALCIUM in findings:
        plaques, boxes[CALCIUM] = calcium.calcify(film, tone, landmarks, findings[CALCIUM], streams[CALCIUM])
        rise = rise + plaques
    if APEX in findings:
        caps, boxes[APEX] = apex.thicken(tone, landmarks, findings[APEX], streams[APEX])
        rise = rise + caps
    if LUNG in findings:
        clouds, boxes[LUNG] = infiltrate.infiltrate(tone, landmarks, findings[LUNG], streams[LUNG])
        rise = rise + clouds
    if WEAR in findings:
        beaks, boxes[WEAR] = wear.wear(film, tone, landmarks, shape.axis, findings[WEAR], streams[WEAR])
        rise = rise + beaks
    return rise, {label: found for label, found in boxes.items() if findings[label] >= PRESENT}
