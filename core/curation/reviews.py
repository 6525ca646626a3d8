"""What reviewers decided about proposed boxes: reviews.csv, one row a decision, in a file that only grows.

The XML file of a picture says what holds: a box that is marked as verified. The journal beside it says who decided, when, and why
there is none. A picture has two files and no order of writing them survives every crash, so both are asked: see `decision_of`.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UsageError
from core.io.reader import Reader
from core.io.tables import csv_bytes, plain_cell
from core.records import Box

JOURNAL = "reviews.csv"
BOX_COLUMNS = ("x_min", "y_min", "x_max", "y_max")
COLUMNS = ("picture", "decision", *BOX_COLUMNS, "reviewer", "reviewed_at", "statement")
MAX_BYTES = 32 * 2**20
Decision = Literal["accepted", "redrawn", "rejected"]
State = Literal["open", "accepted", "redrawn", "rejected"]
_DECISIONS: tuple[Decision, ...] = ("accepted", "redrawn", "rejected")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_lock = threading.Lock()


@dataclass(frozen=True)
class Review:
    """One decision.

    Attributes:
        picture: Name of the picture's file.
        decision: What was decided.
        box: In pixels of the picture; None where a picture without a box was rejected.
        reviewer: Who.
        reviewed_at: When, UTC: 2026-03-04T05:06:07Z.
    """

    picture: str
    decision: Decision
    box: Box | None
    reviewer: str
    reviewed_at: str


def append_review(folder: Path, review: Review, statement: str) -> None:
    """Write one decision and wait until it is on the disk.

    Args:
        folder: Of the boxes.
        review: The decision.
        statement: What the row says about simulated pictures, "" for others.

    Raises:
        OSError: Disk full, or folder not writable.
    """
    edges = ("",) * 4 if review.box is None else tuple(f"{edge:g}" for edge in review.box)
    row = (review.picture, review.decision, *edges, plain_cell(review.reviewer), review.reviewed_at, statement)
    head, line = csv_bytes(COLUMNS, [row]).split(b"\n", 1)
    path = folder / JOURNAL
    with _lock, path.open("a+b") as file:
        n_bytes = file.seek(0, os.SEEK_END)
        if n_bytes:
            file.seek(n_bytes - 1)
            # a writer was killed in the middle of a line: that line ends here
            head = b"" if file.read(1) == b"\n" else b"\n"
        else:
            head += b"\n"
        file.write(head + line)  # in one piece: another process may write too
        file.flush()
        os.fsync(file.fileno())


def read_reviews(reader: Reader, folder: Path) -> dict[str, Review]:
    """The last decision about each picture; rows that are none are left aside.

    Args:
        reader: The journal of an uploaded folder is a foreign file.
        folder: Of the boxes.

    Raises:
        UsageError: The journal is no such table.
        BusyError: All readers stayed busy.
    """
    path = folder / JOURNAL
    if not path.is_file() or not path.stat().st_size:
        return {}
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{JOURNAL} is too large")
    try:
        table = reader.read_table(path.read_bytes())
    except UsageError as error:
        raise UsageError(f"{JOURNAL} cannot be read: {error.got}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise UsageError(f"{JOURNAL} has no column {', '.join(missing)}")
    return {review.picture: review for review in _reviews(table.rows)}


def _reviews(rows: Iterable[dict[str, str]]) -> Iterator[Review]:
    for row in rows:
        decision = next((word for word in _DECISIONS if word == row["decision"]), None)
        edges = [row[name] for name in BOX_COLUMNS]
        try:
            box = box_of(edges) if any(edges) else None
        except ValueError:
            continue
        if decision and (box or decision == "rejected") and _TIME.fullmatch(row["reviewed_at"]):
            yield Review(row["picture"], decision, box, row["reviewer"].removeprefix("'"), row["reviewed_at"])


def box_of(edges: Iterable[str]) -> Box:
    """Four numbers of a row.

    Raises:
        ValueError: They are none.
    """
    x0, y0, x1, y1 = map(float, edges)
    return x0, y0, x1, y1


def decision_of(review: Review | None, box: Box | None, *, is_verified: bool) -> State:
    """What holds of a picture.

    A box that is marked as verified holds, whoever marked it; the journal tells whether it was drawn again. Without the mark only
    a rejection counts.

    Args:
        review: The last row of the journal about it, or None.
        box: Of the XML file, or None.
        is_verified: The mark in the XML file.
    """
    if is_verified and box is not None:
        return "redrawn" if review is not None and review.decision == "redrawn" and review.box == box else "accepted"
    return "rejected" if review is not None and review.decision == "rejected" else "open"


def is_about(review: Review | None, box: Box) -> bool:
    """Whether somebody agreed to this box, and not to another one that LabelImg changed since."""
    return review is not None and review.decision != "rejected" and review.box == box
