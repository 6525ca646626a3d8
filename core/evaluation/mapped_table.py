"""A hospital's table on the images of a folder: the rows that the tasks read, and the count of everything that was left out."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core import registry
from core.errors import TableError
from core.evaluation.file_index import FileIndex, IndexedFile
from core.evaluation.mapping import TableMapping, Unlabelled
from core.i18n import mark
from core.io.keys import patient_date
from core.io.label_table import LabelTable
from core.io.reader import shared_reader

COLUMNS = ("file", "patient", "label", "laterality", "group")
MAX_GROUPS = 200

NO_KEY = mark("The row names no image and no examination.")
NO_IMAGE = mark("No image belongs to the row.")
AMBIGUOUS = mark("Several images have the name that the row gives.")
UNREADABLE = mark("The image of the row cannot be read.")
SEVERAL = mark("The examination has several images.")
FURTHER = mark("A further image of an examination whose first one is used.")
OTHER_SIDE = mark("The image shows the other side, by its header.")
NO_SIDE = mark("Neither the row nor the image tells the side.")
UNKNOWN_SIDE = mark("The side is a text that is none.")
CONTRADICTION = mark("Rows about the same image contradict each other.")
REPEATED = mark("The row repeats another one.")
NO_ROW = mark("No row belongs to the image.")

_SIDES = {
    "R": ("r", "right", "rt", "右", "右側", "右膝", "右髖", "우", "우측", "오른쪽"),
    "L": ("l", "left", "lt", "左", "左側", "左膝", "左髖", "좌", "좌측", "왼쪽"),
}
SIDE_WORDS = {word: side for side, words in _SIDES.items() for word in words}


@dataclass(frozen=True)
class MappedTable:
    """What is left of a table once it lies on the images.

    Attributes:
        rows: With COLUMNS, as `evaluation_cases` of the task reads them; the patient is a keyed hash, or "" where nothing tells
            it. A file name may name a person: repr leaves the rows out.
        dropped: Number of labels, or of images, left out by reason, a message id.
        rows_without_image: Rows of the table, counted from 1.
        images_without_row: Numbers of images that can be read, in the order of the index, from 1.
    """

    rows: tuple[dict[str, str], ...] = field(repr=False)
    dropped: Counter[str]
    rows_without_image: tuple[int, ...]
    images_without_row: tuple[int, ...]


@dataclass(frozen=True)
class _Label:
    """What one row says about one side of one image."""

    value: int
    patient: str
    group: str


def apply_mapping(
    mapping: TableMapping, table: LabelTable, files: FileIndex, known_patients: Collection[str] = ()
) -> MappedTable:
    """Lay a table on the images of a folder.

    Args:
        mapping: What the columns say.
        table: Of the hospital.
        files: The images.
        known_patients: Names in the weights' list of training patients; a patient of this name keeps it, so that who was trained
            on stays known. All others get their keyed hash.

    Raises:
        TableError: E_MAPPING when the table lacks a column or has too many groups.
    """
    mapping.check(table)
    if mapping.group and len(groups := {row[mapping.group] for row in table.rows}) > MAX_GROUPS:
        raise TableError("E_MAPPING", f"{len(groups)} groups, at most {MAX_GROUPS}")
    found = _Found(mapping, files.files)
    for row, key, patient in zip(table.rows, _row_keys(mapping, table), _patients(mapping, table), strict=True):
        found.add(row, key, patient)
    known = dict(zip(shared_reader().hash_keys(list(known_patients), "patient"), known_patients, strict=True))
    task, rows = registry.task(mapping.task), []
    needs_side = task.kind == "grader" and task.has_sides  # the image shows both
    for (place, side), labels in sorted(found.labels.items()):
        if needs_side and not side:
            found.dropped[NO_SIDE] += len(labels)
        elif len({label.value for label in labels}) > 1:
            found.dropped[CONTRADICTION] += len(labels)
        else:
            found.dropped[REPEATED] += len(labels) - 1
            rows.append(_row(files.files[place], side, labels[0], known))
    without_row = [
        place for place, file in enumerate(files.files, 1) if file.error is None and place - 1 not in found.used
    ]
    found.dropped[NO_ROW] += len(without_row)
    return MappedTable(tuple(rows), +found.dropped, tuple(found.without_image), tuple(without_row))


def _row(file: IndexedFile, side: str, label: _Label, known: Mapping[str, str]) -> dict[str, str]:
    patient = label.patient or file.keys.get("patient", "")
    values = (file.file, known.get(patient, patient), str(label.value), side, label.group)
    return dict(zip(COLUMNS, values, strict=True))


def _row_keys(mapping: TableMapping, table: LabelTable) -> list[str]:
    """What tells the images of each row: a name, or a keyed hash; "" where it is missing."""
    cells = [[row[column] for column in mapping.key_columns] for row in table.rows]
    if mapping.key == "file":
        return [cell for (cell,) in cells]
    if mapping.key == "accession":
        return shared_reader().hash_keys([cell for (cell,) in cells], "accession")
    return shared_reader().hash_keys([patient_date(patient, day) for patient, day in cells], "patient_date")


def _patients(mapping: TableMapping, table: LabelTable) -> list[str]:
    column = mapping.patient_column
    return shared_reader().hash_keys([row[column] if column else "" for row in table.rows], "patient")


class _Found:
    """Collects the labels of each image and side, and what is left out.

    Attributes:
        labels: By place in the index and side ("" = not told).
        used: Places that a row names.
        dropped: Count by reason.
        without_image: Numbers of rows.
    """

    def __init__(self, mapping: TableMapping, files: Sequence[IndexedFile]) -> None:
        self._mapping, self._files = mapping, files
        self._images = FileNames([file.name for file in files])
        self._keyed = _by_key(mapping.key, files)
        self._n_rows = 0
        self.labels: dict[tuple[int, str], list[_Label]] = defaultdict(list)
        self.used: set[int] = set()
        self.dropped = Counter[str]()
        self.without_image: list[int] = []

    def add(self, row: Mapping[str, str], key: str, patient: str) -> None:
        """One row.

        Args:
            row: Of the table.
            key: A name, or a keyed hash.
            patient: A keyed hash.
        """
        self._n_rows += 1
        is_named = self._mapping.key == "file"
        places = self._images.find(key) if is_named else self._keyed.get(key, [])
        if not key or not places:
            self.dropped[NO_IMAGE if key else NO_KEY] += 1
            self.without_image.append(self._n_rows)
            return
        self.used.update(places)
        readable = [place for place in places if self._files[place].error is None]
        if is_named and len(places) > 1:
            self.dropped[AMBIGUOUS] += 1
        elif not readable:
            self.dropped[UNREADABLE] += 1
        else:
            group = row[self._mapping.group] if self._mapping.group else ""
            for side, value in self._values(row):
                for place in self._chosen(readable, side):
                    own = side or self._files[place].side or ""
                    self.labels[place, own].append(_Label(value, patient, group))

    def _values(self, row: Mapping[str, str]) -> Iterator[tuple[str, int]]:
        """Side and class of each label of a row."""
        mapping = self._mapping
        text = row[mapping.laterality].casefold() if mapping.laterality else ""
        if text and text not in SIDE_WORDS:
            self.dropped[UNKNOWN_SIDE] += 1
            return
        cells = [row[column] for column in mapping.label_columns]
        sides = {"R": cells[:1], "L": cells[1:]} if mapping.layout == "sides" else {SIDE_WORDS.get(text, ""): cells}
        for side, own in sides.items():
            try:
                yield side, mapping.label(own)
            except Unlabelled as reason:
                self.dropped[str(reason)] += 1

    def _chosen(self, places: list[int], side: str) -> list[int]:
        """The images that a label is about."""
        if side:
            own = [place for place in places if self._files[place].side == side]
            places = own or [place for place in places if self._files[place].side is None]
            if not places:
                self.dropped[OTHER_SIDE] += 1
        if len(places) > 1 and self._mapping.several == "refuse":
            self.dropped[SEVERAL] += 1
            return []
        if len(places) > 1 and self._mapping.several == "first":
            self.dropped[FURTHER] += len(places) - 1
            return places[:1]
        return places


def _by_key(kind: str, files: Sequence[IndexedFile]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, file in enumerate(files):
        if key := file.keys.get(kind):
            places[key].append(place)
    return dict(places)


class FileNames:
    """Finds files by what a table calls them: a path or its end, with or without the ending; slashes and case are forgiven.

    Args:
        names: Paths with slashes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._parts = [_parts(name) for name in names]
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._by_end: dict[str, list[int]] = defaultdict(list)
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        for place, (name, parts) in enumerate(zip(names, self._parts, strict=True)):
            self._exact[name].append(place)
            self._by_end[parts[-1]].append(place)
            self._by_stem[parts[-1].rpartition(".")[0]].append(place)

    def find(self, text: str) -> list[int]:
        """Places of the files that may be meant: one, or several where that cannot be told; empty where there is none."""
        if text in self._exact:
            return self._exact[text]
        wanted = _parts(text)
        for places in (self._by_end.get(wanted[-1], []), self._by_stem.get(wanted[-1], [])):
            if whole := [place for place in places if self._parts[place][:-1] == wanted[:-1]]:
                return whole
            if fitting := [place for place in places if _is_end(self._parts[place][:-1], wanted[:-1])]:
                return fitting
        return []


def _parts(name: str) -> list[str]:
    """Of a path, in one spelling: some systems write é as two letters."""
    parts = re.split(r"[/\\]", unicodedata.normalize("NFC", name).casefold())
    return [part for part in parts[:-1] if part not in ("", ".")] + [parts[-1] or "/"]  # "/" is the name of no file


def _is_end(one: list[str], other: list[str]) -> bool:
    """Whether the shorter of two lists is the end of the longer one."""
    n = min(len(one), len(other))
    return not n or one[-n:] == other[-n:]
