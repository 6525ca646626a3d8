"""Heart, great vessels, aorta and airways: path lengths in mm, and the outlines that the heart is measured on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import Array, blob, capsule, field, path_length
from core.tasks.chest_lesions.phantom.film import Film, Points
from core.tasks.chest_lesions.phantom.findings import Signs
from core.tasks.chest_lesions.phantom.patient import Chest, stream
from core.tasks.chest_lesions.phantom.trunk import diaphragm, lung_outline

WALL_MM = 1.6  # of the aorta, where calcium lies


@dataclass(frozen=True)
class Heart:
    """Silhouette of the heart: height range, and half widths from its middle to the right and to the left (mm)."""

    middle: float
    top: float
    bottom: float
    right: float
    left: float

    def half_widths(self, y: Array) -> tuple[Array, Array]:
        """Extent to the right and to the left at a height; 0 above and below."""
        down = (y - self.top) / (self.bottom - self.top)
        seen = (down >= 0) & (down <= 1)
        right = np.where(down < 0.62, (0.62 - down) / 0.8, (down - 0.62) / 0.46)
        left = np.where(down < 0.70, (0.70 - down) / 0.82, (down - 0.70) / 0.36)
        return (
            np.where(seen, self.right * np.maximum(1 - np.abs(right) ** 2.0, 0) ** 0.6, 0),
            np.where(seen, self.left * np.maximum(1 - np.abs(left) ** 1.8, 0) ** 0.7, 0),
        )

    def outline(self) -> Points:
        """Both borders, points (N, 2) in mm."""
        y = np.linspace(self.top, self.bottom, 400)
        right, left = self.half_widths(y)
        return np.concatenate([np.stack([self.middle - right, y], 1), np.stack([self.middle + left, y], 1)])


@dataclass(frozen=True)
class Aorta:
    """Course of the aorta (mm): the knob as a disc, the descending part as a strip beside the spine, the ascending part."""

    knob: tuple[float, float]
    radius: float
    end_y: float
    strip_radius: float
    convexity: float
    ascending: float

    def strip_x(self, y: Array) -> Array:
        """Axis of the descending part at a height."""
        down = np.clip((y - self.knob[1]) / (self.end_y - self.knob[1]), 0, 1)
        return self.knob[0] * (1 - down) + 3 * down + self.convexity * np.sin(np.pi * down)


def draw_heart(chest: Chest, film: Film, seed: int, ratio: float) -> Heart:
    """The heart that gives a cardiothoracic ratio; a third of it lies right of the midline."""
    rng = stream(seed, "heart")
    thorax = np.concatenate([film.pixel(lung_outline(chest, side))[:, 0] for side in (-1, 1)])
    width = ratio * float(np.ptp(thorax)) * film.spacing_mm
    share = rng.uniform(0.29, 0.37)
    floor = float(np.mean(diaphragm(chest, np.array([-20.0, 20.0]))))
    return Heart(
        middle=30 * chest.rotation,
        top=chest.level(6.0 + rng.uniform(-0.3, 0.3)),
        bottom=floor + rng.uniform(14, 24) * chest.size,
        right=share * width,
        left=(1 - share) * width,
    )


def draw_aorta(chest: Chest, seed: int, signs: Signs) -> Aorta:
    """An aorta as tortuous as the markers say."""
    rng = stream(seed, "arch")
    size, more = chest.size, (signs.protrusion_mm - 30) / 18
    radius = size * (14.5 + 4.5 * more) * rng.uniform(0.95, 1.05)
    return Aorta(
        knob=(size * signs.protrusion_mm - radius, chest.level(4.1 + rng.uniform(-0.25, 0.25)) - 5 * size * more),
        radius=radius,
        end_y=chest.level(10.5),
        strip_radius=size * (11 + 2 * more),
        convexity=size * signs.convexity_mm,
        ascending=size * (27 + 6 * max(more, 0.0)),
    )


def heart_path(chest: Chest, heart: Heart, film: Film) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Path (mm) through the heart and its silhouette."""
    right, left = heart.half_widths(film.y)
    away = film.x - np.float32(heart.middle)
    half = np.where(away < 0, right, left)
    across = np.abs(away) / np.maximum(half, 1e-3)
    down = np.clip((film.y - heart.top) / (heart.bottom - heart.top), 0, 1)
    deep = 1.62 * chest.depth * np.sqrt(np.minimum(down / 0.5, 1) * (2 - np.minimum(down / 0.5, 1)))
    path = np.where(half > 0, deep * np.sqrt(np.maximum(1 - across**2.6, 0)), 0)
    return path.astype(np.float32), (half > 0) & (across < 1)


