"""Maps of an experiment that explains, as they lie in `maps.npz`, and figures of every class. Loads no torch."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.errors import UsageError
from core.experiments.results import Results
from core.i18n import mark

MAPS = "maps.npz"


@dataclass(frozen=True)
class MapWords:
    """Message ids around a grid.

    Attributes:
        title: Of the grid.
        image: Name of its first column.
        head: What is drawn, in a line.
        caption: What is drawn, in full.
    """

    title: str
    image: str
    head: str
    caption: str


_LOOKS = MapWords(
    title=mark("What each network looks at"),
    image=mark("Simulated slice"),
    head=mark("Grad-CAM of the true class; outlined: the true vertebral body"),
    caption=mark(
        "Grad-CAM of the true class, the first unseen phantom of each class, first seed; each map is stretched to its own "
        "largest value, and without colour where nothing speaks for the class. Outlined: the true vertebral body. "
        "Figure 4 of the reference."
    ),
)
_MARKS = MapWords(
    title=mark("What each network marks"),
    image=mark("Simulated photograph"),
    head=mark("Scores of pixels, yellow = 1; outlined: the true lesions"),
    caption=mark(
        "Green channel of the unseen phantom with most of each kind of lesion, and the scores of its pixels, first seed: no "
        "colour = 0, yellow = 1. Outlined: the true lesions."
    ),
)
_IMAGES, _BODIES = "images", "bodies"
_COLUMNS = {"recall": re.compile(r"unseen_([st])_recall_(\d)"), "inside": re.compile(r"unseen_inside_(one|s|t)_(\d)")}


@dataclass(frozen=True)
class MapGrid:
    """One unseen case a class, and what each network looks at or marks.

    Attributes:
        images, bodies: uint8 (C, S, S): the picture, and 255 in the vertebral body or the lesions.
        maps: By arm and branch ("" of a single network) uint8 (C, S, S), 255 = the strongest evidence, or a score of 1.
        words: Around it.
    """

    images: NDArray[np.uint8]
    bodies: NDArray[np.uint8]
    maps: Mapping[tuple[str, str], NDArray[np.uint8]]
    words: MapWords


def read_maps(results: Results) -> MapGrid | None:
    """The maps of the first run of every arm; None where the experiment keeps none.

    Raises:
        UsageError: The file is of another form.
    """
    path = results.folder / MAPS
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        images, bodies = arrays.pop(_IMAGES), arrays.pop(_BODIES)
        if any(own.dtype != np.uint8 or own.shape != images.shape for own in (bodies, *arrays.values())):
            raise ValueError("shapes")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{MAPS} of {results.declared.id} is of another form: run the experiment again") from error
    maps: dict[tuple[str, str], NDArray[np.uint8]] = {}
    for name, own in arrays.items():
        arm, *_, branch = name.split(" | ")
        maps.setdefault((arm, "" if branch == "one" else branch), own)
    is_segmenter = registry.task(results.declared.task).kind == "segmenter"
    return MapGrid(images, bodies, maps, _MARKS if is_segmenter else _LOOKS)


def by_class(results: Results, kind: Literal["recall", "inside"]) -> dict[tuple[str, str], list[float | None]]:
    """A figure of every class on unseen patients under the careful protocol, by arm and branch.

    Args:
        results: Of a CT experiment; others have none.
        kind: "recall" of each branch alone (Figure 3 of the reference), or the share of its maps "inside" the vertebral body.
    """
    n_classes = len(registry.task(results.declared.task).labels)
    found: dict[tuple[str, str], list[float | None]] = {}
    for entry in results.summary["arms"]:
        if entry["protocol"] != results.careful:
            continue
        for column, cell in entry["metrics"].items():
            if match := _COLUMNS[kind].fullmatch(column):
                branch = "" if match[1] == "one" else match[1]
                found.setdefault((entry["arm"], branch), [None] * n_classes)[int(match[2])] = cell["mean"]
    return found


def body_share(results: Results) -> float | None:
    """Share of the picture that the vertebral body takes: what a map without any preference has inside."""
    shares = [
        entry["metrics"]["unseen_body"]["mean"]
        for entry in results.summary["arms"]
        if "unseen_body" in entry["metrics"]
    ]
    return shares[0] if shares else None
