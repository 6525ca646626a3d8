"""Augmentation on the fly, for training folds only: of films with boxes, and of films with masks of heart and lungs."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.imaging.imagenet import MEAN, SD
from core.tasks.chest_lesions import lungs

LEARNING_RATE = 0.005  # as in the reference system
ROTATION_DEGREES = 5.0  # as in the reference system
SHIFT = 0.03  # of the side
ZOOM = (-0.1, 0.15)  # logarithm of what is seen; above 0 the film gets a black margin, as one that is not square has
STRETCH = 0.06  # logarithm of width against height: public films were made square by stretching
GAMMA, GAIN, OFFSET, NOISE = 0.3, 0.15, 0.06, 0.03  # logarithm; logarithm; of the range; SD at most
MIN_SEEN = 0.3  # of the area of a box: less in the picture is no finding any more
MIN_SIDE_PX = 3.0
WIDER = 2.0  # the heart-lung network learns from few films of one kind and meets all kinds
Targets = list[dict[str, Tensor]]


@dataclass(frozen=True)
class _Pose:
    """How films are turned and cut: source = turn(zoom * place) + shift, in halves of the side from the middle.

    Attributes:
        angle: float64 (N,), radians.
        zoom, shift: float64 (N, 2), x and y.
    """

    angle: NDArray[np.float64]
    zoom: NDArray[np.float64]
    shift: NDArray[np.float64]

    @classmethod
    def drawn(cls, n: int, rng: np.random.Generator, *, wider: float = 1.0) -> "_Pose":
        """No mirror: the heart has a side."""
        angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, n)) * wider
        stretch = rng.uniform(-STRETCH, STRETCH, n)[:, None] * np.array([0.5, -0.5])
        zoom = np.exp(rng.uniform(*ZOOM, n)[:, None] * wider + stretch)
        return cls(angle, zoom, rng.uniform(-SHIFT, SHIFT, (n, 2)) * 2 * wider)

    def sampled(self, films: Tensor, mode: str = "bilinear") -> Tensor:
        """float (N, 1, S, S) at its new place, black beyond its edge."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        across, down = self.zoom.T
        rows = [[across * cos, -down * sin, self.shift[:, 0]], [across * sin, down * cos, self.shift[:, 1]]]
        theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(films.device)
        grid = functional.affine_grid(theta, list(films.shape), align_corners=False)
        return functional.grid_sample(films, grid, mode=mode, align_corners=False)

    def boxes(self, index: int, boxes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
        """Boxes (n, 4) of one film at their new place.

        The hull of the four turned corners grows with every turn, most for long boxes, though what lies in the box rarely reaches
        its corners: it is shrunk to the hull of the turned ellipse in the box (Kalra et al., ICCV 2021).
        """
        cos, sin = np.cos(self.angle[index]), np.sin(self.angle[index])
        half = side / 2
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2 / half - 1 - self.shift[index]
        axes = (boxes[:, 2:] - boxes[:, :2]) / 2 / half
        turned = middle @ np.array([[cos, -sin], [sin, cos]]) / self.zoom[index]
        reach = np.hypot(axes * abs(cos), axes[:, ::-1] * abs(sin)) / self.zoom[index]
        return (np.hstack([turned - reach, turned + reach]) + 1) * half


def _looks(films: Tensor, rng: np.random.Generator, *, wider: float = 1.0) -> Tensor:
    """Other gamma, gain, offset and noise: float (N, 1, S, S), in [0, 1]."""
    n = len(films)

    def drawn(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(films.device)[:, None, None, None]

    gamma, gain = (drawn(np.exp(rng.uniform(-width, width, n) * wider)) for width in (GAMMA, GAIN))
    offset, spread = drawn(rng.uniform(-OFFSET, OFFSET, n) * wider), drawn(rng.uniform(0, NOISE, n) * wider)
    generator = torch.Generator(films.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(films.shape, generator=generator, device=films.device)
    return (((films.clamp(0, 1) ** gamma) - 0.5) * gain + 0.5 + offset + spread * noise).clamp(0, 1)


# --- boxes -----------------------------------------------------------------------------------------------------------


def plain(stored: Tensor) -> Tensor:
    """Network input without augmentation: uint8 (N, S, S) -> float (N, 3, S, S), in [0, 1]."""
    return (stored[:, None].float() / 255).expand(-1, 3, -1, -1)


def truth(boxes: Sequence[NDArray[np.float32]]) -> Targets:
    """What the network's loss wants of `data.training_boxes`: rows x0, y0, x1, y1, label, (M, 5) an image."""
    return [
        {"boxes": torch.from_numpy(own[:, :4].copy()), "labels": torch.from_numpy(own[:, 4].astype(np.int64))}
        for own in boxes
    ]


def augment_with_boxes(
    stored: Tensor, boxes: Sequence[NDArray[np.float32]], rng: np.random.Generator
) -> tuple[Tensor, Targets]:
    """Rotation of +-5 degrees, as in the reference; a small scale, stretch and shift; contrast and noise.

    Args:
        stored: uint8 (N, S, S).
        boxes: One float32 (M, 5) a film: x0, y0, x1, y1 in its pixels, number of the label from 1.
        rng: Source of all randomness.

    Returns:
        float (N, 3, S, S) in [0, 1], and one target a film; a box that has left the picture is left out.
    """
    side = stored.shape[-1]
    pose = _Pose.drawn(len(stored), rng)
    moved = []
    for index, own in enumerate(boxes):
        whole = pose.boxes(index, own[:, :4].astype(np.float64), side)
        seen = np.clip(whole, 0, side)
        size, full = (part[:, 2:] - part[:, :2] for part in (seen, whole))
        kept = (size >= MIN_SIDE_PX).all(axis=1) & (size.prod(axis=1) >= MIN_SEEN * full.prod(axis=1))
        moved.append(np.hstack([seen, own[:, 4:]])[kept].astype(np.float32))
    films = _looks(pose.sampled(stored[:, None].float() / 255), rng)
    return films.expand(-1, 3, -1, -1), truth(moved)


# --- heart and lungs -------------------------------------------------------------------------------------------------


def _to_input(films: Tensor) -> Tensor:
    """As lungs.prepare: float (N, 1, S, S) in [0, 1] -> (N, 3, S, S)."""
    mean, sd = torch.from_numpy(MEAN).to(films.device), torch.from_numpy(SD).to(films.device)
    return (films - mean) / sd


def _plain_film(stored: Tensor) -> Tensor:
    """uint8 (N, S, S) -> float (N, 3, S, S)."""
    return _to_input(stored[:, None].float() / 255)


def _augment_with_map(stored: Tensor, label_maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Twice the range of `augment_with_boxes`: uint8 (N, S, S) twice -> float (N, 3, S, S), uint8 (N, S, S)."""
    pose = _Pose.drawn(len(stored), rng, wider=WIDER)
    films = _looks(pose.sampled(stored[:, None].float() / 255), rng, wider=WIDER)
    maps = pose.sampled(label_maps[:, None].float(), mode="nearest")[:, 0].to(torch.uint8)
    return _to_input(films), maps


def _truth_of_map(label_map: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Boolean (3, S, S), where each channel is marked, and boolean (S, S), all true: every pixel counts."""
    return np.stack([label_map == kind for kind in lungs.CHANNELS]), np.ones(label_map.shape, bool)


def _rule(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The trivial rule that the network must beat: the heart is bright, the lungs are the dark in each half.

    Args:
        stored: uint8 (S, S).

    Returns:
        float32 (3, S, S), in [0, 1].
    """
    bright = stored.astype(np.float32) / 255
    left = np.arange(stored.shape[1]) >= stored.shape[1] / 2
    return np.stack([bright, (1 - bright) * ~left, (1 - bright) * left])


heart_lung = SimpleNamespace(plain=_plain_film, augment_with_map=_augment_with_map, truth=_truth_of_map, rule=_rule)
"""What training asks of a learn module, for the auxiliary network."""
