"""Studies of the PACS as a folder of images, for the evaluation and every command that takes one."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import FileError, UsageError
from core.io.progress import Progress
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.services.pacs.client import Pacs
from core.services.pacs.matches import Query

IMAGES, TABLE = "images", "cohort.csv"
MAX_STUDIES, MAX_IMAGES, MAX_LINES = 2_000, 20_000, 20_000
FETCHED, NOT_FOUND = "fetched", "no such study"
_COLUMNS = ("request", "file", "outcome")


@dataclass(frozen=True)
class Row:
    """What became of one image, or of a request without one.

    Attributes:
        request: Line of the list: its accession number is with whoever asked.
        file: Below the folder; "" without one.
        outcome: FETCHED, NOT_FOUND or the code of an error.
    """

    request: int
    file: str
    outcome: str


def read_accessions(text: str) -> dict[int, str]:
    """Accession numbers, one a line, by the number of their line from 1; empty lines and repetitions are left out.

    Raises:
        UsageError: None, or more than MAX_LINES.
    """
    lines = {number: line.strip().strip('"') for number, line in enumerate(text.splitlines(), start=1)}
    first = {line: number for number, line in reversed(lines.items()) if line}
    found = {number: line for number, line in lines.items() if first.get(line) == number}
    if not 1 <= len(found) <= MAX_LINES:
        raise UsageError(f"{len(found)} accession numbers; 1 to {MAX_LINES}, one a line")
    return found


def fetch_cohort(pacs: Pacs, queries: Mapping[int, Query], out: Path, progress: Progress) -> Counter[str]:
    """Fetch every image that answers one of the queries into `out`/images, and list them in `out`/cohort.csv.

    A file has its name once it is whole and on the disk, and its name comes from its UID: the same call goes on where one was
    stopped, and neither loses nor doubles an image. What the reader process cannot read is not written, and is asked for again
    the next time. The files are those of the archive, with all that they say about the patient: nobody else may read them.

    Args:
        pacs: Of the installation.
        queries: Asked one after the other, by the number that cohort.csv shall name them with.
        out: Is made.
        progress: Is told, by requests.

    Returns:
        How many rows had each outcome.

    Raises:
        PacsError: The PACS is at fault, or there are more than MAX_STUDIES for one request.
        UsageError: More than MAX_IMAGES.
        BusyError: The reader stayed busy.
    """
    images = out / IMAGES
    images.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(images, 0o700)
    rows: list[Row] = []
    progress.step(0, len(queries), "fetching")
    for done, (request, query) in enumerate(queries.items(), start=1):
        rows += list(_fetched(pacs, query, images, request)) or [Row(request, "", NOT_FOUND)]
        if len({row.file for row in rows}) > MAX_IMAGES:
            raise UsageError(f"more than {MAX_IMAGES} images: ask for fewer")
        progress.step(done)
    table = [[str(row.request), row.file, row.outcome] for row in rows]
    write_atomically(out / TABLE, csv_bytes(_COLUMNS, table))
    return Counter(row.outcome for row in rows)


def _fetched(pacs: Pacs, query: Query, images: Path, request: int) -> Iterator[Row]:
    for image in pacs.images(query, MAX_STUDIES):
        path = images / f"{hashlib.sha256(image.instance_uid.encode()).hexdigest()[:32]}.dcm"
        outcome = FETCHED
        if not path.is_file():
            try:
                write_atomically(path, pacs.read(image)[1])
            except FileError as error:
                outcome = error.code
        yield Row(request, f"{IMAGES}/{path.name}" if outcome == FETCHED else "", outcome)
