"""What is known of every image of a folder without keeping the images: hashes, keyed hashes, side, or why it cannot be read."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BusyError, ScreeningError
from core.evaluation.answering import NOTHING_KEPT
from core.io.image_archive import NAMES, read_names
from core.io.journal import Journal
from core.io.labelled_folder import inside_folder
from core.io.reader import shared_reader
from core.records import Laterality

_NO_IMAGES = (
    ".csv",
    ".tsv",
    ".xlsx",
    ".xls",
    ".ods",
    ".json",
    ".jsonl",
    ".txt",
    ".md",
    ".pdf",
    ".doc",
    ".docx",
    ".ini",
    ".db",
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class IndexedFile:
    """One file of the folder. Its names may name a person, so repr leaves them out.

    Attributes:
        file: Path below the folder, with slashes: what a label table for the core names it by.
        name: Path that people know: in an unpacked archive the one that it had there, else `file`.
        pixel_hash: See Study.pixel_hash; None when it cannot be read.
        keys: Keyed hashes by kind; see core.io.keys.
        side: From the header.
        error: Code of core.errors when it cannot be read.
    """

    file: str = field(repr=False)
    name: str = field(repr=False)
    pixel_hash: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    side: Laterality | None = None
    error: str | None = None


@dataclass(frozen=True)
class FileIndex:
    """The images of a folder in the order of their names; the first has the number 1."""

    files: tuple[IndexedFile, ...]


def index_folder(folder: Path, journal: Journal = NOTHING_KEPT, progress: Progress | None = None) -> FileIndex:
    """Read every image below a folder once.

    Hidden files, the hidden folders of an operating system and files whose ending says table or document are left out; linked
    folders are not entered.

    Args:
        folder: Of a hospital, or one that `unpack_zip` wrote.
        journal: Keeps what was found, so that a run that was stopped goes on. It names no file; a file that was changed, or read
            under another key of the hashes, is read again.
        progress: Called with the number of files done and of all files, first with 0.

    Raises:
        BusyError: The reader stayed busy; the journal keeps what is done.
    """
    found = list_images(folder)
    (key,) = shared_reader().hash_keys(["index"], "patient")
    files = []
    for done, (name, file) in enumerate(found):
        if progress is not None:
            progress(done, len(found))
        files.append(IndexedFile(file, name, **_facts(folder, file, key, journal)))
    if progress is not None:
        progress(len(found), len(found))
    return FileIndex(tuple(files))


def list_images(folder: Path) -> list[tuple[str, str]]:
    """Name that people know, and path below the folder, of every file that `index_folder` reads, in the order of names."""
    names = read_names(folder)
    found = sorted((names.get(file, file), file) for file in _files(folder))
    return [(name, file) for name, file in found if not _is_left_out(name)]


def _files(folder: Path) -> Iterator[str]:
    """Paths below the folder, with slashes."""
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not _is_hidden(name)]
        root = Path(place).relative_to(folder)
        yield from ((root / file).as_posix() for file in files)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _is_left_out(name: str) -> bool:
    return any(map(_is_hidden, name.split("/"))) or name == NAMES or name.lower().endswith(_NO_IMAGES)


def _facts(folder: Path, file: str, key: str, journal: Journal) -> dict[str, Any]:
    """All of an IndexedFile but its names."""
    try:
        path = inside_folder(folder.resolve(), file)
        state = path.stat()
        about = hashlib.sha256(f"{key} {file} {state.st_size} {state.st_mtime_ns}".encode("utf-8", "surrogateescape"))
        return dict(journal.once(about.hexdigest(), lambda: _read(path)))
    except ScreeningError as error:
        if isinstance(error, BusyError):
            raise
        return {"error": error.code}
    except OSError:  # a share that is away for a moment is not kept in the journal
        return {"error": "E_NOT_IMAGE"}


def _read(path: Path) -> dict[str, Any]:
    reader = shared_reader()
    if path.stat().st_size > reader.max_bytes:
        return {"error": "E_TOO_LARGE"}
    try:
        study = reader.read(path.read_bytes())
    except BusyError:
        raise
    except ScreeningError as error:
        return {"error": error.code}
    keys = {"patient": study.pseudonym} if study.pseudonym else {}
    return {"pixel_hash": study.pixel_hash, "keys": {**keys, **study.keys}, "side": study.laterality}
