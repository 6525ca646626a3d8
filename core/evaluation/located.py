"""Labels that are places, boxes or masks, laid on an index of images: their file names become those of the folder."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import registry
from core.errors import TableError, UsageError
from core.evaluation.file_index import FileIndex, IndexedFile
from core.evaluation.mapped_table import AMBIGUOUS, CONTRADICTION, NO_IMAGE, NO_ROW, REPEATED, UNREADABLE, FileNames
from core.i18n import mark
from core.io.reader import shared_reader

NO_MASK = mark("The mask of the row is not among the files.")
_MASK_COLUMNS = ("file", "mask", "patient", "group")
_BOX_COLUMNS = ("file", "label", "x_min", "y_min", "x_max", "y_max")
Row = dict[str, str]


def located_rows(task: str, labels: Path, index: FileIndex) -> tuple[tuple[str, ...], list[Row], dict[str, Any]]:
    """The rows that `evaluation_cases` of the task reads, and what the check says of them.

    Args:
        task: A detector or segmenter.
        labels: Of boxes a table or a COCO file, of masks a table with the columns file and mask.
        index: Of the images.

    Returns:
        Columns, rows, and counts as `precheck.Precheck` names them.

    Raises:
        ScreeningError: The labels are at fault.
    """
    names, dropped = _Names(index), Counter[str]()
    if registry.task(task).kind == "segmenter":
        columns, n_rows, rows = _masks(labels, names, dropped)
    else:
        columns, n_rows, rows = _boxes(task, labels, names, dropped)
    dropped[NO_ROW] += sum(own.error is None and place not in names.used for place, own in enumerate(index.files))
    images = {row["file"] for row in rows}
    patients = {own.file: own.keys.get("patient") or own.file for own in index.files}
    labelled = {(row["file"], row.get("label")) for row in rows}  # two boxes of one label are one case
    return (
        columns,
        rows,
        {
            "columns": list(columns),
            "notes": [],
            "n_rows": n_rows,
            "n_files": len(index.files),
            "n_cases": len(images),
            "n_patients": len({row.get("patient") or patients[row["file"]] for row in rows}),
            "classes": dict(sorted(Counter(label for _, label in labelled if label).items())),
            "groups": dict(sorted(Counter(row["group"] for row in rows if row.get("group")).items())),
            "dropped": dict(+dropped),
            "unreadable": _unreadable(index),
        },
    )


class _Names:
    """Names of a table to files of the folder.

    Attributes:
        used: Places in the index that a name may mean.
    """

    def __init__(self, index: FileIndex) -> None:
        self._files = index.files
        self._names = FileNames([own.name for own in index.files])
        self.used: set[int] = set()

    def find(self, text: str, dropped: Counter[str], missing: str = NO_IMAGE) -> IndexedFile | None:
        """The file, None where it cannot be told or read."""
        places = self._names.find(text) if text else []
        self.used.update(places)
        if len(places) != 1:
            dropped[AMBIGUOUS if places else missing] += 1
            return None
        own = self._files[places[0]]
        if own.error is not None:
            dropped[UNREADABLE] += 1
            return None
        return own


def _masks(labels: Path, names: _Names, dropped: Counter[str]) -> tuple[tuple[str, ...], int, list[Row]]:
    table = shared_reader().read_table(label_bytes(labels))
    by_name = {column.casefold(): column for column in table.columns}
    if missing := [name for name in ("file", "mask") if name not in by_name]:
        raise TableError("E_MAPPING", f"the table has no column {', '.join(missing)}")
    found: dict[str, list[Row]] = defaultdict(list)
    for given in table.rows:
        row = {name: given[by_name[name]] if name in by_name else "" for name in _MASK_COLUMNS}
        own = names.find(row["file"], dropped)
        mask = names.find(row["mask"], dropped, NO_MASK) if own and row["mask"] else None
        if own is not None and (mask is not None or not row["mask"]):
            patient = row["patient"] or own.keys.get("patient", "")
            found[own.file].append(row | {"file": own.file, "mask": mask.file if mask else "", "patient": patient})
    rows = []
    for same in found.values():
        if len({row["mask"] for row in same}) > 1:
            dropped[CONTRADICTION] += len(same)
        else:
            dropped[REPEATED] += len(same) - 1
            rows.append(same[0])
    return _MASK_COLUMNS, len(table.rows), rows


def _boxes(task: str, labels: Path, names: _Names, dropped: Counter[str]) -> tuple[tuple[str, ...], int, list[Row]]:
    readers = registry.part(task, "readers")
    data = label_bytes(labels)
    table = readers.read_coco(data) if labels.suffix.lower() == ".json" else readers.read_boxes_csv(data)
    dropped.update(table.left_out)
    found = {
        name: names.find(name, dropped) for name in dict.fromkeys([*(own[0] for own in table.boxes), *table.normal])
    }
    rows = [
        dict(zip(_BOX_COLUMNS, (own.file, label, *map(repr, box)), strict=True))
        for name, label, box in table.boxes
        if (own := found[name]) is not None
    ]
    rows += [{"file": own.file, "label": readers.NORMAL} for name in table.normal if (own := found[name]) is not None]
    return _BOX_COLUMNS, len(table.boxes) + len(table.normal) + sum(table.left_out.values()), rows


def label_bytes(labels: Path) -> bytes:
    """The table as it came.

    Raises:
        UsageError: It cannot be opened.
    """
    try:
        return labels.read_bytes()
    except OSError as error:
        raise UsageError("the table of labels cannot be opened") from error


def _unreadable(index: FileIndex) -> Mapping[str, Sequence[int]]:
    found: dict[str, list[int]] = {}
    for number, own in enumerate(index.files, 1):
        if own.error is not None:
            found.setdefault(own.error, []).append(number)
    return found
