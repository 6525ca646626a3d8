"""Labelled knees: phantoms by patient, grades that a MATLAB file names itself, tables of a hospital."""

import csv
from collections import Counter
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_files import read
from scipy.io import savemat

from core.cli.main import main
from core.errors import UsageError
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.phantom import Phantom
from core.records import Frame, Study
from core.tasks.knee_djd.data import evaluation_cases, folder_cases, grades_of, phantom_cases
from core.tasks.knee_djd.locate import locate
from core.tasks.knee_djd.phantom import make_phantom

BOTH = ("normal", "modDJD")


@cache
def phantom(seed: int = 0, right: int = 0, left: int = 3) -> Phantom:
    return make_phantom(np.random.default_rng([95, seed]), grades=(right, left))


def matlab(ids: Any = (2, 5), names: tuple[str, str] | None = BOTH, seed: int = 0) -> bytes:
    """A scan as the archive of the reference holds it, with the codes of both knees and their names."""
    info: dict[str, Any] = {}
    if ids is not None:
        info["kneejointid"] = np.array([ids], float)
    if names is not None:
        info["kneejointname"] = np.empty((1, 2), object)
        info["kneejointname"][0] = names
    file = BytesIO()
    savemat(file, {"V": np.moveaxis(phantom(seed).stored, 0, -1)} | ({"diaginfo": info} if info else {}))
    return file.getvalue()


def named(ids: str | None, names: str | None) -> Study:
    tags = {"KneeJointId": ids, "KneeJointName": names}
    frame = Frame(np.zeros((4, 4), np.float32), "counts")
    return Study((frame,), "0" * 64, "matlab", {tag: text for tag, text in tags.items() if text is not None})


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


# --- grades in the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "names", "grades", "dropped"),
    [
        ("2,5", "2,5", {"R": 0, "L": 3}, {}),  # the example of the reference: right normal, left moderate
        ("2,6", None, {"R": 0, "L": 4}, {}),
        ("3,4", ",", {"R": 1, "L": 2}, {}),
        ("3,4", ",4", {"R": 1, "L": 2}, {}),
        ("2,2", "6,6", {}, {"conflict": 2}),  # seen on a slide of the reference: codes normal, names severe
        ("2,5", "2,6", {"R": 0}, {"conflict": 1}),
        ("-1,3", "-1,3", {"L": 1}, {"unspecified": 1}),
        ("-1,-1", None, {}, {"unspecified": 2}),
        ("-1,3", "2,3", {"L": 1}, {"conflict": 1}),
        ("3,2", "-1,2", {"L": 0}, {"conflict": 1}),
        ("0,1", None, {}, {"unspecified": 2}),
        ("7,9", None, {}, {"unspecified": 2}),
        (",", None, {}, {"unspecified": 2}),
        (None, None, {}, {"unspecified": 2}),
        (None, "2,5", {}, {"unspecified": 2}),
    ],
)
def test_grades_that_a_file_names(
    ids: str | None, names: str | None, grades: dict[str, int], dropped: dict[str, int]
) -> None:
    found, lost = grades_of(named(ids, names))
    assert found == grades
    assert lost == dropped


@pytest.mark.parametrize(
    ("ids", "names", "grades", "dropped"),
    [
        ((2, 5), BOTH, {"R": 0, "L": 3}, {}),
        ((2, 2), ("SevDJD", "sevDJD"), {}, {"conflict": 2}),
        ((3, 4), ("arthrosis", "mildDJD"), {"R": 1, "L": 2}, {}),  # an unknown word contradicts nothing
        ((-1, 6), ("unspect", "sevDJD"), {"L": 4}, {"unspecified": 1}),
        ((2.5, 3), None, {}, {"unspecified": 2}),
        (None, BOTH, {}, {"unspecified": 2}),
        (None, None, {}, {"unspecified": 2}),
    ],
)
def test_grades_of_a_matlab_file(ids: Any, names: Any, grades: dict[str, int], dropped: dict[str, int]) -> None:
    assert grades_of(read(matlab(ids, names))) == (grades, dropped)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_grades_of_a_written_phantom(version: str) -> None:
    assert grades_of(read(write_matlab(phantom(), version))) == ({"R": 0, "L": 3}, {})


