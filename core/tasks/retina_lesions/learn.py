"""Augmentation on the fly, for training folds only."""

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from core.tasks.retina_lesions.task import EXUDATE, FINER, HAEMORRHAGE, OUTSIDE, REACHES, STORED_STEP, STORED_ZERO

SHIFT = 0.25  # of the side: how far the field is moved at most, to each side
ZOOM = (-0.25, 0.2)  # logarithm of what is shown
WIDE_ZOOM, WIDE = (-0.9, 0.3), 0.1  # of some pictures: lesions grow up to 2.5 times, so that a large one is no surprise
GAIN, TINT, NOISE = 0.25, 0.3, 0.5  # logarithm of contrast; shift of each colour; SD at most
# A large haemorrhage before the retina is rare, and serious: it is drawn into some pictures. Its area is a share of the picture,
# its depth what it takes off red, green and blue of the fine view; of the view against the whole field it takes WHOLE as much, as
# the marked haemorrhages of IDRiD do.
BLOOD, BLOOD_AREA, BLOOD_DEPTH, BLOOD_TINT, WHOLE = 0.15, (0.02, 0.25), (1.5, 5.0), (1.0, 1.4, 0.1), 0.28
_GRID, _LEAN, _CLARITY = (
    6,
    1.5,
    0.4,
)  # coarse noise that shapes it; how far it lies to one side; of the retina seen through it


def plain(stored: Tensor) -> Tensor:
    """Network input without augmentation: uint8 (N, S, S, 6) -> float (N, 6, S, S)."""
    return (stored.permute(0, 3, 1, 2).float() - STORED_ZERO) * STORED_STEP


def augment_with_map(stored: Tensor, label_maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image turned by any angle, mirrored, scaled and moved; with other contrast, tint and noise; blood in some of them.

    Args:
        stored: uint8 (N, FINER S, FINER S, 6).
        label_maps: uint8 (N, S, S).
        rng: Source of the randomness.

    Returns:
        float (N, 6, S, S), and uint8 (N, S, S): training sees one scale, lesions of all sizes in it.
    """
    n, side = len(stored), label_maps.shape[1]
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
    x = functional.grid_sample(functional.avg_pool2d(plain(stored), FINER), grid, align_corners=False)
    truth = functional.grid_sample(maps, grid, mode="nearest", align_corners=False)[:, 0] + OUTSIDE

    for index in np.flatnonzero(rng.random(n) < BLOOD):
        _draw_haemorrhage(x[index], truth[index], rng)

    def drawn(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(stored.device)

    gain = drawn(np.exp(rng.uniform(-GAIN, GAIN, (n, x.shape[1], 1, 1))))
    tint, spread = drawn(rng.uniform(-TINT, TINT, (n, x.shape[1], 1, 1))), drawn(rng.uniform(0, NOISE, (n, 1, 1, 1)))
    return x * gain + tint + spread * torch.randn_like(x), truth.to(torch.uint8)


def _draw_haemorrhage(x: Tensor, truth: Tensor, rng: np.random.Generator) -> None:
    """Let blood cover a part of the field, in place.

    A view is the picture less its local mean, so blood b takes b less its local mean off the view.

    Args:
        x: float (6, S, S).
        truth: float (S, S), classes.
        rng: Source of the randomness.
    """
    side = x.shape[-1]
    coarse = torch.from_numpy(rng.normal(size=(1, 1, _GRID, _GRID)).astype(np.float32)).to(x.device)
    shape = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)[0, 0]
    at, angle = torch.linspace(-1, 1, side, device=x.device), rng.uniform(0, 2 * np.pi)
    shape = shape + _LEAN * (np.cos(angle) * at[None, :] + np.sin(angle) * at[:, None])
    limit = float(np.quantile(shape[::4, ::4].numpy(force=True), 1 - rng.uniform(*BLOOD_AREA)))
    inside = truth != OUTSIDE
    blood = torch.sigmoid((shape - limit) * rng.uniform(20, 60)) * inside
    depth = rng.uniform(*BLOOD_DEPTH) * np.array(BLOOD_TINT) * np.exp(rng.uniform(-0.3, 0.3, 3))
    taken = torch.from_numpy(np.concatenate([depth, WHOLE * depth]).astype(np.float32)).to(x.device)[:, None, None]
    around = torch.stack([_local_mean(blood, REACHES[0] * side), blood.mean().expand_as(blood)])
    x *= 1 - (1 - _CLARITY) * blood
    x -= taken * (blood - around.repeat_interleave(3, dim=0)) * inside
    truth[(blood > 0.5) & inside] = HAEMORRHAGE


def _local_mean(values: Tensor, spread: float) -> Tensor:
    """Gaussian mean of (S, S), on an eighth of the resolution."""
    small = functional.avg_pool2d(values[None, None], 8)
    reach = int(3 * spread / 8) + 1
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) * 8 / spread) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(small, (reach,) * 4, mode="replicate")
    smooth = functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])
    return functional.interpolate(smooth, values.shape, mode="bilinear", align_corners=False)[0, 0]


def truth(label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boolean (2, S, S), where each label is marked, and boolean (S, S), the field of view, from uint8 (S, S)."""
    return np.stack([label_map == HAEMORRHAGE, label_map == EXUDATE]), label_map != OUTSIDE


def rule(stored: np.ndarray) -> np.ndarray:
    """The trivial rule that a network must beat: dark green is a haemorrhage, bright green an exudate.

    Args:
        stored: uint8 (FINER S, FINER S, 6).

    Returns:
        float32 (2, S, S), in [0, 1].
    """
    side = len(stored) // FINER
    blocks = stored[:, :, 1].astype(np.float32).reshape(side, FINER, side, FINER)
    green = (blocks.mean(axis=(1, 3)) - STORED_ZERO) * STORED_STEP
    return np.stack([expit(-green), expit(green)])
