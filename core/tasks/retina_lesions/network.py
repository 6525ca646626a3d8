"""A segmentation network with one channel a kind of lesion, taught further kinds beside them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.segmenters import build_segmenter
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.tasks.retina_lesions.task import (
    DISC,
    EXUDATE,
    FINER,
    HAEMORRHAGE,
    MICROANEURYSM,
    REACHES,
    SOFT_EXUDATE,
    TASK,
)

ARCHITECTURES = TASK.architectures
# What each channel learns, and how much its loss counts. Those behind the labels are answered in training alone: they teach what
# is no haemorrhage though small and red, and no hard exudate though bright.
CHANNELS = {HAEMORRHAGE: 1.0, EXUDATE: 1.0, MICROANEURYSM: 0.3, SOFT_EXUDATE: 0.3, DISC: 0.3}
_LEAST = 1e-6  # probability: a logit stays finite
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
        """Twice the same layers, on coarser pixels and on those of the input; x: float32 (N, 6, FINER H, FINER W).

        The target holds the channels of both, those of the coarse picture enlarged to the size of the others.
        """
        coarse, fine = self.segmenter.features(functional.avg_pool2d(x, FINER)), self.segmenter.features(x)
        enlarged = functional.interpolate(coarse.target, scale_factor=float(FINER))
        rest = (*coarse.rest, *fine.rest)
        return Activations(torch.cat([enlarged, fine.target], dim=1), rest, (coarse.context, fine.context))

    def head(self, activations: Activations) -> Tensor:
        """Logits of the labels on coarse pixels, float32 (N, 2, H, W): haemorrhages as seen there, exudates on the fine ones."""
        assert isinstance(activations.context, tuple)
        n_channels, n_rest = activations.target.shape[1] // 2, len(activations.rest) // 2
        enlarged, fine = activations.target[:, :n_channels], activations.target[:, n_channels:]
        coarse = functional.avg_pool2d(enlarged, FINER)
        contexts = activations.context
        blood = self._log_odds(Activations(coarse, activations.rest[:n_rest], contexts[0]), 0)
        bright = self._log_odds(Activations(fine.contiguous(), activations.rest[n_rest:], contexts[1]), 1)
        return torch.cat([blood, _pooled(bright)], dim=1)

    def last_layer(self) -> nn.Module:
        """The convolution that gives the logits, of both scales."""
        return self.segmenter.last_layer()

    def _log_odds(self, activations: Activations, label: int) -> Tensor:
        """Of one label against everything else, (N, 1, H, W)."""
        logits = self.segmenter.head(activations)
        if self.kind_of_loss != "softmax":
            return logits[:, label : label + 1]
        others = [k for k in range(logits.shape[1]) if k != label]
        return logits[:, label : label + 1] - logits[:, others].logsumexp(dim=1, keepdim=True)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`loss` and its parts; beyond the field is background. targets: uint8 (N, H, W).

        Both scales share their layers, so one is enough to learn from: a finer x is averaged to the pixels of the targets.
        """
        logits = self.segmenter(functional.avg_pool2d(x, x.shape[-1] // targets.shape[-1])).float()
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


def _pooled(logits: Tensor) -> Tensor:
    """The log odds of the mean probability of FINER x FINER pixels."""
    mean = functional.avg_pool2d(torch.sigmoid(logits.float()), FINER)
    return torch.logit(mean, eps=_LEAST)


def scores(output: Tensor) -> Tensor:
    """Probability of each label, float32 (N, 2, H, W)."""
    return torch.sigmoid(output.float())


def explained(row: Tensor, cut: int, threshold: float, seen: Tensor | None = None) -> Tensor:
    """The score that explanations explain, from one row of the output: the mean logit of a label where it is called.

    Nothing to explain, and so no positive evidence, where it is called nowhere.

    Args:
        row: Logits, (2, H, W).
        cut: Place of the label.
        threshold: Probability from which on a pixel is called.
        seen: Logits of the picture itself, (2, H, W): where `row` is that of a changed picture or network, the pixels called
            here still count. Else a lesion that is blanked would leave the mean instead of lowering it.
    """
    logits = row[cut]
    is_called = torch.sigmoid((row if seen is None else seen.to(row.device))[cut].detach()) >= threshold
    return logits.mul(is_called).sum() / max(1, int(is_called.sum()))
