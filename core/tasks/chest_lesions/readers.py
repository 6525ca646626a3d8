"""Readers of labelled boxes: tables, COCO, Pascal VOC, YOLO and drawn marks. One bad entry costs itself and nothing else."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.io.voc import VocError, parse_voc
from core.records import Box
from core.tasks.chest_lesions.task import TASK

MAX_BYTES = 64 * 2**20  # of one table or COCO file
MAX_SIDE_PX = 100_000.0
MIN_SIDE_PX = 2.0  # a smaller box is a slip of the mouse

NORMAL = "normal"
"""Stands for an image without a finding; never the label of a box."""
CHINESE: Mapping[str, str] = dict(
    zip(
        (label.id for label in TASK.labels),
        ("心脈肥大", "主動脈硬鹼化", "主動脈彎曲", "肺尖肋膜增厚", "肺野浸潤增加", "胸椎退化性關節病變", "脊椎側彎"),
        strict=True,
    )
)
"""Label id to the word in the tables of the reference system."""
_ALSO = {
    "心臟擴大": "cardiac_hypertrophy",
    "心臟肥大": "cardiac_hypertrophy",
    "主動脈硬化鈣化": "aortic_atherosclerosis_calcification",
    "主動脈粥狀硬化鈣化": "aortic_atherosclerosis_calcification",
    "主動脈迂曲": "aortic_curvature",
    "胸椎退化性變化": "degenerative_joint_disease_of_the_thoracic_spine",
    "脊柱側彎": "scoliosis",
    **dict.fromkeys(("no_finding", "正常", "無異常"), NORMAL),
}
_COLUMNS = {
    "file": ("file", "file_name", "filename", "image", "image_path", "path", "image_id"),
    "label": ("label", "class", "class_name", "category", "finding", "lesion", "label_id", "class_id"),
    "x_min": ("x_min", "xmin", "x1", "left"),
    "y_min": ("y_min", "ymin", "y1", "top"),
    "x_max": ("x_max", "xmax", "x2", "right"),
    "y_max": ("y_max", "ymax", "y2", "bottom"),
    "x": ("x",),
    "y": ("y",),
    "width": ("w", "width", "box_width"),
    "height": ("h", "height", "box_height"),
}
_CORNERS, _EXTENT = ("x_min", "y_min", "x_max", "y_max"), ("x", "y", "width", "height")


@dataclass(frozen=True)
class BoxTable:
    """Labelled boxes of a set of images.

    Attributes:
        boxes: File name as given, label id, box_xyxy in pixels, in the order of the source.
        normal: Files that are named and have no finding, in order.
        left_out: Number of entries left out, by reason.
    """

    boxes: tuple[tuple[str, str, Box], ...]
    normal: tuple[str, ...]
    left_out: Mapping[str, int]


class _Left(ValueError):
    """Why an entry is left out."""


def label_id(word: str) -> str | None:
    """Label id for an id, an English or Chinese name, or a class number 1 to 7; NORMAL for a normal image; else None."""
    return _WORDS.get(_plain(word))


def _plain(word: str) -> str:
    return "_".join(word.lower().replace("-", " ").replace("_", " ").split())


def _words() -> dict[str, str]:
    words = {**_ALSO, NORMAL: NORMAL}
    for number, label in enumerate(TASK.labels, start=1):
        words |= dict.fromkeys((label.id, _plain(label.name), CHINESE[label.id], str(number)), label.id)
    return words


def read_boxes_csv(data: bytes) -> BoxTable:
    """The label table of the reference system (train.csv), or any like it.

    Args:
        data: CSV with a header, UTF-8 or Big5. Columns by any of their usual names: file, label, and a box as x_min, y_min,
            x_max, y_max or as x, y, w, h; a row without numbers names a normal image.

    Raises:
        UsageError: Too large, no text, or without a column for file, label or box.
    """
    reader = csv.reader(io.StringIO(_text(data), newline=""), strict=False)
    header = [name.strip().lower().replace(" ", "_") for name in next(_rows(reader), None) or []]
    at = {key: header.index(name) for key, names in _COLUMNS.items() for name in names[::-1] if name in header}
    keys = _CORNERS if all(key in at for key in _CORNERS) else _EXTENT
    if missing := [key for key in ("file", "label", *keys) if key not in at]:
        raise UsageError(f"the table has no column for {', '.join(missing)}")
    entries: list[tuple[str, str, list[Any] | None]] = []
    for row in _rows(reader):
        if row is None or len(row) < len(header):
            entries.append(("", "", None))
            continue
        numbers: list[Any] = [row[at[key]].strip() for key in keys]
        entries.append((row[at["file"]], row[at["label"]], numbers if any(numbers) else []))
    return _table(entries, corners=keys == _CORNERS)


def read_coco(data: bytes) -> BoxTable:
    """Boxes of a COCO file; its categories are told apart by name, and images without annotation are normal.

    Raises:
        UsageError: Too large, no JSON, or without the lists images, annotations and categories.
    """
    try:
        coco = json.loads(_text(data))
    except (ValueError, RecursionError) as error:
        raise UsageError("the file is no JSON that can be read") from error
    lists = [coco.get(key) if isinstance(coco, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(found, list) for found in lists):
        raise UsageError("no COCO file: it has no lists images, annotations and categories")
    images, annotations, categories = (
        [entry if isinstance(entry, dict) else {} for entry in found or []] for found in lists
    )
    files = {_key(entry.get("id")): str(entry.get("file_name", "")) for entry in images}
    names = {_key(entry.get("id")): str(entry.get("name", "")) for entry in categories}
    entries: list[tuple[str, str, list[Any] | None]] = []
    for entry in annotations:
        box = entry.get("bbox")
        name = names.get(_key(entry.get("category_id")), "")
        is_box = isinstance(box, list) and len(box) == 4
        entries.append((files.get(_key(entry.get("image_id")), ""), name, box if is_box else None))
    used = {file for file, _, _ in entries}
    entries += [(file, NORMAL, []) for file in files.values() if file not in used]
    return _table(entries, corners=False)


def read_voc(files: Iterable[bytes]) -> BoxTable:
    """Boxes of Pascal VOC files, one image each (LabelImg writes them); a file that cannot be read is left out.

    VOC counts pixels from 1 and names the last pixel inside; the boxes returned count edges from 0. A document type, and with it
    every entity, is refused.
    """
    entries: list[tuple[str, str, list[Any] | None]] = []
    left_out = Counter[str]()
    for data in files:
        try:
            found = parse_voc(data)
        except VocError as error:
            left_out[str(error)] += 1
            continue
        boxes = [(found.file, name, None if box is None else [*box]) for name, box in found.objects]
        entries += boxes or [(found.file, NORMAL, [])]
    table = _table(entries, corners=True)
    return BoxTable(table.boxes, table.normal, dict(left_out + Counter(table.left_out)))


def read_yolo(data: bytes) -> tuple[NDArray[np.float64], int]:
    """Boxes of one YOLO file; the polygon of a segmentation file becomes the box around it.

    Returns:
        float64 (n, 5): class, centre x, centre y, width, height, fractions of the image; and the number of lines left out.

    Raises:
        UsageError: Too large or no text.
    """
    boxes, left_out = [], 0
    for line in _text(data).splitlines():
        try:
            values = np.array([_number(word) for word in line.split()])
            if len(values):
                boxes.append(_yolo_box(values))
        except _Left:
            left_out += 1
    return np.array(boxes, dtype=np.float64).reshape(-1, 5), left_out


def _yolo_box(values: NDArray[np.float64]) -> list[float]:
    number, rest = float(values[0]), values[1:]
    if len(rest) >= 6 and len(rest) % 2 == 0:
        low, high = rest.reshape(-1, 2).min(axis=0), rest.reshape(-1, 2).max(axis=0)
        rest = np.concatenate([(low + high) / 2, high - low])
    if len(rest) != 4 or (rest < 0).any() or (rest > 1).any() or (rest[2:] == 0).any():
        raise _Left("box")
    return [number, *(float(value) for value in rest)]


def _rows(reader: Any) -> Iterator[list[str] | None]:
    """Rows of a CSV reader that are not empty, None for one that cannot be read."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if any(cell.strip() for cell in row):
            yield row


