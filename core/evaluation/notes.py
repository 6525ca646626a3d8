"""What a reader says of a case: agrees, disagrees, or the label looks wrong; kept with the evaluation, exported as CSV."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.io.tables import csv_bytes, plain_cell

Opinion = Literal["agree", "disagree", "label looks wrong"]
OPINIONS: tuple[Opinion, ...] = ("agree", "disagree", "label looks wrong")
MAX_WORDS = 500
COLUMNS = ("case", "label", "opinion", "words")


@dataclass(frozen=True)
class Note:
    """One opinion about one case and label."""

    case: str
    label: str
    opinion: Opinion
    words: str = ""


def with_note(notes: Iterable[Note], note: Note) -> list[Note]:
    """The notes with this one in place of an earlier one about the same case and label."""
    kept = [own for own in notes if (own.case, own.label) != (note.case, note.label)]
    return [*kept, Note(note.case, note.label, note.opinion, " ".join(note.words.split())[:MAX_WORDS])]


def notes_json(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """As the folder keeps them."""
    return [asdict(note) for note in notes]


def notes_of(values: Iterable[Mapping[str, Any]] | None) -> list[Note]:
    """From what the folder keeps."""
    return [Note(**value) for value in values or ()]


def notes_csv(notes: Iterable[Note]) -> bytes:
    """A table for the people who correct labels; what a spreadsheet would obey is quoted."""
    rows = [[plain_cell(text) for text in (note.case, note.label, note.opinion, note.words)] for note in notes]
    return csv_bytes(COLUMNS, rows)
