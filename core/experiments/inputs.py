"""A task's learn module as an experiment wants it: without augmentation, or on fewer pixels."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from core import registry


def learner(task_id: str, *, augmented: bool, side: int) -> Any:
    """What `fit_fold` asks of a learn module.

    Args:
        task_id: Id of the task.
        augmented: Whether training images are changed at random.
        side: Of the network input of a grader, pixels; 0 = that of the task. The packs of other tasks are smaller themselves.
    """
    learn = registry.part(task_id, "learn")
    if hasattr(learn, "augment"):
        return SimpleNamespace(
            plain=lambda stored: _resized(learn.plain(stored), side),
            augment=lambda stored, rng: _resized(
                learn.augment(stored, rng) if augmented else learn.plain(stored), side
            ),
        )
    if augmented:
        return learn
    if hasattr(learn, "augment_with_boxes"):
        return SimpleNamespace(
            plain=learn.plain,
            truth=learn.truth,
            augment_with_boxes=lambda stored, boxes, rng: (learn.plain(stored), learn.truth(boxes)),
        )

    def unchanged(stored: Tensor, label_maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        return learn.plain(stored), label_maps

    return SimpleNamespace(plain=learn.plain, truth=learn.truth, rule=learn.rule, augment_with_map=unchanged)


def _resized(x: Tensor, side: int) -> Tensor:
    """Mean over the pixels that become one: float (N, C, S, S) -> (N, C, side, side)."""
    return functional.interpolate(x, (side, side), mode="area") if side else x
