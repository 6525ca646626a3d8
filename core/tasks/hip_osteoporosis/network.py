"""One logit on a torchvision classifier: ResNet18 by default, four others beside it."""

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.networks.classifiers import build_classifier
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.tasks.hip_osteoporosis.task import TASK

ARCHITECTURES = TASK.architectures


class Network(SplitNetwork):
    """Osteoporosis or not, as one logit.

    Args:
        name: One of ARCHITECTURES.
        pretrained: Start from ImageNet weights.

    Raises:
        UsageError: Another name.
    """

    def __init__(self, name: str = "resnet18", *, pretrained: bool = False) -> None:
        super().__init__()
        if name not in ARCHITECTURES:
            raise UsageError(f"architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
        self.classifier = build_classifier(name, 1, pretrained=pretrained)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, 224, 224)."""
        return self.classifier.features(x)

    def head(self, activations: Activations) -> Tensor:
        """Logits, float32 (N, 1)."""
        return self.classifier.head(activations)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy with logits, as in the reference system. targets: float32 (N,), 1 = osteoporosis."""
        return {"loss": functional.binary_cross_entropy_with_logits(self(x)[:, 0].float(), targets)}


def scores(output: Tensor) -> Tensor:
    """Probability of osteoporosis, float32 (N, 1)."""
    return torch.sigmoid(output.float())


def explained(row: Tensor, cut: int) -> Tensor:
    """The score that explanations explain, from one row of the output: the logit. `cut` is 1, the only grade there is."""
    return row[0]
