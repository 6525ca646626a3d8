"""Small irregular marks: how lesions, drusen and pigment spots are described and painted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.imaging.drawing import patch
from core.tasks.retina_lesions.phantom.eye import SIDE

LEAST_RADIUS_PX = 0.8  # a smaller mark would slip between the centres of the pixels


@dataclass(frozen=True)
class Mark:
    """One mark with a wavy outline.

    Attributes:
        place: Centre (x, y), shares of the side.
        radius: Mean radius, pixels of 1024.
        edge: Width of the edge, pixels of 1024.
        amount: Strength in the middle.
        stretch: Length over width, area kept.
        angle: Of the long axis (rad).
        waves: Depth and phase of the outline's waves, two, three and five a turn.
    """

    place: tuple[float, float]
    radius: float
    edge: float
    amount: float
    stretch: float = 1.0
    angle: float = 0.0
    waves: tuple[tuple[float, float], ...] = ()


def draw_waves(rng: np.random.Generator, depth: float) -> tuple[tuple[float, float], ...]:
    """Waves of an outline of relative depth about `depth`."""
    deep, phase = depth * rng.uniform(0, 1, 3), rng.uniform(0, 2 * np.pi, 3)
    return tuple((float(a), float(b)) for a, b in zip(deep, phase, strict=True))


def paint(layer: NDArray[np.float32], marks: Sequence[Mark]) -> NDArray[np.bool_]:
    """Lay marks into a layer, where the strongest wins.

    Args:
        layer: float32 (N, N), changed in place.
        marks: What to paint.

    Returns:
        Boolean (N, N): where at least half of a pixel belongs to a mark.
    """
    size = len(layer)
    scale = size / SIDE
    covered = np.zeros(layer.shape, np.bool_)
    for mark in marks:
        centre = np.array(mark.place) * size - 0.5
        radius = max(mark.radius * scale, LEAST_RADIUS_PX)
        edge = max(mark.edge * scale, 1.0)
        where, x, y = patch(layer.shape, centre[None], 1.6 * radius * np.sqrt(mark.stretch) + edge)
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        cos, sin = np.float32(np.cos(mark.angle)), np.float32(np.sin(mark.angle))
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        along, across = along / np.float32(np.sqrt(mark.stretch)), across * np.float32(np.sqrt(mark.stretch))
        outline = np.float32(radius)
        if mark.waves:
            turn = np.arctan2(across, along)
            waves = zip((2, 3, 5), mark.waves, strict=True)
            outline = radius * (1 + sum(depth * np.cos(n * turn + phase) for n, (depth, phase) in waves))
        cover = np.clip(0.5 + (outline - np.hypot(along, across)) / np.float32(edge), 0, 1).astype(np.float32)
        np.maximum(layer[where], np.float32(mark.amount) * cover, out=layer[where])
        covered[where] |= cover >= 0.5
    return covered
