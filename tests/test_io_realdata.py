"""Real files: every one of the corpus ends in a study or a listed error, and pairs of syntaxes agree."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from io_files import read

from core.errors import MESSAGES, ScreeningError
from core.io import vocabulary
from core.io.reader import Reader

pytestmark = pytest.mark.realdata

SECONDS_PER_FILE = 10
MEMORY_BYTES = 1_500_000_000


def test_corpus(data_dir: Path) -> None:
    folder = data_dir / "dicom_corpus"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 151
    unread, outcomes = [], {}
    with Reader(workers=1) as reader:
        pids = reader.pids
        for row in rows:
            began = time.monotonic()
            try:
                reader.read((folder / row["file"]).read_bytes())
                outcomes[row["file"]] = "study"
            except ScreeningError as error:
                outcomes[row["file"]] = error.code
                if row["pixels"] == "ok":
                    unread.append((row["file"], str(error)))
            assert time.monotonic() - began < SECONDS_PER_FILE
        assert reader.pids == pids
        status = Path(f"/proc/{pids[0]}/status").read_text()
    assert unread == []
    assert set(outcomes.values()) <= {"study", *MESSAGES} - {"E_CRASH", "E_TIMEOUT"}
    assert int(status.split("VmHWM:")[1].split()[0]) * 1024 < MEMORY_BYTES


def pixels(data_dir: Path, name: str) -> np.ndarray:
    return read((data_dir / "real_dicom" / name).read_bytes()).frame.pixels.astype(np.float64)


@pytest.mark.parametrize(
    ("first", "second", "levels"),
    [("hip_cr_rle.dcm", "hip_cr_j2k.dcm", 1024), ("chest_cr_j2k.dcm", "chest_cr_jpegls.dcm", 32768)],
)
def test_two_syntaxes_of_one_radiograph_agree(data_dir: Path, first: str, second: str, levels: int) -> None:
    difference = np.abs(pixels(data_dir, first) - pixels(data_dir, second))
    assert difference.mean() < levels / 200
    assert np.percentile(difference, 99.9) < levels / 30


def test_chest_has_bright_bones(data_dir: Path) -> None:
    study = read((data_dir / "real_dicom" / "chest_cr_j2k.dcm").read_bytes())
    values = study.frame.pixels
    height, width = values.shape
    spine = np.median(values[height // 3 : height // 2, width * 9 // 20 : width * 11 // 20])
    lungs = [np.median(values[height // 3 : height // 2, width * k // 20 : width * (k + 2) // 20]) for k in (4, 13)]
    assert vocabulary.INVERTED in study.notes
    assert study.tags["PhotometricInterpretation"] == "MONOCHROME1"
    assert spine > max(lungs)


def test_fundus_is_red(data_dir: Path) -> None:
    frame = read((data_dir / "real_dicom" / "fundus_rgb_j2k.dcm").read_bytes()).frame
    assert (frame.unit, frame.pixels.dtype, frame.pixels.shape) == ("rgb", np.uint8, (1868, 2226, 3))
    red, green, blue = frame.pixels.reshape(-1, 3).mean(0)
    assert red > green > blue


def test_bone_scan_is_counts(data_dir: Path) -> None:
    frame = read((data_dir / "real_dicom" / "whole_body_bone_scan_rle.dcm").read_bytes()).frame
    assert (frame.unit, frame.pixels.shape, frame.spacing_mm) == ("counts", (1024, 256), (2.26, 2.26))
    assert 3e6 < frame.pixels.sum() < 4e6


def test_vertebra_slices_are_hu(data_dir: Path) -> None:
    with (data_dir / "ct_vertebra" / "index.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    name = next(value for value in row.values() if value.endswith(".dcm"))
    study = read((data_dir / "ct_vertebra" / name).read_bytes())
    assert study.frame.unit == "HU"
    assert vocabulary.NO_RESCALE not in study.notes
    assert -1100 < np.percentile(study.frame.pixels, 5) < -700
