"""Curation of knees, CT slices and chest films, on phantoms."""

import csv
import json
import shlex
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from io_files import picture
from PIL import Image, ImageDraw

from core.cli.main import main
from core.curation.ct_osteoporosis import read_grades
from core.curation.report import read_report
from core.curation.splits import split_patients
from core.curation.usage import commands, files_of
from core.errors import TableError, UsageError
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.io.reader import Reader
from core.manifest import DEMO_STATEMENT
from core.registry import part
from core.tasks.chest_lesions.task import TASK as CHEST

HOSPITALS = [
    ("ct_osteoporosis", 8, "labels of the patient differ"),
    ("chest_lesions", 8, "box outside the image"),
    ("knee_djd", 8, "no grade"),
]
PLACES = {"ct_osteoporosis": "slices", "chest_lesions": "films", "knee_djd": "mat"}
HEART, AORTA = CHEST.labels[0].id, CHEST.labels[2].id


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(workers=1) as reader:
        yield reader


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_splits_follow_the_files_and_not_the_key() -> None:
    files = {f"patient {number}": f"{number * 7919 % 100:02d}" for number in range(20)}
    other_key = {f"another {number}": file for number, file in enumerate(files.values())}
    one, two = split_patients(files), split_patients(other_key)
    assert list(one.values()) == list(two.values())
    assert Counter(one.values()) == {"train": 16, "test": 4}


# --- knees -----------------------------------------------------------------------------------------------------------


def test_knees_with_their_conflicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "mat", tmp_path / "out"
    folder.mkdir()
    make = part("knee_djd", "phantom").make_phantom
    for number, codes in enumerate(("2,5", "6,-1", "3,4")):
        made = make(np.random.default_rng([7, number]))
        content = write_matlab(replace(made, meta={**made.meta, "KneeJointId": codes}), "5")
        (folder / f"{number}.mat").write_bytes(content)
    (folder / "3.mat").write_bytes(content)
    (folder / "4.mat").write_bytes(content[:500])
    _with_wrong_names(folder / "2.mat")
    assert main(["curate", "knee_djd", "--mat", str(folder), "--out", str(out)]) == 0
    knees = {(row["file_number"], row["laterality"]): row for row in rows_of(out / "knees.csv")}
    found = {key: (row["label"], row["reason"]) for key, row in knees.items()}
    assert found[("1", "R")] == ("0", "")
    assert found[("1", "L")] == ("3", "")
    assert found[("2", "R")] == ("4", "")
    assert found[("2", "L")] == ("", "no grade")
    assert found[("3", "R")] == ("", "id and name differ")
    assert (knees[("3", "R")]["code"], knees[("3", "R")]["code_by_name"]) == ("3", "6")
    assert found[("3", "L")] == ("2", "")
    assert {found[("4", side)][1] for side in "RL"} == {"copy of another file"}
    assert found[("5", "")][1] in ("E_MAT", "E_TRUNCATED")
    labels = rows_of(out / "labels.csv")
    assert [(row["file"], row["laterality"], row["label"]) for row in labels] == [
        ("0.mat", "R", "0"),
        ("0.mat", "L", "3"),
        ("1.mat", "R", "4"),
        ("2.mat", "L", "2"),
    ]
    cases = list(part("knee_djd", "data").folder_cases(folder, out / "labels.csv", "train"))
    assert [case.target for case in cases] == [0, 3, 4, 2]
    assert "left out: 2, copy of another file" in capsys.readouterr().out


def _with_wrong_names(path: Path) -> None:
    """The same scan whose right knee is called severe by name."""
    from scipy.io import loadmat, savemat

    kept = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    names = np.empty((1, 2), object)
    names[0] = ["sevDJD", "mildDJD"]
    info = {"kneejointid": np.array([[3.0, 4.0]]), "kneejointname": names}
    savemat(path, kept | {"diaginfo": info}, do_compression=True)


# --- CT --------------------------------------------------------------------------------------------------------------


def test_slices_get_the_label_of_their_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "ct", tmp_path / "out"
    make = part("ct_osteoporosis", "phantom").make_phantom
    for number in range(6):
        (folder / f"{number}").mkdir(parents=True)
        first = make(np.random.default_rng([8, number]))
        for place, one in enumerate((first, make(np.random.default_rng([9, number]), like=first))):
            named = replace(one, meta={**one.meta, "PatientID": f"ID{number}"})
            (folder / f"{number}" / f"{place}.dcm").write_bytes(write_dicom(named))
    twice = (folder / "0" / "0.dcm").read_bytes()
    (folder / "0" / "again.dcm").write_bytes(twice)
    table = tmp_path / "labels.csv"
    table.write_text("PatientID,T_score\nID0,-2.5\nID1,-1.0\nID2,-1.1\nID3,0\nID4,-3\nID4,-1\n")
    command = ["curate", "ct_osteoporosis", "--data", str(folder), "--labels", str(table), "--out", str(out)]
    assert main(command) == 0
    labels = rows_of(out / "labels.csv")
    assert {row["file"].split("/")[0]: row["label"] for row in labels} == {"0": "2", "1": "0", "2": "1", "3": "0"}
    assert len(labels) == 8
    by_patient = {
        row["patient"]: {other["split"] for other in labels if other["patient"] == row["patient"]} for row in labels
    }
    assert len(by_patient) == 4
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert "ID" not in (out / "labels.csv").read_text()
    reasons = Counter(row["reason"] for row in rows_of(out / "excluded.csv"))
    assert reasons == {"labels of the patient differ": 2, "no label": 2, "copy of another slice": 1}
    assert "left out: 2, no label" in capsys.readouterr().out
    cases = list(part("ct_osteoporosis", "data").folder_cases(folder, out / "labels.csv", "train"))
    assert len(cases) == sum(row["split"] == "train" for row in labels)


