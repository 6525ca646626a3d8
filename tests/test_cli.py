"""The command line: schema, order, exit codes, what it writes."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.main import main
from core.manifest import DEMO_STATEMENT

FINDING_KEYS = [
    *("label", "probability", "positive", "laterality", "box_xyxy", "threshold"),
    *("grade", "probabilities", "lesions", "mask_file"),
]
RESULT_KEYS = [
    "task",
    "model",
    "file_sha256",
    "gate",
    "findings",
    "measures",
    "lines",
    "branches",
    "operating_point",
    "explanation",
    "provenance",
    "timings_ms",
]
STAGES = ["read", "gate", "locate", "prepare", "network", "decode", "explain"]


def screen(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict]]:
    capsys.readouterr()
    code = main(["screen", "hip_osteoporosis", *map(str, arguments), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    assert main(["phantom", "hip_osteoporosis", "--out", str(folder), "--n", "3", "--seed", "4"]) == 0
    assert (
        main(["phantom", "hip_osteoporosis", "--out", str(folder / "pelvis"), "--n", "1", "--options", "view=pelvis"])
        == 0
    )
    return folder


def test_a_phantom_is_answered_in_full(capsys: pytest.CaptureFixture[str], phantoms: Path) -> None:
    code, [result] = screen(capsys, phantoms / "phantom_4_0000.dcm")
    assert code == 0
    assert list(result) == RESULT_KEYS
    assert result["gate"]["outcome"] == "accepted"
    assert list(result["findings"][0]) == FINDING_KEYS
    assert list(result["timings_ms"]) == STAGES
    assert result["provenance"]["statement"] == DEMO_STATEMENT
    assert result["findings"][0]["positive"] == (
        result["findings"][0]["probability"] >= result["operating_point"]["threshold"]
    )


def test_a_pelvis_gives_a_result_for_each_hip(capsys: pytest.CaptureFixture[str], phantoms: Path) -> None:
    _, [result] = screen(capsys, phantoms / "pelvis" / "phantom_0_0000.dcm")
    assert [finding["laterality"] for finding in result["findings"]] == ["R", "L"]
    assert len(result["explanation"]["raw_max"]) == 2


def test_one_line_a_file_in_order_and_on_after_a_bad_one(
    capsys: pytest.CaptureFixture[str], phantoms: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"DICM is not enough")
    good = phantoms / "phantom_4_0001.dcm"
    code, results = screen(capsys, good, bad, tmp_path / "missing.dcm", good)
    assert code == 1
    assert len(results) == 4
    assert results[1]["error"]["code"] == "E_NOT_IMAGE"
    assert "error" in results[2]
    assert "bad.dcm" not in json.dumps(results[1])
    assert "Traceback" not in json.dumps(results)
    assert results[0]["findings"] == results[3]["findings"]


def test_a_refused_file_has_no_findings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    path = tmp_path / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)).save(path)
    code, [result] = screen(capsys, path)
    assert code == 0
    assert result["gate"]["outcome"] == "refused"
    assert result["findings"] == []


def test_confirmation_and_side_are_recorded(capsys: pytest.CaptureFixture[str], phantoms: Path) -> None:
    _, [result] = screen(capsys, phantoms / "phantom_4_0002.dcm", "--confirm")
    assert result["gate"]["confirmed"] is True


def test_overlay_names(capsys: pytest.CaptureFixture[str], phantoms: Path, tmp_path: Path) -> None:
    screen(capsys, phantoms / "phantom_4_0000.dcm", "--overlay", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["phantom_4_0000_osteoporosis_overlay.png"]


def test_an_overlay_says_below_itself_what_it_is_worth(phantoms: Path) -> None:
    """The strip is black with white letters, and its words name phantom and statement."""
    import numpy as np
    from PIL import Image

    from core.imaging.display import to_display
    from core.io.reader import shared_reader
    from core.reports.overlay_png import caption, overlay_png
    from core.screening import load, screen

    study = shared_reader().read((phantoms / "phantom_4_0000.dcm").read_bytes())
    result = screen(study, load("hip_osteoporosis"))
    words = caption(result)
    assert words.startswith("PHANTOM · Fivefold hip_osteoporosis resnet18")
    assert DEMO_STATEMENT in words
    shown = np.asarray(Image.open(io.BytesIO(overlay_png(result, to_display(study.frame), 0.6))))
    strip = shown[study.frame.pixels.shape[0] :]
    assert shown.shape[1] == study.frame.pixels.shape[1]
    assert strip.shape[0] >= 15
    assert set(np.unique(strip[:, :4])) == {0}
    assert (strip > 200).mean() > 0.02


def test_monochrome1_gives_the_same_probability(
    capsys: pytest.CaptureFixture[str], phantoms: Path, tmp_path: Path
) -> None:
    main(["phantom", "hip_osteoporosis", "--out", str(tmp_path), "--n", "1", "--seed", "4", "--monochrome1"])
    _, [plain, inverted] = screen(capsys, phantoms / "phantom_4_0000.dcm", tmp_path / "phantom_4_0000.dcm")
    assert inverted["findings"][0]["probability"] == pytest.approx(plain["findings"][0]["probability"], abs=1e-5)


def test_truth_table_has_a_row_a_phantom(phantoms: Path) -> None:
    with (phantoms / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"phantom_4_{index:04d}.dcm" for index in range(3)]
    assert all((float(row["t_score_dxa"]) <= -2.5) == (row["label"] == "1") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["screen", "no_such_task", "x"], 2),
        (["screen", "hip_osteoporosis", "x", "--model", "no_such_model"], 3),
        (["phantom", "no_such_task", "--out", "x"], 2),
    ],
)
def test_exit_codes(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    assert main(arguments) == code
    assert "Traceback" not in capsys.readouterr().err


def test_tasks_and_weights_and_selfcheck(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["task"] == "hip_osteoporosis"
    assert main(["weights"]) == 0
    shown = capsys.readouterr().out
    assert "hip_osteoporosis/resnet18 1.0.0: ok" in shown
    assert DEMO_STATEMENT in shown
    assert main(["selfcheck", "--port", "0"]) == 0
    assert "FAILED" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["tasks", "screen", "evaluate", "train", "experiment", "phantom", "weights", "selfcheck"]
)
def test_help_needs_no_torch(command: str) -> None:
    code = f"import sys; from core.cli.main import parser; parser(); assert 'torch' not in sys.modules and '{command}'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.realdata
def test_the_real_hip_and_its_jpeg2000_twin(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    folder = data_dir / "real_dicom"
    code, [rle, j2k] = screen(capsys, folder / "hip_cr_rle.dcm", folder / "hip_cr_j2k.dcm")
    assert code == 0
    assert rle["gate"]["outcome"] == j2k["gate"]["outcome"] == "needs_confirmation"
    assert j2k["findings"][0]["probability"] == pytest.approx(rle["findings"][0]["probability"], abs=0.02)
    assert rle["provenance"]["statement"] == DEMO_STATEMENT


def test_the_dxa_table_pairs_by_patient_and_holds_decoys(tmp_path: Path) -> None:
    """One scan a film within six months carries the label; decoys lie outside, are empty, or belong to nobody."""
    from datetime import datetime

    import pydicom

    assert main(["phantom", "hip_osteoporosis", "--out", str(tmp_path), "--n", "12", "--seed", "9"]) == 0
    with (tmp_path / "dexa.csv").open() as file:
        scans = list(csv.DictReader(file))
    with (tmp_path / "truth.csv").open() as file:
        truth = {row["file"]: row for row in csv.DictReader(file)}
    known = set()
    for path in sorted(tmp_path.glob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        known.add(header.PatientID)
        film = datetime.strptime(header.StudyDate, "%Y%m%d")
        own = [scan for scan in scans if scan["PatientID"] == header.PatientID and scan["T_score"]]
        near = [scan for scan in own if abs((datetime.fromisoformat(scan["ScanDate"]) - film).days) < 180]
        assert [(float(scan["T_score"]) <= -2.5) for scan in near] == [truth[path.name]["label"] == "1"]
        assert float(near[0]["Neck_BMD"]) == pytest.approx(0.858 + 0.120 * float(near[0]["T_score"]), abs=0.001)
    assert any(scan["PatientID"] not in known for scan in scans)
    assert len(scans) > len(known)
