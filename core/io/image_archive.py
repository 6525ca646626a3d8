"""A large zip file of images to a folder of numbered files: no name in the archive ever becomes a name on the disk."""

import io
import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from core.errors import FileError
from core.io.progress import Progress
from core.io.series import looks_zip, printable
from core.io.text_encoding import decode_names
from core.io.zip_file import MAX_RATIO

NAMES = "names.json"
MAX_FILES, MAX_BYTES = 20_000, 2 * 2**30
_FORMAT = "fivefold-names-1"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PIECE_BYTES = 2**20
_MAX_READ_BYTES = 8 * 2**20  # the list of 20,000 files with long paths; zipfile reads it in one go
_MAX_NAME = 500


class _Bounded(io.BufferedReader):
    """Refuses to be read in one large piece: the list of files is as long as the archive says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_READ_BYTES:
            raise FileError("E_ARCHIVE", "the list of files is too long")
        return super().read(size)


def unpack_zip(path: Path, folder: Path) -> int:
    """Unpack every file of an archive into a new folder under running numbers; `names.json` there holds their names.

    The bytes that come out are counted and no size that the archive states is trusted. Folders and the hidden files of an
    operating system are left out. An archive that breaks a limit leaves nothing behind.

    Args:
        path: The archive.
        folder: Must not exist yet.

    Returns:
        Number of files.

    Raises:
        FileError: E_ARCHIVE when it is none, is damaged, has too many files or bytes, or holds a link, an encrypted file or
            another archive.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise FileError("E_ARCHIVE", f"the folder cannot be made: {type(error).__name__}") from error
    try:
        with path.open("rb", buffering=0) as raw, _Bounded(raw) as file:
            if not looks_zip(file.read(4)):
                raise FileError("E_ARCHIVE", "no zip file")
            with zipfile.ZipFile(file) as archive:
                names = _unpack(archive, folder, min(MAX_BYTES, MAX_RATIO * path.stat().st_size))
        content = json.dumps({"format": _FORMAT, "names": names}, indent=0, ensure_ascii=False)
        (folder / NAMES).write_text(content, encoding="utf-8")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, Exception) and not isinstance(
            error, FileError
        ):  # zipfile is not made for hostile archives
            raise FileError("E_ARCHIVE", f"it cannot be unpacked: {type(error).__name__}") from error
        raise
    return len(names)


def unpacked(data: Path, folder: Path, progress: Progress) -> Path:
    """The folder of images: `data` itself, or where the archive lies unpacked; a run that was killed meanwhile starts again.

    Args:
        data: A folder or a zip archive.
        folder: Made for the files of an archive, unless it is there.
        progress: Is told of the phase "unpacking".

    Raises:
        FileError: See `unpack_zip`.
    """
    if data.is_dir():
        return data
    if not folder.is_dir():
        partly = folder.with_name(f"{folder.name}.part")
        progress.step(0, phase="unpacking")
        shutil.rmtree(partly, ignore_errors=True)
        unpack_zip(data, partly)
        os.replace(partly, folder)
    return folder


def read_names(folder: Path) -> dict[str, str]:
    """Names by number of the files that `unpack_zip` wrote; empty for any other folder."""
    try:
        facts = json.loads((folder / NAMES).read_bytes())
        if facts["format"] == _FORMAT:
            return {str(number): str(name) for number, name in facts["names"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    return {}


def _unpack(archive: zipfile.ZipFile, folder: Path, max_bytes: int) -> dict[str, str]:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise FileError("E_ARCHIVE", f"{len(entries)} files, at most {MAX_FILES}")
    names: dict[str, str] = {}
    for entry, name in zip(entries, _names(entries), strict=True):
        parts = name.split("/")
        if not parts[-1] or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        _refuse(entry)
        number = f"{len(names) + 1:06d}"
        max_bytes -= _write(archive, entry, folder / number, max_bytes)
        names[number] = name
    return names


def _names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Paths with slashes between their parts, printable, without a drive and without steps upwards."""
    unmarked = [entry for entry in entries if not entry.flag_bits & _UTF8]
    found = decode_names([entry.filename.encode("cp437") for entry in unmarked])  # as zipfile took them
    decoded = dict(zip(map(id, unmarked), found or (), strict=False))
    return [_clean(decoded.get(id(entry), entry.filename)) for entry in entries]


def _clean(name: str) -> str:
    parts = re.split(r"[/\\]", re.sub(r"^[A-Za-z]:", "", name))
    kept = [part for part in parts[:-1] if part not in ("", ".", "..")] + parts[-1:]
    return printable("/".join(kept))[-_MAX_NAME:]


def _refuse(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise FileError("E_ARCHIVE", "an encrypted file")
    if entry.compress_type not in _METHODS:
        raise FileError("E_ARCHIVE", f"a file packed by method {entry.compress_type}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise FileError("E_ARCHIVE", "a link")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, max_bytes: int) -> int:
    """Write one file and count its bytes."""
    n_bytes = 0
    with archive.open(entry) as stream, path.open("xb") as file:
        while piece := stream.read(_PIECE_BYTES):
            if not n_bytes and looks_zip(piece) and not entry.filename.lower().endswith(".xlsx"):
                raise FileError("E_ARCHIVE", "a zip file inside")
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise FileError("E_ARCHIVE", "it unpacks to too many bytes")
            file.write(piece)
    return n_bytes
