"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.tasks.ct_osteoporosis.task import CONTEXT, HU_MAX, HU_MIN, MEAN, SD, SIDE_MM, SIZE

ROTATION_DEGREES = 12.0
SHIFT, SCALE = 0.025, 0.1  # of the region's side: a proposed region is never exactly where a drawn one would be
OFFSET_HU = 4.0  # about the calibration of a scanner; far below the distance between the classes
NOISE_HU = 30.0
DETAIL, DETAIL_PX = (
    0.7,
    3.0,
)  # log of the largest gain of fine detail, as kernels and slice thickness change it; its scale
CORE_MM, EDGE_MM = (10.0, 8.0), 2.0  # half axes of the measured place in the middle, and the transition around it
AROUND_HU = (
    60.0  # change of everything around it: the grade is that of the middle and must not be read off its neighbourhood
)


def _to_input(hu: Tensor) -> Tensor:
    """As prepare.normalise: float (N, S, S) -> (N, 6, S, S)."""
    mean, sd = torch.from_numpy(MEAN).to(hu.device), torch.from_numpy(SD).to(hu.device)
    shares = [((hu - low) / (HU_MAX - low)).clamp(0, 1)[:, None] for low in (HU_MIN["s"], HU_MIN["t"])]
    return torch.cat([(share - mean) / sd for share in shares], dim=1)


def plain(stored: Tensor) -> Tensor:
    """Network input of the region itself, without augmentation: int16 HU (N, 192, 192) -> float (N, 6, 128, 128)."""
    margin = (stored.shape[-1] - SIZE) // 2
    return _to_input(stored[:, margin : margin + SIZE, margin : margin + SIZE].float())


def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotation, mirror image, shift, scale, noise, sharper or softer detail, a small offset of HU, a large one around the middle.

    The publication states none.

    Args:
        stored: int16 HU (N, 192, 192) with context.
        rng: Source of the randomness.

    Returns:
        float (N, 6, 128, 128).
    """
    n = stored.shape[0]
    angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, n))
    zoom = (1 + rng.uniform(-SCALE, SCALE, n)) / CONTEXT
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    shift = rng.uniform(-SHIFT, SHIFT, (n, 2)) * 2 / CONTEXT
    rows = [
        [mirror * zoom * np.cos(angle), -zoom * np.sin(angle), shift[:, 0]],
        [mirror * zoom * np.sin(angle), zoom * np.cos(angle), shift[:, 1]],
    ]
    theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(stored.device)
    grid = functional.affine_grid(theta, [n, 1, SIZE, SIZE], align_corners=False)
    turned = functional.grid_sample(stored.float()[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    gain = torch.from_numpy(np.exp(rng.uniform(-DETAIL, DETAIL, n)).astype(np.float32)).to(stored.device)
    smooth = _blurred(turned)
    turned = smooth + gain[:, None, None] * (turned - smooth)
    offset = torch.from_numpy(rng.uniform(-OFFSET_HU, OFFSET_HU, n).astype(np.float32)).to(stored.device)
    spread = torch.from_numpy(rng.uniform(0, NOISE_HU, n).astype(np.float32)).to(stored.device)
    noise = torch.from_numpy(rng.standard_normal(turned.shape, np.float32)).to(stored.device)
    return _to_input(turned + offset[:, None, None] + spread[:, None, None] * noise + _around(n, rng).to(stored.device))


def _blurred(hu: Tensor) -> Tensor:
    """Gaussian blur of standard deviation DETAIL_PX, edges repeated: float (N, S, S)."""
    reach = round(2.5 * DETAIL_PX)
    weights = torch.exp(-0.5 * torch.square(torch.arange(-reach, reach + 1, device=hu.device) / DETAIL_PX))
    weights = (weights / weights.sum())[None, None]
    padded = functional.pad(hu[:, None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights[..., None]), weights[:, :, None])[:, 0]


def _around(n: int, rng: np.random.Generator) -> Tensor:
    """A change of HU around the middle, another one in each image, with a slope across it: float (N, S, S)."""
    at = ((torch.arange(SIZE) + 0.5) / SIZE - 0.5) * SIDE_MM
    y, x = torch.meshgrid(at, at, indexing="ij")
    distance = (torch.hypot(x / CORE_MM[0], y / CORE_MM[1]) - 1) * CORE_MM[1]
    outside = torch.sigmoid(distance / (EDGE_MM / 2))
    level, across, down = (
        torch.from_numpy(rng.uniform(-AROUND_HU, AROUND_HU, n).astype(np.float32))[:, None, None] for _ in range(3)
    )
    return outside * (level + across * x / SIDE_MM + down * y / SIDE_MM)
