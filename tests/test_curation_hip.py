"""Curation of hips: a phantom hospital whose pairs are known, what may not leave it, and what training reads afterwards."""

import ast
import csv
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.cli.main import main
from core.curation import hip_hospital
from core.curation.data_set import sixteen_bits
from core.curation.dexa import DexaTable
from core.curation.films import Film
from core.curation.hip_osteoporosis import assemble
from core.curation.pairing import Scan
from core.curation.report import tell_nobody
from core.errors import UsageError
from core.io.labelled_folder import FACTS, facts_of, of_split, with_facts
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.manifest import DEMO_STATEMENT
from core.phantom import Phantom
from core.records import Frame, LabelledCase, Study
from core.tasks.hip_osteoporosis.data import evaluation_cases, folder_cases, training_array
from core.tasks.hip_osteoporosis.phantom import make_phantom

N_PATIENTS = 10


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def curate(hospital: Path, out: Path) -> int:
    films, table = str(hospital / "dicom"), str(hospital / "dexa.csv")
    return main(["curate", "hip_osteoporosis", "--dicom", films, "--dexa", table, "--out", str(out)])


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hospital")
    command = [
        "phantom",
        "hospital",
        "hip_osteoporosis",
        "--patients",
        str(N_PATIENTS),
        "--seed",
        "5",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    return out


@pytest.fixture(scope="module")
def curated(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "curated"
    assert curate(hospital, out) == 0
    return out


# --- against the truth -----------------------------------------------------------------------------------------------


def test_pairs_are_the_true_ones_byte_for_byte(hospital: Path, curated: Path) -> None:
    assert (curated / "pairs.csv").read_bytes() == (hospital / "truth.csv").read_bytes()
    assert len(rows_of(curated / "pairs.csv")) >= N_PATIENTS / 2


def test_the_truth_is_not_made_by_the_rules_it_tests() -> None:
    tree = ast.parse(Path(hip_hospital.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith(("core.curation", "core.clinical"))} == set()


def test_every_film_is_used_or_has_a_reason(hospital: Path, curated: Path) -> None:
    n_files = len(list((hospital / "dicom").iterdir()))
    used, excluded = rows_of(curated / "pairs.csv"), rows_of(curated / "excluded.csv")
    assert len(used) + len(excluded) == n_files
    assert sorted({row["film"] for row in used} & {row["film"] for row in excluded}) == []
    assert all(row["reason"] for row in excluded)
    summary = json.loads((curated / "curation.json").read_text())
    assert summary["excluded"] == dict(Counter(row["reason"] for row in excluded).most_common())
    assert summary["files"] == n_files
    assert summary["is_phantom"] is True
    assert summary["statement"] == DEMO_STATEMENT
    assert sum(split["images"] for split in summary["splits"].values()) == len(used)


def test_no_patient_is_in_training_and_test(hospital: Path, curated: Path) -> None:
    labels = rows_of(curated / "labels.csv")
    patients = {split: {row["patient"] for row in labels if row["split"] == split} for split in ("train", "test")}
    assert patients["train"]
    assert patients["test"]
    assert patients["train"] & patients["test"] == set()


def film(number: int, patient: str, day: str, reason: str = "") -> Film:
    return Film(f"{number:016x}", number, reason, patient, date.fromisoformat(day), pixel_hash=f"pixels {number}")


def scans(*rows: tuple[str, str, float]) -> DexaTable:
    found: dict[str, list[Scan]] = {}
    for number, (patient, day, t_score) in enumerate(rows, 1):
        found.setdefault(patient, []).append(Scan(number, date.fromisoformat(day), t_score, "t_score"))
    return DexaTable(found, len(rows), Counter())


FILMS = [
    film(1, "A", "2019-05-01"),
    film(2, "A", "2022-05-01"),
    film(3, "B", "2020-05-01"),
    film(4, "B", "2021-05-01"),
    film(5, "C", "2022-12-31"),
    film(6, "C", "2023-05-01"),
    film(7, "D", "2023-05-01", "blurred"),
]
SCANS = scans(
    *(("A", "2019-06-01", -2.5), ("A", "2022-05-02", -2.4), ("B", "2020-05-01", -1.0), ("B", "2021-05-01", -3.0)),
    *(("C", "2022-07-01", -2.0), ("C", "2023-11-01", -2.0)),
)


@pytest.mark.parametrize(
    ("year", "split"),
    [
        (None, {1: "out", 2: "test", 3: "train", 4: "train", 5: "test"}),
        (2023, {1: "train", 2: "train", 3: "train", 4: "train", 5: "train"}),
        (2021, {1: "out", 2: "test", 3: "out", 4: "test", 5: "test"}),
        (2019, {1: "test", 2: "test", 3: "test", 4: "test", 5: "test"}),
    ],
)
def test_the_test_year_takes_its_patients_out_of_training(year: int | None, split: dict[int, str]) -> None:
    found = assemble(FILMS[::-1], SCANS, year)
    assert {pair.film.number: pair.split for pair in found.pairs} == {
        n: own for n, own in split.items() if own != "out"
    }
    left_out = {one.number for one in found.films if one.reason == "patient of the test set"}
    assert left_out == {n for n, own in split.items() if own == "out"}
    assert {one.number: one.reason for one in found.films if one.number > 5} == {
        6: "no DXA scan within six months",
        7: "blurred",
    }
    assert [pair.label for pair in found.pairs if pair.film.number in (2, 4)] == [0, 1]


# --- what may not leave the hospital ---------------------------------------------------------------------------------


def test_nothing_written_names_a_patient_a_day_or_a_file(hospital: Path, curated: Path) -> None:
    dates, ids = set(), set()
    for path in (hospital / "dicom").iterdir():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            dates |= {header.StudyDate, f"{header.StudyDate[:4]}-{header.StudyDate[4:6]}-{header.StudyDate[6:]}"}
            ids |= {str(header.PatientID)} - {""}
        except AttributeError:
            continue
    ids |= {row["PatientID"] for row in rows_of(hospital / "dexa.csv")}
    dates |= {row["ScanDate"] for row in rows_of(hospital / "dexa.csv")}
    texts = [path for path in curated.rglob("*") if path.is_file() and path.suffix != ".png"]
    written = b"".join(path.read_bytes() + path.name.encode() for path in texts)
    assert len(ids) >= N_PATIENTS
    assert [word for word in [*dates, *ids, "film_0"] if word.encode() in written] == []
    assert re.search(rb"\d{4}-\d\d-\d\d", written) is None


def test_pictures_hold_pixels_and_nothing_else(curated: Path) -> None:
    pictures = [*(curated / "images").iterdir(), *(curated / "boxes").glob("*.png")]
    assert len(pictures) == 2 * len(rows_of(curated / "pairs.csv"))
    assert {kind for path in pictures for kind in chunks(path.read_bytes())} == {"IHDR", "IDAT", "IEND"}


def chunks(png: bytes) -> Iterator[str]:
    place = 8
    while place < len(png):
        (length,) = struct.unpack_from("!I", png, place)
        yield png[place + 4 : place + 8].decode()
        place += 12 + length


def test_the_same_patient_has_another_name_under_another_key(hospital: Path, curated: Path) -> None:
    names = {row["patient"] for row in rows_of(curated / "labels.csv")}
    ids = {row["PatientID"] for row in rows_of(hospital / "dexa.csv")}
    hashed = {name[:16] for name in shared_reader().hash_keys(sorted(ids), "patient")}
    assert names <= hashed
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)


# --- what training and evaluation read -------------------------------------------------------------------------------


def test_training_sees_what_the_films_show(hospital: Path, curated: Path) -> None:
    cases = {case.study.pixel_hash: case for case in folder_cases(curated, None, "train")}
    assert len(cases) == sum(row["split"] == "train" for row in rows_of(curated / "labels.csv"))
    for path in sorted((hospital / "dicom").iterdir())[:12]:
        try:
            study = shared_reader().read(path.read_bytes())
        except Exception:
            continue
        if (case := cases.get(study.pixel_hash)) is not None:
            np.testing.assert_array_equal(training_array(case), training_array(LabelledCase("", "", study, 0)))
            assert case.study.laterality == study.laterality
            assert case.study.is_phantom
            assert case.study.age_years == study.age_years


def test_evaluation_takes_the_rows_of_a_split(curated: Path, tmp_path: Path) -> None:
    labels = of_split(curated, None, "test", tmp_path)
    expected = [row for row in rows_of(curated / "labels.csv") if row["split"] == "test"]
    assert rows_of(labels) == expected
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(curated, labels, excluded))
    assert [(case.patient, case.target) for case in cases] == [
        (row["patient"], float(row["label"])) for row in expected
    ]
    assert excluded == Counter()
    with pytest.raises(UsageError, match="split"):
        of_split(curated, None, "nowhere", tmp_path)


def test_facts_survive_a_table() -> None:
    study = replace(make_phantom(np.random.default_rng(3)).study(), weight_kg=61.5)
    frame = replace(study.frame, spacing_mm=(0.139, 0.14000000000000001), window=(1024.5, 2000.25))
    study = replace(study, frames=(frame,), age_years=99.0)
    row = facts_of(study, 90)
    assert tuple(row) == FACTS
    bare = Study((Frame(frame.pixels, "relative"),), "0" * 64, "raster")
    again = with_facts(bare, row)
    assert again.frame.spacing_mm == frame.spacing_mm
    assert again.frame.window == frame.window
    assert (again.age_years, again.weight_kg, again.sex, again.is_phantom) == (90, 61.5, study.sex, True)
    assert with_facts(bare, dict.fromkeys(FACTS, "=1+1")).frame == bare.frame
    assert with_facts(bare, {}).tags == {}


@pytest.mark.parametrize(("low", "high"), [(-1000.0, 3000.0), (0.0, 1.0), (0.0, 100_000.0)])
def test_values_that_no_picture_holds_are_stretched_with_their_window(low: float, high: float) -> None:
    pixels = np.linspace(low, high, 64 * 64, dtype=np.float32).reshape(64, 64)
    center, width = (low + high) / 2, (high - low) / 2
    stored = sixteen_bits(Study((Frame(pixels, "relative", None, (center, width)),), "0" * 64, "dicom")).frame
    assert (stored.pixels.min(), stored.pixels.max()) == (0, 65535)
    assert stored.window == pytest.approx((65535 / 2, 65535 / 2))


# --- films one by one ------------------------------------------------------------------------------------------------


def dated(phantom: Phantom, patient: str, day: str, **meta: object) -> bytes:
    return write_dicom(replace(phantom, meta={**phantom.meta, "PatientID": patient, "StudyDate": day, **meta}))


def reasons(folder: Path, films: dict[str, bytes], table: str) -> tuple[int, list[str]]:
    """Exit code, and of every film in the order of its name the reason, "" where it is used."""
    (folder / "dicom").mkdir()
    for name, content in films.items():
        (folder / "dicom" / f"{name}.dcm").write_bytes(content)
    (folder / "dexa.csv").write_text("PatientID,ScanDate,T_score\n" + table)
    code = curate(folder, folder / "out")
    found = (
        {int(row["file_number"]): row["reason"] for row in rows_of(folder / "out" / "excluded.csv")} if not code else {}
    )
    return code, [found.get(number, "") for number in range(1, len(films) + 1)]


def test_pixels_of_two_patients_are_nobodys(tmp_path: Path) -> None:
    one, other = (make_phantom(np.random.default_rng(seed), laterality="L") for seed in (1, 2))
    films = {
        "a": dated(one, "A", "20200101"),
        "b": dated(one, "B", "20200101"),
        "c": dated(other, "C", "20200101"),
        "d": dated(other, "C", "20200101", PatientWeight=50),
        "e": dated(other, "C", "", PatientWeight=51),
    }
    code, found = reasons(tmp_path, films, "A,2020-01-02,-1\nB,2020-01-02,-3\nC,2020-01-02,-3\n")
    assert code == 0
    assert found[:2] == ["same pixels as of another patient"] * 2
    assert sorted(found[2:4]) == ["", "copy of another film"]
    assert found[4] == "no date"


def test_nothing_to_pair_is_said_with_its_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = dated(make_phantom(np.random.default_rng(1)), "SECRET", "20200101")
    code, _ = reasons(tmp_path, {"Chen": film}, "A,2020-01-02,-1\n")
    error = capsys.readouterr().err
    assert code == 2
    assert "1 no DXA scan" in error
    assert "SECRET" not in error
    assert "Chen" not in error


@pytest.mark.parametrize("what", ["a full folder", "no films", "no table"])
def test_calls_that_cannot_work(hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    out, films, table = tmp_path / "out", hospital / "dicom", hospital / "dexa.csv"
    if what == "a full folder":
        out.mkdir()
        (out / "boxes.csv").write_text("reviewed")
    elif what == "no films":
        films = tmp_path / "nowhere"
    else:
        table = tmp_path / "nowhere.csv"
    command = ["curate", "hip_osteoporosis", "--dicom", str(films), "--dexa", str(table), "--out", str(out)]
    assert main(command) == 2
    assert "E_USAGE" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_hospital(tmp_path: Path) -> None:
    for name in ("one", "two"):
        hip_hospital.write_hospital(tmp_path / name, 2, 9, tell_nobody)
    one, two = (sorted(path for path in (tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_hospital_without_a_pair_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hip_hospital, "_KINDS", (0, 0, 0, 0, 0, 0, 0, 1))
    hip_hospital.write_hospital(tmp_path, 1, 9, tell_nobody)
    assert (tmp_path / "truth.csv").read_text() == "film,dexa_row,days,t_score,source,label,split\n"
