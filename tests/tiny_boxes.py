"""A detector of 64 x 64 pixels and two labels, for training, publishing and measuring in milliseconds."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.training.collect import FOLDS
from core.training.pack import Pack

SIDE = 64
LABELS = ("cardiac_hypertrophy", "aortic_atherosclerosis_calcification")
LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")
PLACES = ((8.0, 30.0, 40.0, 60.0), (34.0, 4.0, 56.0, 22.0))  # of the labels' boxes, moved a little from image to image


class TinyDetector(nn.Module):
    """One box and one score a label, with the four losses by name; the last two are there to be logged."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        assert (name, pretrained) == ("tiny", False)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 5, stride=4), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.last = nn.Linear(96, 10)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 2, 4) and logits (N, 2)."""
        row = self.last(self.body(x).flatten(1))
        start, size = torch.sigmoid(row[:, :8].reshape(-1, 2, 2, 2)).unbind(dim=2)
        return torch.cat([start, start + size], dim=2) * SIDE / 2, row[:, 8:]

    def forward(self, x: Tensor) -> Tensor:
        boxes, logits = self.parts(x)
        labels = torch.arange(1.0, 3.0).expand(len(x), 2)
        return torch.cat([boxes, labels[..., None], torch.sigmoid(logits)[..., None]], dim=2)

    def loss(self, x: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        boxes, logits = self.parts(x)
        assert len(targets) == len(x)
        is_there = torch.zeros_like(logits)
        misplaced = logits.new_zeros(())
        for row, target in enumerate(targets):
            for box, label in zip(target["boxes"], target["labels"], strict=True):
                is_there[row, label - 1] = 1
                misplaced = misplaced + (boxes[row, label - 1] - box).abs().mean() / SIDE
        each = (
            functional.binary_cross_entropy_with_logits(logits, is_there),
            misplaced / len(x),
            0.1 * logits.square().mean(),
            self.last.bias.square().sum(),
        )
        return {"loss": torch.stack(each).sum(), **dict(zip(LOSSES, each, strict=True))}


TASK = SimpleNamespace(Network=TinyDetector)


def boxed_pack(n: int = 40, n_held_out: int = 0, seed: int = 0, **columns: Any) -> Pack:
    """`n` noisy pictures in five folds and some held-out ones behind them; a finding is a bright rectangle.

    One in three has the first finding, one in two the second, so that every sixth has both and every third none.

    Args:
        columns: Replace those of the pack.
    """
    rng = np.random.default_rng(seed)
    total = n + n_held_out
    images, boxes = rng.normal(90, 15, (total, SIDE, SIDE)), []
    for index in range(total):
        own = []
        for number, (holds, place) in enumerate(zip((index % 3 == 0, index % 2 == 0), PLACES, strict=True), start=1):
            x0, y0, x1, y1 = np.array(place) + np.tile(rng.integers(-3, 4, 2), 2)
            if holds:
                images[index, int(y0) : int(y1), int(x0) : int(x1)] += 70
                own.append((x0, y0, x1, y1, number))
        boxes.append(np.array(own, np.float32).reshape(-1, 5))
    facts = {
        "task": "chest_lesions",
        "kind": "phantom",
        "training_name": "made-up films",
        "test_name": "held-out films",
        "licence": "none",
    }
    made: dict[str, Any] = {
        "images": np.clip(images, 0, 255).astype(np.uint8),
        "targets": np.array([len(own) > 0 for own in boxes], np.float32),
        "cases": np.array([f"case-{index}" for index in range(total)]),
        "patients": np.array([f"patient-{index}" for index in range(total)]),
        "folds": np.where(np.arange(total) < n, np.arange(total) % FOLDS, -1),
        "markers": np.zeros((total, 0), np.float32),
        "references": np.full(total, np.nan, np.float32),
        "pixel_hashes": np.array([f"hash-{index}" for index in range(total)]),
        "facts": np.array([json.dumps(facts)]),
        "boxes": np.concatenate(boxes),
        "box_offsets": np.cumsum([0, *map(len, boxes)]),
    }
    return Pack(**(made | columns))
