"""What the server and the reader process say to each other: a JSON header, then raw bytes.

    message = !I length of the header | !Q length of the body | header (JSON, UTF-8) | body

The process that parses foreign files may be taken over by one, so the server trusts nothing in a reply: no pickle, closed word
lists, dtypes from a table, sizes recomputed from the shape. Anything else is a WireError.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from datetime import date
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import MESSAGES, FileError, ScreeningError, TableError, UsageError
from core.io import vocabulary
from core.io.dated import DatedStudy
from core.io.label_table import LabelTable
from core.io.voc import VocError, VocFile, voc_of
from core.records import Frame, Study

Header = dict[str, Any]

_PREFIX = struct.Struct("!IQ")
_MAX_HEADER_BYTES = 2**22  # room for the names of vocabulary.MAX_FILES files
_GREY_BYTES, _RGB_BYTES, _PADDING_BYTES = 4, 3, 1
MAX_TABLE_BYTES = 4 * vocabulary.MAX_TABLE_LETTERS  # of UTF-8
MAX_STUDY_BYTES = vocabulary.MAX_PIXELS * (_GREY_BYTES + _PADDING_BYTES)
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_PSEUDONYM = re.compile(r"[0-9a-f]{64}")
_POSITION = re.compile(r"-?\d{1,6}\.\d\d")
_CELL_END, _ROW_END = "\x1f", "\x1e"  # no cell holds a control character
_TABLE_ERRORS = ("E_LABEL_TABLE", "E_HEAD")
# Times the limit of an image: a workbook of 200,000 rows takes a while.
_SLOW = {"table": 6, "derive": 6, "deidentify": 6}
_SEXES = ("F", "M", "O")


def patience(header: Mapping[str, object]) -> int:
    """How many times the limit of an image a request may take."""
    return _SLOW.get(str(header.get("verb")), 1)


class WireError(Exception):
    """The other side ended in mid-message or said something that is not in the protocol."""


def send(stream: IO[bytes], header: Mapping[str, object], *body: memoryview | bytes) -> None:
    """Write one message and flush.

    Raises:
        OSError: The other side is gone.
    """
    text = json.dumps(header).encode()
    stream.write(_PREFIX.pack(len(text), sum(memoryview(part).nbytes for part in body)))
    stream.write(text)
    for part in body:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], max_bytes: int) -> tuple[Header, bytes]:
    """Read one message of at most `max_bytes` body.

    Raises:
        EOFError: The other side closed the pipe between two messages.
        WireError: Cut, oversized or not JSON.
    """
    prefix = stream.read(_PREFIX.size)
    if not prefix:
        raise EOFError
    if len(prefix) < _PREFIX.size:
        raise WireError("cut prefix")
    n_header, n_body = _PREFIX.unpack(prefix)
    if n_header > _MAX_HEADER_BYTES or n_body > max_bytes:
        raise WireError("oversized message")
    text, body = stream.read(n_header), stream.read(n_body)
    if len(text) < n_header or len(body) < n_body:
        raise WireError("cut message")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("header is no JSON") from error
    if not isinstance(header, dict):
        raise WireError("header is no object")
    return header, body


# --- worker side -----------------------------------------------------------------------------------------------------


def pack_study(study: Study) -> tuple[Header, list[memoryview]]:
    """The reply that carries `study`, which has one frame."""
    frame = study.frame
    body = [np.ascontiguousarray(frame.pixels)]
    if frame.padding is not None:
        body.append(np.ascontiguousarray(frame.padding))
    header = {
        "shape": frame.pixels.shape[:2],
        "unit": frame.unit,
        "spacing_mm": frame.spacing_mm,
        "window": frame.window,
        "padded": frame.padding is not None,
        "container": study.container,
        "tags": dict(study.tags),
        "age_years": study.age_years,
        "weight_kg": study.weight_kg,
        "sex": study.sex,
        "pseudonym": study.pseudonym,
        "keys": dict(study.keys),
        "notes": study.notes,
        "is_phantom": study.is_phantom,
    }
    return header, [part.data.cast("B") for part in body]


def pack_dated(study: Study, examined: date | None) -> tuple[Header, list[memoryview]]:
    """The reply that carries `study` and the day of its examination."""
    header, body = pack_study(study)
    return header | {"examined": "" if examined is None else examined.isoformat()}, body


def pack_files(files: list[tuple[str, bytes | str]]) -> tuple[Header, list[memoryview]]:
    """The reply that carries the files of an archive; see zip_file.unpack_zip."""
    entries = [(name, content if isinstance(content, str) else len(content)) for name, content in files]
    return {"files": entries}, [memoryview(content) for _, content in files if isinstance(content, bytes)]


def pack_table(table: LabelTable) -> tuple[Header, list[memoryview]]:
    """The reply that carries a table: the head and the rows, cells and rows ended by control characters."""
    lines = [table.columns, *(row.values() for row in table.rows)]
    text = "".join("".join(cell + _CELL_END for cell in line) + _ROW_END for line in lines)
    header = {"n_rows": len(table.rows), "n_columns": len(table.columns), "notes": table.notes}
    return header, [memoryview(text.encode())]


def pack_error(error: ScreeningError) -> Header:
    """The reply that carries `error`."""
    return {"error": error.code, "got": error.got}


# --- server side -----------------------------------------------------------------------------------------------------


def unpack_reply(header: Header, body: bytes, file_sha256: str) -> Study:
    """The study in a reply.

    Args:
        header: JSON object from the worker.
        body: Pixels (float32 or uint8 RGB), then the padding mask if there is one.
        file_sha256: Computed on the server side.

    Raises:
        ScreeningError: The reply carries one.
        WireError: The reply is not what a worker says.
    """
    try:
        if "error" in header:
            raise _error(header)
        return Study(
            frames=(_frame(header, body),),
            file_sha256=file_sha256,
            container=_one_of(header["container"], ("dicom", "raster", "matlab")),
            tags=_tags(header["tags"]),
            age_years=_number(header["age_years"]),
            weight_kg=_number(header["weight_kg"]),
            sex=None if header["sex"] is None else _one_of(header["sex"], _SEXES),
            pseudonym=None if header["pseudonym"] is None else _matching(_PSEUDONYM, header["pseudonym"]),
            keys={
                _one_of(kind, vocabulary.MATCH_KEYS): _matching(_PSEUDONYM, value)
                for kind, value in header["keys"].items()
            },
            notes=tuple(_one_of(note, vocabulary.NOTES) for note in header["notes"]),
            is_phantom=header["is_phantom"] is True,
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise WireError("malformed reply") from error


def unpack_dated(header: Header, body: bytes, file_sha256: str) -> DatedStudy:
    """The study in a reply, and the day of its examination.

    Raises:
        ScreeningError: The reply carries one.
        WireError: The reply is not what a worker says.
    """
    study = unpack_reply(header, body, file_sha256)
    try:
        return DatedStudy(study, date.fromisoformat(header["examined"]) if header["examined"] else None)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed reply") from error


def unpack_files(header: Header, body: bytes) -> list[tuple[str, bytes | str]]:
    """The files in a reply: display name, and content or error code.

    Raises:
        ScreeningError: The reply carries one.
        WireError: The reply is not what a worker says.
    """
    try:
        if "error" in header:
            raise _error(header)
        entries = [(_display_name(name), _size_or_code(size)) for name, size in header["files"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed reply") from error
    if len(entries) > vocabulary.MAX_FILES or sum(size for _, size in entries if isinstance(size, int)) != len(body):
        raise WireError("body does not fit its files")
    files: list[tuple[str, bytes | str]] = []
    start = 0
    for name, size in entries:
        if isinstance(size, int):
            files.append((name, body[start : start + size]))
            start += size
        else:
            files.append((name, size))
    return files


def unpack_table(header: Header, body: bytes) -> LabelTable:
    """The table in a reply.

    Raises:
        ScreeningError: The reply carries one.
        WireError: The reply is not what a worker says.
    """
    try:
        if "error" in header:
            raise _error(header)
        n_rows, n_columns = int(header["n_rows"]), int(header["n_columns"])
        n_cells = (n_rows + 1) * n_columns
        if n_cells > vocabulary.MAX_TABLE_CELLS + n_columns or n_rows < 1 or n_columns < 1:
            raise WireError("impossible table")
        text = body.decode()
        if (text.count(_ROW_END), text.count(_CELL_END)) != (n_rows + 1, n_cells) or not text.endswith(_ROW_END):
            raise WireError("body does not fit its table")
        lines = [line.split(_CELL_END)[:-1] for line in text.split(_ROW_END)[:-1]]
        if any(len(line) != n_columns for line in lines):
            raise WireError("rows of unequal length")
        return LabelTable.of(lines, tuple(_one_of(note, vocabulary.TABLE_NOTES) for note in header["notes"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError("malformed reply") from error


def _display_name(name: str) -> str:
    if not isinstance(name, str) or not name.isprintable() or len(name) > vocabulary.MAX_TAG_CHARS:
        raise WireError("unexpected name")
    return name


def _size_or_code(size: object) -> int | str:
    if isinstance(size, int) and size >= 0:
        return size
    return str(_one_of(size, MESSAGES))


def unpack_voc(header: Header) -> VocFile:
    """The boxes in a reply; see voc.describe_voc.

    Raises:
        VocError: The file cannot be used.
        ScreeningError: The reply carries one.
        WireError: The reply is not what a worker says.
    """
    try:
        if "error" in header:
            raise _error(header)
        return voc_of(header)
    except VocError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise WireError("malformed reply") from error


def _error(header: Header) -> ScreeningError:
    code, got = header["error"], header.get("got")
    if code not in MESSAGES or not isinstance(got, str):
        raise WireError("unknown error")
    got = _matching(_PRINTABLE, got)[:200]
    if code in _TABLE_ERRORS:
        return TableError(code, got)
    return UsageError(got) if code == "E_USAGE" else FileError(code, got)


def _frame(header: Header, body: bytes) -> Frame:
    unit = _one_of(header["unit"], ("HU", "counts", "relative", "rgb"))
    height, width = (int(side) for side in header["shape"])
    n_pixels = height * width
    if height < 1 or width < 1 or n_pixels > vocabulary.MAX_PIXELS:
        raise WireError("impossible shape")
    n_bytes = n_pixels * (_RGB_BYTES if unit == "rgb" else _GREY_BYTES)
    if len(body) != n_bytes + (n_pixels * _PADDING_BYTES if header["padded"] is True else 0):
        raise WireError("body does not fit its shape")
    pixels: NDArray[np.generic]
    if unit == "rgb":
        pixels = np.frombuffer(body, np.uint8, n_pixels * 3).reshape(height, width, 3)
    else:
        pixels = np.frombuffer(body, np.float32, n_pixels).reshape(height, width)
        if not math.isfinite(float(pixels.min())) or not math.isfinite(float(pixels.max())):
            raise WireError("pixels are not finite")
    padding = None
    if header["padded"] is True:
        padding = np.frombuffer(body, np.uint8, offset=n_bytes).reshape(height, width) != 0
    return Frame(pixels, cast(Any, unit), _pair(header["spacing_mm"]), _pair(header["window"]), padding)


def _one_of(value: object, words: Any) -> Any:
    if value not in words:
        raise WireError("unknown word")
    return value


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise WireError("unexpected characters")
    return value


def _tags(values: Mapping[str, str]) -> dict[str, str]:
    for keyword, value in values.items():
        _one_of(keyword, vocabulary.TAGS)
        _matching(_PRINTABLE, value)
        if len(value) > vocabulary.MAX_TAG_CHARS:
            raise WireError("overlong tag")
        if keyword == "SlicePosition":
            _matching(_POSITION, value)
    return dict(values)


def _number(value: float | None) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value):
        raise WireError("number is not finite")
    return float(value)


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    if values is None:
        return None
    first, second = (_number(value) for value in values)
    if first is None or second is None:
        raise WireError("number is missing")
    return first, second
