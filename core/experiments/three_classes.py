"""A classifier of torchvision with three ordered classes, in the form that training asks of a task's network module."""

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.networks.classifiers import build_classifier
from core.engine.networks.split import Activations, SplitNetwork

N_CLASSES = 3


class Network(SplitNetwork):
    """Normal, osteopenia or osteoporosis.

    Args:
        name: One of `core.engine.networks.classifiers.CLASSIFIERS`.
        pretrained: Start from ImageNet weights.
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.classifier = build_classifier(name, N_CLASSES, pretrained=pretrained)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, H, W)."""
        return self.classifier.features(x)

    def head(self, activations: Activations) -> Tensor:
        """Logits, float32 (N, 3)."""
        return self.classifier.head(activations)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy. targets: classes of any type, (N,)."""
        return {"loss": functional.cross_entropy(self(x).float(), targets.long())}


def scores(output: Tensor) -> Tensor:
    """Class probabilities, float32 (N, 3)."""
    return torch.softmax(output.float(), dim=1)