# --- phantoms --------------------------------------------------------------------------------------------------------


def test_training_has_both_knees_of_each_patient_and_test_one() -> None:
    training, test = (list(phantom_cases(9, part, n)) for part, n in (("training", 5), ("test", 4)))
    assert [(case.patient[-1], case.regions[0].laterality) for case in training if case.regions] == [
        ("0", "R"),
        ("0", "L"),
        ("1", "R"),
        ("1", "L"),
        ("2", "R"),
    ]
    assert [case.regions[0].laterality for case in test if case.regions] == ["R", "L", "R", "L"]
    assert len({case.patient for case in test}) == 4
    assert not {case.patient for case in training} & {case.patient for case in test}
    cases = training + test
    assert len({case.case_id for case in cases}) == 9
    assert len({case.study.pixel_hash for case in cases}) == 3 + 4
    assert {len(case.regions or ()) for case in cases} == {1}


def test_label_markers_and_region_are_those_of_the_same_knee() -> None:
    cases = list(phantom_cases(9, "training", 4))
    for index, case in enumerate(cases):
        one = make_phantom(np.random.default_rng([9, 0, index // 2]))
        word = ("right", "left")[index % 2]
        assert case.target == one.truth[f"grade_{word}"]
        assert case.markers[0] == one.markers[f"ratio_{word}"]
        assert len(case.markers) == 4
        assert case.regions is not None
        (x0, y0, x1, y1), mirrored = case.regions[0].box_xyxy, case.regions[0].mirrored
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(one.truth[f"knee_{word}_xy"], abs=12)
        assert mirrored == (word == "left")


def test_phantom_cases_repeat_with_their_seed() -> None:
    first, again, other = ([case.study.pixel_hash for case in phantom_cases(seed, "test", 2)] for seed in (9, 9, 10))
    assert first == again
    assert not set(first) & set(other)


# --- a folder of MATLAB files ----------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Six files: whole, conflict, unspecified, damaged, whole (of the test part), without codes."""
    (tmp_path / "0000001.mat").write_bytes(matlab())
    (tmp_path / "0000002.mat").write_bytes(matlab((2, 5), ("sevDJD", "modDJD"), seed=1))
    (tmp_path / "0000003.mat").write_bytes(matlab((-1, 3), ("unspect", "minimal")))
    (tmp_path / "0000004.mat").write_bytes(matlab()[:5000])
    (tmp_path / "0000005.mat").write_bytes(matlab((6, 6), ("sevDJD", "sevDJD")))
    (tmp_path / "0000006.mat").write_bytes(matlab(None, None))
    (tmp_path / "notes.txt").write_text("no scan")
    return tmp_path


def test_archive_gives_the_knees_that_it_grades_and_counts_the_others(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = list(folder_cases(archive, None, "train"))
    assert [(case.case_id[-1], case.target) for case in training] == [("R", 0.0), ("L", 3.0), ("L", 3.0), ("L", 1.0)]
    assert [case.regions[0].laterality for case in training if case.regions] == ["R", "L", "L", "L"]
    assert len({case.case_id for case in training}) == 4
    assert len({case.patient for case in training}) == 3
    said = capsys.readouterr().err
    assert "1 knees left out, label conflict" in said
    assert "3 knees left out, label unspecified" in said
    assert "left out, E_TRUNCATED" in said
    assert "0000004" not in said
    test = list(folder_cases(archive, None, "test"))
    assert [case.target for case in test] == [4.0, 4.0]
    assert not {case.patient for case in training} & {case.patient for case in test}


def test_evaluation_of_an_archive_counts_what_is_left_out(archive: Path) -> None:
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(archive, None, excluded))
    assert [(case.case_id, case.target) for case in cases] == [
        ("case-00001-R", 0.0),
        ("case-00001-L", 3.0),
        ("case-00002-L", 3.0),
        ("case-00003-L", 1.0),
        ("case-00005-R", 4.0),
        ("case-00005-L", 4.0),
    ]
    assert excluded == {"E_TRUNCATED": 1, "label conflict": 1, "label unspecified": 3}
    for case in cases:
        assert case.regions is not None
        assert case.regions[0] in locate(case.study)
        assert case.regions[0].laterality == case.case_id[-1]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["dicom", "mat5"])
def test_evaluation_takes_the_truth_of_written_phantoms(tmp_path: Path, file_format: str) -> None:
    arguments = ["phantom", "knee_djd", "--out", str(tmp_path), "--n", "2", "--seed", "6", "--format", file_format]
    assert main(arguments) == 0
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(tmp_path, None, excluded))
    with (tmp_path / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = list(csv.DictReader(file))
    assert [case.target for case in cases] == [
        float(row[f"grade_{side}"]) for row in truth for side in ("right", "left")
    ]
    assert [case.patient for case in cases] == [row["patient"] for row in truth for _ in range(2)]
    assert [case.regions[0].laterality for case in cases if case.regions] == ["R", "L", "R", "L"]
    assert all(case.study.is_phantom for case in cases)
    assert not excluded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(2):
        (tmp_path / f"{seed}.dcm").write_bytes(write_dicom(phantom(seed)))
    return tmp_path


def test_evaluation_takes_a_row_a_knee(folder: Path) -> None:
    rows: list[dict[str, object]] = [
        {"file": "0.dcm", "laterality": "L", "label": 3, "patient": "p1"},
        {"file": "0.dcm", "laterality": "R", "label": 0, "patient": "p1"},
        {"file": "1.dcm", "laterality": "L", "label": 2, "patient": ""},
        {"file": "2.dcm", "laterality": "L", "label": 2, "patient": "p3"},
    ]
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(folder, write_table(folder / "labels.csv", rows), excluded))
    assert [(case.case_id, case.patient, case.target) for case in cases] == [
        ("case-00001-L", "p1", 3.0),
        ("case-00002-R", "p1", 0.0),
        ("case-00003-L", "1.dcm", 2.0),
    ]
    assert [case.regions[0].laterality for case in cases if case.regions] == ["L", "R", "L"]
    assert excluded == {"cannot be opened": 1}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"laterality": "L", "label": "5"}, "label must be 0 to 4"),
        ({"laterality": "L", "label": ""}, "label must be 0 to 4"),
        ({"laterality": "left", "label": "2"}, "laterality must be L or R"),
        ({"laterality": "L"}, "no column label"),
        ({"laterality": "", "label": "2"}, "no column grade_right"),
        ({"grade_right": "2"}, "no column grade_left"),
        ({"grade_right": "2", "grade_left": "-1"}, "grade_left must be 0 to 4"),
    ],
)
def test_label_that_cannot_be_understood_is_a_usage_error(folder: Path, row: dict[str, object], words: str) -> None:
    labels = write_table(folder / "labels.csv", [{"file": "0.dcm", **row}])
    with pytest.raises(UsageError, match=words):
        list(evaluation_cases(folder, labels, Counter()))


