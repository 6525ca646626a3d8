"""Many files into one table: what a row says, hostile files, killed runs that go on, and both kinds of sources."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.cli.main import main
from core.errors import FileError, UsageError
from core.io.journal import FILE as JOURNAL
from core.io.journal import append_line
from core.io.progress import Progress
from core.manifest import DEMO_STATEMENT
from core.screening import load, screen
from core.services import batch
from core.services.batch import UNPACKED, Options, screen_files
from core.services.batches import RESULTS, TABLE
from core.services.history import History, Wanted
from core.services.store import Store

ROOT = Path(__file__).resolve().parents[1]
TASK, N_SCANS = "knee_djd", 4
LIMIT_S = 60.0


class Killed(BaseException):
    """As a signal would end the run, wherever it is."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans, a copy of one with a hostile name, two files that are no images, a chest film, and a table that is left out."""
    place = tmp_path_factory.mktemp("folder")
    assert main(["phantom", TASK, "--out", str(place), "--n", str(N_SCANS)]) == 0
    assert main(["phantom", "hip_osteoporosis", "--out", str(place / "films"), "--n", "1"]) == 0
    (place / "films" / "truth.csv").unlink()
    first = sorted(place.glob("*.dcm"))[0]
    (place / "=HYPERLINK(1).dcm").write_bytes(first.read_bytes())
    (place / "broken.dcm").write_bytes(first.read_bytes()[:3000])
    (place / "words.png").write_bytes(b"no picture")
    return place


