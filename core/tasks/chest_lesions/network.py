"""Faster R-CNN for the seven findings, and the small U-Net that finds heart and lungs."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.detector import build_detector
from core.engine.networks.segmenters import build_segmenter
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.tasks.chest_lesions import lungs
from core.tasks.chest_lesions.task import SIDE, TASK

ARCHITECTURES = TASK.architectures
LABEL, SCORE = 4, 5  # columns of a detection


class Network(SplitNetwork):
    """Boxes of the seven findings.

    Args:
        name: One of ARCHITECTURES.
        pretrained: Start from COCO weights, with batch norm frozen.

    Attributes:
        detector: What `core.engine.explain_boxes` sees through a box.

    Raises:
        UsageError: Another name.
    """

    def __init__(self, name: str = ARCHITECTURES[0], *, pretrained: bool = False) -> None:
        super().__init__()
        if name not in ARCHITECTURES:
            raise UsageError(f"architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
        self.detector = build_detector(name, len(TASK.labels), size=SIDE, pretrained=pretrained)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, SIDE, SIDE), in [0, 1]."""
        return self.detector.features(x)

    def head(self, activations: Activations) -> Tensor:
        """Detections, float32 (N, D, 6); evaluation mode only."""
        return self.detector.head(activations)

    def loss(self, x: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The four losses of the reference system by torchvision's names, and `loss`, their sum; see `Detector.loss`."""
        return self.detector.loss(x, targets)

    def last_layer(self) -> nn.Module:
        """The detector's."""
        return self.detector.last_layer()


def scores(output: Tensor) -> Tensor:
    """Presence of each finding, the highest score of its boxes: (N, D, 6) -> float32 (N, 7)."""
    detections = output.float()
    numbers = torch.arange(1, len(TASK.labels) + 1, device=output.device)
    own = detections[:, :, None, LABEL] == numbers
    return (detections[:, :, None, SCORE] * own).amax(dim=1)


def explained(row: Tensor, cut: int) -> Tensor:
    """The score that explanations explain: the log odds of a label in one box.

    A detection itself cannot be explained by gradients: proposals and suppression stand between. See
    `core.engine.explain_boxes.through_box`.

    Args:
        row: Log odds in the box, (8,), background first.
        cut: Place of the label.
    """
    return row[cut + 1]


class HeartLungNetwork(SplitNetwork):
    """Heart, right lung and left lung, one logit a pixel and channel.

    Args:
        name: lungs.ARCHITECTURE.
        pretrained: Start from ImageNet weights.

    Raises:
        UsageError: Another name.
    """

    def __init__(self, name: str = lungs.ARCHITECTURE, *, pretrained: bool = False) -> None:
        super().__init__()
        if name != lungs.ARCHITECTURE:
            raise UsageError(f"architecture {name!r}; known: {lungs.ARCHITECTURE}")
        self.segmenter = build_segmenter(name, len(lungs.CHANNELS), pretrained=pretrained)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, H, W)."""
        return self.segmenter.features(x)

    def head(self, activations: Activations) -> Tensor:
        """Logits, float32 (N, 3, H, W)."""
        return self.segmenter.head(activations)

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy and soft Dice of each channel. targets: uint8 (N, H, W)."""
        logits = self(x).float()
        truth = torch.stack([targets == kind for kind in lungs.CHANNELS], dim=1).float()
        entropy = functional.binary_cross_entropy_with_logits(logits, truth)
        found = torch.sigmoid(logits)
        overlap, total = (values.sum(dim=(0, 2, 3)) for values in (found * truth, found + truth))
        dice = (1 - (2 * overlap + 1) / (total + 1)).mean()
        return {"loss": entropy + dice, "entropy": entropy, "dice": dice}


def _heart_lung_scores(output: Tensor) -> Tensor:
    """Probability of each channel, float32 (N, 3, H, W)."""
    return torch.sigmoid(output.float())


def _find_masks(network: HeartLungNetwork, film: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Masks of one square film, float32 (S, S) in [0, 1]: boolean (3, S, S), in the order of lungs.CHANNELS."""
    device = next(network.parameters()).device
    with torch.no_grad():
        output = network(torch.from_numpy(lungs.prepare(film)).to(device)).float().cpu().numpy()
    return lungs.masks(output, film.shape[0])


heart_lung = SimpleNamespace(
    Network=HeartLungNetwork,
    ARCHITECTURES=(lungs.ARCHITECTURE,),
    scores=_heart_lung_scores,
    find=_find_masks,
)
"""What training asks of a network module, for the auxiliary network; `find` is what composites are made with."""
