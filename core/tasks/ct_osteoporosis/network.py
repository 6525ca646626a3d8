"""A pair of classifiers on two HU windows: ResNet18 with attend-and-compare modules by default, others beside it."""

import torch
from torch import Tensor

from core.engine.networks.pair import PairNetwork
from core.engine.scores import cumulative_log_odds
from core.tasks.ct_osteoporosis.task import SIZE, TASK

ARCHITECTURES = TASK.architectures


class Network(PairNetwork):
    """Three classes from a slice seen through the windows s and t.

    Args:
        name: One of ARCHITECTURES, for every branch.
        branches: "st" (both windows), "ss", "tt", or a single network "s" or "t".
        alpha: Weight of branch s in the fused feature; None = learned.
        dissimilarity: Weight of the cosine between the branches in the loss, 0.1 in the publication.
        orthogonality: Weight of the modules' own loss, which the publication does not mention.
        pretrained: Start from ImageNet weights.
    """

    def __init__(
        self,
        name: str = TASK.architectures[0],
        *,
        branches: str = "st",
        alpha: float | None = None,
        dissimilarity: float = 0.1,
        orthogonality: float = 0.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(
            len(TASK.labels),
            architecture=name,
            branches=branches,
            alpha=alpha,
            dissimilarity=dissimilarity,
            orthogonality=orthogonality,
            pretrained=pretrained,
            size=SIZE,
        )


def scores(output: Tensor) -> Tensor:
    """Class probabilities of the answer, float32 (N, 3)."""
    return torch.softmax(output[:, 0].float(), dim=1)


def explained(row: Tensor, cut: int) -> Tensor:
    """The score that explanations explain, from one row of the output (rows, 3): log odds of class `cut` or worse."""
    return cumulative_log_odds(row[0], cut)
