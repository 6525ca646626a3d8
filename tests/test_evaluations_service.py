"""Evaluations in a process of their own: every stage, stopped and killed and gone on with, found again by a restarted server."""

import csv
import io
import os
import signal
import stat
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.cli.main import main
from core.errors import BusyError, UsageError
from core.io.journal import FILE as JOURNAL
from core.services import jobs
from core.services.evaluations import CHECK, METRICS, TRUTH, Evaluation, Evaluations
from core.services.jobs import PLAN

TASK, MODEL = "knee_djd", "simple_cnn_3"
N_TIMES = 10  # the six knees are asked so often, so that a run lasts long enough to be stopped
LIMIT_S, BUSY = 60.0, ("checking", "running")


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def finish(store: Evaluations, evaluation: Evaluation) -> list[str]:
    """The stages until the step has ended, each once."""
    stages: list[str] = []

    def is_over() -> bool:
        stages.append(store.stage(evaluation))
        return stages[-1] not in BUSY

    wait_for(is_over)
    return list(dict.fromkeys(stages))


def n_answers(evaluation: Evaluation) -> int:
    path = evaluation.folder / JOURNAL
    return path.read_bytes().count(b"\n") - 1 if path.is_file() else 0


def pid_of(store: Evaluations, evaluation: Evaluation) -> int:
    return store._jobs._running[evaluation.token].pid


@dataclass(frozen=True)
class Phantoms:
    folder: Path
    archive: bytes
    labels: tuple[str, bytes]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    """Three scans, whose files are named after people in the archive."""
    folder = tmp_path_factory.mktemp("knees")
    assert main(["phantom", TASK, "--out", str(folder), "--n", "3"]) == 0
    table, packed = (folder / "truth.csv").read_bytes(), io.BytesIO()
    (folder / "truth.csv").unlink()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"Chen Mei-Ling/{path.name}")
    return Phantoms(folder, packed.getvalue(), (".csv", table))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Evaluations:
    return Evaluations(tmp_path_factory.mktemp("installation") / "evaluations")


@dataclass(frozen=True)
class Story:
    """What was seen while the archive was evaluated."""

    evaluation: Evaluation
    stages: list[str]
    n_started: int
    checked: list[dict[str, str]]


@pytest.fixture(scope="module")
def other(store: Evaluations, phantoms: Phantoms) -> Evaluation:
    """Of the folder on the server; nothing ran yet."""
    return store.create(TASK, MODEL, phantoms.labels, None, str(phantoms.folder))


@pytest.fixture(scope="module")
def whole(store: Evaluations, phantoms: Phantoms, other: Evaluation) -> Story:
    """The archive from plan to statistics, never stopped; ten people press each button at once."""
    started: list[object] = []
    real = subprocess.Popen

    def popen(*arguments, **options):
        started.append(arguments[0])
        return real(*arguments, **options)

    evaluation = store.create(TASK, MODEL, phantoms.labels, phantoms.archive)
    stages: list[str] = [store.stage(evaluation)]
    checked: list[dict[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.subprocess, "Popen", popen)
        for step in ("check", "run"):
            threads = [threading.Thread(target=store.start, args=(evaluation, step)) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with pytest.raises(BusyError):
                store.start(other, "check")
            stages += finish(store, evaluation)
            if step == "check":
                checked = rows_of(evaluation)
                often(evaluation)
    return Story(evaluation, stages, len(started), checked)


def rows_of(evaluation: Evaluation, name: str = TRUTH) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((evaluation.folder / name).read_text())))


def often(evaluation: Evaluation) -> None:
    """Every row of the checked table several times."""
    head, *rows = (evaluation.folder / TRUTH).read_text().splitlines()
    (evaluation.folder / TRUTH).write_text("\n".join([head, *N_TIMES * rows]) + "\n")


# --- a run that is never stopped -------------------------------------------------------------------------------------


