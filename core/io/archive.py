"""Files to a zip archive that is the same every time, and back, trusting nothing that the archive states."""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO

from core.errors import BundleError
from core.io.series import looks_zip
from core.io.zip_file import MAX_RATIO

SUMS = "SHA256SUMS"
MAX_FILES = 400
MAX_BYTES = 128 * 2**20  # unpacked, all files together
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that the format knows
_NAME = re.compile(r"([a-z0-9_]{1,40}/)?[A-Za-z0-9_]{1,120}(\.[a-z]{1,5})?")
_ENCRYPTED = 0x1
_UNIX, _MODE = 3, 0o644 << 16
_LEVEL = 6
_PIECE_BYTES = 2**20
_SUM_BYTES = 256  # of a line of the sums, at most


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of the files and their SHA-256, the same bytes for the same files.

    Args:
        files: Contents by name: one folder deep at most, Latin letters, digits and underscores.

    Raises:
        BundleError: A name is of another form or kept for the sums, or there are more files or bytes than `read_archive` takes.
    """
    if wrong := [name for name in files if not _NAME.fullmatch(name) or name == SUMS]:
        raise BundleError(f"{len(wrong)} files whose name cannot be used")
    if len(files) >= MAX_FILES or sum(map(len, files.values())) > MAX_BYTES - MAX_FILES * _SUM_BYTES:
        raise BundleError(f"{len(files)} files, at most {MAX_FILES - 1} and {MAX_BYTES // 2**20} MB")
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted({**files, SUMS: sums.encode()}.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _MODE  # not those of the machine that writes
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, _LEVEL)
    return buffer.getvalue()


def read_archive(data: bytes) -> dict[str, bytes]:
    """The files of an archive that `write_archive` wrote, by name, without the sums.

    Args:
        data: The whole archive.

    Raises:
        BundleError: It is none, it is damaged, it unpacks to too much, a name is of another form or there twice, or the files
            are not those of the sums.
    """
    if not looks_zip(data):
        raise BundleError("no zip file")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            files = _unpack(archive, min(MAX_BYTES, MAX_RATIO * len(data)))
    except BundleError:
        raise
    except MemoryError as error:
        raise BundleError("the archive unpacks to too many bytes") from error
    except Exception as error:  # zipfile is not made for hostile archives
        raise BundleError("the zip file is damaged") from error
    sums = files.pop(SUMS, None)
    if sums is None:
        raise BundleError(f"no {SUMS}")
    expected = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    if sums != expected.encode():
        raise BundleError(f"a file is missing, added or changed: its SHA-256 is not that of {SUMS}")
    return files


def _unpack(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise BundleError(f"{len(entries)} files, at most {MAX_FILES}")
    files: dict[str, bytes] = {}
    for entry in entries:
        if not _NAME.fullmatch(entry.filename) or entry.filename in files:
            raise BundleError("a file whose name is not expected, or there twice")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError("a file that is encrypted or packed in an unusual way")
        files[entry.filename] = _content(archive, entry, max_bytes)
        max_bytes -= len(files[entry.filename])
    return files


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """The bytes of one file; they are counted as they come out."""
    pieces, n_bytes = [], 0
    with archive.open(entry) as stream:
        while piece := stream.read(_PIECE_BYTES):
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise BundleError("the archive unpacks to too many bytes")
            pieces.append(piece)
    return b"".join(pieces)
