"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.engine.augment import turned
from core.imaging.imagenet import MEAN, SD
from core.tasks.ct_osteoporosis.task import CONTEXT, HU_MAX, HU_MIN, ROI_MM, SIDE_MM, SIZE, SMOOTH_PX, SMOOTH_REACH

ROTATION_DEGREES = 12.0
SHIFT, SCALE = 0.025, 0.1  # of the region's side: a proposed region is never exactly where a drawn one would be
OFFSET_HU = 4.0  # about the calibration of a scanner; far below the distance between the classes
NOISE_HU = 30.0
MOVED_SHARE = 0.5  # of the images
TRANSITION = (1.0, 1.25)  # where a moved place passes into the other image, in half axes of the measured ellipse
FIELDS = ((2.0, 40.0), (5.0, 40.0), (20.0, 80.0))  # grain of the added fields in mm, and their largest SD in HU


def _to_input(hu: Tensor) -> Tensor:
    """As prepare.normalise: float (N, S, S) -> (N, 6, S, S)."""
    hu = _smoothed(hu)
    mean, sd = torch.from_numpy(MEAN).to(hu.device), torch.from_numpy(SD).to(hu.device)
    shares = [((hu - low) / (HU_MAX - low)).clamp(0, 1)[:, None] for low in (HU_MIN["s"], HU_MIN["t"])]
    return torch.cat([(share - mean) / sd for share in shares], dim=1)


def plain(stored: Tensor) -> Tensor:
    """Network input of the region itself, without augmentation: int16 HU (N, 192, 192) -> float (N, 6, 128, 128)."""
    margin = (stored.shape[-1] - SIZE) // 2
    return _to_input(stored[:, margin : margin + SIZE, margin : margin + SIZE].float())


def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotation, mirror image, shift, scale, other surroundings, a small offset of HU, noise, and unevenness that keeps the mean.

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
    hu = turned(stored.float(), SIZE, angle=angle, zoom=zoom, shift=shift, mirror=mirror)
    if n > 1:
        hu = _moved_elsewhere(hu, rng)
    offset = torch.from_numpy(rng.uniform(-OFFSET_HU, OFFSET_HU, n).astype(np.float32)).to(stored.device)
    spread = torch.from_numpy(rng.uniform(0, NOISE_HU, n).astype(np.float32)).to(stored.device)
    noise = torch.from_numpy(rng.standard_normal(hu.shape, np.float32)).to(stored.device)
    return _to_input(hu + offset[:, None, None] + spread[:, None, None] * noise + _fields(n, rng).to(stored.device))


def _smoothed(hu: Tensor) -> Tensor:
    """As prepare.smooth: float (N, S, S)."""
    reach = round(SMOOTH_REACH * SMOOTH_PX)
    weights = torch.exp(-0.5 * torch.square(torch.arange(-reach, reach + 1, device=hu.device) / SMOOTH_PX))
    weights = (weights / weights.sum())[None, None]
    padded = functional.pad(hu[:, None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights[..., None]), weights[:, :, None])[:, 0]


def _distance() -> Tensor:
    """From the middle, in half axes of the ellipse in which bone is measured: float (S, S), 1 on its border."""
    at = ((torch.arange(SIZE) + 0.5) / SIZE - 0.5) * SIDE_MM
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.hypot(x / (ROI_MM[0] / 2), y / (ROI_MM[1] / 2))


def _moved_elsewhere(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """The measured place of some images amid another image of the batch: float (N, S, S).

    The grade is that of the middle and must not be read off its neighbourhood.
    """
    inside = ((TRANSITION[1] - _distance()) / (TRANSITION[1] - TRANSITION[0])).clamp(0, 1).to(hu.device)
    others = hu[torch.from_numpy(rng.permutation(len(hu))).to(hu.device)]
    is_moved = torch.from_numpy(rng.random(len(hu)) < MOVED_SHARE).to(hu.device)[:, None, None]
    return torch.where(is_moved, inside * hu + (1 - inside) * others, hu)


def _measured() -> Tensor:
    """Share of every pixel in the mean over the ellipse in which bone is measured: float (S, S), sum 1."""
    inside = (_distance() <= 1).float()
    return inside / inside.sum()


def _fields(n: int, rng: np.random.Generator) -> Tensor:
    """Random unevenness that leaves the mean of the measured ellipse as it is: float HU (N, S, S).

    The grade is that mean: neither single trabeculae, veins and end plates in it nor anything around it may stand for it.
    """
    total = torch.zeros(n, SIZE, SIZE)
    for grain_mm, largest in FIELDS:
        side = round(SIDE_MM / grain_mm) + 1
        coarse = torch.from_numpy(
            rng.standard_normal((n, 1, side, side), np.float32)
            * rng.uniform(0, largest, (n, 1, 1, 1)).astype(np.float32)
        )
        total += functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=True)[:, 0]
    return total - (total * _measured()).sum(dim=(1, 2), keepdim=True)
