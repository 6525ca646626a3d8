"""Causes and markers of the seven findings.

Each finding has a severity from 0 (none) to 1 (marked); 0.5 is the limit above which it counts as present. Severities are drawn
independently of each other. The marker values that the picture is drawn from rise with the severity and carry noise of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import UsageError
from core.tasks.chest_lesions.phantom.patient import stream
from core.tasks.chest_lesions.task import TASK

FINDINGS = tuple(label.id for label in TASK.labels)
"""Labels in the order of their class numbers 1 to 7."""
PREVALENCE = 0.15  # of each finding: a third of the films is then fully normal
MAX_RATIO = 0.50  # cardiothoracic ratio above which the heart is enlarged, on PA films (RCEM)
READER_ERROR = 0.015  # of a reading of the cardiothoracic ratio
MAX_COBB_DEG = 10.0  # Scoliosis Research Society
Pair = tuple[float, float]


@dataclass(frozen=True)
class Signs:
    """Marker values of one film, as drawn. The pairs are right and left.

    Attributes:
        ratio: Cardiothoracic ratio aimed at; the drawn one is measured on the outlines.
        calcified_share: Share of the aortic arch with calcium in its wall.
        calcium_mm: Path through calcium, as soft tissue.
        protrusion_mm: Of the aortic knob to the left of the midline.
        convexity_mm: Of the descending aorta to the left.
        caps_mm: Thickness of the apical caps.
        infiltrate_share: Share of the air replaced in the densest part of an infiltrate.
        osteophyte_mm: Length of osteophytes.
        narrowing: Share of the disc height lost.
        cobb_deg: Cobb angle.
    """

    ratio: float
    calcified_share: float
    calcium_mm: float
    protrusion_mm: float
    convexity_mm: float
    caps_mm: Pair
    infiltrate_share: float
    osteophyte_mm: float
    narrowing: float
    cobb_deg: float


def draw_severities(seed: int, given: Mapping[str, float]) -> dict[str, float]:
    """Severity of each finding: as given, else drawn; absent findings come close to the limit as well.

    Raises:
        UsageError: A given label is unknown or its severity lies outside 0 to 1.
    """
    for label, value in given.items():
        if label not in FINDINGS:
            raise UsageError(f"finding {label!r}; known: {', '.join(FINDINGS)}")
        if not 0 <= value <= 1:
            raise UsageError(f"severity of {label}: {value:g}; wanted: 0 to 1")
    rng = stream(seed, "severity")
    present = rng.random(len(FINDINGS)) < PREVALENCE
    drawn = np.where(present, 0.5 + 0.5 * rng.beta(1.5, 1.2, len(FINDINGS)), 0.5 * rng.beta(1.0, 1.6, len(FINDINGS)))
    return {label: float(given.get(label, value)) for label, value in zip(FINDINGS, drawn, strict=True)}


def draw_signs(seed: int, severity: Mapping[str, float]) -> Signs:
    """Marker values for the severities; the noise of a marker does not depend on any severity."""
    heart, calcium, knob, pleura, lung, disc, curve = (severity[label] for label in FINDINGS)
    arch, strip = stream(seed, "calcium").normal(0, 1, 2), stream(seed, "aorta").normal(0, 1, 2)
    grey, wear = stream(seed, "grey").normal(0, 1), stream(seed, "wear").normal(0, 1, 2)
    return Signs(
        ratio=_rise(heart, 0.40, MAX_RATIO, 0.62),
        calcified_share=float(np.clip(_rise(calcium, 0.0, 0.2, 1.0) * np.exp(0.35 * arch[0]), 0, 1)),
        calcium_mm=_rise(calcium, 0.0, 10.0, 34.0) * float(np.exp(0.3 * arch[1])),
        protrusion_mm=_rise(knob, 25.0, 34.0, 48.0) + 3.0 * float(strip[0]),
        convexity_mm=max(_rise(knob, 0.0, 5.0, 22.0) + 2.5 * float(strip[1]), 0.0),
        caps_mm=_draw_caps(stream(seed, "pleura"), _rise(pleura, 0.0, 3.0, 15.0)),
        infiltrate_share=_rise(lung, 0.0, 0.15, 0.75) * float(np.exp(0.35 * grey)),
        osteophyte_mm=_rise(disc, 0.0, 2.2, 9.0) * float(np.exp(0.3 * wear[0])),
        narrowing=float(np.clip(_rise(disc, 0.0, 0.2, 0.75) * np.exp(0.35 * wear[1]), 0, 0.9)),
        cobb_deg=_rise(curve, 0.0, MAX_COBB_DEG, 36.0),
    )


def present_labels(seed: int, severity: Mapping[str, float], ratio: float, cobb_deg: float) -> dict[str, bool]:
    """Which findings a reader marks: heart and curve by measuring the drawn outlines, the others by severity."""
    reading = ratio + stream(seed, "reader").uniform(-READER_ERROR, READER_ERROR)
    measured = {"cardiac_hypertrophy": reading > MAX_RATIO, "scoliosis": cobb_deg > MAX_COBB_DEG}
    return {label: bool(measured.get(label, severity[label] >= 0.5)) for label in FINDINGS}


def _rise(severity: float, none: float, limit: float, marked: float) -> float:
    """Marker value on the way from severity 0 over the limit of 0.5 to 1."""
    return float(np.interp(severity, (0, 0.5, 1), (none, limit, marked)))


def _draw_caps(rng: np.random.Generator, thickness: float) -> Pair:
    """Thickness on the right and the left: on both sides, or on one, more often the right."""
    worse = thickness * float(np.exp(0.3 * rng.normal()))
    other = worse * float(rng.uniform(0.6, 1.0)) if rng.random() < 0.45 else 0.0
    return (worse, other) if rng.random() < 0.65 else (other, worse)
