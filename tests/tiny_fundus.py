"""A photograph of known geometry: a lit orange disc on black, with fine texture, cut at top and bottom where wanted."""

import numpy as np

from core.records import Frame, Study

Circle = tuple[float, float, float]
ORANGE = (170.0, 90.0, 35.0)


def disc(
    shape: tuple[int, int], circle: Circle, half_height: float = np.inf, texture: float = 6.0, seed: int = 0
) -> np.ndarray:
    """uint8 (H, W, 3).

    Args:
        shape: (H, W).
        circle: x, y and radius, pixels.
        half_height: Beyond this distance above and below the middle the camera cuts the circle, in radii.
        texture: Standard deviation of the noise in the disc, grey levels.
        seed: Of the noise.
    """
    x, y, radius = circle
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = (np.hypot(columns - x, rows - y) < radius) & (np.abs(rows - y) < half_height * radius)
    noise = texture * np.random.default_rng(seed).standard_normal((*shape, 1), dtype=np.float32)
    return np.clip(inside[:, :, None] * (np.array(ORANGE, np.float32) + noise), 0, 255).astype(np.uint8)


def photograph(pixels: np.ndarray, **tags: str) -> Study:
    """The study of a picture, without a detour through a file."""
    return Study((Frame(pixels, "rgb"),), "0" * 64, "raster", tags)
