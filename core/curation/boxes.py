"""Boxes of the femoral neck: proposals for the page that reviews them or for LabelImg, and what people made of them."""

import re
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from core.curation.reviews import BOX_COLUMNS, Review, is_about, read_reviews
from core.errors import FileError, UsageError
from core.i18n import mark
from core.imaging.display import to_bytes, to_display
from core.io.keys import iso_date
from core.io.labelled_folder import LABEL_COLUMNS, LABELS, Row, read_table
from core.io.reader import Reader
from core.io.tables import csv_bytes, plain_cell
from core.io.voc import VocError, VocFile, write_voc
from core.io.weights_file import write_atomically
from core.records import Box, Frame

LABEL = "femoral_neck"
FOLDER, TABLE, UNREVIEWED = "boxes", "boxes.csv", "labels_unreviewed.csv"
MIN_SIDE_PX = 16.0
NOT_ONE, NO_NUMBERS = mark("not one box named femoral_neck"), mark("a box or a size that is none")
OUTSIDE, TOO_SMALL = mark("a box outside its image"), mark("a box that is too small")
REJECTED = "rejected by a reviewer"
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
    """Boxes that people agreed to, by film, and the number of files left out by reason.

    Attributes:
        boxes: In pixels of the film.
        left_out: By reason.
        reviews: By film, who agreed to its box and when, where the page for reviewing wrote it down.
        rejected: Films that are not to be used.
    """

    boxes: dict[str, Box]
    left_out: Counter[str]
    reviews: dict[str, Review] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)


def read_reviewed(reader: Reader, folder: Path, is_marked: bool) -> Reviewed:
    """The XML files of a folder, and the journal of the page for reviewing where there is one.

    Args:
        reader: Of the files.
        folder: Where they were saved.
        is_marked: Take only those that are marked as verified (by the page, or by LabelImg with its key: space).

    Raises:
        UsageError: There are none, or the journal cannot be read.
    """
    reviewed = Reviewed({}, Counter())
    paths = sorted(folder.glob("*.xml"))
    if not paths:
        raise UsageError("the folder of reviewed boxes holds no XML file")
    reviews = {Path(name).stem: review for name, review in read_reviews(reader, folder).items()}
    for path in paths:
        review = reviews.get(path.stem)
        try:
            film, box = _reviewed(reader, path, review, is_marked)
        except (VocError, FileError) as error:
            reason = error.code if isinstance(error, FileError) else str(error)
            reviewed.left_out[reason] += 1
            if reason == REJECTED:
                reviewed.rejected.add(path.stem)
            continue
        reviewed.boxes[film] = box
        if review is not None and is_about(review, box):
            reviewed.reviews[film] = review
    return reviewed


def _reviewed(reader: Reader, path: Path, review: Review | None, is_marked: bool) -> tuple[str, Box]:
    """Film and box of one file.

    Raises:
        VocError: Why it is left out.
    """
    found = reader.read_voc(path.read_bytes())
    if not _NAME.fullmatch(path.stem):
        raise VocError("not named like a film")
    if not found.is_verified and review is not None and review.decision == "rejected":
        raise VocError(REJECTED)
    if is_marked and not found.is_verified:
        raise VocError("not marked as verified")
    return path.stem, usable_box(found)


def usable_box(found: VocFile) -> Box:
    """The one box of a file.

    Raises:
        VocError: There is none, or it cannot be one of a femoral neck.
    """
    boxes = [box for name, box in found.objects if name == LABEL]
    if len(found.objects) != 1 or len(boxes) != 1:
        raise VocError(NOT_ONE)
    (box,) = boxes
    if box is None or found.size is None:
        raise VocError(NO_NUMBERS)
    x0, y0, x1, y1 = box
    if min(x0, y0) < 0 or x1 > found.size[0] or y1 > found.size[1]:
        raise VocError(OUTSIDE)
    if min(x1 - x0, y1 - y0) < MIN_SIDE_PX:
        raise VocError(TOO_SMALL)
    return box


def adopt_reviewed(out: Path, reviewed: Reviewed, reviewer: str, day: str) -> int:
    """Write boxes.csv, and the boxes into labels.csv, where training takes them in place of its own proposals.

    Rejected films are taken out of labels.csv. The table as it was before any review is kept in labels_unreviewed.csv, and every
    call begins with that one: a decision that was changed since leaves nothing behind.

    Args:
        out: Folder of a curated data set.
        reviewed: From `read_reviewed`; boxes of films that are not in the data set are counted as left out.
        reviewer: Who agreed to the boxes of which the journal does not tell it, "" where it is not known; goes into boxes.csv.
        day: When, as a date, or "".

    Returns:
        Number of films with a reviewed box.

    Raises:
        UsageError: The folder has no labels.csv of a curation, no film is left, or `day` is no date.
    """
    if day and not iso_date(day):
        raise UsageError("--reviewed-on is no date")
    rows, head = _unreviewed(out)
    rows = [row for row in rows if Path(row["file"]).stem not in reviewed.rejected]
    if not rows:
        raise UsageError("every film was rejected")
    used = []
    for row in rows:
        film = Path(row["file"]).stem
        if (box := reviewed.boxes.get(film)) is not None:
            row |= dict(zip(BOX_COLUMNS, (f"{edge:g}" for edge in box), strict=True))
            review = reviewed.reviews.get(film)
            who = (
                (plain_cell(reviewer), iso_date(day))
                if review is None
                else (plain_cell(review.reviewer), review.reviewed_at)
            )
            used.append((film, *(row[name] for name in BOX_COLUMNS), *who))
    reviewed.left_out["film not in the data set"] += len(reviewed.boxes) - len(used)
    write_atomically(out / TABLE, csv_bytes(("film", *BOX_COLUMNS, "reviewer", "reviewed_on"), used))
    write_atomically(out / LABELS, csv_bytes(head, [[row[name] for name in head] for row in rows]))
    return len(used)


def _unreviewed(out: Path) -> tuple[list[Row], list[str]]:
    """Rows and head of labels.csv as curation wrote it; it is put aside before the first review changes it."""
    first, now = out / UNREVIEWED, out / LABELS
    columns = (*LABEL_COLUMNS, *BOX_COLUMNS)
    rows = read_table(first if first.is_file() else now, columns)
    if not rows:
        raise UsageError(f"{LABELS} has no row")
    if not first.is_file():
        write_atomically(first, now.read_bytes())
    return rows, [name for name in rows[0] if name]
