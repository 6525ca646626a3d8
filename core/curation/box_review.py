"""Proposed boxes of a folder of pictures, looked at one by one; what a reviewer decides is on the disk at once."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.curation.boxes import LABEL, MIN_SIDE_PX, TOO_SMALL, usable_box
from core.curation.reviews import Decision, Review, State, append_review, decision_of, is_about, read_reviews
from core.errors import FileError, UsageError
from core.io.reader import Reader
from core.io.voc import UNREADABLE, VocError, VocFile, write_voc
from core.io.weights_file import write_atomically
from core.records import Box, Frame

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")
NAME = re.compile(r"\w[\w .-]{0,99}")
"""A name of a file that needs no quotes in a table and leads to no other folder."""
_MAX_REVIEWER = 60


@dataclass(frozen=True)
class Picture:
    """One picture as it stands.

    Attributes:
        name: Of its file.
        state: What holds.
        box: Proposed or reviewed, pixels of the picture; None where there is none.
        trouble: Message id of why the XML file cannot be used as it is, "" where it can or there is none.
        review: The decision that holds; None while there is none, and where another program marked the box.
    """

    name: str
    state: State
    box: Box | None
    trouble: str
    review: Review | None


class BoxReview:
    """One folder of pictures, each with an XML file of the same name; several reviewers may work on it at the same time.

    Args:
        reader: Of pictures and XML files.
        folder: Where they lie.
        statement: What every decision says of simulated pictures, "" for others.
    """

    def __init__(self, reader: Reader, folder: Path, statement: str) -> None:
        self._reader, self._folder, self._statement = reader, folder, statement
        self._known: dict[str, tuple[tuple[int, int], VocFile | str]] = {}

    def pictures(self) -> tuple[Picture, ...]:
        """All pictures in the order of their names.

        Raises:
            UsageError: The folder or its journal cannot be read.
            BusyError: All readers stayed busy.
        """
        reviews = read_reviews(self._reader, self._folder)
        try:
            names = sorted(path.name for path in self._folder.iterdir() if path.is_file())
        except OSError as error:
            raise UsageError("the folder of boxes cannot be opened") from error
        first: dict[str, str] = {}  # of several pictures with one XML file
        for name in names:
            if NAME.fullmatch(name) and Path(name).suffix.lower() in SUFFIXES:
                first.setdefault(Path(name).stem, name)
        return tuple(self._picture(name, reviews.get(name)) for name in first.values())

    def frame(self, name: str) -> Frame:
        """The picture itself.

        Raises:
            FileError: It cannot be read.
            BusyError: All readers stayed busy.
        """
        if not NAME.fullmatch(name):
            raise UsageError("no picture of the folder")
        try:
            content = (self._folder / name).read_bytes()
        except OSError as error:
            raise UsageError("the picture is not there any more") from error
        return self._reader.read(content).frame

    def accept(self, picture: Picture, box: Box, reviewer: str) -> Decision:
        """Agree to a box, the proposed one or another.

        Args:
            picture: As it was shown.
            box: In pixels of the picture; rounded to whole ones and cut at its edges.
            reviewer: Who.

        Raises:
            UsageError: The box is too small, or nobody is named.
            OSError: Disk full, or folder not writable.
        """
        who = _who(reviewer)
        rows, columns = self.frame(picture.name).pixels.shape[:2]
        whole = whole_pixels(box, (columns, rows))
        decision: Decision = "accepted"
        if picture.box is None or whole != whole_pixels(picture.box, (columns, rows)):
            decision = "redrawn"
        self._write_box(picture.name, (columns, rows), whole, is_verified=True)
        self._append(picture.name, decision, whole, who)
        return decision

    def reject(self, picture: Picture, reviewer: str) -> None:
        """The picture is not to be used; its box stays in the XML file, without the mark.

        Raises:
            UsageError: Nobody is named.
            OSError: Disk full, or folder not writable.
        """
        who = _who(reviewer)
        if picture.box is not None:
            rows, columns = self.frame(picture.name).pixels.shape[:2]
            self._write_box(picture.name, (columns, rows), picture.box, is_verified=False)
        self._append(picture.name, "rejected", picture.box, who)

    def _picture(self, name: str, review: Review | None) -> Picture:
        found = self._boxes(self._folder / f"{Path(name).stem}.xml")
        box, trouble, is_verified = None, "", False
        if isinstance(found, str):
            trouble = found
        elif found is not None:
            try:
                box, is_verified = usable_box(found), found.is_verified
            except VocError as error:
                box = next((box for label, box in found.objects if label == LABEL), None)
                trouble = str(error)
        state = decision_of(review, box, is_verified=is_verified)
        holds = state == "rejected" or (state != "open" and box is not None and is_about(review, box))
        return Picture(name, state, box, trouble, review if holds else None)

    def _boxes(self, path: Path) -> VocFile | str | None:
        """What an XML file says, or why it cannot be used; read once until it changes. None without a file."""
        try:
            facts = path.stat()
            stamp = (facts.st_mtime_ns, facts.st_size)
            if path.name not in self._known or self._known[path.name][0] != stamp:
                self._known[path.name] = (stamp, self._read(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError:
            return UNREADABLE
        return self._known[path.name][1]

    def _read(self, content: bytes) -> VocFile | str:
        try:
            return self._reader.read_voc(content)
        except VocError as error:
            return str(error)
        except FileError:
            return UNREADABLE

    def _write_box(self, name: str, size: tuple[int, int], box: Box, *, is_verified: bool) -> None:
        content = write_voc(name, size, [(LABEL, box)], is_verified=is_verified)
        write_atomically(self._folder / f"{Path(name).stem}.xml", content)

    def _append(self, name: str, decision: Decision, box: Box | None, reviewer: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        append_review(self._folder, Review(name, decision, box, reviewer, now), self._statement)


def whole_pixels(box: Box, size: tuple[int, int]) -> Box:
    """A box rounded to pixels and cut at the edges of a picture of `size` (columns, rows).

    Raises:
        UsageError: What is left is too small.
    """
    x0, y0, x1, y1 = (float(min(max(0, round(edge)), end)) for edge, end in zip(box, (*size, *size), strict=True))
    if min(x1 - x0, y1 - y0) < MIN_SIDE_PX:
        raise UsageError(f"{TOO_SMALL}: at least {MIN_SIDE_PX:g} pixels a side are needed")
    return x0, y0, x1, y1


def _who(reviewer: str) -> str:
    """The reviewer as the journal names one: no character that a table could take for its own.

    Raises:
        UsageError: Nobody is named.
    """
    plain = re.sub(r"[^\w.@()'+ -]", " ", reviewer)
    name = " ".join(plain.split())[:_MAX_REVIEWER]
    if not name:
        raise UsageError("a reviewer without a name")
    return name


def count_states(pictures: Iterable[Picture]) -> Mapping[State, int]:
    """Number of pictures in each state."""
    return Counter(picture.state for picture in pictures)


def following(pictures: Sequence[Picture], name: str, step: int, *, only_open: bool) -> str:
    """Name of the picture before or after one, the same name at the end.

    Args:
        pictures: In the order of the list.
        name: Of the one on show.
        step: -1 or 1.
        only_open: Pass over those that were decided.
    """
    names = [picture.name for picture in pictures]
    rest = pictures[names.index(name) :: step][1:] if name in names else pictures
    return next((picture.name for picture in rest if not only_open or picture.state == "open"), name)


def next_open(pictures: Sequence[Picture], name: str) -> str:
    """Name of the next open picture after one, from the first one again behind the last; the same name where there is none."""
    at = next((place for place, picture in enumerate(pictures) if picture.name == name), -1)
    rest = [*pictures[at + 1 :], *pictures[: max(at, 0)]]
    return next((picture.name for picture in rest if picture.state == "open"), name)
