"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from torch import Tensor

from core.engine.augment import turned
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
    ratios = turned(stored.float() * STORED_STEP, side, angle=angle, zoom=zoom, shift=shift)
    gain = torch.from_numpy((1 + rng.uniform(-GAIN, GAIN, n)).astype(np.float32)).to(stored.device)
    return _to_input(ratios * gain[:, None, None])