def vessels_path(chest: Chest, aorta: Aorta, film: Film) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Path (mm) through aorta, upper great vessels and pulmonary trunk, and their silhouette."""
    size, x, y = chest.size, film.x, film.y
    turned = 20 * chest.rotation
    x_knob, y_knob = aorta.knob
    knob = np.hypot(x - x_knob, y - y_knob) / aorta.radius
    strip = np.abs(x - aorta.strip_x(y)) / aorta.strip_radius
    strip_deep = 2 * aorta.strip_radius * np.clip((y - y_knob) / 12, 0, 1) * np.clip((aorta.end_y - y) / 40, 0, 1)
    flare = np.maximum(-(y - chest.level(1.8)) / (46 * size), 0)
    half = np.where(x < turned, 23 + 8 * flare, 18 + 13 * flare) * size
    upper = np.abs(x - turned) / half
    upper_deep = 66 * size * np.clip((chest.level(7.4) - y) / (46 * size), 0, 1)
    ascending = capsule(x, y, *np.array([[turned - 9, y_knob + 12], [turned - 7, chest.level(7)]], np.float32))[0]
    trunk = np.hypot((x - turned - 15 * size) / (20 * size), (y - chest.level(6.1)) / (26 * size))
    parts = (
        62 * size * np.sqrt(np.maximum(1 - knob**3, 0)),
        strip_deep * np.sqrt(np.maximum(1 - strip**2, 0)),
        upper_deep * np.sqrt(np.maximum(1 - upper**3, 0)),
        path_length(ascending, aorta.ascending - 9),
        46 * size * np.sqrt(np.maximum(1 - trunk**3, 0)),
    )
    seen = (knob < 1) | ((strip < 1) & (strip_deep > 0)) | ((upper < 1) & (upper_deep > 0)) | (trunk < 1)
    return np.asarray(sum(parts), np.float32), seen


def calcium_path(aorta: Aorta, film: Film, seed: int, signs: Signs) -> NDArray[np.float32]:
    """Path through calcium in the wall of the arch, broken into plaques; as soft tissue, mm."""
    rng = stream(seed, "plaques")
    start, gaps = rng.uniform(-0.5, 0.4), field(rng, (1, 64), 5.0)[0]
    calcium = np.zeros(film.shape, np.float32)
    where = film.near(np.array([aorta.knob]), aorta.radius + 3)
    x, y = film.x[where] - np.float32(aorta.knob[0]), film.y[where] - np.float32(aorta.knob[1])
    turn = np.arctan2(y, x) - start  # 0 towards the left of the patient
    turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi) / np.pi
    along = np.clip((signs.calcified_share - turn) / 0.06 + 0.5, 0, 1)
    broken = np.clip(0.75 + 0.45 * np.interp(turn * 63, np.arange(64), gaps), 0.15, 1.2)
    wall = blob(np.hypot(x, y) - (aorta.radius - WALL_MM), 0.55 * WALL_MM)
    calcium[where] = signs.calcium_mm * along * broken * wall
    return calcium


def airways_path(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Path (mm) through trachea and main bronchi."""
    rng, size = stream(seed, "airways"), chest.size
    bend, carina = rng.uniform(-1, 4), np.array([rng.uniform(0, 3), chest.level(5.3)])
    trachea = np.array([-bend, chest.level(3.8)])
    legs = [
        (np.array([0.0, chest.level(-4)]), trachea, 9.0),
        (trachea, carina, 8.6),
        (carina, carina + size * np.array([-30.0, 22.0]), 6.0),
        (carina, carina + size * np.array([36.0, 27.0]), 5.4),
    ]
    air = np.zeros(film.shape, np.float32)
    for a, b, radius in legs:
        where = film.near(np.array([a, b]), size * radius)
        distance, _ = capsule(film.x[where], film.y[where], a, b)
        air[where] = np.maximum(air[where], path_length(distance, size * radius))
    return air