def test_tables_of_grades(tmp_path: Path, reader: Reader) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("PatientID,label\nA,2\nA,2\nB,3\n,1\nC,0\nC,\n")
    one, three = reader.hash_keys(["A", "C"], "patient")
    assert read_grades(reader, table) == {one: 2, three: 0}
    table.write_text("PatientID,grade\nA,2\n")
    with pytest.raises(TableError, match="no column label and no T_score"):
        read_grades(reader, table)
    with pytest.raises(UsageError):
        read_grades(reader, tmp_path / "nowhere.csv")


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "n_patients", "reason"), HOSPITALS)
def test_a_phantom_hospital_is_curated_in_one_call(tmp_path: Path, task: str, n_patients: int, reason: str) -> None:
    """Its table names what training reads, and the last patient's fault is found."""
    out = tmp_path / "out"
    assert main(["curate", task, "--phantoms", str(n_patients), "--out", str(out)]) == 0
    report = read_report(out)
    assert report is not None
    assert report.statement == DEMO_STATEMENT
    assert reason in report.excluded
    train, evaluate = (shlex.split(command) for command in commands(task, out / "hospital" / PLACES[task], out))
    folder, labels = Path(train[train.index("--data") + 1]), out / ("labels.json" if "chest" in task else "labels.csv")
    n_cases = sum(1 for split in ("train", "test") for _ in part(task, "data").folder_cases(folder, labels, split))
    assert n_cases == sum(share.images for share in report.splits.values())
    assert evaluate[3:5] == ["evaluate", task]
    assert not any(path.suffix in (".dcm", ".mat") for path in files_of(out))


def test_a_zip_file_is_unpacked_in_the_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds everything is no part of the names."""
    source, job = tmp_path / "scans.zip", tmp_path / "job"
    job.mkdir()
    make = part("knee_djd", "phantom").make_phantom
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(2):
            archive.writestr(f"hospital/{number}.mat", write_matlab(make(np.random.default_rng([7, number])), "5"))
    command = ["curate", "knee_djd", "--mat", str(source), "--out", str(job / "data")]
    assert main(command) == 2
    assert "needs --job" in capsys.readouterr().err
    (job / "data").rmdir()
    assert main([*command, "--job", str(job)]) == 0
    assert {row["file"] for row in rows_of(job / "data" / "labels.csv")} == {"0.mat", "1.mat"}


# --- chest -----------------------------------------------------------------------------------------------------------


def test_boxes_and_marks_become_one_coco_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, marks, out = tmp_path / "films", tmp_path / "marks", tmp_path / "out"
    films.mkdir()
    marks.mkdir()
    grey = Image.fromarray(np.tile(np.linspace(20, 200, 300).astype(np.uint8), (200, 1)))
    for name in ("a", "b", "c", "d"):
        (films / f"{name}.png").write_bytes(picture(grey, "png"))
    drawn = grey.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((50, 60, 120, 110), outline=(255, 0, 0), width=3)
    pen.rectangle((150, 60, 190, 110), outline=(0, 255, 0), width=3)
    (marks / "b.png").write_bytes(picture(drawn, "png"))
    (marks / "nobody.png").write_bytes(picture(drawn, "png"))
    table = tmp_path / "train.csv"
    rows = ["file,label,x_min,y_min,x_max,y_max", "a.png,心脈肥大,10,20,110,90", f"b.png,{AORTA},5,5,40,40"]
    rows += ["c.png,normal,,,,", f"d.png,{HEART},10,10,400,90", f"missing.png,{HEART},1,1,50,50", "a.png,cat,1,1,9,9"]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    command = ["curate", "chest_lesions", "--data", str(films), "--table", str(table), "--marks", str(marks)]
    assert main([*command, "--colours", f"red={HEART}", "--out", str(out)]) == 0
    found = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert [(image["file_name"], image["width"], image["height"]) for image in found["images"]] == [
        ("a.png", 300, 200),
        ("b.png", 300, 200),
        ("c.png", 300, 200),
    ]
    names = {category["id"]: category["name"] for category in found["categories"]}
    own = [(one["image_id"], names[one["category_id"]], one["bbox"]) for one in found["annotations"]]
    assert own[:2] == [(1, HEART, [10, 20, 100, 70]), (2, AORTA, [5, 5, 35, 35])]
    assert own[2][:2] == (2, HEART)
    np.testing.assert_allclose(own[2][2], [51.5, 61.5, 68, 48], atol=1)
    printed = capsys.readouterr().out
    for line in (
        "1, colour",
        "1, no film",
        "1, box outside the image",
        "1, film that cannot be read",
        "1, unknown label",
    ):
        assert f"left out: {line}" in printed
    cases = list(part("chest_lesions", "data").evaluation_cases(films, out / "labels.json", Counter()))
    assert {len(case.boxes) for case in cases} == {0, 1, 2}


@pytest.mark.parametrize(
    "arguments",
    [
        ["knee_djd"],
        ["knee_djd", "--mat", "nowhere"],
        ["ct_osteoporosis", "--data", "nowhere"],
        ["chest_lesions", "--data", "nowhere"],
        ["chest_lesions", "--data", "nowhere", "--table", "nowhere.csv"],
        ["chest_lesions", "--data", "nowhere", "--table", "nowhere.csv", "--colours", "pink=scoliosis"],
        ["hip_osteoporosis"],
        ["retina_lesions"],
        ["retina_lesions", "--data", "nowhere"],
    ],
)
def test_calls_that_cannot_work(tmp_path: Path, arguments: list[str]) -> None:
    assert main(["curate", *arguments, "--out", str(tmp_path / "out")]) == 2
