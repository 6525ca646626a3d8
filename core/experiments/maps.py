"""What a CT network looks at (Figure 4 of the reference): Grad-CAM of every branch, and its share inside the vertebral body."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from core.engine.explain import explain
from core.engine.networks.split import SplitNetwork
from core.experiments.measures import Figures
from core.experiments.packs import DATA_SEED
from core.imaging.resample import crop_resize
from core.io.weights_file import write_atomically
from core.tasks.ct_osteoporosis.locate import locate
from core.tasks.ct_osteoporosis.phantom import make_phantom
from core.tasks.ct_osteoporosis.task import CONTEXT, SIZE, TASK
from core.training.collect import HELD_OUT
from core.training.pack import Pack

SIDE = 64  # of the kept pictures and maps, pixels
SHOWN_HU = (-200.0, 500.0)  # black and white of the kept pictures
_BATCH = 30


class _Named(Protocol):
    """A run."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Explained:
    """Maps of one network.

    Attributes:
        figures: By branch and class the mean share of the map inside the vertebral body, n_maps_ of how many: a map without
            positive evidence has no share. body: the mean share of the picture that the body takes, which a map without any
            preference would reach.
        examples: By branch the maps of one case a class, uint8 as lists (3, SIDE, SIDE).
    """

    figures: Figures
    examples: dict[str, list[list[list[int]]]]


@lru_cache(maxsize=1)
def bodies(n: int) -> NDArray[np.bool_]:
    """The true vertebral body in the input of each of the first n unseen phantoms, an ellipse: boolean (n, SIZE, SIZE)."""
    found = []
    for patient in range(n):
        phantom = make_phantom(np.random.default_rng([DATA_SEED, 1, patient]))
        truth: Any = phantom.truth
        study = phantom.study()
        (x, y), (a, b) = truth["body_xy"], truth["body_half_mm"]
        spacing = study.frame.spacing_mm
        assert spacing is not None
        rows, columns = np.indices(study.frame.pixels.shape)
        body = np.square((columns - x) * spacing[1] / a) + np.square((rows - y) * spacing[0] / b) <= 1
        (region,) = locate(study)
        found.append(crop_resize(body.astype(np.float32), region.box_xyxy, (SIZE, SIZE)) >= 0.5)
    return np.array(found)


def _first_of_each(targets: NDArray[np.float32]) -> list[int]:
    return [int(np.flatnonzero(targets == label)[0]) for label in range(len(TASK.labels))]


def maps_of(network: torch.nn.Module, learn: Any, pack: Pack, mask: NDArray[np.bool_]) -> Explained:
    """Grad-CAM of the true class on unseen phantoms: of the one network, or of each branch of a pair.

    Args:
        network: Of the CT task, in evaluation mode.
        learn: See `inputs.learner`.
        pack: Phantoms of the CT task.
        mask: The unseen ones, all of them in order.
    """
    assert isinstance(network, SplitNetwork)
    targets, body = pack.targets[mask], bodies(int(mask.sum()))
    views: dict[str, Any] = dict(network.views()) or {"one": network}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in views}
    for part in torch.split(torch.from_numpy(pack.images[mask]), _BATCH):
        x = learn.plain(part)
        with torch.no_grad():
            activations = network.features(x)
        for name, view in views.items():
            own = view.of(activations) if network.views() else activations
            found[name] += [_map(view, x, own, index, int(targets[len(found[name])])) for index in range(len(part))]
    figures: Figures = {"body": float(body.mean())}
    for name, maps in found.items():
        figures |= _inside(name, np.array(maps), body, targets)
    chosen = _first_of_each(targets)
    return Explained(figures, {name: [small(maps[place]).tolist() for place in chosen] for name, maps in found.items()})


def _map(view: SplitNetwork, x: torch.Tensor, activations: Any, index: int, label: int) -> NDArray[np.float32]:
    """float32 (SIZE, SIZE), its largest value 1, or zeros."""
    done: Any = _Done(x, activations)
    model: Any = _Model(view)
    found = explain(model, done, index, "grad_cam", lambda row: row[0][label]).values
    side = len(found)
    return crop_resize(found, (0.0, 0.0, float(side), float(side)), (SIZE, SIZE))


@dataclass(frozen=True)
class _Model:
    """All that `explain` reads of a model."""

    network: SplitNetwork


@dataclass(frozen=True)
class _Done:
    """All that `explain` reads of a run."""

    x: torch.Tensor
    activations: Any


def _inside(name: str, maps: NDArray[np.float32], body: NDArray[np.bool_], targets: NDArray[np.float32]) -> Figures:
    total = maps.sum(axis=(1, 2))
    share = np.divide((maps * body).sum(axis=(1, 2)), total, out=np.full(len(maps), np.nan), where=total > 0)
    figures: Figures = {}
    for label in range(len(TASK.labels)):
        own = share[(targets == label) & ~np.isnan(share)]
        figures |= {
            f"inside_{name}_{label}": float(own.mean()) if own.size else None,
            f"n_maps_{name}_{label}": own.size,
        }
    return figures


def small(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] of any side to uint8 (SIDE, SIDE), for the kept pictures."""
    side = float(len(picture))
    return np.rint(np.clip(crop_resize(picture, (0.0, 0.0, side, side), (SIDE, SIDE)), 0, 1) * 255).astype(np.uint8)


def pictures(pack: Pack) -> dict[str, NDArray[np.uint8]]:
    """The first unseen case of each class: `images`, and `bodies`, 255 in the vertebral body; uint8 (3, SIDE, SIDE) both."""
    unseen = pack.folds == HELD_OUT
    chosen, margin = _first_of_each(pack.targets[unseen]), round(SIZE * (CONTEXT - 1) / 2)
    crops = pack.images[unseen][chosen][:, margin : margin + SIZE, margin : margin + SIZE].astype(np.float32)
    low, high = SHOWN_HU
    shown = [small((crop - low) / (high - low)) for crop in crops]
    inside = [small(own.astype(np.float32)) for own in bodies(int(unseen.sum()))[chosen]]
    return {"images": np.array(shown), "bodies": np.array(inside)}


def save_maps(
    path: Path, shown: dict[str, NDArray[np.uint8]], runs: Iterable[tuple[_Named, dict[str, list[list[list[int]]]]]]
) -> None:
    """Write the pictures, and by "run | branch" the maps of every run, as .npz."""
    arrays = {f"{run.key} | {branch}": np.array(maps, np.uint8) for run, own in runs for branch, maps in own.items()}
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **shown, **arrays)
    write_atomically(path, buffer.getvalue())
