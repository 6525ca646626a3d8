"""The history: every screening as numbers, without pixels and names. What is written or deleted stands in the audit log too."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from core.errors import HistoryError
from core.io.tables import csv_bytes, plain_cell
from core.records import Check, Gate, ScreeningResult
from core.reports.result_json import shown_json
from core.services import audit
from core.services.history_settings import HistorySettings, history_settings
from core.services.store import Store

TABLE = sa.table(
    "screenings",
    sa.column("id", sa.String),
    sa.column("time", sa.DateTime(timezone=True)),
    sa.column("source", sa.String),
    sa.column("task", sa.String),
    sa.column("model", sa.String),
    sa.column("weights_sha256", sa.String),
    sa.column("file_sha256", sa.String),
    sa.column("pseudonym", sa.String),
    sa.column("is_phantom", sa.Boolean),
    sa.column("age_years", sa.Float),
    sa.column("sex", sa.String),
    sa.column("outcome", sa.String),
    sa.column("confirmed", sa.Boolean),
    sa.column("score", sa.Float),
    sa.column("positive", sa.Boolean),
    sa.column("checks", sa.JSON),
    sa.column("result", sa.JSON),
)
PATIENT_DIGITS = 12  # of a pseudonym, where it is shown or logged
_OLDEST_AGE = 90.0  # an age above tells a person apart
_CSV = (
    *("time", "id", "source", "task", "model", "weights_sha256", "file_sha256", "pseudonym", "is_phantom"),
    *("age_years", "sex", "outcome", "confirmed", "score", "positive", "operating_point", "threshold", "statement"),
)


@dataclass(frozen=True)
class Kept:
    """One screening as it was kept.

    Attributes:
        id: Of the result; see `result_id`.
        time: When it was screened, UTC.
        source: "page", "command line" or "batch".
        task, model, weights_sha256: What answered.
        file_sha256: Of the file: whoever has it can show the picture again.
        pseudonym: Keyed hash of the patient id; None without one.
        is_phantom: A phantom of this project.
        age_years, sex: Where the installation keeps them.
        outcome, confirmed: Of the gate, and whether a person overrode its questions.
        score, positive: The highest score, and whether any is at or above its operating point; None where none is shown.
        checks: Every check of the gate, with message ids.
        result: See `result_json.shown_json`.
    """

    id: str
    time: datetime
    source: str
    task: str
    model: str
    weights_sha256: str
    file_sha256: str
    pseudonym: str | None
    is_phantom: bool
    age_years: float | None
    sex: str | None
    outcome: str
    confirmed: bool
    score: float | None
    positive: bool | None
    checks: list[dict[str, Any]]
    result: dict[str, Any]

    @property
    def has_score(self) -> bool:
        """Whether the gate let a score be shown."""
        return self.outcome == "accepted" or (self.outcome == "needs_confirmation" and self.confirmed)

    @property
    def statement(self) -> str:
        """Message id that stands beside every number of it, or ""."""
        return str(self.result["provenance"]["statement"])

    def gate_checks(self) -> list[Check]:
        """As the gate gave them."""
        return [Check(**check) for check in self.checks]


@dataclass(frozen=True)
class Wanted:
    """Which screenings are listed; None or "" = all.

    Attributes:
        task, outcome: Equal to.
        since, until: Screened from, and before, this moment.
        pseudonym: How it begins.
        positive: On which side of the operating point.
        is_phantom: Phantoms or patients.
    """

    task: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    pseudonym: str = ""
    positive: bool | None = None
    is_phantom: bool | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """For a query."""
        column = TABLE.c
        equal = {name: getattr(self, name) for name in ("task", "outcome", "positive", "is_phantom")}
        found = [column[name] == value for name, value in equal.items() if value is not None]
        found += [column.time >= self.since] if self.since else []
        found += [column.time < self.until] if self.until else []
        return found + ([column.pseudonym.startswith(self.pseudonym, autoescape=True)] if self.pseudonym else [])


class History:
    """All screenings of this installation.

    Args:
        store: Of history and audit log.
        keep_days: After which a screening is deleted; None = never.
        has_demographics: Whether age and sex are kept.
    """

    def __init__(self, store: Store, keep_days: float | None = None, has_demographics: bool = False) -> None:
        self.store, self._keep_days, self._has_demographics = store, keep_days, has_demographics
        self.forget_old()

    def add(self, result: ScreeningResult, actor: str, source: str, token: str) -> str:
        """Keep a result; one that is there already is not written again.

        Args:
            result: Of one file.
            actor: See `audit.Entry`.
            source: See `Kept`.
            token: Of the session, run or batch: the same file is another screening there.

        Returns:
            Its id.

        Raises:
            HistoryError: The database cannot be written to.
        """
        row = self._row(result, source, token)
        with self.store.writing() as connection:
            if connection.scalar(sa.select(sa.func.count()).where(TABLE.c.id == row["id"])):
                return str(row["id"])
            connection.execute(sa.insert(TABLE), row)
            about = {name: row[name] for name in ("task", "model", "weights_sha256", "outcome", "source")}
            audit.append(connection, actor, "screening", row["id"], about)
            if result.gate.confirmed:
                reasons = [check.code for check in result.gate.reasons]
                audit.append(connection, actor, "override", row["id"], {"reasons": reasons})
        self.forget_old()
        return str(row["id"])

    def _row(self, result: ScreeningResult, source: str, token: str) -> dict[str, Any]:
        study, gate = result.study, self._with_age_hidden(result.gate)
        record = shown_json(replace(result, gate=gate))
        scores = [finding["probability"] for finding in record["findings"]]
        is_answered = gate.shows_score
        age = study.age_years if self._has_demographics else None
        return {
            "id": result_id(result, token),
            "time": datetime.now(UTC),
            "source": source,
            "task": record["task"],
            "model": record["model"],
            "weights_sha256": result.provenance.weights_sha256,
            "file_sha256": study.file_sha256,
            "pseudonym": study.pseudonym,
            "is_phantom": study.is_phantom,
            "age_years": None if age is None else min(age, _OLDEST_AGE),
            "sex": study.sex if self._has_demographics else None,
            "outcome": gate.outcome,
            "confirmed": gate.confirmed,
            "score": max(scores, default=None),
            "positive": _any_positive(record["findings"]) if is_answered else None,
            "checks": [asdict(check) | {"values": dict(check.values)} for check in gate.checks],
            "result": record,
        }

    def _with_age_hidden(self, gate: Gate) -> Gate:
        """The checks say how old somebody is; not where that is not kept, nor above the oldest age."""
        checks = []
        for check in gate.checks:
            values = dict(check.values)
            if isinstance(age := values.get("age"), int):
                values["age"] = min(age, int(_OLDEST_AGE)) if self._has_demographics else "–"
            checks.append(replace(check, values=values))
        return replace(gate, checks=tuple(checks))

    def find(self, identity: str) -> Kept | None:
        """One screening by its id, None where there is none.

        Raises:
            HistoryError: The database cannot be read.
        """
        with self.store.reading() as connection:
            row = connection.execute(sa.select(TABLE).where(TABLE.c.id == identity)).one_or_none()
        return None if row is None else _kept(row)

    def select(self, wanted: Wanted, limit: int | None = None) -> list[Kept]:
        """Screenings, the latest first.

        Raises:
            HistoryError: The database cannot be read.
        """
        query = sa.select(TABLE).where(*wanted.conditions()).order_by(TABLE.c.time.desc(), TABLE.c.id).limit(limit)
        with self.store.reading() as connection:
            return [_kept(row) for row in connection.execute(query)]

    def count(self, wanted: Wanted) -> int:
        """How many there are.

        Raises:
            HistoryError: The database cannot be read.
        """
        query = sa.select(sa.func.count()).select_from(TABLE).where(*wanted.conditions())
        with self.store.reading() as connection:
            return int(connection.scalar(query) or 0)

    def delete(self, identities: Sequence[str], actor: str) -> int:
        """Delete screenings by their ids; returns how many there were.

        Raises:
            HistoryError: The database cannot be written to.
        """
        n = 0
        with self.store.writing() as connection:
            for identity in identities:
                if connection.execute(sa.delete(TABLE).where(TABLE.c.id == identity)).rowcount:
                    audit.append(connection, actor, "deletion", identity)
                    n += 1
        return n

    def delete_patient(self, pseudonym: str, actor: str) -> int:
        """Delete all screenings of a patient; returns how many there were.

        Raises:
            HistoryError: The database cannot be written to.
        """
        with self.store.writing() as connection:
            n = connection.execute(sa.delete(TABLE).where(TABLE.c.pseudonym == pseudonym)).rowcount
            if n:
                audit.append(connection, actor, "deletion", f"patient {pseudonym[:PATIENT_DIGITS]}", {"n": n})
        return n

    def forget_old(self) -> int:
        """Delete screenings that are older than they are kept; returns how many there were.

        Raises:
            HistoryError: The database cannot be written to.
        """
        if self._keep_days is None:
            return 0
        before = datetime.now(UTC) - timedelta(days=self._keep_days)
        if not self.count(Wanted(until=before)):
            return 0
        with self.store.writing() as connection:
            n = connection.execute(sa.delete(TABLE).where(TABLE.c.time < before)).rowcount
            if n:
                audit.append(connection, "program", "retention", f"older than {self._keep_days:g} days", {"n": n})
        return n


def result_id(result: ScreeningResult, token: str) -> str:
    """32 hex digits: equal for equal answers to one file within one session, run or batch. How it is explained does not count."""
    answer: Mapping[str, Any] = shown_json(result) | {"explanation": None, "token": token}
    return hashlib.sha256(audit.canonical(answer).encode()).hexdigest()[:32]


def history_csv(rows: Sequence[Kept]) -> bytes:
    """A table of screenings; no cell is a formula."""
    return csv_bytes(_CSV, [[_cell(value) for value in _csv_row(row)] for row in rows])


def _csv_row(row: Kept) -> list[object]:
    point = row.result["operating_point"] or {"id": None, "threshold": None}
    further = {"operating_point": point["id"], "threshold": point["threshold"], "statement": row.statement}
    values = asdict(row) | further | {"time": row.time.isoformat(timespec="seconds")}
    return [values[name] for name in _CSV]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else plain_cell(value) if isinstance(value, str) else value


def _kept(row: sa.Row[Any]) -> Kept:
    values = dict(row._mapping)
    time: datetime = values["time"]  # SQLite knows no time zones
    return Kept(**values | {"time": time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)})


@lru_cache(maxsize=4)
def _opened(settings: HistorySettings) -> History:
    return History(Store(settings.url), settings.keep_days, settings.has_demographics)


def open_history(settings: HistorySettings | None = None) -> History:
    """The history of this installation, opened once a process.

    Raises:
        HistoryError: It is switched off, or cannot be opened.
    """
    settings = settings or history_settings()
    if not settings.enabled:
        raise HistoryError("it is switched off here")
    return _opened(settings)


def _any_positive(findings: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether any finding is called; None where nobody has chosen an operating point."""
    sides = [found["positive"] for found in findings]
    return None if sides and None in sides else any(sides)
