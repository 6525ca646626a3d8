"""A long run that is killed goes on where it stopped: the file of answers, and an evaluation in pieces."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_evaluation_boxes import Split, film
from test_training_detected import films, published

from core.cli.main import main
from core.engine.loader import Model
from core.errors import ScreeningError, UsageError
from core.evaluation import box_answers
from core.evaluation.answering import answer_once
from core.evaluation.box_answers import answer_boxes
from core.io.box_evidence import FILE
from core.io.journal import Journal

ABOUT = {"task": "chest_lesions", "weights": "abc"}


class Killed(BaseException):
    """As a signal would end the run, wherever it is."""


def never() -> Any:
    raise AssertionError("computed twice")


# --- the file --------------------------------------------------------------------------------------------------------


def test_an_answer_is_computed_once_also_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = Journal(path, ABOUT)
    assert first.once("a", lambda: (0.1, 1 / 3)) == [0.1, 1 / 3]  # the first time as from the file
    assert first.once("a", never) == [0.1, 1 / 3]
    second = Journal(path, ABOUT)
    assert len(second) == 1
    assert second.once("a", never) == [0.1, 1 / 3]
    second.finish()
    assert not path.exists()
    assert len(Journal(path, ABOUT)) == 0


@given(st.integers(0, 400))
def test_a_file_cut_anywhere_loses_at_most_what_was_cut(kept: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        journal = Journal(path, ABOUT)
        for number in range(8):
            journal.once(f"key {number}", lambda number=number: [number, "ü\n"])
        content = path.read_bytes()
        path.write_bytes(content[:kept])
        n_whole = max(0, content[:kept].count(b"\n") - 1)
        resumed = Journal(path, ABOUT)
        assert len(resumed) == n_whole
        for number in range(8):
            assert resumed.once(f"key {number}", lambda number=number: [number, "ü\n"]) == [number, "ü\n"]
        assert path.read_bytes() == content


def test_the_file_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Journal(path, ABOUT).once("a", lambda: 1)
    with pytest.raises(UsageError, match="of another run"):
        Journal(path, {**ABOUT, "weights": "other"})
    with path.open("ab") as file:
        file.write(b"no json\n")
    with pytest.raises(UsageError, match="cannot be read"):
        Journal(path, ABOUT)


def test_nothing_is_kept_without_a_file() -> None:
    journal = Journal(None, ABOUT)
    assert [journal.once("a", lambda value=value: value) for value in (1, 2)] == [1, 2]


# --- cases -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Model:
    folder = tmp_path / "tiny"
    return Model(published(folder, films()), Split(), torch.device("cpu"), folder)


def test_reasons_are_kept_like_answers(model: Model, tmp_path: Path) -> None:
    def refuses() -> Any:
        raise ScreeningError("E_CRASH")

    journal, case = Journal(tmp_path / "answers.jsonl", ABOUT), film(1, 0.5)
    excluded: Counter[str] = Counter()
    assert answer_once(journal, model, case, excluded, refuses) is None
    assert answer_once(journal, model, case, excluded, never) is None
    assert excluded == {"E_CRASH": 2}


def test_an_error_that_is_not_of_the_case_is_not_kept(model: Model, tmp_path: Path) -> None:
    def fails() -> Any:
        raise UsageError("no such model")

    journal, case = Journal(tmp_path / "answers.jsonl", ABOUT), film(1, 0.5)
    with pytest.raises(UsageError):
        answer_once(journal, model, case, Counter(), fails)
    assert answer_once(journal, model, case, Counter(), lambda: 1) == 1


def killed_after(n: int, run: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(n))

    def once_more(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise Killed
        return run(*arguments)

    return once_more


def test_an_evaluation_in_pieces_ends_like_one_that_was_never_stopped(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, run = [film(number, 0.3 + number / 50) for number in range(20)], box_answers.run
    whole, _ = answer_boxes(model, cases, Counter(), {})
    answered = 0
    for n in (3, 1, 6, 0, 4):
        monkeypatch.setattr(box_answers, "run", killed_after(n, run))
        with pytest.raises(Killed):
            answer_boxes(model, cases, Counter(), {}, Journal(tmp_path / "answers.jsonl", ABOUT))
        answered += n
        assert len(Journal(tmp_path / "answers.jsonl", ABOUT)) == answered
    monkeypatch.setattr(box_answers, "run", killed_after(20 - answered, run))
    pieces, scored_by = answer_boxes(model, cases, Counter(), {}, Journal(tmp_path / "answers.jsonl", ABOUT))
    assert pieces.to_bytes() == whole.to_bytes()
    assert sum(scored_by.values()) == 20


def test_the_command_resumes_in_its_folder(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("core.screening.load", lambda task, name: model)
    monkeypatch.setattr("core.tasks.chest_lesions.gate.resembles", lambda grey: None)
    rows = ["file,label,x_min,y_min,x_max,y_max"]
    for index in range(8):
        pixels = film(index, 0.3 + 0.05 * index).study.frame.pixels
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{'cardiac_hypertrophy,12,12,37,37' if index % 2 else 'normal,,,,'}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")

    def command(name: str) -> list[str]:
        out = tmp_path / name
        return ["evaluate", "chest_lesions", "--data", str(tmp_path), "--out", str(out), "--json", str(out) + ".json"]

    assert main(command("whole")) == 0
    with monkeypatch.context() as patch:
        patch.setattr(box_answers, "run", killed_after(5, box_answers.run))
        with pytest.raises(Killed):
            main(command("pieces"))
    assert not (tmp_path / "pieces" / FILE).exists()
    assert main(command("pieces")) == 0
    assert "5 answers of a stopped run are taken over" in capsys.readouterr().err
    assert (tmp_path / "pieces" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
    assert {path.name for path in (tmp_path / "pieces").iterdir()} == {FILE}
    found = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "pieces")]
    for one in found:
        del one["command"]
    assert found[0] == found[1]


@pytest.mark.parametrize("is_named", [False, True], ids=["in the folder", "named"])
def test_another_table_of_labels_refuses_the_answers(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_named: bool
) -> None:
    """Its path is the same; what it says is not."""
    monkeypatch.setattr("core.screening.load", lambda task, name: model)
    monkeypatch.setattr("core.tasks.chest_lesions.gate.resembles", lambda grey: None)
    for index in range(4):
        pixels = film(index, 0.3 + 0.05 * index).study.frame.pixels
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / f"{index}.png")
    labels, head = tmp_path / "boxes.csv", "file,label,x_min,y_min,x_max,y_max\n"
    labels.write_text(head + "".join(f"{index}.png,normal,,,,\n" for index in range(4)))
    command = ["evaluate", "chest_lesions", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    command += ["--labels", str(labels)] if is_named else []
    with monkeypatch.context() as patch:
        patch.setattr(box_answers, "run", killed_after(2, box_answers.run))
        with pytest.raises(Killed):
            main(command)
    kept = labels.read_text()
    labels.write_text(kept.replace("3.png,normal,,,,", "3.png,cardiac_hypertrophy,12,12,37,37"))
    assert main(command) == 2
    assert "of another run" in capsys.readouterr().err
    labels.write_text(kept)
    assert main(command) == 0
    assert "2 answers of a stopped run are taken over" in capsys.readouterr().err