def test_hospital_folder_is_split_by_its_table(folder: Path) -> None:
    rows: list[dict[str, object]] = [
        {"file": "0.dcm", "patient": "p1", "label": 3, "split": "train", "laterality": "L"},
        {"file": "0.dcm", "patient": "p1", "label": 0, "split": "train", "laterality": "R"},
        {"file": "1.dcm", "patient": "p2", "label": 2, "split": "test", "laterality": "L"},
    ]
    labels = write_table(folder / "labels.csv", rows)
    training, test = (list(folder_cases(folder, labels, split)) for split in ("train", "test"))
    assert [(case.patient, case.target) for case in training] == [("p1", 3.0), ("p1", 0.0)]
    assert [case.regions[0].laterality for case in training if case.regions] == ["L", "R"]
    assert [(case.patient, case.target) for case in test] == [("p2", 2.0)]
    assert not {case.case_id for case in training} & {case.case_id for case in test}


@pytest.mark.parametrize("row", [{}, {"laterality": ""}, {"laterality": "left"}])
def test_grade_without_a_side_is_a_usage_error(folder: Path, row: dict[str, object]) -> None:
    facts = {"file": "0.dcm", "patient": "p1", "label": 3, "split": "train"}
    labels = write_table(folder / "labels.csv", [facts | row])
    with pytest.raises(UsageError, match="laterality must be L or R"):
        list(folder_cases(folder, labels, "train"))
