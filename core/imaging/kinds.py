"""Which known kind of image a picture resembles, for files whose header does not tell.

One model a kind: the mean and leading principal components of 32x32 thumbnails of real images. A picture is of that
kind when the components explain it as well as they explain images of the kind they have not seen. No kind is learnt
against another, so an unusual hip is not pushed into the nearest other class. Turk and Pentland 1991.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.imaging.display import apply_percentiles

Array = NDArray[np.float32]
SIDE = 32
KINDS_FILE = Path(__file__).resolve().parents[2] / "weights" / "image_kinds" / "kinds.npz"


@dataclass(frozen=True)
class Kind:
    """One kind of image.

    Attributes:
        task: Id of the task that reads it.
        mean: (SIDE * SIDE,).
        components: Orthonormal rows, (K, SIDE * SIDE).
        limit: Largest residual that still counts.
    """

    task: str
    mean: Array
    components: Array
    limit: float


def thumbnail(grey: Array) -> Array:
    """Stretch, shrink to 32x32 without regard to aspect, then zero mean and unit variance; (1024,)."""
    small = Image.fromarray(apply_percentiles(grey, 0.5, 99.5)).resize((SIDE, SIDE), Image.Resampling.BOX)
    flat = np.asarray(small, np.float32).ravel()
    return (flat - flat.mean()) / (flat.std() + np.float32(1e-6))


def residual(kind: Kind, thumbnails: Array) -> Array:
    """Root mean square that the components leave unexplained; (N, 1024) -> (N,)."""
    centred = thumbnails - kind.mean
    rest = centred - (centred @ kind.components.T) @ kind.components
    return np.sqrt(np.square(rest).mean(axis=1))


def learn_kind(task: str, thumbnails: Array, n_components: int, accepted: float = 0.975) -> Kind:
    """Fit one kind: components on even rows, limit = the `accepted` quantile of the residual on odd rows."""
    fitted, unseen = thumbnails[::2], thumbnails[1::2]
    mean = fitted.mean(axis=0)
    components = np.linalg.svd(fitted - mean, full_matrices=False)[2][:n_components]
    kind = Kind(task, mean, components, 0.0)
    return Kind(task, mean, components, float(np.quantile(residual(kind, unseen), accepted)))


@lru_cache(maxsize=1)
def known_kinds() -> tuple[Kind, ...]:
    """The kinds shipped with the program; empty when the file is not installed."""
    if not KINDS_FILE.is_file():
        return ()
    with np.load(KINDS_FILE, allow_pickle=False) as file:
        tasks = [str(name) for name in file["tasks"]]
        return tuple(
            Kind(
                task,
                file[f"{task}_mean"].astype(np.float32),
                file[f"{task}_components"].astype(np.float32),
                float(limit),
            )
            for task, limit in zip(tasks, file["limits"], strict=True)
        )


def resembles(grey: Array) -> str | None:
    """Task id of the kind a picture resembles most, or None."""
    flat = thumbnail(grey)[None]
    ratios = {kind.task: float(residual(kind, flat)[0]) / kind.limit for kind in known_kinds()}
    best = min(ratios, key=lambda task: ratios[task], default=None)
    return best if best is not None and ratios[best] <= 1 else None