def test_an_archive_goes_from_plan_to_statistics(whole: Story, store: Evaluations) -> None:
    assert whole.stages == ["planned", "checking", "checked", "running", "done"]
    assert store.find(whole.evaluation.token) == whole.evaluation
    assert {row["file"] for row in whole.checked} == {"000001", "000002", "000003"}
    assert len(whole.checked) == 6
    found = whole.evaluation.read(METRICS)
    assert (found["n"], found["n_subjects"], found["task"]) == (6 * N_TIMES, 3, TASK)
    cases = rows_of(whole.evaluation, "cases.csv")
    assert len({row["case"] for row in cases}) == len(cases) == 6 * N_TIMES
    known = whole.evaluation.images_by_hash
    assert {row["pixel_hash"] for row in cases} == set(known)
    assert {fact["name"].split("/")[0] for fact in known.values()} == {"Chen Mei-Ling"}
    assert all((whole.evaluation.data / fact["file"]).is_file() for fact in known.values())
    assert not (whole.evaluation.folder / JOURNAL).exists()


def test_ten_people_who_start_it_start_one_process(whole: Story) -> None:
    assert whole.n_started == 2


def test_neither_log_nor_check_names_a_person(whole: Story) -> None:
    for name in ("log.txt", CHECK, METRICS, "cases.csv"):
        text = (whole.evaluation.folder / name).read_text()
        assert "Chen" not in text, name
        assert "PHANTOM-" not in text, name


