"""Zip bytes to the bytes of the files inside, in memory alone. Runs in the reader process only."""

import re
import zipfile
from io import BytesIO

from core.errors import FileError
from core.io import vocabulary
from core.io.series import display_name, looks_zip

MAX_RATIO = 200  # unpacked to packed bytes; CT slices reach 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_PIECE_BYTES = 2**20


def unpack_zip(data: bytes) -> list[tuple[str, bytes | str]]:
    """Unpack every file of an archive, counting the bytes that come out and trusting no size that it states.

    Folders and the hidden files of an operating system are left out. An archive inside comes out as it is.

    Args:
        data: The whole archive.

    Returns:
        Display name, and content, or E_SERIES where a file is encrypted, damaged or packed in an unusual way; in the order of
        the full names.

    Raises:
        FileError: E_SERIES when it is no archive; E_BOMB when it holds too many files or bytes.
    """
    if not looks_zip(data):
        raise FileError("E_SERIES", "no zip file")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return _unpack(archive, min(vocabulary.MAX_UNPACKED_BYTES, MAX_RATIO * len(data)))
    except FileError:
        raise
    except MemoryError as error:
        raise FileError("E_BOMB", "the reader ran out of memory") from error
    except Exception as error:
        raise FileError("E_SERIES", "the zip file is damaged") from error


def _unpack(archive: zipfile.ZipFile, max_bytes: int) -> list[tuple[str, bytes | str]]:
    entries = archive.infolist()
    if len(entries) > vocabulary.MAX_FILES:
        raise FileError("E_BOMB", f"{len(entries)} files, at most {vocabulary.MAX_FILES}")
    files: list[tuple[str, bytes | str]] = []
    for entry in sorted(entries, key=lambda entry: entry.filename):
        *folders, name = re.split(r"[/\\]", entry.filename)
        if not name or name.startswith(".") or "__MACOSX" in folders:
            continue
        content = _content(archive, entry, max_bytes)
        max_bytes -= 0 if content is None else len(content)
        files.append((display_name(name), "E_SERIES" if content is None else content))
    return files


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes | None:
    """The bytes of one file, None when it cannot be unpacked."""
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
        return None
    pieces, n_bytes = [], 0
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(_PIECE_BYTES):
                n_bytes += len(piece)
                if n_bytes > max_bytes:
                    raise FileError("E_BOMB", "the archive unpacks to too many bytes")
                pieces.append(piece)
    except (FileError, MemoryError):
        raise
    except Exception:  # zipfile is not made for hostile archives
        return None
    return b"".join(pieces)
