"""Prepared training arrays in one file, so that a machine with nothing but torch can train."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pack:
    """Everything `fit` needs, and what `publish` needs beside it.

    Attributes:
        images: uint8 (N, S, S), the task's stored form.
        targets: float32 (N,).
        cases, patients: Ids, (N,).
        folds: int64 (N,), the fold in which a case is validation; -1 for held-out test cases.
        markers: float32 (N, M), true marker values of phantoms; M = 0 for real data.
        pixel_hashes: Salted hash of each stored image, (N,), for the leakage check.
        facts: (1,) JSON text: task, data kind, source, seed, licence.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    folds: NDArray[np.int64]
    markers: NDArray[np.float32]
    pixel_hashes: NDArray[np.str_]
    facts: NDArray[np.str_]

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        partial = path.with_suffix(".part.npz")
        np.savez_compressed(partial, **{field.name: getattr(self, field.name) for field in fields(self)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Pack":
        """Read a file written by `save`; never unpickles."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})
