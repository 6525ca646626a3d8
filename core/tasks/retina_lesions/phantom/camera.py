"""What the camera makes of an eye at one time point: pose, light, contrast, brightness, gamma, blur, noise, dust."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from core.imaging.drawing import blob, patch
from core.tasks.retina_lesions.phantom.eye import SIDE, Eye, grid, stream

SHIFT_PX = 1.5
N_DUST, DUST_SEED = 7, 5  # the specks sit in the camera: the same in every patient


@dataclass(frozen=True)
class Settings:
    """Of one photograph.

    Attributes:
        shift: Rows and columns, pixels.
        turn: Rotation around the middle (rad): 1.5 pixels at the edge at most.
        tilt: Change of the light over the side, across and down.
        vignette: Loss of light at the edge.
        contrast, brightness, gamma: Of the picture.
        blur: Standard deviation, pixels of 1024.
        noise: Standard deviation, grey levels.
    """

    shift: tuple[float, float]
    turn: float
    tilt: tuple[float, float]
    vignette: float
    contrast: float
    brightness: float
    gamma: float
    blur: float
    noise: float


def draw_settings(rng: np.random.Generator, size: int) -> Settings:
    """Settings of one time point, independent of the eye."""
    (down, right), turn = rng.uniform(-SHIFT_PX, SHIFT_PX, 2), rng.uniform(-SHIFT_PX, SHIFT_PX) / (size / 2)
    across, along = rng.uniform(-0.4, 0.4, 2)
    return Settings(
        shift=(float(down), float(right)),
        turn=float(turn),
        tilt=(float(across), float(along)),
        vignette=rng.uniform(0.05, 0.5),
        contrast=rng.uniform(0.65, 1.25),
        brightness=rng.uniform(0.75, 1.2),
        gamma=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.7, 2.0),
        noise=rng.uniform(1.0, 3.5),
    )


def _pose(settings: Settings, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and offset of `affine_transform` for shift and rotation around the middle."""
    cos, sin = np.cos(settings.turn), np.sin(settings.turn)
    matrix = np.array([[cos, sin], [-sin, cos]])
    middle = np.full(2, (size - 1) / 2)
    return matrix, middle - matrix @ (middle + settings.shift)


def move_masks(masks: Mapping[str, NDArray[np.bool_]], settings: Settings) -> dict[str, NDArray[np.bool_]]:
    """Masks (N, N) as the camera sees them."""
    packed = np.packbits(np.stack(list(masks.values())), axis=0, bitorder="little")[0]
    matrix, offset = _pose(settings, len(packed))
    moved: NDArray[np.uint8] = affine_transform(packed, matrix, offset, order=0)
    return {name: (moved >> bit & 1).astype(np.bool_) for bit, name in enumerate(masks)}


def field_of_view(eye: Eye, size: int) -> NDArray[np.bool_]:
    """Boolean (N, N): inside the round mask of the camera, which does not move with the eye."""
    x, y = grid(size)
    inside: NDArray[np.bool_] = (np.hypot(x - 0.5, y - 0.5) < eye.field_radius) & (
        np.abs(y - 0.5) < eye.field_half_height
    )
    return inside


def _light(settings: Settings, size: int) -> NDArray[np.float32]:
    """float32 (N, N): tilt, vignette and dust."""
    x, y = grid(size)
    radius = np.hypot(x - 0.5, y - 0.5)
    light = 1 + settings.tilt[0] * (x - 0.5) + settings.tilt[1] * (y - 0.5)
    light = light * (1 - settings.vignette * np.square(radius / 0.5) * (radius / 0.5))
    rng = np.random.default_rng(DUST_SEED)
    for across, down, width, depth in rng.uniform((0.12, 0.15, 2, 0.06), (0.88, 0.85, 6, 0.25), (N_DUST, 4)):
        place = np.array([across, down]) * size - 0.5
        where, column, row = patch((size, size), place[None], 4 * width * size / SIDE)
        distance = np.hypot(column - np.float32(place[0]), row - np.float32(place[1])) * np.float32(SIDE / size)
        light[where] *= 1 - np.float32(depth) * blob(distance, width)
    return light.astype(np.float32, copy=False)


def photograph(
    log_rgb: NDArray[np.float32], eye: Eye, field: NDArray[np.bool_], time_point: int
) -> tuple[NDArray[np.uint8], Settings]:
    """The picture of an eye at one time point.

    Args:
        log_rgb: float32 (3, N, N), logarithm of the colour in even light, 0-255.
        eye: Whose photograph.
        field: Boolean (N, N), the camera's field.
        time_point: 0-4.

    Returns:
        uint8 (N, N, 3), and the settings.
    """
    size = log_rgb.shape[1]
    rng = stream(eye.seed, "photograph", time_point)
    settings = draw_settings(rng, size)
    matrix, offset = _pose(settings, size)
    light = _light(settings, size)
    noise = rng.standard_normal((size, size, 4), dtype=np.float32)
    picture = np.empty((size, size, 3), np.uint8)
    for index, (channel, base) in enumerate(zip(log_rgb, eye.base, strict=True)):
        value = affine_transform(np.exp(channel), matrix, offset, order=1, mode="nearest")
        value = gaussian_filter(value, settings.blur * size / SIDE, truncate=3)
        value = (base + settings.contrast * (value - base)) * light * settings.brightness
        value = 255 * (np.clip(value, 0, 255) / 255) ** np.float32(settings.gamma)
        value += settings.noise * (0.8 * noise[..., index] + 0.6 * noise[..., 3])
        picture[..., index] = np.clip(np.where(field, value, 1.2 * np.abs(noise[..., 3])), 0, 255)
    return picture, settings