def _table(entries: Iterable[tuple[str, str, list[Any] | None]], *, corners: bool) -> BoxTable:
    """Check entries of file, word for the label and four numbers: none for a normal image, None where they are damaged."""
    boxes: list[tuple[str, str, Box]] = []
    normal: dict[str, None] = {}
    left_out = Counter[str]()
    for file, word, numbers in entries:
        try:
            name = _file_name(file)
            label = label_id(word)
            if label is None:
                raise _Left("unknown label")
            if numbers is None:
                raise _Left("box that is none")
            if label == NORMAL and not numbers:
                normal[name] = None
                continue
            if label == NORMAL or not numbers:
                raise _Left("normal image with a box" if label == NORMAL else "finding without a box")
            boxes.append((name, label, _box(numbers, corners=corners)))
        except _Left as error:
            left_out[str(error)] += 1
    found = {file for file, _, _ in boxes}
    if contradicted := [file for file in normal if file in found]:
        left_out["named normal and with a finding"] += len(contradicted)
    return BoxTable(tuple(boxes), tuple(file for file in normal if file not in found), dict(left_out))


def _box(numbers: list[Any], *, corners: bool) -> Box:
    x, y, right, down = (_number(value) for value in numbers)
    x_max, y_max = (right, down) if corners else (x + right, y + down)
    if x < 0 or y < 0 or max(x_max, y_max) > MAX_SIDE_PX:
        raise _Left("box outside the image")
    if x_max - x < MIN_SIDE_PX or y_max - y < MIN_SIDE_PX:
        raise _Left("box without area")
    return x, y, x_max, y_max


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Left("box that is none")
    return number


def _file_name(name: str) -> str:
    """A relative path below some folder, with forward slashes."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or not name.isprintable():
        raise _Left("file name")
    return str(path)


def _key(value: Any) -> str:
    """COCO ids are numbers, sometimes written as text."""
    return str(value) if isinstance(value, int | str) else ""


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise UsageError(f"a file of labels of {len(data)} bytes; wanted: at most {MAX_BYTES}")
    for encoding in ("utf-8-sig", "cp950"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UsageError("a file of labels that is no text in UTF-8 or Big5")


_WORDS = _words()
