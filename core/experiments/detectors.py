"""Detectors to be compared, in the form that training asks of a task's network module: those of the task, and RetinaNet."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from core import registry
from core.engine.networks.detector import ANCHORS_PER_SIDE, ASPECT_RATIOS, build_detector
from core.errors import UsageError
from core.experiments.chest import ONE_STAGE

N_DETECTIONS = 100  # of an image


class Network(nn.Module):
    """Boxes of the labels of the chest task.

    Args:
        name: ONE_STAGE, or one of `core.engine.networks.detector.DETECTORS`.
        size: Height and width of the input in pixels, a multiple of 32.
        pretrained: Start from COCO weights; there are none for ONE_STAGE.

    Raises:
        UsageError: `pretrained` for ONE_STAGE, or what `build_detector` refuses.
    """

    def __init__(self, name: str, *, size: int = 320, pretrained: bool = False) -> None:
        super().__init__()
        n_labels = len(registry.task("chest_lesions").labels)
        if name == ONE_STAGE and pretrained:
            raise UsageError(f"COCO weights for {name}, which has none")
        self.detector: nn.Module = (
            OneStage(n_labels, size)
            if name == ONE_STAGE
            else build_detector(name, n_labels, size=size, pretrained=pretrained)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Detections, float32 (N, D, 6): box in input pixels, label from 1, score; evaluation mode only."""
        found: Tensor = self.detector(x)
        return found

    def loss(self, x: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """`loss` and its parts by torchvision's names; see `core.engine.networks.detector.Detector.loss`."""
        detector: Any = self.detector
        return dict(detector.loss(x, targets))


class OneStage(nn.Module):
    """RetinaNet (Lin et al. 2017, arXiv 1708.02002) on MobileNetV3-Large, with the anchors of the task's detectors.

    Args:
        n_labels: Without the background.
        size: Height and width of the input in pixels.
    """

    def __init__(self, n_labels: int, size: int) -> None:
        super().__init__()
        backbone = mobilenet_backbone(
            backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=nn.BatchNorm2d, trainable_layers=6
        )
        sizes = tuple(size // part for part in ANCHORS_PER_SIDE)
        self.net: Any = RetinaNet(
            backbone,
            n_labels + 1,
            min_size=size,
            max_size=size,
            anchor_generator=AnchorGenerator((sizes,) * 3, (ASPECT_RATIOS,) * 3),
            detections_per_img=N_DETECTIONS,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Detections, float32 (N, N_DETECTIONS, 6), filled up with rows of zeros."""
        rows = [
            torch.cat([own["boxes"], own["labels"][:, None].to(own["boxes"].dtype), own["scores"][:, None]], dim=1)
            for own in self.net(list(x))
        ]
        return torch.stack([functional.pad(row, (0, 0, 0, N_DETECTIONS - len(row))) for row in rows])

    def loss(self, x: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Focal loss of the labels and L1 of the boxes, and `loss`, their sum; batch norm as the mode says."""
        truth = [{name: value.to(x.device) for name, value in target.items()} for target in targets]
        before = self.net.training
        self.net.training = True  # its own flag asks for losses; those of its parts stay
        try:
            parts: dict[str, Tensor] = self.net(list(x), truth)
        finally:
            self.net.training = before
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def scores(output: Tensor) -> Tensor:
    """Presence of each label, the highest score of its boxes: (N, D, 6) -> (N, L)."""
    found: Tensor = registry.part("chest_lesions", "network").scores(output)
    return found
