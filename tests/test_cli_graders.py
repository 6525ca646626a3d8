"""The command line of tasks with grades: phantoms of several slices or views, series, options, evaluation."""

import csv
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pairs import GRADES, pair_folder, shrink, tiny_pair
from PIL import Image

from core import screening
from core.cli.main import main
from core.io.options import read_options
from core.io.phantom_matlab import write_matlab
from core.io.reader import shared_reader
from core.phantom import Phantom
from core.records import Study
from core.reports.result_json import to_json
from core.screening import load, screen
from core.tasks.knee_djd.phantom import make_phantom as make_knees

N_SLICES = 3


def read(path: Path) -> Study:
    return shared_reader().read(path.read_bytes())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nail", "nail"),
        ("-3.0", -3.0),
        ("3", 3),
        ("1e-3", 0.001),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_option_values_have_their_type(text: str, value: object) -> None:
    (found,) = read_options([f"key={text}"]).values()
    assert found == value
    assert type(found) is type(value)


def test_options_keep_their_order_and_the_last_of_a_name_counts() -> None:
    assert list(read_options(["b=1", "a=2", "b=3"]).items()) == [("b", 3), ("a", 2)]
    assert read_options([]) == {}


# --- phantoms --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CT patients of three slices."""
    folder = tmp_path_factory.mktemp("ct")
    arguments = ["phantom", "ct_osteoporosis", "--out", str(folder), "--n", "2", "--slices", str(N_SLICES)]
    assert main([*arguments, "--seed", "6", "--options", "metal=false"]) == 0
    return folder


