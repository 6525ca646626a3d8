"""A hospital's own table of labels, CSV or XLSX, as plain text. Parsed in the reader process only."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO

from core.errors import TableError
from core.io import vocabulary
from core.io.series import looks_zip
from core.io.text_encoding import decode

_SEPARATORS = ",;\t"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"  # also the container of an encrypted workbook
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\r?\n?")  # Excel writes and reads it as first line


@dataclass(frozen=True)
class LabelTable:
    """Rows below a head, all as stripped text.

    Attributes:
        columns: Names of the head, each there once.
        rows: By column; "" = empty. It may hold ids and names, so it is not shown by repr.
        notes: Message ids about what was guessed or left out.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, lines: list[list[str]], notes: tuple[str, ...] = ()) -> "LabelTable":
        """From the head and the rows; a shorter row ends in empty cells.

        Raises:
            TableError: E_HEAD when a name of the head is empty or there twice, E_LABEL_TABLE when a row is longer than the head
                or something is too many.
        """
        head, *rows = lines or [[]]
        _check(head, rows)
        filled = (row + [""] * (len(head) - len(row)) for row in rows)
        return cls(tuple(head), tuple(dict(zip(head, row, strict=True)) for row in filled), notes)


def _check(head: list[str], rows: list[list[str]]) -> None:
    if empty := [place for place, name in enumerate(head, 1) if not name]:
        raise TableError("E_HEAD", f"column {empty[0]} has no name")
    if twice := [place for place, name in enumerate(head, 1) if name in head[: place - 1]]:
        raise TableError("E_HEAD", f"column {twice[0]} has the name of column {head.index(head[twice[0] - 1]) + 1}")
    if len(head) > vocabulary.MAX_TABLE_COLUMNS:
        raise TableError("E_LABEL_TABLE", f"{len(head)} columns, at most {vocabulary.MAX_TABLE_COLUMNS}")
    if len(head) < 2:
        raise TableError("E_LABEL_TABLE", "fewer than two columns")
    if not rows:
        raise TableError("E_LABEL_TABLE", "no row below the head")
    for number, row in enumerate(rows, 1):
        if len(row) > len(head):
            raise TableError("E_LABEL_TABLE", f"row {number} has more values than the {len(head)} columns of the head")
    if len(rows) * len(head) > vocabulary.MAX_TABLE_CELLS:
        raise TableError("E_LABEL_TABLE", f"{len(rows) * len(head)} cells, at most {vocabulary.MAX_TABLE_CELLS}")


def parse_table(data: bytes) -> LabelTable:
    """Parse a CSV file (commas, semicolons or tabs; UTF-8, UTF-16, Big5 or CP949) or the first sheet of an XLSX workbook.

    Empty rows are left out. A formula counts as the value that was saved with it.

    Raises:
        TableError: E_LABEL_TABLE or E_HEAD.
    """
    try:
        return _parse(data)
    except MemoryError as error:
        raise TableError("E_LABEL_TABLE", "the reader ran out of memory") from error


def _parse(data: bytes) -> LabelTable:
    if data.startswith(_OLD_EXCEL):
        raise TableError("E_LABEL_TABLE", "an old or encrypted Excel workbook")
    if looks_zip(data):
        from core.io.workbook import read_sheet  # the server needs the record alone

        rows, notes = read_sheet(data)
        return LabelTable.of(_bounded(rows), notes)
    try:
        text, note = decode(data)
        lines = _bounded(_csv_rows(text))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError("E_LABEL_TABLE", "no CSV and no XLSX file") from error
    return LabelTable.of(lines, () if note is None else (note,))


def _csv_rows(text: str) -> Iterator[list[str]]:
    if "\0" in text:
        raise TableError("E_LABEL_TABLE", "zero bytes in the text")
    named = _SEPARATOR_LINE.match(text)
    text = text[named.end() :] if named else text
    return csv.reader(StringIO(text, newline=""), delimiter=named[1] if named else _separator(text), strict=True)


def _separator(text: str) -> str:
    """The separator that the head has most often outside of quotes."""
    head = re.sub(r'"[^"]*"', "", text.lstrip()).split("\n", 1)[0]
    return max(_SEPARATORS, key=head.count)


def _bounded(rows: Iterable[list[str]]) -> list[list[str]]:
    """Rows with text in them, without their empty cells behind the last text.

    Raises:
        TableError: E_LABEL_TABLE when rows, columns or letters are too many.
    """
    kept: list[list[str]] = []
    n_letters = 0
    for row in rows:
        cells = [_CONTROL.sub(" ", cell).strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        kept.append(cells)
        n_letters += sum(map(len, cells)) + len(cells)
        if len(kept) > vocabulary.MAX_TABLE_ROWS + 1:
            raise TableError("E_LABEL_TABLE", f"more than {vocabulary.MAX_TABLE_ROWS} rows")
        if n_letters > vocabulary.MAX_TABLE_LETTERS:
            raise TableError("E_LABEL_TABLE", f"more than {vocabulary.MAX_TABLE_LETTERS} letters")
    return kept
