"""The first sheet of an XLSX workbook as rows of text. Runs in the reader process only: nothing else loads openpyxl."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from io import BytesIO
from typing import IO, Any

import openpyxl
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from core.errors import TableError
from core.io import vocabulary
from core.io.zip_file import MAX_RATIO

_MAX_UNPACKED_BYTES = 256 * 2**20
_MAX_MEMBERS = 1_000
_MAX_SHEET_ROWS = 1_048_576  # of Excel itself; empty ones count
_PIECE_BYTES, _OVERLAP_BYTES = 2**20, 64
_FORMULA = re.compile(rb"[<:]f[ >/]")
_DECLARATIONS = [
    text.encode(code) for text in ("<!DOCTYPE", "<!ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")
]


Row = tuple[Any, ...]


def read_sheet(data: bytes) -> tuple[Iterator[list[str]], tuple[str, ...]]:
    """Rows of the first sheet, made while they are asked for, and notes.

    Dates are ISO dates, whole numbers have no decimal point.

    Raises:
        TableError: E_LABEL_TABLE when it is no workbook, unpacks to too much, or its formulas have no saved values.
    """
    has_formulas = _check_parts(data)
    values = _first_sheet(data, saved=True)
    notes = (vocabulary.FIRST_SHEET,) if len(values.parent.worksheets) > 1 else ()
    if has_formulas:
        return _with_formulas(_cells(values), _cells(_first_sheet(data, saved=False))), notes
    return ([_text(value) for value in row] for row in _cells(values)), notes


def _first_sheet(data: bytes, saved: bool) -> ReadOnlyWorksheet:
    """With the values that were saved for formulas, or with the formulas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions, which nobody asks for
        try:
            book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=saved, keep_links=False)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what the sheet says about its size need not be true
            return sheet
        except MemoryError:
            raise
        except Exception as error:  # openpyxl is not made for hostile workbooks
            raise TableError("E_LABEL_TABLE", "no workbook that can be read") from error


def _with_formulas(values: Iterator[Row], formulas: Iterator[Row]) -> Iterator[list[str]]:
    """The saved values: programs that compute nothing save none, and an empty cell would be taken for a missing label."""
    n_saved = n_unsaved = 0
    for row, written in zip(values, formulas, strict=True):
        computed = [value for value, formula in zip(row, written, strict=True) if value != formula]
        n_unsaved += computed.count(None)
        n_saved += len(computed) - computed.count(None)
        yield [_text(value) for value in row]
    if n_unsaved and not n_saved:  # a formula that gives an empty text has no value either
        raise TableError("E_LABEL_TABLE", f"{n_unsaved} formulas without saved values")


def _cells(sheet: ReadOnlyWorksheet) -> Iterator[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                if number > _MAX_SHEET_ROWS:
                    raise TableError("E_LABEL_TABLE", f"more than {_MAX_SHEET_ROWS} rows")
                yield row
        except (TableError, MemoryError):
            raise
        except Exception as error:
            raise TableError("E_LABEL_TABLE", "the sheet cannot be read") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _check_parts(data: bytes) -> bool:
    """Unpack everything into nothing, counting; XML that declares a document type or entities is no workbook of Excel's.

    Returns:
        Whether there are formulas.

    Raises:
        TableError: E_LABEL_TABLE.
    """
    left, has_formulas = min(_MAX_UNPACKED_BYTES, MAX_RATIO * len(data)), False
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if len(archive.infolist()) > _MAX_MEMBERS:
                raise TableError("E_LABEL_TABLE", f"a workbook of more than {_MAX_MEMBERS} parts")
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    for piece in _overlapping(stream):
                        left -= len(piece)
                        if left < 0:
                            raise TableError("E_LABEL_TABLE", "the workbook unpacks to too many bytes")
                        if any(declaration in piece for declaration in _DECLARATIONS):
                            raise TableError("E_LABEL_TABLE", "a workbook that declares a document type")
                        has_formulas = has_formulas or _FORMULA.search(piece) is not None
    except (TableError, MemoryError):
        raise
    except Exception as error:
        raise TableError("E_LABEL_TABLE", "a damaged or encrypted workbook") from error
    return has_formulas


def _overlapping(stream: IO[bytes]) -> Iterator[bytes]:
    """Pieces that begin with the end of the last one, so that no word is cut in all of them."""
    end = b""
    while piece := stream.read(_PIECE_BYTES):
        yield end + piece
        end = piece[-_OVERLAP_BYTES:]
