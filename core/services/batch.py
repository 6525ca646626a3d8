"""Many files through the main road: a row on the disk for each as soon as it is answered, so that a killed run loses nothing."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core import __version__
from core.engine.loader import Model
from core.errors import BusyError, FileError, ScreeningError, UsageError, WeightsError
from core.evaluation.file_index import list_images
from core.io.image_archive import unpacked
from core.io.journal import FILE as JOURNAL
from core.io.journal import Journal, append_line
from core.io.labelled_folder import inside_folder
from core.io.progress import Progress
from core.io.reader import shared_reader
from core.io.series import printable
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.manifest import Manifest
from core.records import ScreeningResult
from core.reports.batch_table import SCHEMA, columns, row
from core.reports.result_json import error_json, shown_json
from core.screening import operating_point, screen
from core.services.batches import RESULTS, TABLE

UNPACKED = "images"
Keep = Callable[[str, ScreeningResult], None]
Case = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What is asked of every file; see `core.screening.screen`."""

    confirmed: bool = False
    point: str | None = None


def screen_files(
    model: Model, data: Path, out: Path, options: Options, progress: Progress, keep: Keep | None = None
) -> Counter[str]:
    """Screen every image below a folder or in a zip archive.

    `results.csv` grows by a row a file. The same call goes on where one was stopped, and adds what is new in the folder; its
    files end byte for byte as those of a run that was never stopped. At the end the images of an archive are removed from `out`.

    Args:
        model: That answers.
        data: The folder or the archive.
        out: Gets results.csv, results.json and the journal of answers.
        options: For every file.
        progress: Is told.
        keep: Gets the token of this batch and each result, before it is written; after a kill the last one again.

    Returns:
        How many files had each outcome, "error" among them.

    Raises:
        FileError: The archive is at fault.
        UsageError: `out` holds another batch, or there is no such operating point.
        BusyError: The reader stayed busy; the same call goes on.
        HistoryError: `keep` raised it.
    """
    out.mkdir(parents=True, exist_ok=True)
    manifest, about = model.manifest, _about(model, options)
    journal = Journal(out / JOURNAL, about)
    token = hashlib.sha256(json.dumps([str(out.resolve()), about], sort_keys=True).encode()).hexdigest()
    folder = unpacked(data, out / UNPACKED, progress)
    files = list_images(folder)
    table, first, cases = _Table(out / TABLE, columns(manifest)), dict[str, str](), list[Case]()
    progress.step(0, len(files), "answering")
    for name, file in files:
        content, is_new = _read(folder, file), False
        digest = "" if isinstance(content, str) else hashlib.sha256(content).hexdigest()
        if isinstance(content, str):
            answer = error_json(manifest.task, FileError(content))
        else:
            is_new = digest not in journal
            answer = journal.once(digest, partial(_answer, model, content, options, keep and partial(keep, token)))
        shown = printable(name)
        copy_of = first.setdefault(digest, shown) if digest else shown
        names = {"file": shown, "file_sha256": digest, "copy_of": "" if copy_of == shown else copy_of}
        cases.append(names | answer)
        table.add(row(manifest, cases[-1]), is_new=is_new)
        progress.step(len(cases))
    table.flush()
    write_atomically(out / RESULTS, _results(manifest, about, cases))
    shutil.rmtree(out / UNPACKED, ignore_errors=True)
    return Counter("error" if "error" in case else case["gate"]["outcome"] for case in cases)


def _about(model: Model, options: Options) -> dict[str, object]:
    """What the answers depend on beside the files."""
    manifest = model.manifest
    return {
        "schema": SCHEMA,
        "program": __version__,
        "task": manifest.task,
        "weights": manifest.weights.sha256,
        "point": operating_point(manifest, options.point).id,
        "thresholds": [own.threshold for own in manifest.operating_points],
        "confirmed": options.confirmed,
    }


def _read(folder: Path, file: str) -> bytes | str:
    """The content of a file, or the code of the error."""
    try:
        path = inside_folder(folder.resolve(), file)
        return path.read_bytes() if path.stat().st_size <= shared_reader().max_bytes else "E_TOO_LARGE"
    except ScreeningError as error:
        return error.code
    except OSError:
        return "E_NOT_IMAGE"


def _answer(model: Model, content: bytes, options: Options, keep: Callable[[ScreeningResult], None] | None) -> Case:
    """One file; a hostile one costs its row."""
    try:
        study = shared_reader().read(content)
        result = screen(study, model, confirmed=options.confirmed, point=options.point, is_explained=False)
    except (BusyError, UsageError, WeightsError):
        raise
    except ScreeningError as error:
        return error_json(model.manifest.task, error)
    if keep is not None:
        keep(result)
    return shown_json(result)


def _results(manifest: Manifest, about: Mapping[str, object], cases: Sequence[Case]) -> bytes:
    """The batch as one JSON object, the statement of its model on top."""
    head = {"schema": SCHEMA, "statement": manifest.statement, "model": manifest.model, "version": manifest.version}
    whole = head | {name: about[name] for name in ("task", "weights", "point", "confirmed")} | {"cases": list(cases)}
    return (json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


class _Table:
    """results.csv: at once up to the first answer that is new, then a line at a time."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path, self._known, self._is_growing = path, [csv_bytes(header, [])], False

    def add(self, cells: Sequence[str], *, is_new: bool) -> None:
        """The next row."""
        line = csv_bytes(cells, [])
        if is_new and not self._is_growing:
            self.flush()
        if self._is_growing:
            append_line(self._path, line.removesuffix(b"\n"))
        else:
            self._known.append(line)

    def flush(self) -> None:
        """Write what is known, in place of what an earlier run left."""
        if not self._is_growing:
            write_atomically(self._path, b"".join(self._known))
            self._is_growing = True
