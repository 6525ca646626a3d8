"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from torch import Tensor

from core.engine.augment import turned
from core.imaging.imagenet import MEAN, SD
from core.tasks.hip_osteoporosis.task import CONTEXT, SIZE, STORED_HIGH, STORED_LOW

ROTATION_DEGREES = 20.0
BRIGHTNESS_SHARE, BRIGHTNESS_CHANGE = 0.3, 0.05
SHIFT, SCALE = 0.04, 0.06  # of the region's side: a proposed region is never exactly where a drawn one would be


def _stretched(stored: Tensor) -> Tensor:
    """uint8 of `data.training_array` back to the stretched range."""
    return stored.float() / 255 * (STORED_HIGH - STORED_LOW) + STORED_LOW


def _to_input(crops: Tensor) -> Tensor:
    """As prepare.normalise: float (N, S, S) -> (N, 3, S, S)."""
    mean, sd = torch.from_numpy(MEAN).to(crops.device), torch.from_numpy(SD).to(crops.device)
    return (crops.clamp(0, 1)[:, None] - mean) / sd


def plain(stored: Tensor) -> Tensor:
    """Network input of the region itself, without augmentation: uint8 (N, 288, 288) -> float (N, 3, 224, 224)."""
    margin = (stored.shape[-1] - SIZE) // 2
    return _to_input(_stretched(stored[:, margin : margin + SIZE, margin : margin + SIZE]))


def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotation of +-20 degrees; brightness of +-5 % of the full range in 30 %, as in the reference; a small shift and scale.

    The reference gives brightness in degrees, which has no meaning; +-5 % of the range is our reading.

    Args:
        stored: uint8 (N, 288, 288) with context.
        rng: Source of the randomness.

    Returns:
        float (N, 3, 224, 224).
    """
    crops = _stretched(stored)
    n = crops.shape[0]
    angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, n))
    zoom = (1 + rng.uniform(-SCALE, SCALE, n)) / CONTEXT
    shift = rng.uniform(-SHIFT, SHIFT, (n, 2)) * 2 / CONTEXT
    crops = turned(crops, SIZE, angle=angle, zoom=zoom, shift=shift)
    change = np.where(rng.random(n) < BRIGHTNESS_SHARE, rng.uniform(-BRIGHTNESS_CHANGE, BRIGHTNESS_CHANGE, n), 0)
    return _to_input(crops + torch.from_numpy(change.astype(np.float32)).to(crops.device)[:, None, None])
