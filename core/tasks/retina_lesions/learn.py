"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from core.tasks.retina_lesions.task import EXUDATE, HAEMORRHAGE, OUTSIDE, STORED_STEP, STORED_ZERO

SHIFT = 0.25  # of the side: how far the field is moved at most, to each side
ZOOM = (-0.25, 0.2)  # logarithm of what is shown
WIDE_ZOOM, WIDE = (-0.9, 0.3), 0.1  # of some pictures: lesions grow up to 2.5 times, so that a large one is no surprise
GAIN, TINT, NOISE = 0.25, 0.3, 0.5  # logarithm of contrast; shift of each colour; SD at most


def plain(stored: Tensor) -> Tensor:
    """Network input without augmentation: uint8 (N, S, S, 6) -> float (N, 6, S, S)."""
    return (stored.permute(0, 3, 1, 2).float() - STORED_ZERO) * STORED_STEP


def augment_with_map(stored: Tensor, label_maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image turned by any angle, mirrored, scaled and moved; with other contrast, tint and noise.

    Args:
        stored: uint8 (N, S, S, 6).
        label_maps: uint8 (N, S, S).
        rng: Source of the randomness.

    Returns:
        float (N, 6, S, S), and uint8 (N, S, S).
    """
    n, side = len(stored), stored.shape[1]
    shift = rng.uniform(-2 * SHIFT, 2 * SHIFT, (n, 2))  # in halves of the side
    angle, mirror = rng.uniform(0, 2 * np.pi, n), np.where(rng.random(n) < 0.5, -1.0, 1.0)
    wide = rng.random(n) < WIDE
    zoom = np.exp(np.where(wide, rng.uniform(*WIDE_ZOOM, n), rng.uniform(*ZOOM, n)))
    rows = [
        [mirror * zoom * np.cos(angle), -zoom * np.sin(angle), shift[:, 0]],
        [mirror * zoom * np.sin(angle), zoom * np.cos(angle), shift[:, 1]],
    ]
    theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(stored.device)
    grid = functional.affine_grid(theta, [n, 1, side, side], align_corners=False)
    maps = label_maps[:, None].float() - OUTSIDE
    x = functional.grid_sample(plain(stored), grid, align_corners=False)
    truth = functional.grid_sample(maps, grid, mode="nearest", align_corners=False)[:, 0] + OUTSIDE

    def drawn(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(stored.device)

    gain = drawn(np.exp(rng.uniform(-GAIN, GAIN, (n, x.shape[1], 1, 1))))
    tint, spread = drawn(rng.uniform(-TINT, TINT, (n, x.shape[1], 1, 1))), drawn(rng.uniform(0, NOISE, (n, 1, 1, 1)))
    return x * gain + tint + spread * torch.randn_like(x), truth.to(torch.uint8)


def truth(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boolean (2, S, S), where each label is marked, and boolean (S, S), the field of view, from uint8 (S, S)."""
    return np.stack([label_map == HAEMORRHAGE, label_map == EXUDATE]), label_map != OUTSIDE


def rule(stored: np.ndarray) -> np.ndarray:
    """The trivial rule that a network must beat: dark green is a haemorrhage, bright green an exudate.

    Args:
        stored: uint8 (S, S, 6).

    Returns:
        float32 (2, S, S), in [0, 1].
    """
    green = (stored[:, :, 1].astype(np.float32) - STORED_ZERO) * STORED_STEP
    return np.stack([expit(-green), expit(green)])
