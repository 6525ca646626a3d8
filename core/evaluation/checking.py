"""The step before an evaluation: images read once, labels laid on them, everything that does not fit counted.

It writes what the evaluation itself starts from (the rows of `truth.csv`), what a person agrees to (`check.json`), and the facts
of every image by the hash of its pixels (`files.json`).
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import registry
from core.engine.loader import Model
from core.errors import ScreeningError, TableError
from core.evaluation.file_index import FileIndex, index_folder
from core.evaluation.known import Known
from core.evaluation.located import label_bytes, located_rows
from core.evaluation.mapped_table import COLUMNS, apply_mapping
from core.evaluation.mapping import TableMapping
from core.evaluation.precheck import check
from core.evaluation.suggestion import suggest
from core.io.image_archive import unpacked
from core.io.journal import Journal
from core.io.progress import Progress
from core.io.reader import shared_reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.screening import screen

CHECK, TRUTH, FILES, UNPACKED, INDEX = "check.json", "truth.csv", "files.json", "images", "index.jsonl"
_TIMED = 3  # images that are screened to tell how long all will take


def check_evaluation(
    model: Model, data: Path, labels: Path, mapping: Path | None, out: Path, progress: Progress
) -> dict[str, Any]:
    """Check a folder or an archive of images against a table of labels.

    Args:
        model: That is to be measured.
        data: A folder, or a zip archive, which is unpacked into `out`.
        labels: The table; of boxes or masks as the task reads them, else any, with `mapping`.
        mapping: JSON of a TableMapping; None = guessed from the columns.
        out: Written to.
        progress: Is told.

    Returns:
        What `check.json` holds.

    Raises:
        ScreeningError: The archive or the table is at fault.
    """
    folder = unpacked(data, out / UNPACKED, progress)
    progress.step(0, phase="reading")
    index = index_folder(folder, Journal(out / INDEX, {"data": str(folder)}), lambda done, n: progress.step(done, n))
    task = registry.task(model.manifest.task)
    if task.kind in ("detector", "segmenter"):
        columns, rows, found = located_rows(task.id, labels, index)
    else:
        table = shared_reader().read_table(label_bytes(labels))
        chosen = _mapping(mapping) if mapping else suggest(table, task.id)
        known = Known(model)
        mapped = apply_mapping(chosen, table, index, sorted(known.folds))
        rows, columns = list(mapped.rows), COLUMNS
        found = asdict(check(task.id, table, index, mapped, known)) | {"mapping": chosen.model_dump(mode="json")}
    progress.step(0, 0, phase="loading")
    found |= _trial(model, folder, rows)
    write_atomically(out / TRUTH, csv_bytes(columns, [[row.get(name, "") for name in columns] for row in rows]))
    write_atomically(out / FILES, json.dumps(_facts(index, rows)).encode())
    write_atomically(out / CHECK, json.dumps(found, indent=1, ensure_ascii=False).encode())
    return found


def _facts(index: FileIndex, rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """File, name and group of every image by the hash of its pixels; of two files with the same pixels that with a row."""
    groups = {row["file"]: row.get("group", "") for row in rows}
    return {
        own.pixel_hash: {"file": own.file, "name": own.name, "group": groups.get(own.file, "")}
        for own in sorted(index.files, key=lambda own: own.file in groups)
        if own.pixel_hash
    }


def _mapping(path: Path) -> TableMapping:
    try:
        return TableMapping.from_json(path.read_bytes())
    except OSError as error:
        raise TableError("E_MAPPING", "the file of columns cannot be opened") from error


def _trial(model: Model, folder: Path, rows: list[dict[str, str]]) -> dict[str, float]:
    """How long an image takes, from the first ones; the very first warms up."""
    taken: list[float] = []
    for file in list(dict.fromkeys(row["file"] for row in rows))[:_TIMED]:
        try:
            started = time.perf_counter()
            study = shared_reader().read((folder / file).read_bytes())
            screen(study, model, confirmed=True, is_explained=False)
            taken.append(time.perf_counter() - started)
        except ScreeningError:
            continue  # the run counts it
    return {"seconds_each": round(min(taken), 2)} if taken else {"seconds_each": 0.0}
