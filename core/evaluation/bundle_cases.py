"""Cases under numbers of their own, and the key to the numbers.

The order of the numbers follows from all of the input at once: who lacks a part of it cannot compute the order, so that a number
tells nothing. The key stays where the data are.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import BundleError
from core.evaluation.bundle_schema import check_rows
from core.io.tables import csv_bytes, plain_cell

COLUMNS = ("number", "question", "label", "score", "patient", "group", "note")
_LEAST_ID = 6  # letters of an id or a file name that no group has by chance
_PATH_WORD = re.compile(r"[/\\~]|\.[A-Za-z]\w{0,7}$")


@dataclass(frozen=True)
class SourceCase:
    """One case as the hospital knows it, with the answer to one question.

    Attributes:
        file: Of the case; the same for all its questions.
        patient: "" where patients are not known.
        group, note: Words that everybody may read; "" for none.
    """

    question: str
    is_positive: bool
    score: float
    file: str
    patient: str = ""
    group: str = ""
    note: str = ""


@dataclass(frozen=True)
class BundleCase:
    """One case and question under numbers that tell nothing.

    Attributes:
        number: From 1; the same for all questions of the case.
        question: "osteoporosis", or of grades the lowest that counts: "moderate" asks for moderate or worse.
        patient: From 1, equal for cases of one patient; 0 where patients are not known.
    """

    number: int
    question: str
    is_positive: bool
    score: float
    patient: int
    group: str
    note: str


def number_cases(sources: Sequence[SourceCase]) -> tuple[BundleCase, ...]:
    """The cases under numbers of their own; equal input gets equal numbers.

    Raises:
        BundleError: A group or note names a patient or a file; or see `check_rows`.
    """
    _refuse_names(sources)
    cases, patients = _numbers(sources)
    found = [
        BundleCase(
            number=cases[own.file],
            question=own.question,
            is_positive=bool(own.is_positive),
            score=float(own.score),
            patient=patients[own.patient] if own.patient else 0,
            group=own.group,
            note=own.note,
        )
        for own in sources
    ]
    found.sort(key=lambda case: (case.number, case.question))
    check_rows([case_row(case) for case in found])
    return tuple(found)


def key_table(sources: Sequence[SourceCase]) -> bytes:
    """The key: number, first row among `sources` (from 1), file, number of the patient, patient; as CSV, no part of a bundle."""
    cases, patients = _numbers(sources)
    rows: dict[str, tuple[object, ...]] = {}
    for place, own in enumerate(sources, 1):
        name = (plain_cell(own.file), patients.get(own.patient, 0), plain_cell(own.patient))
        rows.setdefault(own.file, (cases[own.file], place, *name))
    return csv_bytes(("number", "row", "file", "patient_number", "patient"), sorted(rows.values()))


def _numbers(sources: Sequence[SourceCase]) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers from 1 by file and by patient, in an order that only the whole input gives."""
    whole = [(o.question, bool(o.is_positive), float(o.score), o.file, o.patient, o.group, o.note) for o in sources]
    secret = hashlib.sha256(json.dumps(whole).encode()).digest()

    def shuffled(names: set[str], kind: bytes) -> dict[str, int]:
        order = sorted(
            names, key=lambda name: hashlib.sha256(secret + kind + name.encode(errors="surrogatepass")).digest()
        )
        return {name: place for place, name in enumerate(order, 1)}

    return shuffled({o.file for o in sources}, b"file"), shuffled({o.patient for o in sources} - {""}, b"patient")


def _refuse_names(sources: Sequence[SourceCase]) -> None:
    names = {part for own in sources for part in (own.patient, own.file, *re.split(r"[/\\]", own.file)[-1:])}
    names = {name.casefold() for name in names if len(name) >= _LEAST_ID}
    for text in {text.casefold() for own in sources for text in (own.group, own.note)}:
        if text in names or not names.isdisjoint(re.findall(r"[^\s,;()]+", text)):
            raise BundleError("a group or a note that names a patient or a file")


def case_row(case: BundleCase) -> dict[str, Any]:
    """The case as JSON values by column."""
    values = (case.number, case.question, int(case.is_positive), case.score, case.patient, case.group, case.note)
    return dict(zip(COLUMNS, values, strict=True))


def clean_command(words: Sequence[str]) -> str:
    """The words of a command with PATH in place of every file and folder."""
    found = []
    for word in words:
        option, is_set, value = word.partition("=") if word.startswith("--") else ("", "", word)
        found.append(option + is_set + ("PATH" if _PATH_WORD.search(value) else value))
    return " ".join(found)