def test_nobody_else_of_this_machine_may_look(whole: Story, store: Evaluations) -> None:
    for folder in (whole.evaluation.folder, whole.evaluation.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# --- stopped, killed, found again ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pieces(whole: Story, store: Evaluations, other: Evaluation) -> Iterator[Evaluation]:
    """The folder on the server, checked, with as many rows."""
    store.start(other, "check")
    assert finish(store, other) == ["checking", "checked"]
    assert [(row["file"], row["label"], row["laterality"]) for row in rows_of(other)] == [
        (f"phantom_0_{int(row['file']) - 1:04d}.dcm", row["label"], row["laterality"]) for row in whole.checked
    ]
    often(other)
    yield other
    store.stop(other)


def test_a_run_in_pieces_ends_like_one_that_was_never_stopped(
    whole: Story, pieces: Evaluation, store: Evaluations
) -> None:
    store.start(pieces, "run")
    wait_for(lambda: n_answers(pieces) > 2)
    started = time.monotonic()
    store.stop(pieces)
    assert time.monotonic() - started < 2
    assert store.stage(pieces) == "stopped"
    kept = n_answers(pieces)

    store.start(pieces, "run")
    wait_for(lambda: n_answers(pieces) > kept + 2)
    os.kill(pid_of(store, pieces), signal.SIGKILL)
    wait_for(lambda: store.stage(pieces) == "stopped")
    kept = n_answers(pieces)
    assert kept < 6 * N_TIMES

    store.start(pieces, "run")
    wait_for(lambda: n_answers(pieces) > kept + 2)
    told = store.progress(pieces)
    assert told is not None
    assert (told.phase, told.first, told.total) == ("answering", kept, 6 * N_TIMES)
    restarted = Evaluations(pieces.folder.parent)
    found = restarted.find(pieces.token)
    assert found == pieces
    assert restarted.stage(found) == "running"
    restarted.start(found, "run")  # it runs: nothing happens
    with pytest.raises(BusyError):
        restarted.start(whole.evaluation, "check")
    started = time.monotonic()
    restarted.stop(found)
    assert time.monotonic() - started < 2
    assert restarted.stage(found) == "stopped"
    assert not (pieces.folder / METRICS).exists()

    restarted.start(found, "run")
    assert finish(restarted, found)[-1] == "done"
    assert store.stage(pieces) == "done"
    taken_over = [
        int(line.split()[0]) for line in (pieces.folder / "log.txt").read_text().splitlines() if "taken" in line
    ]
    assert len(taken_over) == 3
    assert taken_over[1] == kept
    own, unbroken = ((one.folder / "cases.csv").read_bytes() for one in (pieces, whole.evaluation))
    assert own == unbroken


# --- ends other than well --------------------------------------------------------------------------------------------


def test_a_table_at_fault_fails_with_its_code_and_is_started_again(store: Evaluations, phantoms: Phantoms) -> None:
    evaluation = store.create(TASK, MODEL, (".csv", b"file,file\na,b\n"), None, str(phantoms.folder))
    store.start(evaluation, "check")
    assert finish(store, evaluation) == ["checking", "failed"]
    told = store.progress(evaluation)
    assert told is not None
    assert told.code == "E_HEAD"
    assert Evaluations(evaluation.folder.parent).stage(evaluation) == "failed"
    store.start(evaluation, "check")
    assert store.stage(evaluation) == "checking"
    started = time.monotonic()
    store.stop(evaluation)  # it may not have told anything yet
    assert time.monotonic() - started < 2
    assert store.stage(evaluation) == "stopped"
    store.start(evaluation, "check")
    store.delete(evaluation)
    assert not evaluation.folder.exists()
    assert store.find(evaluation.token) is None


def test_a_run_needs_a_check(store: Evaluations, phantoms: Phantoms) -> None:
    evaluation = store.create(TASK, MODEL, phantoms.labels, None, str(phantoms.folder))
    with pytest.raises(UsageError, match="not checked"):
        store.start(evaluation, "run")
    assert store.stage(evaluation) == "planned"


# --- tokens, and what is kept how long -------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Evaluations:
    return Evaluations(tmp_path / "small")


def made(store: Evaluations) -> Evaluation:
    return store.create(TASK, MODEL, (".csv", b"file,label\n"), b"zip")


@pytest.mark.parametrize("token", ["", ".", "..", "short", "../small/{}", "{}/", "{}x", "x" * 24, "{}\n", "\0" * 20])
def test_only_the_token_opens_an_evaluation(small: Evaluations, token: str) -> None:
    own = made(small)
    assert small.find(own.token) == own
    assert small.find(token.format(own.token)) is None


def test_a_plan_of_another_version_opens_nothing(small: Evaluations) -> None:
    for content in ("{", "[]", '{"task": "knee_djd"}'):
        own = made(small)
        (own.folder / PLAN).write_text(content)
        assert small.find(own.token) is None


def test_tokens_are_long_and_differ(small: Evaluations) -> None:
    tokens = {made(small).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 24


def age(evaluation: Evaluation, hours: float) -> None:
    then = time.time() - 3600 * hours
    for path in (*evaluation.folder.iterdir(), evaluation.folder):
        os.utime(path, (then, then))


def test_what_nobody_uses_for_a_day_is_deleted(small: Evaluations) -> None:
    old, young, looked_at, alive = (made(small) for _ in range(4))
    for evaluation in (old, looked_at, alive):
        age(evaluation, 25)
    age(young, 23)
    now = time.time()
    state = {"phase": "answering", "done": 1, "total": 9, "first": 0, "started": now, "beat": now}
    alive.write("progress.json", state)
    age(alive, 25)
    assert small.find(looked_at.token) is not None
    torn = old.folder.parent / ("t" * 24)  # the server ended while it was made
    torn.mkdir()
    (torn / "images.zip").write_bytes(b"PK")
    os.utime(torn / "images.zip", (0, 0))
    os.utime(torn, (0, 0))
    stranger = old.folder.parent / "lost+found"
    stranger.mkdir()
    os.utime(stranger, (0, 0))
    fresh = made(small)
    assert {path.name for path in old.folder.parent.iterdir()} == {
        *(own.token for own in (young, looked_at, alive, fresh)),
        stranger.name,
    }
    age(young, 25)
    Evaluations(old.folder.parent)
    assert not young.folder.exists()


def test_a_full_disk_leaves_nothing_behind(small: Evaluations, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(jobs, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        made(small)
    assert list((Path(small._jobs._root)).iterdir()) == []


def test_a_folder_of_the_server_does_not_depend_on_where_the_server_stands(
    small: Evaluations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluation = small.create(TASK, MODEL, (".csv", b""), None, "films")
    assert evaluation.images == evaluation.data == tmp_path.resolve() / "films"
