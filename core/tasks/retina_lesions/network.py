"""A segmentation network with one channel a kind of lesion, taught further kinds beside them."""

import torch
from torch import Tensor
from torch.nn import functional

from core.engine.networks.segmenters import build_segmenter
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.tasks.retina_lesions.task import DISC, EXUDATE, HAEMORRHAGE, MICROANEURYSM, REACHES, SOFT_EXUDATE, TASK

ARCHITECTURES = TASK.architectures
# What each channel learns, and how much its loss counts. Those behind the labels are answered in training alone: they teach what
# is no haemorrhage though small and red, and no hard exudate though bright.
CHANNELS = {HAEMORRHAGE: 1.0, EXUDATE: 1.0, MICROANEURYSM: 0.3, SOFT_EXUDATE: 0.3, DISC: 0.3}
ENTROPY_WEIGHT = 20.0  # beside Dice: lesions are so rare that the mean over all pixels is small


LOSSES = ("entropy_dice", "entropy", "dice", "softmax")


class Network(SplitNetwork):
    """Haemorrhages and hard exudates, one logit a pixel and kind.

    Args:
        name: One of ARCHITECTURES.
        pretrained: Start from ImageNet weights.
        loss: One of LOSSES: cross-entropy of yes and no and soft Dice of each channel, or one of the two alone: kinds
            may overlap; "softmax" = cross-entropy over the kinds and the background: each pixel is of one kind.

    Raises:
        UsageError: Another name or loss.
    """

    def __init__(self, name: str = ARCHITECTURES[0], *, pretrained: bool = False, loss: str = LOSSES[0]) -> None:
        super().__init__()
        if name not in ARCHITECTURES:
            raise UsageError(f"architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
        if loss not in LOSSES:
            raise UsageError(f"loss {loss!r}; known: {', '.join(LOSSES)}")
        self.kind_of_loss = loss
        n_outputs = len(CHANNELS) + (loss == "softmax")
        self.segmenter = build_segmenter(name, n_outputs, n_inputs=3 * len(REACHES), pretrained=pretrained)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 6, H, W)."""
        return self.segmenter.features(x)

    def head(self, activations: Activations) -> Tensor:
        """Logits of the labels, float32 (N, 2, H, W): the log odds of each against everything else."""
        logits = self.segmenter.head(activations)
        labels = range(len(TASK.labels))
        if self.kind_of_loss != "softmax":
            return logits[:, : len(labels)]
        others = [logits[:, [k for k in range(logits.shape[1]) if k != label]].logsumexp(dim=1) for label in labels]
        return logits[:, : len(labels)] - torch.stack(others, dim=1)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`loss` and its parts; beyond the field is background. targets: uint8 (N, H, W)."""
        logits = self.segmenter(x).float()
        weights = logits.new_tensor(list(CHANNELS.values()))
        truth = torch.stack([targets == kind for kind in CHANNELS], dim=1).float()
        if self.kind_of_loss == "softmax":
            rest = (1 - truth.sum(dim=1, keepdim=True)).clamp(min=0)
            chances = torch.cat([truth, rest], dim=1)
            return {"loss": functional.cross_entropy(logits, chances, weight=torch.cat([weights, weights.new_ones(1)]))}
        weights = weights / weights.sum()
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(0, 2, 3))
        scores = torch.sigmoid(logits)
        overlap, total = (values.sum(dim=(0, 2, 3)) for values in (scores * truth, scores + truth))
        dice = 1 - (2 * overlap + 1) / (total + 1)
        parts = {"entropy": (weights * entropy).sum(), "dice": (weights * dice).sum()}
        if self.kind_of_loss in parts:
            return {"loss": parts[self.kind_of_loss]}
        return {"loss": ENTROPY_WEIGHT * parts["entropy"] + parts["dice"], **parts}


def scores(output: Tensor) -> Tensor:
    """Probability of each label, float32 (N, 2, H, W)."""
    return torch.sigmoid(output.float())


def explained(row: Tensor, cut: int) -> Tensor:
    """The score that explanations explain, from one row of the output: the mean logit of a label where it is predicted.

    Nothing to explain, and so no positive evidence, where it is predicted nowhere.

    Args:
        row: Logits, (2, H, W).
        cut: Place of the label.
    """
    logits = row[cut]
    return logits.mul(logits.detach() > 0).sum() / max(1, int((logits > 0).sum()))
