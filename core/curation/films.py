"""Every film of a folder: read, checked, and described without a name, an id or a day."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from core.curation.report import Tell, tell_nobody
from core.errors import FileError, UsageError
from core.imaging.quality import measure
from core.io.image_archive import NAMES, read_names
from core.io.labelled_folder import Row, facts_of
from core.io.reader import Reader
from core.records import Study

OLDEST_YEARS = 90.0  # a higher age would tell people apart
ID_DIGITS = 16

Judge = Callable[[Study], str]  # why a film cannot be used, "" where it can


@dataclass(frozen=True)
class Film:
    """One file.

    Attributes:
        film: The first digits of the SHA-256 of the file: whoever holds the file can find it again, nobody else.
        number: Its place among the files of the folder in the order of their paths, from 1.
        reason: Why it is left out, "" so far.
        patient: Keyed hash of the patient id, None without one.
        examined: Day of the film; like the patient it is not shown by repr.
        pixel_hash: Of `Study`; "" where the file cannot be read.
        laterality: L, R or "".
        header: What headers.csv says about it beside the above.
        facts: What the tasks need of the header once the film is a picture; see `labelled_folder.FACTS`.
    """

    film: str
    number: int
    reason: str
    patient: str | None = field(default=None, repr=False)
    examined: date | None = field(default=None, repr=False)
    pixel_hash: str = ""
    laterality: str = ""
    header: Row = field(default_factory=dict, repr=False)
    facts: Row = field(default_factory=dict, repr=False)


def files_below(folder: Path) -> list[Path]:
    """All files below a folder in the order of their paths; links, hidden files and the list of an archive are left aside.

    Raises:
        UsageError: There is no such folder, or nothing in it.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path != folder / NAMES
    )
    if not found:
        raise UsageError("the folder of films does not exist or is empty")
    return found


def named_files(folder: Path) -> list[tuple[str, Path]]:
    """All files below a folder with the names that people know them by, in the order of `files_below`.

    Those are paths below the folder, with slashes; of an archive that was unpacked the paths that it had, without a folder that
    holds everything.

    Raises:
        UsageError: See `files_below`.
    """
    names = read_names(folder)
    places = [(path.relative_to(folder).as_posix(), path) for path in files_below(folder)]
    found = [(names.get(place, place), path) for place, path in places]
    tops = {name.partition("/")[0] if "/" in name else "" for name, _ in found}
    if not names or len(tops) > 1 or "" in tops:
        return found
    return [(name.partition("/")[2], path) for name, path in found]


def read_films(reader: Reader, folder: Path, judge: Judge, tell: Tell = tell_nobody) -> Iterator[Film]:
    """Every file of a folder, and below it, as a film, one at a time."""
    paths = files_below(folder)
    for number, path in enumerate(paths, start=1):
        yield read_film(reader, path, number, judge)
        tell("reading", number, len(paths))


def read_film(reader: Reader, path: Path, number: int, judge: Judge) -> Film:
    """One file as a film; what cannot be read has the error's code as reason."""
    try:
        content = path.read_bytes()
    except OSError:
        return Film("", number, "cannot be opened")
    try:
        found = reader.read_dated(content)
    except FileError as error:
        return Film(hashlib.sha256(content).hexdigest()[:ID_DIGITS], number, error.code)
    study = found.study
    return Film(
        film=study.file_sha256[:ID_DIGITS],
        number=number,
        reason=judge(study),
        patient=study.pseudonym,
        examined=found.examined,
        pixel_hash=study.pixel_hash,
        laterality=study.laterality or "",
        header=_header(study),
        facts=facts_of(study, OLDEST_YEARS),
    )


def _header(study: Study) -> Row:
    """Size, depth and the numbers that the checks judge."""
    quality = measure(study.frame)
    rows, columns = study.frame.pixels.shape[:2]
    return {
        "rows": str(rows),
        "columns": str(columns),
        "bits_stored": study.tags.get("BitsStored", ""),
        "photometric": study.tags.get("PhotometricInterpretation", ""),
        "sharpness": f"{quality.sharpness:.4f}",
        "brightness_gap": f"{quality.brightness_gap:.4f}",
        "edge_steepness": f"{quality.edge_steepness:.4f}",
    }
