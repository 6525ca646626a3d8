"""Phantom of a PA chest radiograph with known boxes of the seven findings.

The causes (a severity for each finding) are drawn first and independently, then markers = monotone function of the cause +
noise, then anatomy and nuisance without regard to the causes. Attenuation is the path length through bodies given in mm
(Beer-Lambert): closed forms for soft tissue and air, shells of cortex for the bones. Heart and curve are measured on what is
drawn: cardiothoracic ratio above 0.50 on a PA film, Cobb angle above 10 degrees (Scoliosis Research Society).

Every stream of random numbers belongs to one part of the picture, so two phantoms that differ in one severity only differ around
that finding only. Left of the picture is the patient's right.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.i18n import mark
from core.phantom import Phantom
from core.records import Box
from core.tasks.chest_lesions.phantom import bones, devices, lesions, mediastinum, spine, trunk, vessels
from core.tasks.chest_lesions.phantom.detector import COARSE, expose
from core.tasks.chest_lesions.phantom.film import Film
from core.tasks.chest_lesions.phantom.findings import FINDINGS, Signs, draw_severities, draw_signs, present_labels
from core.tasks.chest_lesions.phantom.patient import Chest, draw_chest, draw_person, stream

MARKERS = (
    *("cardiothoracic_ratio", "calcified_share", "calcium_mm", "protrusion_mm", "convexity_mm"),
    *("cap_right_mm", "cap_left_mm", "infiltrate_share", "osteophyte_mm", "narrowing", "cobb_deg"),
)
BONE = 1.75  # attenuation of bone beyond that of soft tissue, relative to soft tissue


def _pose(chest: Chest, seed: int, size: int) -> Film:
    """A film on which the chest is 70 to 83 % of the width, a little off centre and tilted."""
    rng = stream(seed, "pose")
    spacing = round(2 * chest.half_width / (size * rng.uniform(0.70, 0.83)), 4)
    top = rng.uniform(0.09, 0.17) * size
    origin = (size * rng.uniform(0.475, 0.525), top - chest.top / spacing)
    return Film.blank(size, spacing, origin, float(np.deg2rad(np.clip(rng.normal(0, 1.3), -3, 3))))


def _soft_tissue(
    chest: Chest, film: Film, seed: int, heart: mediastinum.Heart, aorta: mediastinum.Aorta
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
    """Paths (mm) through the body as if full of soft tissue and through the air of the lungs; masks of heart and lungs."""
    cavity, seen = trunk.draw_cavity(chest, film)
    chambers, heart_mask = mediastinum.heart_path(chest, heart, film)
    great, great_mask = mediastinum.vessels_path(chest, aorta, film)
    lungs = seen & ~heart_mask & ~great_mask
    masks = {"heart": heart_mask, "left_lung": lungs & (film.x > 0), "right_lung": lungs & (film.x < 0)}
    return trunk.draw_body(chest, film, seed), np.maximum(cavity - chambers - great, 0), masks


def _quiet(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Attenuation (mm of soft tissue) on every fourth pixel, of the same chest with no finding and no bone."""
    coarse, none = film.coarse(COARSE), draw_signs(seed, dict.fromkeys(FINDINGS, 0.25))
    heart = mediastinum.draw_heart(chest, film, seed, none.ratio)
    body, air, _ = _soft_tissue(chest, coarse, seed, heart, mediastinum.draw_aorta(chest, seed, none))
    return body - np.float32(1 - chest.aeration) * air


def _width_facts(chest: Chest, film: Film, heart: mediastinum.Heart) -> tuple[float, tuple[float, float, float, float]]:
    """Cardiothoracic ratio, and the four x it is measured at (px): thorax, heart, heart, thorax from left to right."""
    lungs = np.concatenate([film.pixel(trunk.lung_outline(chest, side))[:, 0] for side in (-1, 1)])
    middle = film.pixel(heart.outline())[:, 0]
    at = tuple(float(value) for value in (lungs.min(), middle.min(), middle.max(), lungs.max()))
    return (at[2] - at[1]) / (at[3] - at[0]), (at[0], at[1], at[2], at[3])


def _aorta_box(chest: Chest, film: Film, aorta: mediastinum.Aorta) -> Box:
    """Mediastinal strip: from the top of the arch down the descending part, with the ascending part."""
    y = np.linspace(aorta.knob[1], aorta.end_y, 60)
    left = np.stack([aorta.strip_x(y) + aorta.strip_radius, y], axis=1)
    knob = np.array(aorta.knob) + aorta.radius * np.array([[1, 0], [0, -1]])
    right = np.array([[-aorta.ascending + 20 * chest.rotation, chest.level(5)]])
    return film.box(np.concatenate([left, knob, right]))


def _boxes(
    chest: Chest, film: Film, heart: mediastinum.Heart, aorta: mediastinum.Aorta, column: spine.Spine, signs: Signs
) -> dict[str, list[Box]]:
    """Where each finding would lie, those of the lungs excepted."""
    reach = aorta.radius + 2
    knob = np.array(aorta.knob) + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return {
        "cardiac_hypertrophy": [film.box(heart.outline())],
        "aortic_atherosclerosis_calcification": [film.box(knob)],
        "aortic_curvature": [_aorta_box(chest, film, aorta)],
        "degenerative_joint_disease_of_the_thoracic_spine": [film.box(spine.worn_points(chest, column, signs))],
        "scoliosis": [film.box(spine.curve_points(chest, column))],
    }


