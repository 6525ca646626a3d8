"""What a person sees of a labelled folder before anything is measured: what fits, what is missing, what the model has seen."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core import registry
from core.evaluation.file_index import FileIndex
from core.evaluation.known import Known
from core.evaluation.mapped_table import MappedTable
from core.evaluation.mapping import n_classes
from core.io.label_table import LabelTable
from core.io.reader import shared_reader


@dataclass(frozen=True)
class Precheck:
    """Counts and numbers, no name and no id, so that it may be kept.

    Images are named by their number in the index, rows by their number in the table, both from 1.

    Attributes:
        columns: Of the table.
        notes: Message ids about the table.
        n_rows, n_files: Of the table, and of the folder.
        n_cases: Labels that lie on an image.
        n_patients: Among the cases; an image without a patient counts as one.
        classes: Number of cases of each class by the id of its label; of a task with one label by "0" and "1".
        groups: Number of cases of each group; empty without a column.
        dropped: Number of what was left out by reason, a message id.
        rows_without_image: Rows.
        images_without_row: Images that can be read.
        unreadable: Images by error code.
        same_pixels: Images that are the same, where their labels agree or at most one has one.
        contradicting_pixels: Images that are the same and have different labels.
        trained_pixels: Cases whose image the model was trained on.
        trained_patients: Cases of another image whose patient it was trained on.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...]
    n_rows: int
    n_files: int
    n_cases: int
    n_patients: int
    classes: Mapping[str, int]
    groups: Mapping[str, int]
    dropped: Mapping[str, int]
    rows_without_image: tuple[int, ...]
    images_without_row: tuple[int, ...]
    unreadable: Mapping[str, tuple[int, ...]]
    same_pixels: tuple[tuple[int, ...], ...]
    contradicting_pixels: tuple[tuple[int, ...], ...]
    trained_pixels: int
    trained_patients: int

    def to_json(self) -> str:
        """JSON text, stable under re-writing."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check(task: str, table: LabelTable, files: FileIndex, mapped: MappedTable, known: Known | None = None) -> Precheck:
    """Put together what is known of a labelled folder.

    Args:
        task: A classifier or grader.
        table: Of the hospital.
        files: The images.
        mapped: The table on the images.
        known: What the model was trained on; None = no model is installed.

    Raises:
        UsageError: The list of training cases of the weights is missing or was changed.
    """
    rows, pixels = mapped.rows, {file.file: file.pixel_hash for file in files.files}
    same, contradicting = _equal_images(files, mapped)
    trained = [pixels[row["file"]] in known.pixels for row in rows] if known else []
    names = {*known.folds, *shared_reader().hash_keys(list(known.folds), "patient")} if known else set()
    patients = [row["patient"] in names for row in rows] if known else []
    return Precheck(
        columns=table.columns,
        notes=table.notes,
        n_rows=len(table.rows),
        n_files=len(files.files),
        n_cases=len(rows),
        n_patients=len({row["patient"] or row["file"] for row in rows}),
        classes=_classes(task, mapped),
        groups=dict(sorted(Counter(row["group"] for row in rows if row["group"]).items())),
        dropped=dict(mapped.dropped),
        rows_without_image=mapped.rows_without_image,
        images_without_row=mapped.images_without_row,
        unreadable=_unreadable(files),
        same_pixels=same,
        contradicting_pixels=contradicting,
        trained_pixels=sum(trained),
        trained_patients=sum(patient and not image for patient, image in zip(patients, trained, strict=True)),
    )


def _classes(task: str, mapped: MappedTable) -> dict[str, int]:
    labels = [label.id for label in registry.task(task).labels]
    names = labels if len(labels) > 1 else [str(value) for value in range(n_classes(task))]
    counts = Counter(row["label"] for row in mapped.rows)
    return {name: counts[str(value)] for value, name in enumerate(names)}


def _unreadable(files: FileIndex) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, file in enumerate(files.files, 1):
        if file.error is not None:
            found[file.error].append(number)
    return {code: tuple(numbers) for code, numbers in sorted(found.items())}


def _equal_images(
    files: FileIndex, mapped: MappedTable
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Groups of images with the same pixels: those whose labels agree, and those whose labels contradict each other."""
    numbers: dict[str, list[int]] = defaultdict(list)
    labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for number, file in enumerate(files.files, 1):
        if file.pixel_hash is not None:
            numbers[file.pixel_hash].append(number)
    pixels = {file.file: file.pixel_hash or "" for file in files.files}
    for row in mapped.rows:
        labels[pixels[row["file"]]][row["laterality"]].add(row["label"])
    same: list[tuple[int, ...]] = []
    contradicting: list[tuple[int, ...]] = []
    for pixel_hash, group in numbers.items():
        if len(group) > 1:
            disagree = any(len(values) > 1 for values in labels[pixel_hash].values())
            (contradicting if disagree else same).append(tuple(group))
    return tuple(same), tuple(contradicting)
