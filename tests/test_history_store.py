"""The history: what is kept of a screening and what is not, found, deleted and forgotten again, in both databases."""

import csv
import io
import json
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
import sqlalchemy as sa

from core.cli.main import main
from core.errors import HistoryError
from core.io.phantom_file import write_dicom
from core.io.reader import Reader
from core.manifest import DEMO_STATEMENT
from core.records import Check, Gate, ScreeningResult
from core.reports.result_json import findings_of, to_json
from core.screening import load, screen
from core.services import history as module
from core.services.audit import entries, verify
from core.services.history import History, Kept, Wanted, history_csv, result_id
from core.services.history_settings import HistorySettings, history_settings
from core.services.store import Store
from core.tasks.knee_djd.phantom import SAMPLES, make_sample

TASK, TOKEN = "knee_djd", "session"
PLANTED = {"PatientName": "Planted^Name", "PatientID": "PLANTED-ID-77", "PatientBirthDate": "19411231"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return f"sqlite:///{tmp_path / 'history.sqlite'}"


@pytest.fixture
def history(url: str) -> History:
    return History(Store(url))


@pytest.fixture(scope="module")
def planted() -> bytes:
    """A scan with a name, an id and a birth date in its header."""
    data = pydicom.dcmread(io.BytesIO(write_dicom(make_sample(next(iter(SAMPLES))))))
    for keyword, value in PLANTED.items():
        setattr(data, keyword, value)
    data.save_as(packed := io.BytesIO())
    return packed.getvalue()


@pytest.fixture(scope="module")
def result(planted: bytes) -> Iterator[ScreeningResult]:
    with Reader(workers=1) as reader:
        yield screen(reader.read(planted), load(TASK), is_explained=False)


def with_gate(result: ScreeningResult, *, confirmed: bool) -> ScreeningResult:
    question = Check("age_young", "confirm", "The patient is {years} years old.", {"years": 30})
    return replace(result, gate=Gate((question,), confirmed))


def of_patient(result: ScreeningResult, pseudonym: str | None, file: str = "f" * 64) -> ScreeningResult:
    return replace(result, study=replace(result.study, pseudonym=pseudonym, file_sha256=file))


def at(history: History, monkeypatch: pytest.MonkeyPatch, result: ScreeningResult, time: datetime) -> str:
    """Keep a result as of an earlier time."""

    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return time

    with monkeypatch.context() as patch:
        patch.setattr(module, "datetime", Then)
        return history.add(result, "reader", "page", time.isoformat())


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_result_comes_back_as_it_was(history: History, result: ScreeningResult) -> None:
    identity = history.add(result, "reader", "page", TOKEN)
    kept = history.find(identity)
    assert kept is not None
    assert abs(kept.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert (kept.task, kept.model, kept.source) == (TASK, result.provenance.model, "page")
    assert kept.weights_sha256 == result.provenance.weights_sha256
    assert kept.file_sha256 == result.study.file_sha256
    assert kept.pseudonym == result.study.pseudonym
    age_hidden = [
        replace(own, values={**own.values, "age": "–"}) if own.code == "age" else own for own in result.gate.checks
    ]
    assert kept.gate_checks() == age_hidden
    assert (kept.outcome, kept.confirmed, kept.has_score) == ("accepted", False, True)
    assert kept.result == {key: value for key, value in to_json(result).items() if key != "timings_ms"}
    assert result.prediction is not None
    assert kept.score == max(round(finding.probability, 6) for finding in result.prediction.findings)
    assert kept.positive == any(finding.positive for finding in result.prediction.findings)
    assert kept.statement == DEMO_STATEMENT
    assert history.find("0" * 32) is None


def test_findings_are_read_back_from_json(result: ScreeningResult) -> None:
    assert result.prediction is not None
    for own, back in zip(result.prediction.findings, findings_of(to_json(result)), strict=True):
        assert back.probability == pytest.approx(own.probability, abs=1e-6)
        assert (back.label, back.positive, back.laterality, back.grade) == (
            own.label,
            own.positive,
            own.laterality,
            own.grade,
        )
        assert dict(back.probabilities or {}) == pytest.approx(dict(own.probabilities or {}), abs=1e-6)


def test_no_name_id_or_birth_date_is_in_the_file(tmp_path: Path, planted: bytes) -> None:
    """The whole way of the command line, and every byte that it left."""
    (tmp_path / "Planted_Name.dcm").write_bytes(planted)
    url = f"sqlite:///{tmp_path / 'history.sqlite'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIVEFOLD_HISTORY", url)
        assert main(["screen", TASK, str(tmp_path / "Planted_Name.dcm"), "--history"]) == 0
    content = (tmp_path / "history.sqlite").read_bytes()
    assert len(History(Store(url)).select(Wanted(task=TASK))) == 1
    assert [text for text in (b"Planted", b"PLANTED", b"ID-77", b"19411231", b"1941-12-31") if text in content] == []
    assert stat.S_IMODE((tmp_path / "history.sqlite").stat().st_mode) == 0o600


def test_age_and_sex_are_kept_only_where_allowed(url: str, result: ScreeningResult) -> None:
    age = Check(
        "age_outside", "confirm", "Age {age} is outside {low} to {high} years", {"age": 97, "low": 18, "high": 90}
    )
    old = replace(result, study=replace(result.study, age_years=97.0, sex="F"), gate=Gate((age,), confirmed=True))
    store = Store(url)
    plain = History(store).find(History(store).add(old, "reader", "page", "a"))
    allowed = History(store, has_demographics=True)
    kept = allowed.find(allowed.add(old, "reader", "page", "b"))
    assert plain is not None
    assert kept is not None
    assert (plain.age_years, plain.sex) == (None, None)
    assert (kept.age_years, kept.sex) == (90.0, "F")
    assert "97" not in json.dumps([plain.checks, plain.result["gate"], kept.checks, kept.result["gate"]])
    assert plain.result["gate"]["reasons"][0]["message"] == "Age – is outside 18 to 90 years"
    assert kept.result["gate"]["reasons"][0]["message"] == "Age 90 is outside 18 to 90 years"


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_score_that_the_gate_hides_is_not_kept(history: History, result: ScreeningResult, confirmed: bool) -> None:
    kept = history.find(history.add(with_gate(result, confirmed=confirmed), "reader", "page", TOKEN))
    assert kept is not None
    assert kept.has_score is confirmed
    assert (kept.score is not None) is confirmed
    assert bool(kept.result["findings"]) is confirmed
    text = json.dumps(kept.result)
    assert ("probability" in text) is confirmed
    told = [(entry.action, entry.details) for entry in entries(history.store)][1:]
    assert told == ([("override", '{"reasons":["age_young"]}')] if confirmed else [])


# --- once ------------------------------------------------------------------------------------------------------------


def test_ten_clicks_at_once_keep_one_screening(history: History, result: ScreeningResult) -> None:
    threads = [threading.Thread(target=history.add, args=(result, "reader", "page", TOKEN)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history.count(Wanted()) == 1
    assert [entry.action for entry in entries(history.store)] == ["screening"]


def test_what_makes_another_screening(result: ScreeningResult) -> None:
    own = result_id(result, TOKEN)
    assert result_id(replace(result, timings_ms={"read": 9.0}, explanation=None), TOKEN) == own
    assert result_id(result, "another session") != own
    assert result_id(of_patient(result, None), TOKEN) != own
    assert result_id(with_gate(result, confirmed=False), TOKEN) != result_id(with_gate(result, confirmed=True), TOKEN)
    assert result_id(replace(result, threshold=0.123), TOKEN) != own


# --- found, deleted, forgotten ---------------------------------------------------------------------------------------


def test_lists_the_latest_first_and_what_is_wanted(
    history: History, result: ScreeningResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datetime(2026, 1, 10, 8, tzinfo=UTC)
    old = at(history, monkeypatch, of_patient(result, "ab%" + "0" * 61), first)
    young = at(history, monkeypatch, of_patient(result, "abc" + "0" * 61), first + timedelta(days=1))
    doubt = at(history, monkeypatch, with_gate(of_patient(result, None), confirmed=False), first + timedelta(days=2))

    def ids(**wanted: object) -> list[str]:
        found = [kept.id for kept in history.select(Wanted(**wanted))]
        assert history.count(Wanted(**wanted)) == len(found)
        return found

    assert ids() == [doubt, young, old]
    assert ids(task=TASK, outcome="accepted") == [young, old]
    assert ids(task="hip_osteoporosis") == []
    assert ids(pseudonym="ab") == [young, old]
    assert ids(pseudonym="ab%") == [old]  # no wildcard
    assert ids(pseudonym="' OR '1'='1") == []
    assert ids(since=first + timedelta(hours=1)) == [doubt, young]
    assert ids(since=first, until=first + timedelta(days=1)) == [old]
    assert ids(positive=True) == [young, old]
    assert ids(positive=False) == []
    assert ids(is_phantom=not result.study.is_phantom) == []
    assert [kept.id for kept in history.select(Wanted(), limit=1)] == [doubt]


def test_one_screening_or_all_of_a_patient_are_deleted_and_told(history: History, result: ScreeningResult) -> None:
    a1, a2 = (history.add(of_patient(result, "a" * 64, name * 64), "reader", "page", TOKEN) for name in "12")
    b = history.add(of_patient(result, "b" * 64), "reader", "page", TOKEN)
    assert history.delete([a1, "0" * 32], "admin") == 1
    assert history.delete_patient("a" * 64, "admin") == 1
    assert history.delete_patient("a" * 64, "admin") == 0
    assert [kept.id for kept in history.select(Wanted())] == [b]
    told = [(row.actor, row.action, row.object, row.details) for row in entries(history.store)][3:]
    assert told == [("admin", "deletion", a1, "{}"), ("admin", "deletion", "patient " + "a" * 12, '{"n":1}')]
    assert history.find(a2) is None
    assert verify(history.store).broken_at is None


def test_what_is_deleted_is_gone_from_the_file(tmp_path: Path, result: ScreeningResult) -> None:
    file = tmp_path / "history.sqlite"
    history = History(Store(f"sqlite:///{file}"))
    history.add(of_patient(result, "c" * 64, "d" * 64), "reader", "page", TOKEN)
    assert b"c" * 64 in file.read_bytes()
    history.delete_patient("c" * 64, "admin")
    content = file.read_bytes()
    assert b"c" * 64 not in content
    assert b"d" * 64 not in content


def test_screenings_are_forgotten_after_so_many_days(
    url: str, result: ScreeningResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, now = Store(url), datetime.now(UTC)
    forever = History(store)
    old = at(forever, monkeypatch, result, now - timedelta(days=31))
    young = at(forever, monkeypatch, result, now - timedelta(days=29))
    assert {kept.id for kept in forever.select(Wanted())} == {old, young}
    assert [kept.id for kept in History(store, keep_days=30).select(Wanted())] == [young]
    last = list(entries(store))[-1]
    assert (last.action, last.object, last.details) == ("retention", "older than 30 days", '{"n":1}')


# --- export ----------------------------------------------------------------------------------------------------------


def test_the_table_holds_no_formula_and_carries_the_statement(history: History, result: ScreeningResult) -> None:
    history.add(replace(result, operating_point='=HYPERLINK("x")'), "reader", "page", TOKEN)
    rows = list(csv.DictReader(io.StringIO(history_csv(history.select(Wanted())).decode())))
    assert rows[0]["operating_point"] == '\'=HYPERLINK("x")'
    assert rows[0]["statement"] == DEMO_STATEMENT
    assert rows[0]["positive"] in ("true", "false")
    assert rows[0]["age_years"] == ""
    assert datetime.fromisoformat(rows[0]["time"]).utcoffset() == timedelta(0)


# --- the database ----------------------------------------------------------------------------------------------------


def tables(url: str) -> set[str]:
    return set(sa.inspect(sa.create_engine(url, poolclass=sa.NullPool)).get_table_names())


def test_an_old_database_is_brought_up_to_date_and_back(url: str, result: ScreeningResult) -> None:
    """One of revision 1, as a version without the audit log left it."""
    made = History(Store(url))
    row: Kept | None = made.find(made.add(result, "reader", "page", TOKEN))
    made.store.migrate("0001")
    assert tables(url) == {"alembic_version", "screenings"}
    again = History(Store(url))
    assert tables(url) == {"alembic_version", "screenings", "audit"}
    assert again.select(Wanted()) == [row]
    assert verify(again.store).n == 0
    again.add(result, "reader", "page", "another session")
    assert verify(again.store).n == 1
    again.store.migrate("base")
    assert tables(url) == {"alembic_version"}


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    Store(url)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HistoryError, match="newer version"):
        Store(url)


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(HistoryError) as caught:
        Store("postgresql+psycopg://reader:secret@127.0.0.1:1/history")
    assert (
        "secret" not in f"{caught.value!r} {caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    )


# --- settings --------------------------------------------------------------------------------------------------------


def test_settings_of_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIVEFOLD_HISTORY")
    file = tmp_path / "fivefold.toml"
    assert history_settings(file) == HistorySettings()
    file.write_text('[history]\nurl = "sqlite:///x"\nkeep_days = 30\nage_and_sex = true\n')
    assert history_settings(file) == HistorySettings("sqlite:///x", True, 30.0, True)
    monkeypatch.setenv("FIVEFOLD_HISTORY", "sqlite:///y")
    assert history_settings(file).url == "sqlite:///y"
    monkeypatch.setenv("FIVEFOLD_HISTORY", "off")
    assert not history_settings(file).enabled
    with pytest.raises(HistoryError, match="switched off"):
        module.open_history(history_settings(file))
    file.write_text("[history]\nenabled = false\n")
    monkeypatch.delenv("FIVEFOLD_HISTORY")
    assert not history_settings(file).enabled