def _overlays(chest: Chest, film: Film, seed: int, has_ribs: bool) -> NDArray[np.float32]:
    """Attenuation (mm of soft tissue) of what no finding touches: shoulders and ribs, gas, airways, skin, devices."""
    solid = devices.draw_skin(chest, film, seed)
    if has_ribs:
        solid = solid + np.float32(BONE) * bones.draw_bones(chest, film, seed)
    hollow = mediastinum.airways_path(chest, film, seed) + trunk.draw_gas(chest, film, seed)
    return solid + devices.draw_devices(chest, film, seed) - hollow


def make_phantom(
    rng: np.random.Generator, *, findings: Mapping[str, float] | None = None, size: int = 512, has_ribs: bool = True
) -> Phantom:
    """One film with its truth. The same generator state gives the same bytes, and at another size the same patient.

    Args:
        rng: Source of all randomness: one integer is drawn from it, the seed of the film.
        findings: Severity by label, 0 (none) to 1 (marked), 0.5 = the limit; labels that are not named are drawn.
        size: Pixels a side.
        has_ribs: False leaves out ribs, collar bones and shoulders and nothing else: what a perfect suppression of bones would
            leave. The spine stays, for two findings are its own.

    Returns:
        Phantom with `truth` keys boxes (list of label and box_xyxy), 0/1 for every label of FINDINGS, cardiothoracic_ratio,
        cardiothoracic_x (px, from left to right: thorax, heart, heart, thorax), spine_xy (px, axis from neck to loin), severity
        (by label), and the boolean masks heart, left_lung and right_lung.

    Raises:
        UsageError: `findings` names an unknown label or a severity outside 0 to 1.
    """
    seed = int(rng.integers(2**62))
    severity = draw_severities(seed, findings or {})
    signs, chest = draw_signs(seed, severity), draw_chest(seed)
    film = _pose(chest, seed, size)
    heart, aorta = mediastinum.draw_heart(chest, film, seed, signs.ratio), mediastinum.draw_aorta(chest, seed, signs)
    column = spine.draw_spine(chest, seed, signs.cobb_deg)
    body, air, masks = _soft_tissue(chest, film, seed, heart, aorta)
    caps, cap_boxes = lesions.draw_caps(chest, film, seed, signs.caps_mm)
    patches, patch_boxes = lesions.draw_infiltrates(chest, film, seed, signs.infiltrate_share, air)
    aired = air * (1 - caps) * (1 - patches) - vessels.draw_vessels(chest, film, seed, air)
    attenuation = body - np.float32(1 - chest.aeration) * aired + _overlays(chest, film, seed, has_ribs)
    attenuation += np.float32(BONE) * spine.draw_vertebrae(chest, film, seed, column, signs)
    attenuation += mediastinum.calcium_path(aorta, film, seed, signs)
    ratio, widths = _width_facts(chest, film, heart)
    present = present_labels(seed, severity, ratio, column.cobb_deg)
    found = _boxes(chest, film, heart, aorta, column, signs)
    found |= {"intercostal_pleural_thickening": cap_boxes, "lung_field_infiltration": patch_boxes}
    return Phantom(
        pixels=expose(film, seed, attenuation, _quiet(chest, film, seed), devices.draw_marker(film, seed)),
        truth={
            **{label: int(on) for label, on in present.items()},
            "boxes": [(label, box) for label in FINDINGS if present[label] for box in found[label]],
            "cardiothoracic_ratio": ratio,
            "cardiothoracic_x": widths,
            "spine_xy": film.pixel(np.stack([column.x, column.y], axis=1)),
            "severity": severity,
            **masks,
        },
        markers=_markers(signs, ratio, column.cobb_deg),
        meta=draw_person(seed) | {"PixelSpacing": film.spacing_mm},
    )


def _markers(signs: Signs, ratio: float, cobb_deg: float) -> dict[str, float]:
    right, left = signs.caps_mm
    values = vars(signs) | {"cardiothoracic_ratio": ratio, "cap_right_mm": right, "cap_left_mm": left}
    return {name: float(values[name]) for name in MARKERS} | {"cobb_deg": cobb_deg}


_NONE = dict.fromkeys(FINDINGS, 0.1)
MARKED = 0.9  # severity of a finding that is plain to see
SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "normal": (mark("Normal"), {"findings": _NONE}, 11),
    "enlarged_heart": (mark("Enlarged heart"), {"findings": _NONE | {"cardiac_hypertrophy": 0.85}}, 12),
    "aorta": (
        mark("Calcified and tortuous aorta"),
        {"findings": _NONE | {"aortic_atherosclerosis_calcification": 0.9, "aortic_curvature": 0.85}},
        13,
    ),
    "apical_caps": (mark("Apical pleural thickening"), {"findings": _NONE | {FINDINGS[3]: 0.85}}, 14),
    "infiltrate": (mark("Lung infiltrate"), {"findings": _NONE | {FINDINGS[4]: 0.9}}, 15),
    "spine": (mark("Worn and curved spine"), {"findings": _NONE | {FINDINGS[5]: 0.9, FINDINGS[6]: 0.8}}, 16),
    "borderline": (mark("Borderline"), {"findings": dict.fromkeys(FINDINGS, 0.45)}, 17),
}


def make_sample(sample_id: str) -> Phantom:
    """A phantom of the page's sample list: title, what is asked of `make_phantom`, and the seed."""
    _, options, seed = SAMPLES[sample_id]
    return make_phantom(np.random.default_rng([2026, seed]), **options)


def make_single(label: str | None) -> Phantom:
    """A phantom with one finding, marked, and none of the others; a normal one without `label`."""
    findings = _NONE | ({label: MARKED} if label else {})
    place = FINDINGS.index(label) if label else len(FINDINGS)
    return make_phantom(np.random.default_rng([2026, 50 + place]), findings=findings)
