"""The audit log: a chain that shows every change, that two processes do not fork, in SQLite and in PostgreSQL."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.cli.main import main
from core.errors import HistoryError
from core.services import audit
from core.services.audit import START, entries, note, note_models, verify
from core.services.store import Store

ROOT = Path(__file__).resolve().parents[1]
N_ROWS, N_PROCESSES, N_EACH = 12, 2, 25


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return f"sqlite:///{tmp_path / 'history.sqlite'}"


@pytest.fixture
def store(url: str) -> Store:
    """With rows of every kind of text."""
    own = Store(url)
    for number in range(N_ROWS):
        note(own, f"reader {number % 3}", "export", f"object {number}", {"n": number, "text": "骨質 'quoted' \\ \n"})
    return own


def change(url: str, statement: str, keeps_guard: bool = False) -> None:
    """As somebody would who has the rights of the database's owner."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        if not keeps_guard and url.startswith("sqlite"):
            for name in ("audit_update", "audit_delete"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        elif not keeps_guard:
            connection.exec_driver_sql("DROP TRIGGER audit_kept ON audit")
        connection.exec_driver_sql(statement)


def test_the_chain_holds_and_can_be_followed_without_this_program(store: Store) -> None:
    rows = list(entries(store))
    assert [row.sequence for row in rows] == list(range(1, N_ROWS + 1))
    previous = START
    for row in rows:
        fields = {
            "sequence": row.sequence,
            "time": row.time,
            "actor": row.actor,
            "action": row.action,
            "object": row.object,
            "details": row.details,
            "previous": previous,
        }
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert row.hash == previous
    assert verify(store) == audit.Verdict(N_ROWS, previous)


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE sequence = 5", 5),
        ("UPDATE audit SET details = '{}' WHERE sequence = 12", 12),
        ("UPDATE audit SET time = '2020-01-01T00:00:00.000+00:00' WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 7", 7),
        ("DELETE FROM audit WHERE sequence = 1", 1),
        ("UPDATE audit SET sequence = 99 WHERE sequence = 3", 3),
        (
            "INSERT INTO audit SELECT 13, time, actor, action, object, details, 'x', hash FROM audit WHERE sequence = 12",
            13,
        ),
    ],
)
def test_a_change_is_found_at_its_row(
    store: Store, url: str, capsys: pytest.CaptureFixture[str], statement: str, broken_at: int
) -> None:
    assert main(["audit", "verify", "--url", url]) == 0
    assert f"{N_ROWS} rows hold" in capsys.readouterr().out
    change(url, statement)
    assert verify(store).broken_at == broken_at
    assert main(["audit", "verify", "--url", url]) == 1
    assert f"broken at row {broken_at}:" in capsys.readouterr().out


def test_an_edited_row_whose_hash_was_made_anew_breaks_the_next_one(store: Store, url: str) -> None:
    row = list(entries(store))[4]
    forged = audit.Entry(**{**row.__dict__, "actor": "nobody"})
    change(url, f"UPDATE audit SET actor = 'nobody', hash = '{forged.true_hash}' WHERE sequence = 5")
    assert verify(store).broken_at == 6


def test_rows_cut_off_at_the_end_show_against_a_noted_one(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = verify(store)
    change(url, f"DELETE FROM audit WHERE sequence > {N_ROWS - 2}")
    assert verify(store).broken_at is None
    known = f"{noted.n}:{noted.head}"
    assert main(["audit", "verify", "--url", url, "--known", known]) == 1
    assert "the log ends before row 12" in capsys.readouterr().out
    note(store, "reader", "export", "another end")
    note(store, "reader", "export", "another end")
    assert main(["audit", "verify", "--url", url, "--known", known]) == 1
    assert main(["audit", "verify", "--url", url, "--known", "noted"]) == 2


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_itself_refuses_a_change(store: Store, url: str, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="the audit log only grows"):
        change(url, statement, keeps_guard=True)
    assert verify(store).n == N_ROWS


def test_a_row_stays_only_with_what_it_tells_of(store: Store) -> None:
    def fail() -> None:
        with store.writing() as connection:
            audit.append(connection, "reader", "deletion", "never happened")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert verify(store).n == N_ROWS


_APPEND = """
import sys
from core.services.audit import note
from core.services.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    note(store, sys.argv[2], "export", f"object {number}")
"""


def test_two_processes_at_once_make_one_chain(url: str) -> None:
    """Both open a database that does not exist yet, and append as fast as they can."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _APPEND, url, f"process {number}", str(N_EACH)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(N_PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    store = Store(url)
    assert verify(store).n == N_PROCESSES * N_EACH
    actors = [entry.actor for entry in entries(store)]
    assert {actor: actors.count(actor) for actor in set(actors)} == {"process 0": N_EACH, "process 1": N_EACH}


def test_a_change_of_models_is_told_once(store: Store) -> None:
    for models in ({"a/b": "1"}, {"a/b": "1"}, {"a/b": "2"}, {"a/b": "2"}, {"a/b": "1"}):
        note_models(store, "program", models)
    told = [json.loads(entry.details) for entry in entries(store) if entry.action == "models"]
    assert told == [{"a/b": "1"}, {"a/b": "2"}, {"a/b": "1"}]


def test_export_writes_what_another_program_can_verify(store: Store, url: str, tmp_path: Path) -> None:
    assert main(["audit", "export", "--url", url, "--out", str(tmp_path / "audit.jsonl")]) == 0
    rows = [audit.Entry(**json.loads(line)) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert rows == list(entries(store))
    assert all(row.hash == row.true_hash for row in rows)


@pytest.mark.parametrize(
    "make",
    [lambda folder: f"sqlite:///{folder / 'none.sqlite'}", lambda _: "mysql://u:secret@h/d", lambda _: "nonsense"],
)
def test_what_cannot_be_verified_is_no_log_that_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], str]
) -> None:
    assert main(["audit", "verify", "--url", make(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "E_HISTORY" in told.err
    assert "secret" not in told.err + told.out
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("no database " * 1000)
    with pytest.raises(HistoryError, match="DatabaseError"):
        Store(f"sqlite:///{tmp_path / 'history.sqlite'}")
