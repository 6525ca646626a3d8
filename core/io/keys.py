"""Keyed hashes of ids: two tables meet by them, and nobody can go back to an id without the key."""

import hashlib
import hmac
import re
from datetime import date
from typing import Literal

Kind = Literal["patient", "accession", "patient_date"]

_DATE = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:[ T][\d:.]*)?")
_BETWEEN = "\x1f"  # of patient and date; the reader process takes it out of every cell


def keyed_hash(value: str, kind: Kind, key: bytes) -> str:
    """HMAC-SHA256 of an id: equal for equal ids of one kind under one key, 64 hex digits; "" of an empty id.

    Args:
        value: As a header or a table has it; spaces around it do not count. Of "patient_date" what `patient_date` gives.
        kind: What the id names; one text has different hashes as two kinds.
        key: The secret.
    """
    value = value.strip()
    if not value:
        return ""
    # A patient's hash is older than the other kinds and stays as it was.
    text = value if kind == "patient" else f"{kind}{_BETWEEN}{value}"
    return hmac.new(key, text.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()


def patient_date(patient: str, day: str) -> str:
    """A patient on one day as one text, "" where either is missing or the day is none."""
    iso = iso_date(day)
    return f"{patient.strip()}{_BETWEEN}{iso}" if patient.strip() and iso else ""


def iso_date(text: str) -> str:
    """YYYY-MM-DD of YYYY-MM-DD, YYYY/MM/DD, YYYY.MM.DD or YYYYMMDD, with or without a time behind it; "" of anything else."""
    match = _DATE.fullmatch(text.strip())
    if match is None or (not match[2] and len(match[3] + match[4]) < 4):
        return ""
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        return ""
