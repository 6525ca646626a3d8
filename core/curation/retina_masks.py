"""Masks of single kinds of lesions on one photograph become the label map that training reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.curation.retina_names import KINDS, NAMES
from core.errors import ScreeningError
from core.io.reader import Reader

EMPTY = "empty mask"
SIZE, GREYS, WHOLE = "mask of another size", "mask with more than two values", "mask marks the whole picture"


@dataclass(frozen=True)
class Masks:
    """What the masks of one photograph say together.

    Attributes:
        label_map: uint8 (H, W), classes as in `core.tasks.retina_lesions.task`; where kinds overlap the later of KINDS stands:
            lesions over the disc, small red ones over large ones.
        kinds: Names of the kinds that are marked.
        empty: Names of the kinds whose mask is black.
    """

    label_map: NDArray[np.uint8] = field(repr=False)
    kinds: tuple[str, ...]
    empty: tuple[str, ...]


def read_masks(reader: Reader, paths: Mapping[str, Path], shape: tuple[int, ...]) -> Masks | str:
    """The label map of one photograph, or the reason why its masks cannot be used.

    Args:
        reader: Of the masks: grey or coloured pictures whose marked pixels have one value and whose others are black.
        paths: By name of the kind.
        shape: (H, W) of the photograph.
    """
    label_map = np.zeros(shape, np.uint8)
    kinds: list[str] = []
    empty: list[str] = []
    for kind in dict.fromkeys(KINDS.values()):
        name = NAMES[kind]
        if name not in paths:
            continue
        try:
            pixels = reader.read(paths[name].read_bytes()).frame.pixels
        except (ScreeningError, OSError) as error:
            return f"mask {error.code if isinstance(error, ScreeningError) else 'cannot be opened'}"
        values = (pixels.max(axis=2) if pixels.ndim == 3 else pixels).astype(np.float32)
        if values.shape != shape:
            return SIZE
        if len(np.unique(values)) > 2:
            return GREYS
        if values.min() > 0:
            return WHOLE
        label_map[values > 0] = kind
        (kinds if values.any() else empty).append(name)
    return Masks(label_map, tuple(kinds), tuple(empty))
