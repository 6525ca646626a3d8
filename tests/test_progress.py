"""What a long run tells of itself, while it lives, when it ends, and when it is asked to stop."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import UsageError
from core.io import progress
from core.io.progress import EXIT_STOPPED, FILE, Progress, State, ask_to_stop, read_progress, tell_killed

RUN = """
import sys, time
from pathlib import Path
from core.io.progress import Progress
with Progress(Path(sys.argv[1]), "answering", total=1000) as told:
    for done in range(1000):
        told.step(done)
        time.sleep(0.05)
"""


def test_a_run_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    with Progress(tmp_path, "reading", total=10, first=2) as told:
        state = read_progress(tmp_path)
        assert state is not None
        assert (state.phase, state.done, state.total, state.is_alive) == ("reading", 2, 10, True)
        told.step(4, total=12, phase="answering")
        time.sleep(3 * progress.BEAT_S)
        state = read_progress(tmp_path)
        assert state is not None
        assert (state.phase, state.done, state.total) == ("answering", 4, 12)
    assert os.listdir(tmp_path) == []


def test_an_error_of_the_table_is_told_and_any_other_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError), Progress(tmp_path, "reading"):
        raise UsageError("no case could be counted")
    state = read_progress(tmp_path)
    assert state is not None
    assert (state.outcome, state.code, state.got) == ("failed", "E_USAGE", "no case could be counted")
    with pytest.raises(ValueError, match="Chen"), Progress(tmp_path, "reading"):
        raise ValueError("Chen Mei-Ling")
    assert b"Chen" not in (tmp_path / FILE).read_bytes()
    state = read_progress(tmp_path)
    assert state is not None
    assert (state.outcome, state.is_alive) == ("failed", False)


def test_a_run_that_is_asked_to_stop_ends_within_two_seconds(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)])
    while read_progress(tmp_path) is None:
        time.sleep(0.05)
    started = time.monotonic()
    ask_to_stop(tmp_path)
    assert process.wait(10) == EXIT_STOPPED
    assert time.monotonic() - started < 2
    state = read_progress(tmp_path)
    assert state is not None
    assert state.outcome == "stopped"


def test_a_killed_run_is_told_from_a_living_one_by_its_age(tmp_path: Path) -> None:
    now = time.time()
    young = State("answering", 5, 10, 0, now - 10, now)
    old = State("answering", 5, 10, 0, now - 10, now - progress.DEAD_AFTER_S - 1)
    assert young.is_alive
    assert not old.is_alive


def test_a_named_phase_begins_its_own_count(tmp_path: Path) -> None:
    with Progress(tmp_path, "loading") as told:
        time.sleep(3 * progress.BEAT_S)
        before = time.time()
        told.step(40, total=100, phase="answering")  # an earlier run had answered them
        told.step(41)
        time.sleep(2 * progress.BEAT_S)
        state = read_progress(tmp_path)
    assert state is not None
    assert (state.first, state.done) == (40, 41)
    assert state.started >= before  # loading is no answering
    assert state.seconds_left == pytest.approx(59 * (state.beat - state.started))


def test_a_run_whose_folder_was_deleted_ends(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder)])
    while read_progress(folder) is None:
        time.sleep(0.05)
    folder.rename(tmp_path / "away")
    assert process.wait(10) == EXIT_STOPPED


def test_a_disk_that_is_full_for_a_while_silences_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError("No space left on device")

    with Progress(tmp_path, "reading") as told:
        with monkeypatch.context() as patch:
            patch.setattr(progress, "write_atomically", full)
            time.sleep(3 * progress.BEAT_S)
        told.step(7)
        time.sleep(3 * progress.BEAT_S)
        state = read_progress(tmp_path)
    assert state is not None
    assert state.done == 7


def test_a_killed_run_is_told_at_once_where_somebody_knows(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)])
    while read_progress(tmp_path) is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    tell_killed(tmp_path)
    state = read_progress(tmp_path)
    assert state is not None
    assert (state.outcome, state.is_alive, state.phase) == ("stopped", False, "answering")
    (tmp_path / FILE).unlink()
    tell_killed(tmp_path)
    assert read_progress(tmp_path) is None


def test_time_left_counts_the_pace_of_this_run_alone() -> None:
    assert State("answering", 50, 100, 40, 1000.0, 1020.0).seconds_left == pytest.approx(100.0)
    assert State("answering", 40, 100, 40, 1000.0, 1020.0).seconds_left is None
    assert State("reading", 5, 0, 0, 1000.0, 1020.0).seconds_left is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"phase": 1}', json.dumps({"phase": "a", "x": 1}).encode()])
def test_a_file_of_another_form_tells_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_progress(tmp_path) is None


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Progress(None, "reading") as told:
        told.step(1)
    assert os.listdir(tmp_path) == []
