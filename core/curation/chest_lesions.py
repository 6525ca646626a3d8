"""A table of boxes, and marks drawn on copies of films, become one COCO file.

`train chest_lesions --data FOLDER --labels DIR/labels.json` reads it beside the films; patients.csv in that folder (file,
patient, split) keeps patients together.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from core.curation.films import named_files
from core.curation.report import ALL, Report, Tell, by_number, shares, tell_nobody, write_report
from core.errors import FileError, UsageError
from core.io.reader import Reader
from core.io.weights_file import write_atomically
from core.records import Box
from core.tasks.chest_lesions.marks import COLOURS, read_marks
from core.tasks.chest_lesions.readers import NORMAL, BoxTable, label_id, read_boxes_csv
from core.tasks.chest_lesions.task import TASK

COCO = "labels.json"
OUTSIDE, UNREADABLE, UNKNOWN_COLOUR, NO_FILM = (
    "box outside the image",
    "film that cannot be read",
    "colour without a meaning",
    "no film",
)
_NUMBERS = {label.id: number for number, label in enumerate(TASK.labels, start=1)}

Boxes = dict[str, list[tuple[str, Box]]]


def read_colours(items: list[str]) -> dict[str, str]:
    """{"red": "cardiac_hypertrophy"} from ["red=cardiac_hypertrophy"].

    Raises:
        UsageError: An unknown colour or label.
    """
    found = {}
    for item in items:
        colour, _, word = item.partition("=")
        label = label_id(word)
        if colour not in COLOURS or label not in _NUMBERS:
            raise UsageError(f"--colours wants COLOUR=LABEL; colours: {', '.join(COLOURS)}")
        found[colour] = str(label)
    return found


def curate(
    reader: Reader,
    folder: Path,
    table: Path | None,
    marks: Path | None,
    colours: Mapping[str, str],
    out: Path,
    tell: Tell = tell_nobody,
) -> Report:
    """Write labels.json and curation.json.

    Args:
        reader: Of films and marked pictures.
        folder: Of the films.
        table: Of boxes (train.csv), or None; see `readers.read_boxes_csv`.
        marks: Folder of marked pictures, named like their films but for the ending, or None.
        colours: Label id by colour of a mark.
        out: Folder to write to.
        tell: Gets the progress.

    Returns:
        Films, and entries left out by reason. A film with a box outside it is left out whole: its other boxes are no complete
        truth.

    Raises:
        UsageError: The table cannot be used, or no film remains.
    """
    left_out = Counter[str]()
    boxes: Boxes = {}
    films = dict(named_files(folder))
    if table is not None:
        found = _table(table)
        left_out.update(found.left_out)
        boxes |= {name: [] for name in found.normal}
        for name, label, box in found.boxes:
            boxes.setdefault(name, []).append((label, box))
    if marks is not None:
        for name, own in _marked(reader, films, marks, colours, left_out).items():
            boxes[name] = boxes.get(name, []) + own
    sizes, is_phantom = _sizes(reader, films, boxes, left_out, tell)
    kept = {name: boxes[name] for name in sizes}
    if not kept:
        raise UsageError("no film with usable labels")
    write_atomically(out / COCO, (json.dumps(coco(kept, sizes), indent=1, ensure_ascii=False) + "\n").encode())
    report = Report(
        task=TASK.id,
        unit="films",
        files=len(films),
        splits=shares(TASK.id, [(ALL, "", sorted({label for label, _ in own}) or [NORMAL]) for own in kept.values()]),
        excluded=by_number(left_out),
        is_phantom=is_phantom,
        facts={"boxes": sum(map(len, kept.values()))},
    )
    write_report(out, report)
    return report


def coco(boxes: Mapping[str, list[tuple[str, Box]]], sizes: Mapping[str, tuple[int, int]]) -> dict[str, object]:
    """A COCO file as an object.

    Args:
        boxes: Label id and box_xyxy by name of the film; none on a normal one.
        sizes: Columns and rows by name of the film.
    """
    ids = {name: number for number, name in enumerate(sorted(boxes), start=1)}
    found = [(name, label, box) for name in ids for label, box in boxes[name]]
    return {
        "images": [
            {"id": number, "file_name": name, "width": sizes[name][0], "height": sizes[name][1]}
            for name, number in ids.items()
        ],
        "categories": [{"id": number, "name": label} for label, number in _NUMBERS.items()],
        "annotations": [
            {
                "id": number,
                "image_id": ids[name],
                "category_id": _NUMBERS[label],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            for number, (name, label, (x0, y0, x1, y1)) in enumerate(found, start=1)
        ],
    }


def _table(path: Path) -> BoxTable:
    try:
        return read_boxes_csv(path.read_bytes())
    except OSError as error:
        raise UsageError("the table of boxes cannot be opened") from error


def _marked(
    reader: Reader, films: Mapping[str, Path], marks: Path, colours: Mapping[str, str], left_out: Counter[str]
) -> Boxes:
    """Boxes by the name of the film that a marked picture is a copy of."""
    by_stem = {_stem(name): name for name in films}
    boxes: Boxes = {}
    for name, path in named_files(marks):
        try:
            pixels = reader.read(path.read_bytes()).frame.pixels
        except FileError as error:
            left_out[error.code] += 1
            continue
        if _stem(name) not in by_stem:
            left_out[NO_FILM] += 1
            continue
        # a picture without any colour comes back grey: nothing is marked on it
        found = read_marks(pixels.astype(np.uint8)) if pixels.ndim == 3 else None
        own = boxes.setdefault(by_stem[_stem(name)], [])
        for colour, box in found.boxes if found else ():
            if colour in colours:
                own.append((colours[colour], box))
            else:
                left_out[UNKNOWN_COLOUR] += 1
        left_out.update(found.left_out if found else {})
    return boxes


def _stem(name: str) -> str:
    """Path below its folder without the ending."""
    return str(PurePosixPath(name).with_suffix(""))


def _sizes(
    reader: Reader, films: Mapping[str, Path], boxes: Boxes, left_out: Counter[str], tell: Tell
) -> tuple[dict[str, tuple[int, int]], bool]:
    """Columns and rows of the films that can be read and hold all of their boxes; whether one of them is a phantom."""
    sizes, is_phantom = {}, False
    for done, (name, own) in enumerate(boxes.items(), start=1):
        tell("reading", done, len(boxes))
        try:
            study = reader.read(films[name].read_bytes())
        except (FileError, OSError, KeyError):
            left_out[UNREADABLE] += 1
            continue
        rows, columns = study.frame.pixels.shape[:2]
        if all(x1 <= columns and y1 <= rows for _, (_, _, x1, y1) in own):
            sizes[name] = (columns, rows)
            is_phantom |= study.is_phantom
        else:
            left_out[OUTSIDE] += 1
    return sizes, is_phantom
