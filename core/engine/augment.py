"""Geometry of augmentation: one call for every task that turns, scales, shifts or mirrors its crops."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float64]


def turned(
    crops: Tensor, size: int, *, angle: Floats, zoom: Floats, shift: Floats, mirror: Floats | float = 1.0
) -> Tensor:
    """The middle of each crop, turned and cut anew; beyond its edges the edge value continues.

    Args:
        crops: float (N, S, S).
        size: Side of the result, pixels.
        angle: Rotation, (N,), radians.
        zoom: Side of what is cut as a share of the crop's, (N,).
        shift: Of the middle, (N, 2) as x, y, in halves of the crop's side.
        mirror: -1 for a mirror image, left to right, (N,); 1 for none.

    Returns:
        float (N, size, size).
    """
    n = crops.shape[0]
    rows = [
        [mirror * zoom * np.cos(angle), -zoom * np.sin(angle), shift[:, 0]],
        [mirror * zoom * np.sin(angle), zoom * np.cos(angle), shift[:, 1]],
    ]
    theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(crops.device)
    grid = functional.affine_grid(theta, [n, 1, size, size], align_corners=False)
    return functional.grid_sample(crops[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
