"""Labelled chest films as examples of each finding: what a COCO file says, or phantoms with their truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from core.curation.chest_lesions import COCO
from core.errors import UsageError
from core.imaging.boxes import DrawnBox, draw_boxes
from core.imaging.corners import hide_corners
from core.imaging.display import to_display
from core.imaging.overlay import as_rgb, png_bytes
from core.io.labelled_folder import inside_folder
from core.io.reader import Reader
from core.records import Box, Frame, LabelledBoxes, LabelledCase
from core.tasks.chest_lesions.data import phantom_cases
from core.tasks.chest_lesions.readers import MAX_BYTES, read_coco
from core.tasks.chest_lesions.task import TASK

NORMAL = "normal"
N_PHANTOMS = 24
_SEED = 2026


@dataclass(frozen=True)
class Example:
    """One film.

    Attributes:
        name: Of its file, or of the phantom.
        boxes: Reference boxes, pixels of the film; none on a normal one.
        frame: The film, where it is not to be read from a file.
    """

    name: str
    boxes: LabelledBoxes
    frame: Frame | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Count:
    """How often a finding is there.

    Attributes:
        label: Its id, or NORMAL for films without any.
        n_films, n_boxes: Numbers.
    """

    label: str
    n_films: int
    n_boxes: int


@dataclass(frozen=True)
class Gallery:
    """Labelled films.

    Attributes:
        examples: In the order of their names.
        left_out: Number of entries of the COCO file left out, by reason.
    """

    examples: tuple[Example, ...]
    left_out: Mapping[str, int]

    def of(self, label: str) -> tuple[Example, ...]:
        """Films with a finding; those without any for NORMAL."""
        if label == NORMAL:
            return tuple(example for example in self.examples if not example.boxes)
        return tuple(example for example in self.examples if any(name == label for name, _ in example.boxes))

    def counts(self) -> tuple[Count, ...]:
        """Of every finding in the order of the task's labels, then of normal films."""
        labels = (*(label.id for label in TASK.labels), NORMAL)
        boxes = [name for example in self.examples for name, _ in example.boxes]
        return tuple(Count(label, len(self.of(label)), boxes.count(label)) for label in labels)


def labelled_folders(root: Path | None) -> list[str]:
    """Names of the folders below one that hold the COCO file of a curation."""
    if root is None or not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if (path / COCO).is_file())


def read_gallery(labels: Path) -> Gallery:
    """Labelled films of a COCO file.

    Raises:
        UsageError: It cannot be opened, or is none.
    """
    try:
        if labels.stat().st_size > MAX_BYTES:
            raise UsageError(f"{labels.name} is too large")
        table = read_coco(labels.read_bytes())
    except OSError as error:
        raise UsageError(f"{labels.name} cannot be opened") from error
    boxes: dict[str, LabelledBoxes] = dict.fromkeys(table.normal, ())
    for name, label, box in table.boxes:
        boxes[name] = (*boxes.get(name, ()), (label, box))
    return Gallery(tuple(Example(name, boxes[name]) for name in sorted(boxes)), table.left_out)


def phantom_gallery() -> Gallery:
    """Phantom films with their truth."""

    def example(case: LabelledCase) -> Example:
        return Example(case.case_id, case.boxes, case.study.frame)

    return Gallery(tuple(map(example, phantom_cases(_SEED, "test", N_PHANTOMS))), {})


def film_of(reader: Reader, folder: Path, example: Example) -> Frame:
    """The film of an example.

    Args:
        reader: Of its file.
        folder: Of the films.
        example: Of `read_gallery`, or a phantom.

    Raises:
        FileError: It cannot be read.
        UsageError: There is no such file in the folder.
        BusyError: All readers stayed busy.
    """
    if example.frame is not None:
        return example.frame
    try:
        content = inside_folder(folder.resolve(), example.name).read_bytes()
    except OSError as error:
        raise UsageError("no such file in the folder of films") from error
    return reader.read(content).frame


def reference_picture(
    frame: Frame,
    boxes: Sequence[DrawnBox],
    around: Sequence[Box],
    margin: float,
    longest_px: int,
    *,
    hides_corners: bool = False,
) -> bytes:
    """A frame with boxes on it, or the part of it around some of them.

    Args:
        frame: The image.
        boxes: In pixels of the frame.
        around: Boxes to cut out around; the whole frame without any.
        margin: Sides of the square that is cut out, times the longest side of the boxes.
        longest_px: Of the picture, smaller frames are enlarged.
        hides_corners: With black corners of the frame, where names may be burned in.

    Returns:
        PNG.
    """
    display = to_display(frame)
    rgb = as_rgb(hide_corners(display) if hides_corners else display)
    left, top, right, bottom = _square(around, margin, rgb.shape[:2])
    factor = max(right - left, bottom - top) / longest_px
    size = (max(1, round((right - left) / factor)), max(1, round((bottom - top) / factor)))
    part = Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    moved = [
        replace(drawn, box_xyxy=_moved(drawn.box_xyxy, left, top, factor))
        for drawn in boxes
        if _meets(drawn.box_xyxy, (left, top, right, bottom))
    ]
    return png_bytes(draw_boxes(np.asarray(part), moved))


def _square(around: Sequence[Box], margin: float, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around boxes, cut at the edges of a frame of `shape`."""
    if not around:
        return 0, 0, shape[1], shape[0]
    x0, y0, x1, y1 = (
        *(min(box[i] for box in around) for i in (0, 1)),
        *(max(box[i] for box in around) for i in (2, 3)),
    )
    half = margin * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(0, int(x - half)), max(0, int(y - half))
    return left, top, max(left + 1, min(shape[1], round(x + half))), max(top + 1, min(shape[0], round(y + half)))


def _meets(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _moved(box: Box, left: float, top: float, factor: float) -> Box:
    x0, y0, x1, y1 = box
    return (x0 - left) / factor, (y0 - top) / factor, (x1 - left) / factor, (y1 - top) / factor
