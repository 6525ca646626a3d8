"""The audit log: who did what, in rows that only grow, each bound to the one before it by its hash.

A row that was edited, taken out or put in breaks the chain. Rows cut off at the end do not: whoever wants to know that too
notes the last hash elsewhere from time to time, and has `verify` look for it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from core.services.store import Store

START = "0" * 64  # what the first row names as the hash before it
Action = Literal["screening", "override", "deletion", "retention", "export", "adoption", "models"]
TABLE = sa.table(
    "audit", *map(sa.column, ("sequence", "time", "actor", "action", "object", "details", "previous", "hash"))
)


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        sequence: From 1, without a gap.
        time: UTC, ISO 8601.
        actor: Who is signed in, or the way in ("page", "command line").
        action: One of Action.
        object: Id of what it was done to; never a name or an id of a patient.
        details: JSON object.
        previous: Hash of the row before, START in the first one.
        hash: Of all the others.
    """

    sequence: int
    time: str
    actor: str
    action: str
    object: str
    details: str
    previous: str
    hash: str

    @property
    def true_hash(self) -> str:
        """SHA-256 over the canonical JSON of all fields but `hash`."""
        fields = {name: value for name, value in asdict(self).items() if name != "hash"}
        return hashlib.sha256(canonical(fields).encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    Attributes:
        n: Rows that hold, from the first one on.
        head: Hash of the last of them.
        broken_at: Number of the first row that does not hold; None = all do.
        reason: Why, in one line.
    """

    n: int
    head: str
    broken_at: int | None = None
    reason: str = ""


def canonical(values: object) -> str:
    """JSON with one form for equal values: keys sorted, no spaces."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def append(
    connection: sa.Connection, actor: str, action: Action, about: str, details: Mapping[str, object] | None = None
) -> None:
    """Add a row within a transaction of `Store.writing`: it stays exactly when what it tells of does.

    Args:
        connection: Of the transaction.
        actor, action, about, details: See Entry; `about` is its object.
    """
    last = connection.execute(
        sa.select(TABLE.c.sequence, TABLE.c.hash).order_by(TABLE.c.sequence.desc()).limit(1)
    ).one_or_none()
    number, previous = (last.sequence + 1, last.hash) if last else (1, START)
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    entry = Entry(number, time, actor, action, about, canonical(details or {}), previous, "")
    connection.execute(sa.insert(TABLE), asdict(entry) | {"hash": entry.true_hash})


def note(store: Store, actor: str, action: Action, about: str, details: Mapping[str, object] | None = None) -> None:
    """Add a row about something that happened outside the database.

    Raises:
        HistoryError: The database cannot be written to.
    """
    with store.writing() as connection:
        append(connection, actor, action, about, details)


def note_models(store: Store, actor: str, installed: Mapping[str, str]) -> None:
    """Add a row when other models are installed than the log last told.

    Args:
        store: Of the log.
        actor: See Entry.
        installed: SHA-256 of the weights by "task/model".

    Raises:
        HistoryError: The database cannot be written to.
    """
    query = sa.select(TABLE.c.details).where(TABLE.c.action == "models").order_by(TABLE.c.sequence.desc()).limit(1)
    with store.reading() as connection:
        told = connection.scalar(query)
    if told == canonical(installed):
        return
    with store.writing() as connection:
        if connection.scalar(query) != canonical(installed):
            append(connection, actor, "models", f"{len(installed)} installed", installed)


def entries(store: Store) -> Iterator[Entry]:
    """All rows, first to last.

    Raises:
        HistoryError: The database cannot be read.
    """
    with store.reading() as connection:
        for row in connection.execute(sa.select(TABLE).order_by(TABLE.c.sequence)):
            yield Entry(*row)


def verify(store: Store, known: tuple[int, str] | None = None) -> Verdict:
    """Check the whole chain.

    Args:
        store: Of the log.
        known: Number and hash of a row as they were noted earlier; the chain must still hold that row.

    Raises:
        HistoryError: The database cannot be read.
    """
    n, head, is_met = 0, START, known is None
    for entry in entries(store):
        number = n + 1
        if entry.sequence != number:
            return Verdict(n, head, number, f"row {number} is missing")
        if entry.previous != head:
            return Verdict(n, head, number, f"row {number} does not follow row {n}")
        if entry.hash != entry.true_hash:
            return Verdict(n, head, number, f"row {number} was changed")
        if known is not None and known[0] == number:
            if known[1] != entry.hash:
                return Verdict(n, head, number, f"row {number} is not the one that was noted")
            is_met = True
        n, head = number, entry.hash
    if not is_met and known is not None:
        return Verdict(n, head, n + 1, f"the log ends before row {known[0]}, which was noted")
    return Verdict(n, head)
