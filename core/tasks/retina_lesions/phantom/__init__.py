"""Phantom of a colour fundus photograph with known lesions, at five time points.

A latent severity gives the load of red lesions (microaneurysms, haemorrhages) and of bright lesions (hard exudates), each with
noise of its own: about a third of the eyes has none, some have one kind only. Everything else (colour, vessels, pigment spots,
drusen, reflexes, dust, light) has generators of its own: with the same seed only the lesions change with the severity.

The five time points of an eye show the same lesions with another light, contrast, brightness, gamma, blur and noise, and moved
by 1.5 pixels at most.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.i18n import mark
from core.phantom import Phantom
from core.tasks.retina_lesions.phantom.camera import field_of_view, move_masks, photograph
from core.tasks.retina_lesions.phantom.eye import Eye, draw_eye, draw_person, grid
from core.tasks.retina_lesions.phantom.fundus import draw_fundus
from core.tasks.retina_lesions.phantom.lesions import Lesions, draw_lesions, paint_lesions
from core.tasks.retina_lesions.phantom.vessels import grow

TIME_POINTS = 5
MARKERS = ("microaneurysm_share", "haemorrhage_share", "bright_share")


@dataclass(frozen=True)
class _Scene:
    """An eye in even light: log colour float32 (3, N, N), lesions, and masks before the camera."""

    eye: Eye
    log_rgb: NDArray[np.float32]
    lesions: Lesions
    masks: dict[str, NDArray[np.bool_]]


def make_phantom(
    rng: np.random.Generator, *, severity: float | None = None, time_point: int = 0, size: int = 1024
) -> Phantom:
    """One photograph with its truth. The same generator state gives the same bytes.

    Args:
        rng: Source of all randomness: one integer is drawn from it, the seed of the eye.
        severity: Cause, standard normal in the population; drawn when None.
        time_point: 0-4; generators of the same state give the time points of one eye.
        size: Side of the picture in pixels.

    Returns:
        Phantom with `truth` keys severity, laterality, time_point, n_microaneurysms, n_haemorrhages, n_exudates, has_red,
        has_bright, disc_xy and fovea_xy (pixels), and the boolean masks (size, size) "red" (microaneurysms and haemorrhages),
        "microaneurysm", "haemorrhage", "bright" (hard exudates), "disc" and "field" (the camera's field of view).
    """
    return _expose(_scene(int(rng.integers(2**62)), severity, size), time_point)


def make_time_points(
    rng: np.random.Generator, *, severity: float | None = None, size: int = 1024
) -> tuple[Phantom, ...]:
    """The five photographs that `make_phantom` makes of one eye, with the eye drawn once."""
    scene = _scene(int(rng.integers(2**62)), severity, size)
    return tuple(_expose(scene, time_point) for time_point in range(TIME_POINTS))


def _scene(seed: int, severity: float | None, size: int) -> _Scene:
    eye = draw_eye(seed)
    vessels = grow(eye)
    log_rgb, blood = draw_fundus(eye, vessels, size)
    lesions = draw_lesions(eye, severity, blood)
    masks = paint_lesions(log_rgb, lesions)
    x, y = grid(size)
    across, down = (radius / 1024 for radius in eye.disc_radii)
    masks["disc"] = np.hypot((x - eye.disc[0]) / across, (y - eye.disc[1]) / down) < 1
    return _Scene(eye, log_rgb, lesions, masks)


def _expose(scene: _Scene, time_point: int) -> Phantom:
    eye, lesions, size = scene.eye, scene.lesions, scene.log_rgb.shape[1]
    field = field_of_view(eye, size)
    pixels, settings = photograph(scene.log_rgb, eye, field, time_point)
    masks = {name: mask & field for name, mask in move_masks(scene.masks, settings).items()}
    masks["red"] = masks["microaneurysm"] | masks["haemorrhage"]
    truth: dict[str, object] = {
        "severity": lesions.severity,
        "laterality": eye.laterality,
        "time_point": time_point,
        "n_microaneurysms": len(lesions.microaneurysms),
        "n_haemorrhages": len(lesions.haemorrhages),
        "n_exudates": len(lesions.exudates),
        "has_red": bool(masks["red"].any()),
        "has_bright": bool(masks["bright"].any()),
        "disc_xy": tuple(float(share * size) for share in eye.disc),
        "fovea_xy": tuple(float(share * size) for share in eye.fovea),
    }
    shares = {name: float(masks[name.removesuffix("_share")].sum() / field.sum()) for name in MARKERS}
    return Phantom(
        pixels=pixels,
        unit="rgb",
        truth={**truth, **masks, "field": field},
        markers=shares,
        meta=draw_person(eye.seed, eye.laterality),
    )


SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "both": (mark("Red and bright lesions"), {"severity": 1.2}, 14),
    "red_only": (mark("Red lesions only"), {"severity": -0.3}, 27),
    "bright_only": (mark("Bright lesions only"), {"severity": 0.2}, 21),
    "few": (mark("Few lesions"), {"severity": -0.15}, 30),
    "none": (mark("No lesions"), {"severity": -3.0}, 24),
    "low_contrast": (mark("Low contrast"), {"severity": 1.2, "time_point": 1}, 18),
}


def make_sample(sample_id: str) -> Phantom:
    """A phantom of the page's sample list: title, what is asked of `make_phantom`, and the seed."""
    _, options, seed = SAMPLES[sample_id]
    return make_phantom(np.random.default_rng([2026, seed]), **options)
