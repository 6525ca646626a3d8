"""The small network of the reference system, with one to three convolutions."""

import torch
from torch import Tensor

from core.engine.networks.simple_cnn import SimpleCNN
from core.engine.scores import cumulative_log_odds
from core.errors import UsageError
from core.tasks.knee_djd.task import SIZE, TASK

ARCHITECTURES = TASK.architectures


class Network(SimpleCNN):
    """Five grades of one knee.

    Args:
        name: "simple_cnn_1", "simple_cnn_2" (the reference's baseline) or "simple_cnn_3".
        final_relu: The reference's fault, only to reproduce it; see SimpleCNN.
        pretrained: There are no such weights; must be False.
    """

    def __init__(
        self, name: str = TASK.architectures[0], *, final_relu: bool = False, pretrained: bool = False
    ) -> None:
        if pretrained:
            raise UsageError("pretrained weights for simple_cnn; there are none")
        super().__init__(int(name.rpartition("_")[2]), len(TASK.labels), size=SIZE, final_relu=final_relu)


def scores(output: Tensor) -> Tensor:
    """Grade probabilities, float32 (N, 5)."""
    return torch.softmax(output.float(), dim=1)


def explained(row: Tensor, cut: int) -> Tensor:
    """The score that explanations explain, from one row of the output (5,): log odds of grade `cut` or worse."""
    return cumulative_log_odds(row, cut)
