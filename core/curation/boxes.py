"""Boxes of the femoral neck: proposals for LabelImg, and what people made of them."""

import re
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from core.errors import UsageError
from core.imaging.display import to_bytes, to_display
from core.io.keys import iso_date
from core.io.labelled_folder import LABEL_COLUMNS, LABELS, read_table
from core.io.tables import csv_bytes, plain_cell
from core.io.voc import VocError, parse_voc, write_voc
from core.io.weights_file import write_atomically
from core.records import Box, Frame

LABEL = "femoral_neck"
FOLDER, TABLE = "boxes", "boxes.csv"
BOX_COLUMNS = ("x_min", "y_min", "x_max", "y_max")
MIN_SIDE_PX = 16.0
_NAME = re.compile(r"[0-9a-f]{16}")


def write_proposal(folder: Path, film: str, frame: Frame, box: Box) -> None:
    """A picture for the eye (8 bits, as displayed) and the proposed box beside it, as LabelImg opens them.

    Args:
        folder: Of the boxes.
        film: Id of the film.
        frame: Of the film.
        box: From the task's `locate`.
    """
    buffer = BytesIO()
    Image.fromarray(to_bytes(to_display(frame))).save(buffer, "png")
    write_atomically(folder / f"{film}.png", buffer.getvalue())
    rows, columns = frame.pixels.shape[:2]
    write_atomically(folder / f"{film}.xml", write_voc(f"{film}.png", (columns, rows), [(LABEL, box)]))


@dataclass(frozen=True)
class Reviewed:
    """Boxes that people agreed to, by film, and the number of files left out by reason."""

    boxes: dict[str, Box]
    left_out: Counter[str]


def read_reviewed(folder: Path, is_marked: bool) -> Reviewed:
    """The XML files of a folder.

    Args:
        folder: Where LabelImg saved them.
        is_marked: Take only those that LabelImg marks as verified (its key: space).

    Raises:
        UsageError: There are none.
    """
    boxes: dict[str, Box] = {}
    left_out = Counter[str]()
    paths = sorted(folder.glob("*.xml"))
    if not paths:
        raise UsageError("the folder of reviewed boxes holds no XML file")
    for path in paths:
        try:
            film, box = _reviewed(path, is_marked)
            boxes[film] = box
        except VocError as error:
            left_out[str(error)] += 1
    return Reviewed(boxes, left_out)


def _reviewed(path: Path, is_marked: bool) -> tuple[str, Box]:
    """Film and box of one file.

    Raises:
        VocError: Why it is left out.
    """
    found = parse_voc(path.read_bytes())
    if not _NAME.fullmatch(path.stem):
        raise VocError("not named like a film")
    if is_marked and not found.is_verified:
        raise VocError("not marked as verified")
    boxes = [box for name, box in found.objects if name == LABEL]
    if len(found.objects) != 1 or len(boxes) != 1:
        raise VocError(f"not one box named {LABEL}")
    (box,) = boxes
    if box is None or found.size is None:
        raise VocError("a box or a size that is none")
    x0, y0, x1, y1 = box
    if min(x0, y0) < 0 or x1 > found.size[0] or y1 > found.size[1]:
        raise VocError("a box outside its image")
    if min(x1 - x0, y1 - y0) < MIN_SIDE_PX:
        raise VocError("a box that is too small")
    return path.stem, box


def adopt_reviewed(out: Path, reviewed: Reviewed, reviewer: str, day: str) -> int:
    """Write boxes.csv, and the boxes into labels.csv, where training takes them in place of its own proposals.

    Args:
        out: Folder of a curated data set.
        reviewed: From `read_reviewed`; boxes of films that are not in the data set are counted as left out.
        reviewer: Who agreed, "" where it is not known; goes into boxes.csv.
        day: When, as a date, or "".

    Returns:
        Number of films with a reviewed box.

    Raises:
        UsageError: The folder has no labels.csv of a curation, or `day` is no date.
    """
    if day and not iso_date(day):
        raise UsageError("--reviewed-on is no date")
    rows = read_table(out / LABELS, (*LABEL_COLUMNS, *BOX_COLUMNS))
    used = []
    for row in rows:
        film = Path(row["file"]).stem
        if (box := reviewed.boxes.get(film)) is not None:
            row |= dict(zip(BOX_COLUMNS, (f"{edge:g}" for edge in box), strict=True))
            used.append((film, *(row[name] for name in BOX_COLUMNS), plain_cell(reviewer), iso_date(day)))
    reviewed.left_out["film not in the data set"] += len(reviewed.boxes) - len(used)
    write_atomically(out / TABLE, csv_bytes(("film", *BOX_COLUMNS, "reviewer", "reviewed_on"), used))
    write_atomically(out / LABELS, csv_bytes(list(rows[0]), [list(row.values()) for row in rows]))
    return len(used)
