"""A grader of 16 x 16 pixels with a dummy task around it, for training and publishing in milliseconds."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.training.collect import FOLDS
from core.training.pack import Pack

SIDE = 16
PENALTY = 0.3


class TinyGrader(nn.Module):
    """Three logits, a scalar like the alpha of a pair, dropout, and a loss that is more than cross-entropy."""

    def __init__(self, name: str, *, pretrained: bool = False, width: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        assert name == "tiny"
        assert not pretrained
        self.body = nn.Sequential(nn.Conv2d(3, width, 5, stride=2), nn.BatchNorm2d(width), nn.ReLU())
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.dropout(self.alpha * self.body(x).mean(dim=(2, 3))))
        return logits

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        answer = functional.cross_entropy(self(x), targets.long())
        return {"loss": answer + PENALTY * self.alpha**2, "answer": answer}


def plain(stored: Tensor) -> Tensor:
    return (stored.float()[:, None] / 255 - 0.5).expand(-1, 3, -1, -1)


def augment(stored: Tensor, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(rng.standard_normal(stored.shape).astype(np.float32))
    return plain(stored) + 0.05 * noise[:, None]


TASK = SimpleNamespace(Network=TinyGrader, scores=lambda output: torch.softmax(output.float(), dim=1))
LEARN = SimpleNamespace(plain=plain, augment=augment)


def graded_pack(n: int = 50, n_held_out: int = 0, seed: int = 0, **columns: Any) -> Pack:
    """`n` images in five folds and some held-out ones behind them; the higher the class, the brighter.

    Args:
        columns: Replace those of the pack.
    """
    rng = np.random.default_rng(seed)
    total = n + n_held_out
    targets = np.arange(total) % 3
    grey = 90 + 35 * targets + rng.normal(0, 20, total)
    images = np.clip(grey[:, None, None] + 20 * rng.standard_normal((total, SIDE, SIDE)), 0, 255).astype(np.uint8)
    facts = {
        "task": "ct_osteoporosis",
        "kind": "phantom",
        "training_name": "made-up slices",
        "test_name": "held-out slices",
        "licence": "none",
        "reference_name": "real slices, out of fold",
    }
    made: dict[str, Any] = {
        "images": images,
        "targets": targets.astype(np.float32),
        "cases": np.array([f"case-{index}" for index in range(total)]),
        "patients": np.array([f"patient-{index}" for index in range(total)]),
        "folds": np.where(np.arange(total) < n, np.arange(total) % FOLDS, -1),
        "markers": np.zeros((total, 0), np.float32),
        "references": np.full(total, np.nan, np.float32),
        "pixel_hashes": np.array([f"hash-{index}" for index in range(total)]),
        "facts": np.array([json.dumps(facts)]),
    }
    return Pack(**(made | columns))