def run(folder: Path, out: Path, **options: Any) -> dict[str, int]:
    with Progress(None, "loading") as progress:
        return dict(screen_files(load(TASK), folder, out, Options(**options), progress))


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that was never stopped."""
    out = tmp_path_factory.mktemp("whole")
    assert run(folder, out) == {"accepted": N_SCANS + 1, "error": 2, "refused": 1}
    return out


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    return {row["file"]: row for row in csv.DictReader(io.StringIO((out / TABLE).read_text()))}


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_says_what_the_command_for_one_file_says(
    whole: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(folder.glob("phantom*.dcm"))
    capsys.readouterr()
    assert main(["screen", TASK, *map(str, files), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = rows_of(whole)
    for file, record in zip(files, told, strict=True):
        row = rows[file.name]
        assert (row["file_sha256"], row["task"], row["outcome"]) == (record["file_sha256"], TASK, "accepted")
        assert row["weights_sha256"] == record["provenance"]["weights_sha256"]
        assert float(row["threshold"]) == record["operating_point"]["threshold"]
        for finding in record["findings"]:
            side = finding["laterality"]
            assert float(row[f"score_{side}"]) == finding["probability"]
            assert row[f"positive_{side}"] == str(finding["positive"]).lower()
            assert int(row[f"grade_{side}"]) == finding["grade"]
        assert row["score"] == ""
    assert {row["statement"] for row in rows.values()} == {DEMO_STATEMENT}
    assert {row["schema"] for row in rows.values()} == {"fivefold-batch-1"}


def test_a_hostile_file_costs_its_own_row(whole: Path) -> None:
    rows = rows_of(whole)
    assert rows["broken.dcm"]["error"] == "E_TRUNCATED"
    assert rows["words.png"]["error"] == "E_NOT_IMAGE"
    assert rows["words.png"]["score_L"] == ""
    film = rows["films/phantom_0_0000.dcm"]
    assert (film["outcome"], film["score_L"], film["suggested_task"]) == ("refused", "", "hip_osteoporosis")
    assert film["reasons"]
    assert len(rows) == N_SCANS + 4


def test_no_cell_is_a_formula_and_a_copy_is_named(whole: Path) -> None:
    rows = rows_of(whole)
    hostile = rows["'=HYPERLINK(1).dcm"]
    assert hostile["copy_of"] == ""
    assert rows["phantom_0_0000.dcm"]["copy_of"] == "'=HYPERLINK(1).dcm"
    assert hostile["score_R"] == rows["phantom_0_0000.dcm"]["score_R"] != ""


def test_the_json_holds_the_same_and_no_time(whole: Path) -> None:
    found = json.loads((whole / RESULTS).read_bytes())
    assert (found["schema"], found["statement"], found["task"]) == ("fivefold-batch-1", DEMO_STATEMENT, TASK)
    assert len(found["cases"]) == N_SCANS + 4
    assert "timings_ms" not in (whole / RESULTS).read_text()


def test_an_image_with_questions_has_a_score_only_when_confirmed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import registry
    from core.records import Check

    gate = registry.part(TASK, "gate")
    question = [Check("age_young", "confirm", "A question.")]
    monkeypatch.setattr(gate, "check", lambda *_: question)
    plain, confirmed = tmp_path / "plain", tmp_path / "confirmed"
    one = tmp_path / "one"
    one.mkdir()
    (one / "a.dcm").write_bytes(next(folder.glob("phantom*.dcm")).read_bytes())
    run(one, plain)
    run(one, confirmed, confirmed=True)
    asked, answered = rows_of(plain)["a.dcm"], rows_of(confirmed)["a.dcm"]
    assert (asked["outcome"], asked["confirmed"], asked["score_L"], asked["reasons"]) == (
        "needs_confirmation",
        "false",
        "",
        "age_young",
    )
    assert "probability" not in (plain / RESULTS).read_text() + (plain / JOURNAL).read_text()
    assert answered["confirmed"] == "true"
    assert 0 <= float(answered["score_L"]) <= 1


@pytest.mark.parametrize(
    ("task", "filled", "empty"),
    [
        ("chest_lesions", {"score_scoliosis", "positive_scoliosis", "n_scoliosis"}, set()),
        ("retina_lesions", {"score_exudate", "positive_exudate", "n_exudate"}, set()),
        ("hip_osteoporosis", {"score_L", "positive_L"}, {"score", "score_R"}),
    ],
)
def test_every_task_fills_its_columns(tmp_path: Path, task: str, filled: set[str], empty: set[str]) -> None:
    from core import registry
    from core.io.phantom_file import write_dicom

    phantom = registry.part(task, "phantom")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(write_dicom(phantom.make_sample(next(iter(phantom.SAMPLES)))))
    with Progress(None, "loading") as progress:
        screen_files(load(task), tmp_path / "in", tmp_path / "out", Options(), progress)
    row = rows_of(tmp_path / "out")["a.dcm"]
    assert {name for name in filled | empty if row[name]} == filled
    [case] = json.loads((tmp_path / "out" / RESULTS).read_bytes())["cases"]
    for name in (name for name in row if name.startswith("n_")):
        called = [own for own in case["findings"] if own["label"] == name.removeprefix("n_") and own["positive"]]
        assert int(row[name]) == sum(len(own["lesions"]) if own["lesions"] else 1 for own in called)
    assert any(finding["positive"] for finding in case["findings"]) == any(
        row[name] == "true" for name in row if name.startswith("positive")
    )


# --- killed ----------------------------------------------------------------------------------------------------------


def killing_screen(at: int) -> Callable[..., Any]:
    """The road, which ends the run before its answer number `at`."""
    calls = iter(range(1000))

    def screened(*arguments: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise Killed
        return screen(*arguments, **options)

    return screened


def killing_append(at: int) -> Callable[[Path, bytes], None]:
    """Half a line, and the run ends."""
    calls = iter(range(1000))

    def append(path: Path, line: bytes) -> None:
        if next(calls) == at:
            with path.open("ab") as file:
                file.write(line[: len(line) // 2])
            raise Killed
        append_line(path, line)

    return append


KILLS = (
    [("screen", at) for at in (0, 1, 3)] + [("append", at) for at in (0, 1, 2, 5)] + [("journal", at) for at in (1, 4)]
)


@pytest.mark.parametrize("kills", [[kill] for kill in KILLS] + [[("screen", 2), ("append", 1), ("journal", 1)]])
def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[tuple[str, int]]
) -> None:
    from core.io import journal

    n_kept = 0
    for where, at in kills:
        with monkeypatch.context() as patch:
            if where == "screen":
                patch.setattr(batch, "screen", killing_screen(at))
            else:
                patch.setattr(batch if where == "append" else journal, "append_line", killing_append(at))
            with pytest.raises(Killed):
                run(folder, tmp_path)
        whole_lines = (tmp_path / JOURNAL).read_bytes().count(b"\n") if (tmp_path / JOURNAL).is_file() else 0
        assert whole_lines >= n_kept  # what was finished stays
        n_kept = whole_lines
    n_calls: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(batch, "screen", lambda *a, **k: n_calls.append(1) or screen(*a, **k))
        run(folder, tmp_path)
    for name in (TABLE, RESULTS, JOURNAL):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    answered = (whole / JOURNAL).read_bytes().count(b"\n")
    assert len(n_calls) <= answered - n_kept + (n_kept == 0)


def test_the_table_on_the_disk_grows_by_whole_rows(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def look(*arguments: Any, **options: Any) -> Any:
        seen.append((tmp_path / TABLE).read_bytes() if (tmp_path / TABLE).is_file() else b"")
        return screen(*arguments, **options)

    monkeypatch.setattr(batch, "screen", look)
    run(folder, tmp_path)
    end = (whole / TABLE).read_bytes()
    assert all(end.startswith(table) and table.endswith(b"\n") for table in seen[1:])
    assert len(set(seen)) == len(seen)


def test_a_process_killed_by_the_system_loses_nothing(folder: Path, whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "core", "batch", TASK, str(folder), "--out", str(tmp_path)]
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    end = time.monotonic() + LIMIT_S
    while not (tmp_path / JOURNAL).is_file() or (tmp_path / JOURNAL).read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    n_kept = (tmp_path / JOURNAL).read_bytes().count(b"\n")
    assert n_kept < (whole / JOURNAL).read_bytes().count(b"\n"), "it had ended before it was killed"
    run(folder, tmp_path)
    for name in (TABLE, RESULTS, JOURNAL):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_that_ended_is_not_run_again_and_takes_in_what_is_new(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("phantom*.dcm"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    run(tmp_path / "in", tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in (TABLE, RESULTS, JOURNAL)}
    monkeypatch.setattr(batch, "screen", killing_screen(0))
    run(tmp_path / "in", tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    monkeypatch.setattr(batch, "screen", screen)
    (tmp_path / "in" / "a_new_one.dcm").write_bytes((folder / "films" / "phantom_0_0000.dcm").read_bytes())
    run(tmp_path / "in", tmp_path / "out")
    rows = list(rows_of(tmp_path / "out"))
    assert rows[0] == "a_new_one.dcm"
    assert len(rows) == N_SCANS + 1


def test_other_options_need_another_folder(folder: Path, whole: Path) -> None:
    with pytest.raises(UsageError, match="of another run"):
        run(folder, whole, confirmed=True)


# --- sources and the command ----------------------------------------------------------------------------------------


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def test_an_archive_gives_what_its_folder_gives_and_leaves_no_image(folder: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(packed(folder))
    run(tmp_path / "images.zip", tmp_path / "out")
    for name in (TABLE, RESULTS):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    assert not (tmp_path / "out" / UNPACKED).exists()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(FileError, match="E_ARCHIVE"):
        run(tmp_path / "bad.zip", tmp_path / "bad")


def test_the_command_keeps_a_history_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIVEFOLD_HISTORY", f"sqlite:///{tmp_path / 'history.sqlite'}")
    command = ["batch", TASK, str(folder), "--out", str(tmp_path / "out"), "--history", "--by", "Dr. Who"]
    assert main(command) == 1  # two files could not be answered
    told = capsys.readouterr().out
    assert f"{N_SCANS + 1} accepted, 2 error, 1 refused" in told
    assert DEMO_STATEMENT in told
    history = History(Store(f"sqlite:///{tmp_path / 'history.sqlite'}"))
    assert history.count(Wanted()) == N_SCANS + 1  # the film too, and the copy once
    assert {kept.source for kept in history.select(Wanted())} == {"batch"}
    for name in (JOURNAL, TABLE, RESULTS):  # as if it had been lost: the same batch is no other screening
        (tmp_path / "out" / name).unlink()
    assert main(command) == 1
    assert history.count(Wanted()) == N_SCANS + 1
    assert main(["batch", TASK, str(tmp_path / "nowhere"), "--out", str(tmp_path / "no")]) == 1