def test_slices_of_a_patient_are_one_series_of_different_pictures(patients: Path) -> None:
    rows = rows_of(patients / "truth.csv")
    assert [row["file"] for row in rows] == [
        f"phantom_6_{patient:04d}_{place}.dcm" for patient in range(2) for place in range(N_SLICES)
    ]
    headers = [pydicom.dcmread(patients / row["file"]) for row in rows]
    for row, header in zip(rows, headers, strict=True):
        assert row["patient"] == header.PatientID
    own = [headers[:N_SLICES], headers[N_SLICES:]]
    for series in own:
        assert len({header.SeriesInstanceUID for header in series}) == 1
        assert len({header.SOPInstanceUID for header in series}) == N_SLICES
        assert len({float(header.ImagePositionPatient[2]) for header in series}) == N_SLICES
        assert len({header.PixelData for header in series}) == N_SLICES
    assert own[0][0].PatientID != own[1][0].PatientID
    assert len({row["t_score"] for row in rows[:N_SLICES]}) == 1


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_bone_scan_as_matlab_file_is_that_of_the_dicom_file(tmp_path: Path, version: str) -> None:
    made = make_knees(np.random.default_rng([2, 0]))
    assert (
        main(["phantom", "knee_djd", "--out", str(tmp_path), "--n", "1", "--seed", "2", "--format", f"mat{version}"])
        == 0
    )
    (row,) = rows_of(tmp_path / "truth.csv")
    assert row["file"] == "phantom_2_0000.mat"
    assert {side: int(row[f"grade_{side}"]) for side in ("right", "left")} == {
        side: made.truth[f"grade_{side}"] for side in ("right", "left")
    }
    assert (tmp_path / row["file"]).read_bytes().startswith(f"MATLAB {version}".encode())
    study = read(tmp_path / row["file"])
    assert (study.container, study.is_phantom) == ("matlab", True)
    assert np.array_equal(study.frame.pixels, made.stored[0])
    posterior = shared_reader().read((tmp_path / row["file"]).read_bytes(), 1)
    assert np.array_equal(posterior.frame.pixels, made.stored[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["hip_osteoporosis", "--slices", "2"],
        ["knee_djd", "--slices", "2"],
        ["hip_osteoporosis", "--format", "mat5"],
        ["ct_osteoporosis", "--format", "mat7.3"],
        ["ct_osteoporosis", "--monochrome1"],
    ],
    ids=" ".join,
)
def test_phantom_of_a_form_that_the_task_has_not(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantom", *arguments, "--n", "1", "--out", str(tmp_path)]) == 2
    assert "E_USAGE" in capsys.readouterr().err
    assert not list(tmp_path.glob("phantom*"))


# --- series ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny pair is the installed model of the CT task."""
    shrink(monkeypatch)
    pair_folder(tmp_path / "weights" / "ct_osteoporosis" / "pair", tiny_pair(8))
    monkeypatch.setattr(screening, "load", partial(load, root=tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def archive(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first patient's slices as a zip file, with a note beside them."""
    path = tmp_path_factory.mktemp("zip") / "series.zip"
    with zipfile.ZipFile(path, "w") as file:
        for slice_file in sorted(patients.glob("phantom_6_0000_*.dcm"), reverse=True):
            file.write(slice_file, slice_file.name)
        file.writestr("note.txt", "not an image")
    return path


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["screen", "ct_osteoporosis", *map(str, arguments)])
    return code, capsys.readouterr().out


def by_height(patients: Path) -> list[Study]:
    studies = [read(path) for path in patients.glob("phantom_6_0000_*.dcm")]
    return sorted(studies, key=lambda study: float(study.tags["SlicePosition"]))


def test_chosen_slices_of_a_zip_file_give_one_answer(
    capsys: pytest.CaptureFixture[str], weights: Path, archive: Path, patients: Path, tmp_path: Path
) -> None:
    code, out = ran(capsys, archive, "--slices", 3, 1, "--json", "--overlay", tmp_path / "maps")
    assert code == 0
    record = json.loads(out)
    assert list(record) == ["task", "model", "series", "findings", "n_answered", "provenance", "slices"]
    assert record["series"] == {"n_slices": 3, "n_left_out": 1, "slices": [3, 1]}
    assert record["n_answered"] == 2
    model, studies = load("ct_osteoporosis", root=weights), by_height(patients)
    for own, place in zip(record["slices"], (2, 0), strict=True):  # places count from the lowest
        wanted: dict[str, Any] = json.loads(json.dumps(to_json(screen(studies[place], model))))
        assert own["file_sha256"] == wanted["file_sha256"]
        assert own["findings"] == wanted["findings"]
        assert set(own["measures"]) == {"roi_hu", "cosine", "alpha"}
        assert set(own["branches"]) == {"s", "t"}
    (finding,) = record["findings"]
    means = {
        grade: np.mean([own["findings"][0]["probabilities"][grade] for own in record["slices"]]) for grade in GRADES
    }
    assert finding["probabilities"] == pytest.approx(means, abs=1e-5)
    assert finding["probability"] == pytest.approx(means["osteopenia"] + means["osteoporosis"], abs=1e-5)
    assert finding["label"] == "osteopenia"
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "series_0001_osteopenia_overlay.png",
        "series_0003_osteopenia_overlay.png",
    ]
    with Image.open(tmp_path / "maps" / "series_0001_osteopenia_overlay.png") as picture:
        assert picture.width == studies[0].frame.pixels.shape[1]


def test_folder_of_slices_is_a_series_too(
    capsys: pytest.CaptureFixture[str], weights: Path, archive: Path, patients: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for path in patients.glob("phantom_6_0000_*.dcm"):
        (folder / path.name).write_bytes(path.read_bytes())
    arguments = ("--slices", 2, "--json", "--operating-point", "osteoporosis")
    of_folder, of_archive = (json.loads(ran(capsys, path, *arguments)[1]) for path in (folder, archive))
    assert of_folder["findings"] == of_archive["findings"]
    assert of_folder["findings"][0]["label"] == "osteoporosis"
    assert of_folder["series"] == {"n_slices": 3, "n_left_out": 0, "slices": [2]}


def test_line_for_a_person_names_grade_and_score(
    capsys: pytest.CaptureFixture[str], weights: Path, archive: Path
) -> None:
    code, out = ran(capsys, archive, "--slices", 1)
    record = json.loads(ran(capsys, archive, "--slices", 1, "--json")[1])
    (finding,) = record["findings"]
    assert code == 0
    assert out.startswith("series.zip: accepted; ")
    assert f"{GRADES[finding['grade']]} (osteopenia or worse {finding['probability']:.3f}, " in out
    assert record["provenance"]["statement"] in out


@pytest.mark.parametrize("places", [(0,), (4,), (1, 4), (-1,)])
def test_place_outside_the_series_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], weights: Path, archive: Path, places: tuple[int, ...]
) -> None:
    assert ran(capsys, archive, "--slices", *places)[0] == 2


def test_what_is_no_series_is_named_and_the_next_one_answered(
    capsys: pytest.CaptureFixture[str], weights: Path, archive: Path, patients: Path
) -> None:
    single = patients / "phantom_6_0000_0.dcm"
    code, out = ran(capsys, single, archive, "--slices", 1, "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 1
    assert first["error"]["code"] == "E_SERIES"
    assert second["n_answered"] == 1


@pytest.mark.parametrize("task", ["hip_osteoporosis", "knee_djd"])
def test_slices_of_a_task_that_takes_one_image(capsys: pytest.CaptureFixture[str], archive: Path, task: str) -> None:
    assert main(["screen", task, str(archive), "--slices", "1"]) == 2
    assert "takes one image" in capsys.readouterr().err


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hips") / "films"
    assert main(["phantom", "hip_osteoporosis", "--out", str(folder), "--n", "4", "--seed", "4"]) == 0
    return folder


def evaluated(folder: Path, out: Path, *arguments: object) -> tuple[int, dict[str, Any], list[dict[str, str]]]:
    stats = out / "stats.json"
    code = main(
        [
            "evaluate",
            "hip_osteoporosis",
            "--data",
            str(folder),
            "--json",
            str(stats),
            "--out",
            str(out),
            *map(str, arguments),
        ]
    )
    return code, json.loads(stats.read_text()), rows_of(out / "cases.csv")


def test_phantoms_are_measured_with_their_own_truth_table(
    hips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, rows = evaluated(hips, tmp_path)
    assert code == 0
    assert (found["n"], found["n_subjects"], found["held_out"], found["excluded"]) == (4, 4, True, {})
    assert found["scored_by"] == {"installed model": 4}
    truth = rows_of(hips / "truth.csv")
    assert [int(row["label"]) for row in rows] == [int(row["label"]) for row in truth]
    assert [row["patient"] for row in rows] == [row["patient"] for row in truth]
    model = load("hip_osteoporosis")
    for row, own in zip(rows, truth, strict=True):
        prediction = screen(read(hips / own["file"]), model, confirmed=True).prediction
        assert prediction is not None
        assert float(row["p_osteoporosis"]) == pytest.approx(prediction.findings[0].probability, abs=1e-6)
    right = [(float(row["p_osteoporosis"]) > 0.5) == (row["label"] == "1") for row in rows]
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(right), abs=1e-4)
    assert found["command"].startswith("python -m core evaluate hip_osteoporosis --data")
    shown = capsys.readouterr().out
    assert "4 cases of 4 subjects; left out: none" in shown
    assert model.manifest.statement in shown


def test_rows_that_lead_nowhere_or_out_of_the_folder_are_left_out_and_counted(
    hips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that could well be read, were it asked for by its own name."""
    first, second, third, _ = (row["file"] for row in rows_of(hips / "truth.csv"))
    outside = hips.parent / "outside.dcm"
    outside.write_bytes((hips / first).read_bytes())
    (hips / "link.dcm").symlink_to(outside)
    (hips / "broken.dcm").write_bytes(b"DICM is not enough")
    escapes = ["../outside.dcm", str(outside), "link.dcm", f"../{hips.name}x/../outside.dcm"]
    names = [first, *escapes, second, "missing.dcm", "broken.dcm", ".", third]
    table = tmp_path / "labels.csv"
    table.write_text("label,file\n" + "".join(f"{k % 2},{name}\n" for k, name in enumerate(names)) + "1\n")
    code, found, rows = evaluated(hips, tmp_path, "--labels", table)
    for path in (hips / "link.dcm", hips / "broken.dcm"):
        path.unlink()
    assert code == 0
    assert found["n"] == len(rows) == 3
    assert found["excluded"] == {"E_USAGE": 6, "cannot be opened": 1, "E_NOT_IMAGE": 1}
    assert [row["patient"] for row in rows] == [first, second, third]
    words = capsys.readouterr().err
    assert "row 2: left out, E_USAGE" in words
    assert "outside" not in words


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,patient\na.dcm,1\n", "label"),
        ("file,label\nphantom_4_0000.dcm,2\n", "0 to 1"),
        ("file,label\nphantom_4_0000.dcm,\n", "0 to 1"),
        ("file,label\n", "no case"),
        ("file,label\n\x00\n", "no case"),
        ("", "no column"),
        (None, "CSV"),
    ],
    ids=["no column", "grade 2", "no grade", "no row", "null", "empty", "no table"],
)
def test_label_tables_that_cannot_be_used(
    hips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str | None, words: str
) -> None:
    path = tmp_path / "labels.csv"
    if table is not None:
        path.write_text(table)
    assert main(["evaluate", "hip_osteoporosis", "--data", str(hips), "--labels", str(path)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.realdata
def test_a_real_scan_has_the_same_grades_as_dicom_and_as_matlab(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    """The pixels alone go into the MATLAB files: their spacing is assumed, so scores may differ a little, grades not."""
    scan = data_dir / "real_dicom" / "whole_body_bone_scan_rle.dcm"
    pixels = read(scan).frame.pixels
    views = np.stack([pixels, np.zeros_like(pixels)], axis=2).astype(np.uint16)
    meta = {"PixelSpacing": 2.26, "Modality": "NM", "PatientSex": "O"}
    phantom = Phantom(views[..., 0].astype(np.float32), {}, {}, meta, "counts", views[..., 1].astype(np.float32))
    files = [scan]
    for version in ("5", "7.3"):
        files.append(tmp_path / f"scan_{version}.mat")
        files[-1].write_bytes(write_matlab(phantom, version))
    assert main(["screen", "knee_djd", *map(str, files), "--json", "--confirm"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = [[(f["laterality"], f["grade"]) for f in record["findings"]] for record in records]
    assert answers[0] == answers[1] == answers[2]
    assert [side for side, _ in answers[0]] == ["R", "L"]
    assert all(len(f["box_xyxy"]) == 4 for record in records for f in record["findings"])
