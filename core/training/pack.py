"""Prepared training arrays in one file, so that a machine with nothing but torch can train."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pack:
    """Everything `fit` needs, and what `publish` needs beside it.

    Attributes:
        images: uint8 or int16 (N, S, S), or uint8 (N, S, S, 3): the task's stored form.
        targets: float32 (N,), the class of each case.
        cases, patients: Ids, (N,).
        folds: int64 (N,), the fold in which a case is validation; -1 for held-out test cases.
        markers: float32 (N, M), true marker values of phantoms; NaN in the rows of real cases.
        references: float32 (N,), a measured value that the answer is compared with (HU); NaN where there is none.
        pixel_hashes: Salted hash of each stored image, (N,), for the leakage check.
        facts: (1,) JSON text: task, data kind, source, seed, licence.
        label_maps: uint8 (N, S, S), the class of every pixel of a segmenter's images; (0,) for other tasks.
        boxes: float32 (B, 5), the boxes of a detector's images one after another: x0, y0, x1, y1 in pixels of the stored image
            and the number of the label from 1; (0, 5) for other tasks.
        presence: float32 (N, L), of every label 1, 0 or NaN for not known, of a detector's images that nobody drew boxes on; only
            NaN where the boxes are the truth; (0, 0) where they are everywhere.
        box_offsets: int64 (N + 1,), where the boxes of each image start and those of the last one end; (0,) for other tasks.
    """

    images: NDArray[np.uint8] | NDArray[np.int16]
    targets: NDArray[np.float32]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    folds: NDArray[np.int64]
    markers: NDArray[np.float32]
    references: NDArray[np.float32]
    pixel_hashes: NDArray[np.str_]
    facts: NDArray[np.str_]
    label_maps: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 5), np.float32))
    box_offsets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    presence: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def has_boxes(self) -> bool:
        """Whether the images are a detector's."""
        return bool(self.box_offsets.size)

    @property
    def is_boxed(self) -> NDArray[np.bool_]:
        """Whether the boxes of each of a detector's images are the truth, (N,)."""
        if not self.presence.size:
            return np.ones(len(self.targets), bool)
        return np.asarray(np.isnan(self.presence).all(axis=1))

    def boxes_of(self, mask: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
        """Boxes of some images, (M, 5) each."""
        return [self.boxes[self.box_offsets[place] : self.box_offsets[place + 1]] for place in np.flatnonzero(mask)]

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        partial = path.with_suffix(".part.npz")
        np.savez_compressed(partial, **{one.name: getattr(self, one.name) for one in fields(self)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Pack":
        """Read a file written by `save`; never unpickles."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{one.name: archive[one.name] for one in fields(cls) if one.name in archive})
