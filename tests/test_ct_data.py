"""Labelled CT slices: phantoms by patient, real slices with measured and with shifted HU, tables of a hospital."""

import csv
import shutil
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.cli.main import main
from core.errors import UsageError
from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.records import LabelledCase
from core.tasks.ct_osteoporosis.data import (
    background_cases,
    evaluation_cases,
    folder_cases,
    hu_class,
    measured_cases,
    phantom_cases,
    training_array,
)
from core.tasks.ct_osteoporosis.locate import find_body, roi_mean, trabecular_mask
from core.tasks.ct_osteoporosis.phantom import make_phantom
from core.tasks.ct_osteoporosis.task import ROI_MM

COLUMNS = ("file", "subject", "roi_x", "roi_y", "roi_hu")


@cache
def phantom(seed: int, t_score: float = 0.0) -> Phantom:
    return make_phantom(np.random.default_rng([71, seed]), t_score=t_score, kernel="standard")


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def measured_row(name: str, one: Phantom, **changes: object) -> dict[str, object]:
    x, y = one.truth["body_xy"]
    facts = {"file": name, "subject": "A", "roi_x": round(x, 1), "roi_y": round(y, 1), "roi_hu": 150.0}
    return facts | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slices of one subject and one of another, with index.csv, and a file that is no image."""
    rows = []
    for number, (subject, hu) in enumerate((("A", 180.0), ("A", 130.0), ("B", 60.0))):
        name = f"{subject}/{number}.dcm"
        (tmp_path / subject).mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(write_dicom(phantom(number % 2)))
        rows.append(measured_row(name, phantom(number % 2), subject=subject, roi_hu=hu))
    (tmp_path / "B" / "notes.dcm").write_bytes(b"no image at all")
    rows.insert(1, measured_row("B/notes.dcm", phantom(0), subject="B"))
    rows.append(measured_row("B/missing.dcm", phantom(0), subject="B"))
    rows.append(measured_row("../outside.dcm", phantom(0), subject="B"))
    write_table(tmp_path / "index.csv", rows)
    return tmp_path


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hu", "label"),
    [(-30.0, 2), (109.9, 2), (110.0, 1), (110.1, 1), (159.9, 1), (160.0, 1), (160.1, 0), (400.0, 0)],
)
def test_classes_of_measured_hu(hu: float, label: int) -> None:
    """Pickhardt 2013: below 110 HU, 110 to 160 HU, above 160 HU."""
    assert hu_class(hu) == label


# --- phantoms --------------------------------------------------------------------------------------------------------


def test_training_has_three_slices_of_each_patient_and_test_one() -> None:
    training, test = (list(phantom_cases(9, part, n)) for part, n in (("training", 7), ("test", 3)))
    assert Counter(case.patient for case in training) == {
        "training-00000": 3,
        "training-00001": 3,
        "training-00002": 1,
    }
    assert [case.patient for case in test] == ["test-00000", "test-00001", "test-00002"]
    assert not {case.patient for case in training} & {case.patient for case in test}
    cases = training + test
    assert len({case.case_id for case in cases}) == len({case.study.pixel_hash for case in cases}) == 10
    assert {case.target for case in cases} <= {0.0, 1.0, 2.0}
    for one, other in pairwise(training):  # slices of a patient share scanner, age and label
        facts = [(c.study.age_years, c.study.frame.spacing_mm, c.study.tags["KVP"], c.target) for c in (one, other)]
        assert (facts[0] == facts[1]) == (one.patient == other.patient)


def test_phantom_cases_repeat_with_their_seed() -> None:
    first, again, other = (
        [case.study.pixel_hash for case in phantom_cases(seed, "training", 2)] for seed in (9, 9, 10)
    )
    assert first == again
    assert not set(first) & set(other)


def test_training_array_is_cut_from_the_body() -> None:
    stored = training_array(next(phantom_cases(9, "test", 1)))
    assert (stored.shape, stored.dtype) == ((192, 192), np.int16)
    assert -600 <= stored.min() < 0 < stored.max() <= 1024


# --- measured slices -------------------------------------------------------------------------------------------------


def test_measured_slices_have_their_class_subject_and_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    excluded: Counter[str] = Counter()
    cases = list(measured_cases(folder, excluded))
    assert [(case.patient, case.target, case.reference) for case in cases] == [
        ("A", 0.0, 180.0),
        ("A", 1.0, 130.0),
        ("B", 2.0, 60.0),
    ]
    assert len({case.case_id for case in cases}) == 3
    for case, one in zip(cases, (phantom(0), phantom(1), phantom(0)), strict=True):
        assert case.centre_xy == pytest.approx(one.truth["body_xy"], abs=0.1)
        assert case.regions is not None
        x0, y0, x1, y1 = case.regions[0].box_xyxy
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(one.truth["body_xy"], abs=6)
    assert excluded == {"E_NOT_IMAGE": 1, "cannot be opened": 1, "E_USAGE": 1}
    assert "notes" not in capsys.readouterr().err  # names of files stay out of the log


@pytest.mark.parametrize("column", ["roi_x", "roi_y", "roi_hu"])
@pytest.mark.parametrize("value", ["", "dense", "nan"])
def test_measurement_that_is_no_number_is_a_usage_error(tmp_path: Path, column: str, value: str) -> None:
    (tmp_path / "a.dcm").write_bytes(write_dicom(phantom(0)))
    write_table(tmp_path / "index.csv", [measured_row("a.dcm", phantom(0), **{column: value})])
    with pytest.raises(UsageError, match=column):
        list(measured_cases(tmp_path))


def test_index_without_a_column_is_a_usage_error(tmp_path: Path) -> None:
    write_table(tmp_path / "index.csv", [{"file": "a.dcm", "subject": "A"}])
    with pytest.raises(UsageError, match="roi_x, roi_y, roi_hu"):
        list(measured_cases(tmp_path))


# --- shifted slices --------------------------------------------------------------------------------------------------


def by_slice(cases: list[LabelledCase]) -> list[tuple[LabelledCase, list[LabelledCase]]]:
    """Every measured slice with its shifted copies."""
    originals = [case for case in cases if case.reference is not None]
    return [(one, [c for c in cases if c.case_id.startswith(f"{one.case_id}-shifted")]) for one in originals]


def changed(one: LabelledCase, copy: LabelledCase) -> np.ndarray:
    return copy.study.frame.pixels - one.study.frame.pixels


def test_the_class_of_a_copy_scatters_around_its_hu(folder: Path) -> None:
    """Far from a threshold the class is that of the HU; at a threshold either side comes up; classes are balanced."""
    found = Counter[float]()
    agree, near = [], []
    for one, copies in by_slice(list(background_cases(folder, 5, 60))):
        assert one.reference is not None
        for copy in copies:
            difference = changed(one, copy)
            drawn = one.reference + float(difference.ravel()[np.abs(difference).argmax()])
            found[copy.target] += 1
            is_near = min(abs(drawn - 110), abs(drawn - 160)) < 8
            (near if is_near else agree).append(hu_class(drawn) == copy.target)
    assert 0.5 < np.mean(near) < 0.9
    assert np.mean(agree) > 0.85
    assert all(0.2 < n / sum(found.values()) < 0.46 for n in found.values())


def test_copies_stay_with_their_patient(folder: Path) -> None:
    cases = list(background_cases(folder, 5, 3))
    slices = by_slice(cases)
    assert [(len(copies), {c.patient for c in copies}) for _, copies in slices] == [(3, {"A"}), (3, {"A"}), (3, {"B"})]
    for one, copies in slices:
        assert {copy.regions for copy in copies} == {one.regions}
        assert all(copy.reference is None for copy in copies)
    assert len(cases) == len({case.case_id for case in cases}) == len({case.study.pixel_hash for case in cases}) + 1
    again = [case.study.pixel_hash for case in background_cases(folder, 5, 3)]
    assert again == [case.study.pixel_hash for case in cases]


def test_slice_whose_body_lies_elsewhere_is_not_shifted(tmp_path: Path) -> None:
    """The shift would change another place than the one that was measured."""
    (tmp_path / "a.dcm").write_bytes(write_dicom(phantom(0)))
    x, y = phantom(0).truth["body_xy"]
    write_table(tmp_path / "index.csv", [measured_row("a.dcm", phantom(0), roi_x=x + 30, roi_y=y)])
    cases = list(background_cases(tmp_path, 5, 3))
    assert [case.target for case in cases] == [1.0]


@pytest.mark.realdata
def test_shift_moves_the_trabecular_bone_of_real_slices_and_nothing_else(data_dir: Path, tmp_path: Path) -> None:
    """On two slices, of a lung and of a standard kernel, whose found outline holds the measured ellipse."""
    source = data_dir / "ct_vertebra"
    with (source / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[50:120:65]
    for number, row in enumerate(rows):
        shutil.copy(source / row["file"], tmp_path / f"{number}.dcm")
    kept = [{column: row[column] for column in COLUMNS} | {"file": f"{i}.dcm"} for i, row in enumerate(rows)]
    write_table(tmp_path / "index.csv", kept)
    slices = by_slice(list(background_cases(tmp_path, 11, 6)))
    assert len(slices) == 2
    for one, copies in slices:
        frame, reference = one.study.frame, one.reference
        assert frame.spacing_mm is not None
        assert reference is not None
        assert one.centre_xy is not None
        body = find_body(frame.pixels, frame.spacing_mm)
        assert body is not None
        mask = trabecular_mask(body, frame.pixels.shape, frame.spacing_mm)
        measured = roi_mean(frame.pixels, frame.spacing_mm, *one.centre_xy)
        assert measured == pytest.approx(reference, abs=3)
        covered = roi_mean(mask, frame.spacing_mm, *one.centre_xy)
        assert 0.9 <= covered <= 1
        for copy in copies:
            difference = changed(one, copy)
            shift = float(difference.ravel()[np.abs(difference).argmax()])
            drawn = reference + shift * covered
            assert 35 <= drawn <= 270
            after = roi_mean(copy.study.frame.pixels, frame.spacing_mm, *one.centre_xy)
            assert after == pytest.approx(drawn, abs=3)
            assert not difference[mask == 0].any()
            assert difference[mask == 1] == pytest.approx(shift, abs=1e-3)
            area_mm2 = (difference != 0).sum() * np.prod(frame.spacing_mm)
            assert area_mm2 < 60 * 50  # a vertebral body, not the trunk
            assert area_mm2 > np.pi / 4 * np.prod(ROI_MM)


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_evaluation_takes_measured_hu_where_the_folder_has_them(folder: Path) -> None:
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(folder, None, excluded))
    assert [case.target for case in cases] == [0.0, 1.0, 2.0]
    assert [case.reference for case in cases] == [180.0, 130.0, 60.0]
    assert sum(excluded.values()) == 3


def test_evaluation_takes_the_truth_of_written_phantoms(tmp_path: Path) -> None:
    arguments = ["phantom", "ct_osteoporosis", "--out", str(tmp_path), "--n", "2", "--slices", "2", "--seed", "6"]
    assert main(arguments) == 0
    cases = list(evaluation_cases(tmp_path, None, Counter()))
    with (tmp_path / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = list(csv.DictReader(file))
    assert [case.target for case in cases] == [float(row["label"]) for row in truth]
    assert len(cases) == 4
    assert [case.patient for case in cases] == [row["patient"] for row in truth]
    assert cases[0].patient == cases[1].patient != cases[2].patient == cases[3].patient
    assert all(case.study.is_phantom and case.reference is None for case in cases)


def test_evaluation_prefers_the_labels_that_are_given(folder: Path, tmp_path: Path) -> None:
    labels = write_table(
        tmp_path / "labels.csv",
        [
            {"file": "A/0.dcm", "label": 2, "patient": "p1"},
            {"file": "B/2.dcm", "label": 0, "patient": ""},
            {"file": "B/notes.dcm", "label": 1, "patient": "p2"},
        ],
    )
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(folder, labels, excluded))
    assert [(case.patient, case.target) for case in cases] == [("p1", 2.0), ("B/2.dcm", 0.0)]
    assert excluded == {"E_NOT_IMAGE": 1}


@pytest.mark.parametrize("label", ["3", "-1", "osteoporosis", "", "1.0"])
def test_unknown_label_is_a_usage_error(folder: Path, tmp_path: Path, label: str) -> None:
    labels = write_table(tmp_path / "labels.csv", [{"file": "A/0.dcm", "label": label}])
    with pytest.raises(UsageError, match="0 to 2"):
        list(evaluation_cases(folder, labels, Counter()))


def test_folder_without_any_table_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth\.csv"):
        list(evaluation_cases(tmp_path, None, Counter()))


def test_hospital_folder_is_split_by_its_table(folder: Path, tmp_path: Path) -> None:
    labels = write_table(
        tmp_path / "labels.csv",
        [
            {"file": "A/0.dcm", "patient": "p1", "label": 2, "split": "train"},
            {"file": "A/1.dcm", "patient": "p1", "label": 1, "split": "train"},
            {"file": "B/2.dcm", "patient": "p2", "label": 0, "split": "test"},
        ],
    )
    training, test = (list(folder_cases(folder, labels, split)) for split in ("train", "test"))
    assert [(case.patient, case.target) for case in training] == [("p1", 2.0), ("p1", 1.0)]
    assert [(case.patient, case.target) for case in test] == [("p2", 0.0)]
    assert not {case.case_id for case in training} & {case.case_id for case in test}
