"""How far masks of one scene agree: of two networks on one photograph, or of one network on several photographs of an eye."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.records import Box

GRID_SIDE = 640  # no coarser than the networks' own pixels: a lesion of four of them keeps its shape


@dataclass(frozen=True)
class Overlap:
    """Pixels that two masks call."""

    n_both: int
    n_first_only: int
    n_second_only: int

    @property
    def dice(self) -> float:
        """2 both / (first + second); 1 where both masks are empty, 0 where one is."""
        either = self.n_both + self.n_first_only + self.n_second_only
        return 2 * self.n_both / (self.n_both + either) if either else 1.0

    @property
    def iou(self) -> float:
        """Both / either; 1 where both masks are empty, 0 where one is."""
        either = self.n_both + self.n_first_only + self.n_second_only
        return self.n_both / either if either else 1.0


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Overlap:
    """Count what two masks share.

    Args:
        first, second: Boolean, of one shape.

    Raises:
        UsageError: The shapes differ.
    """
    if first.shape != second.shape:
        raise UsageError(f"masks of {first.shape} and {second.shape} pixels")
    n_both = int(np.count_nonzero(first & second))
    return Overlap(n_both, int(np.count_nonzero(first)) - n_both, int(np.count_nonzero(second)) - n_both)


def mean_pairwise_dice(masks: Sequence[NDArray[np.bool_]]) -> float | None:
    """Mean Dice over all pairs of masks; None with fewer than two.

    Args:
        masks: Boolean, of one shape.

    Raises:
        UsageError: The shapes differ.
    """
    values = [overlap(first, second).dice for first, second in combinations(masks, 2)]
    return float(np.mean(values)) if values else None


def on_grid(mask: NDArray[np.bool_], box_xyxy: Box) -> NDArray[np.bool_]:
    """The part of a mask within a box, at the middle of every cell of a square grid; beyond the frame nothing is called.

    Args:
        mask: Boolean (H, W).
        box_xyxy: Pixels of the frame, may leave it.

    Returns:
        Boolean (GRID_SIDE, GRID_SIDE).
    """
    x0, y0, x1, y1 = box_xyxy
    middle = (np.arange(GRID_SIDE) + 0.5) / GRID_SIDE
    columns = np.floor(x0 + middle * (x1 - x0)).astype(np.int64)
    rows = np.floor(y0 + middle * (y1 - y0)).astype(np.int64)
    height, width = mask.shape
    is_row, is_column = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    result = np.zeros((GRID_SIDE, GRID_SIDE), np.bool_)
    result[np.ix_(is_row, is_column)] = mask[np.ix_(rows[is_row], columns[is_column])]
    return result
