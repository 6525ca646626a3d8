"""Stored images with what is to be learnt of them, as each kind of network wants it: a class, a label map, or boxes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.training.pack import Pack

ANSWERED_PIXELS = 3_000_000  # of stored images at a time, in evaluation mode


def parts(images: Tensor) -> tuple[Tensor, ...]:
    """Places of the images that are answered together."""
    return torch.split(torch.arange(len(images)), max(1, ANSWERED_PIXELS // (images.shape[1] * images.shape[2])))


@dataclass(frozen=True)
class Examples:
    """Some images of a pack.

    Attributes:
        images: As stored, (N, S, S) or (N, S, S, 3).
        targets: float32 (N,), the class of each.
        label_maps: uint8 (N, S, S) of a segmenter's images, else None.
        boxes: (M, 5) of each of a detector's images, else None.
        presence: (N, L) where some of a detector's images have only that, else None; see `Pack`.
    """

    images: Tensor
    targets: Tensor
    label_maps: Tensor | None
    boxes: list[NDArray[np.float32]] | None
    presence: Tensor | None

    @classmethod
    def of(cls, pack: Pack, mask: NDArray[np.bool_]) -> "Examples":
        """Those of the pack where the mask is true."""
        chosen = torch.from_numpy(mask)
        return cls(
            images=torch.from_numpy(pack.images)[chosen],
            targets=torch.from_numpy(pack.targets)[chosen],
            label_maps=torch.from_numpy(pack.label_maps)[chosen] if pack.label_maps.size else None,
            boxes=pack.boxes_of(mask) if pack.has_boxes else None,
            presence=torch.from_numpy(pack.presence)[chosen] if pack.presence.size else None,
        )

    @property
    def is_boxed(self) -> Tensor:
        """Whether the boxes of each image are the truth, boolean (N,)."""
        return (
            torch.ones(len(self.images), dtype=torch.bool)
            if self.presence is None
            else self.presence.isnan().all(dim=1)
        )

    def augmented(self, learn: Any, part: Tensor, device: torch.device, rng: np.random.Generator) -> tuple[Tensor, Any]:
        """Network input and truth of a batch, changed at random."""
        images = self.images[part].to(device)
        if self.boxes is not None:
            x, truth = learn.augment_with_boxes(images, [self.boxes[place] for place in part], rng)
            self._add_presence(truth, part)
        elif self.label_maps is not None:
            x, truth = learn.augment_with_map(images, self.label_maps[part].to(device), rng)
        else:
            x, truth = learn.augment(images, rng), self.targets[part].to(device)
        return x.contiguous(memory_format=torch.channels_last), truth

    def plain(self, learn: Any, device: torch.device) -> Iterator[tuple[Tensor, Any]]:
        """Network input and truth of one batch after another, as they are."""
        for part in parts(self.images):
            if self.boxes is not None:
                truth: Any = learn.truth([self.boxes[place] for place in part])
                self._add_presence(truth, part)
            else:
                truth = (self.targets if self.label_maps is None else self.label_maps)[part].to(device)
            yield learn.plain(self.images[part].to(device)), truth

    def _add_presence(self, truth: list[dict[str, Tensor]], part: Tensor) -> None:
        """To the truth of images without drawn boxes."""
        if self.presence is not None:
            for own, row, is_boxed in zip(truth, self.presence[part], self.is_boxed[part], strict=True):
                if not is_boxed:
                    own["presence"] = row


class Means:
    """Means of several losses, each batch counted by its images; of a loss that only some batches have, over those."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self.n = 0

    def add(self, losses: dict[str, Tensor], n: int) -> None:
        """The losses of one batch of `n` images."""
        self.n += n
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach()) * n
            self._counts[name] = self._counts.get(name, 0) + n

    def __call__(self, prefix: str) -> dict[str, float]:
        """Each mean under its own name behind a word."""
        return {f"{prefix}_{name}": total / self._counts[name] for name, total in self._sums.items()}
