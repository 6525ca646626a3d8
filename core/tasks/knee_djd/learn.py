"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.tasks.knee_djd.task import STORED_STEP

ROTATION_DEGREES = 8.0
SHIFT, SCALE, GAIN = 0.06, 0.06, 0.04  # of the region's side, of its size, and of the shaft reference, which is noisy


def _to_input(ratios: Tensor) -> Tensor:
    """As prepare.compress: float (N, S, S) -> (N, 1, S, S)."""
    return torch.log1p(ratios.clamp_min(0))[:, None]


def plain(stored: Tensor) -> Tensor:
    """Network input without augmentation: int16 (N, 128, 128) -> float (N, 1, 128, 128)."""
    return _to_input(stored.float() * STORED_STEP)


def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
    """Small rotations, shifts, scales and gains. The reference uses none.

    Args:
        stored: int16 (N, 128, 128).
        rng: Source of the randomness.

    Returns:
        float (N, 1, 128, 128).
    """
    n, side = stored.shape[0], stored.shape[-1]
    angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, n))
    zoom = 1 + rng.uniform(-SCALE, SCALE, n)
    shift = rng.uniform(-SHIFT, SHIFT, (n, 2)) * 2
    rows = [
        [zoom * np.cos(angle), -zoom * np.sin(angle), shift[:, 0]],
        [zoom * np.sin(angle), zoom * np.cos(angle), shift[:, 1]],
    ]
    theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(stored.device)
    grid = functional.affine_grid(theta, [n, 1, side, side], align_corners=False)
    ratios = (stored.float() * STORED_STEP)[:, None]
    turned = functional.grid_sample(ratios, grid, padding_mode="border", align_corners=False)[:, 0]
    gain = torch.from_numpy((1 + rng.uniform(-GAIN, GAIN, n)).astype(np.float32)).to(stored.device)
    return _to_input(turned * gain[:, None, None])
