"""The step before an evaluation: what is written, that the evaluation reads it as it reads the labels, and that no name leaks."""

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from io_files import dicom
from PIL import Image
from test_evaluation_boxes import Split, film
from test_retina_data import eye, mask
from test_training_detected import films, published

from core.cli.main import main
from core.engine.loader import Model
from core.errors import FileError, TableError, UsageError
from core.evaluation import checking
from core.evaluation.checking import CHECK, FILES, TRUTH, UNPACKED, check_evaluation
from core.evaluation.located import NO_MASK
from core.evaluation.mapped_table import AMBIGUOUS, CONTRADICTION, NO_IMAGE, NO_ROW, REPEATED, UNREADABLE
from core.io import image_archive
from core.io.image_archive import unpack_zip
from core.io.progress import Progress
from core.io.reader import shared_reader
from core.records import LabelledCase
from core.screening import load
from core.tasks.chest_lesions import data as chest
from core.tasks.chest_lesions.task import TASK as CHEST
from core.tasks.hip_osteoporosis import data as hip
from core.tasks.retina_lesions import data as retina

NAME, ID = "Chen-Mei-Ling", "A123456789"
HEART, _, AORTA = (label.id for label in CHEST.labels[:3])


@pytest.fixture(autouse=True)
def one_image_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_TIMED", 1)


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"export/{file.relative_to(folder)}")
    return path


def table(path: Path, *rows: Sequence[object]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def check(model: Model, data: Path, labels: Path, out: Path, mapping: Path | None = None) -> dict[str, Any]:
    """Into a new folder; the file says what is returned, and names nobody."""
    out.mkdir(exist_ok=True)
    with Progress(out, "loading") as progress:
        found = check_evaluation(model, data, labels, mapping, out, progress)
    text = (out / CHECK).read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(found))
    assert NAME not in text
    assert ID not in text
    return found


def facts(cases: Sequence[LabelledCase]) -> list[tuple[object, ...]]:
    """What tells cases apart, beside their ids, which count the rows."""
    maps = [None if case.label_map is None else case.label_map.tobytes() for case in cases]
    return [
        (case.study.pixel_hash, case.study.laterality, case.target, case.boxes, own)
        for case, own in zip(cases, maps, strict=True)
    ]


# --- a classifier ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films, their truth beside them; one film is there twice."""
    folder = tmp_path_factory.mktemp("hips") / NAME
    assert main(["phantom", "hip_osteoporosis", "--out", str(folder), "--n", "3", "--seed", "4"]) == 0
    (folder / "z copy.dcm").write_bytes((folder / "phantom_4_0001.dcm").read_bytes())
    rows = rows_of(folder / "truth.csv")
    (folder / "truth.csv").unlink()
    named = [
        (row["file"], ID + row["file"][-5], int(row["label"]), place) for place, row in zip("ABA", rows, strict=True)
    ]
    table(folder.parent / "labels.csv", ("Image", "MRN", "diagnosis", "Hospital"), *named)
    return folder


@pytest.mark.parametrize("is_packed", [False, True], ids=["folder", "zip"])
def test_hips_are_evaluated_as_the_check_promised(
    hips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_packed: bool
) -> None:
    data = packed(hips, tmp_path / "films.zip") if is_packed else hips
    labels, out = hips.parent / "labels.csv", tmp_path / "out"
    capsys.readouterr()
    command = ["evaluate", "hip_osteoporosis", "--data"]
    assert main([*command, str(data), "--labels", str(labels), "--out", str(out), "--check"]) == 0
    said = capsys.readouterr()
    kept = (out / CHECK).read_text()
    for text in (said.out, said.err, kept):
        assert NAME not in text
        assert ID not in text
        assert "phantom_4" not in text
    found = json.loads(kept)
    assert (found["n_rows"], found["n_files"], found["n_cases"], found["n_patients"]) == (3, 4, 3, 3)
    assert found["groups"] == {"A": 2, "B": 1}
    assert (found["dropped"], found["same_pixels"]) == ({NO_ROW: 1}, [[2, 4]])
    assert found["seconds_each"] > 0
    assert "3 cases in 4 files and 3 rows" in said.out

    folder = out / UNPACKED if is_packed else hips
    direct = rows_of(labels)
    truth = rows_of(out / TRUTH)
    assert [row["label"] for row in truth] == [row["diagnosis"] for row in direct]
    assert ID not in (out / TRUTH).read_text()
    raw = [(row["Image"], row["diagnosis"], row["MRN"]) for row in direct]
    plain = table(tmp_path / "plain.csv", ("file", "label", "patient"), *raw)
    read = list(hip.evaluation_cases(folder, out / TRUTH, Counter()))
    assert facts(read) == facts(list(hip.evaluation_cases(hips, plain, Counter())))

    given = ["--labels", str(out / TRUTH), "--out", str(out), "--json", str(out / "metrics.json")]
    assert main([*command, str(folder), *given]) == 0
    cases = rows_of(out / "cases.csv")
    assert [row["pixel_hash"] for row in cases] == [case.study.pixel_hash for case in read]
    known = json.loads((out / FILES).read_text())
    assert [known[row["pixel_hash"]]["group"] for row in cases] == ["A", "B", "A"]  # the copy has no row and no group
    assert known[cases[1]["pixel_hash"]]["file"] == truth[1]["file"]


def test_columns_are_those_of_the_mapping(hips: Path, tmp_path: Path) -> None:
    model, labels = load("hip_osteoporosis", None), hips.parent / "labels.csv"
    found = check(model, hips, labels, tmp_path / "first")
    mapping = found["mapping"] | {"group": None, "vocabulary": {"0": 1, "1": 0}}
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    turned = check(model, hips, labels, tmp_path / "second", tmp_path / "mapping.json")
    assert turned["groups"] == {}
    assert turned["classes"] == {"0": found["classes"]["1"], "1": found["classes"]["0"]}
    for missing in (hips.parent / "no.csv", labels):
        with pytest.raises(UsageError, match="cannot be opened"):
            check(model, hips, missing, tmp_path / "third", tmp_path / "no.json")


def test_a_table_that_fits_no_image_leaves_an_empty_truth(hips: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "labels.csv", ("file", "label"), ("nobody.dcm", 1))
    found = check(load("hip_osteoporosis", None), hips, labels, tmp_path / "out")
    assert (found["n_cases"], found["seconds_each"]) == (0, 0)
    assert (tmp_path / "out" / TRUTH).read_text() == "file,patient,label,laterality,group\n"


def test_half_an_archive_is_not_taken_for_the_whole(
    hips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends at once, as a stopped one does, clears nothing up."""

    class Ended(BaseException):
        pass

    def part(path: Path, folder: Path) -> int:
        unpack_zip(path, folder)
        (folder / "names.json").unlink()
        (folder / "000001").unlink()
        raise Ended

    model, archive, out = load("hip_osteoporosis", None), packed(hips, tmp_path / "films.zip"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(image_archive, "unpack_zip", part)
        with pytest.raises(Ended):
            check(model, archive, hips.parent / "labels.csv", out)
    assert check(model, archive, hips.parent / "labels.csv", out)["n_cases"] == 3
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [UNPACKED]


def test_a_file_that_is_no_archive_has_its_code(hips: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        check(load("hip_osteoporosis", None), hips.parent / "labels.csv", hips.parent / "labels.csv", tmp_path / "out")
    assert caught.value.code == "E_ARCHIVE"
    assert not (tmp_path / "out" / CHECK).exists()


# --- a segmenter -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and masks of the same names in folders of their own; one photograph is in two folders."""
    folder = tmp_path_factory.mktemp("eyes") / NAME
    (folder / "photographs").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "again").mkdir()
    for number, (name, kinds) in enumerate({"a": (2, 1), "b": (3,), "c": (), "d": (2,), "e": ()}.items()):
        eye(number).save(folder / "photographs" / f"{name}.png")
        if kinds:
            Image.fromarray(mask(*kinds)).save(folder / "masks" / f"{name}_mask.png")
    eye(9).save(folder / "again" / "d.png")
    (folder / "photographs" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    return folder


@pytest.mark.parametrize("is_packed", [False, True], ids=["folder", "zip"])
def test_photographs_and_masks(eyes: Path, tmp_path: Path, is_packed: bool) -> None:
    labels = table(
        tmp_path / "masks.csv",
        ("File", "Mask", "Patient", "Group"),
        ("photographs/a.png", "a_mask.png", f"{ID}1", "north"),
        ("B", "masks/b_mask", f"{ID}1", "south"),
        ("c.png", "", f"{ID}2", "north"),
        ("c.png", "", f"{ID}2", "north"),
        ("d.png", "d_mask.png", f"{ID}3", "north"),
        ("torn.png", "", f"{ID}4", "north"),
        ("e.png", "e_mask.png", f"{ID}5", "north"),
        ("nobody.png", "", f"{ID}6", "north"),
    )
    data, out = packed(eyes, tmp_path / "eyes.zip") if is_packed else eyes, tmp_path / "out"
    found = check(load("retina_lesions", None), data, labels, out)
    assert (found["n_rows"], found["n_files"], found["n_cases"], found["n_patients"]) == (8, 10, 3, 2)
    assert found["groups"] == {"north": 2, "south": 1}
    assert found["dropped"] == {REPEATED: 1, AMBIGUOUS: 1, UNREADABLE: 1, NO_MASK: 1, NO_IMAGE: 1, NO_ROW: 1}
    assert list(found["unreadable"].values()) == [[found["n_files"]]]
    direct = table(
        tmp_path / "direct.csv",
        ("file", "mask", "patient"),
        ("photographs/a.png", "masks/a_mask.png", "1"),
        ("photographs/b.png", "masks/b_mask.png", "1"),
        ("photographs/c.png", "", "2"),
    )
    folder = out / UNPACKED if is_packed else eyes
    excluded = Counter[str]()
    read = list(retina.evaluation_cases(folder, out / TRUTH, excluded))
    assert facts(read) == facts(list(retina.evaluation_cases(eyes, direct, Counter())))
    assert excluded == {}
    assert read[0].patient == read[1].patient != read[2].patient
    known = json.loads((out / FILES).read_text())
    assert [known[case.study.pixel_hash]["group"] for case in read] == ["north", "south", "north"]


def test_two_masks_of_one_photograph_contradict_each_other(eyes: Path, tmp_path: Path) -> None:
    rows = [("a.png", "a_mask.png"), ("a", "b_mask.png"), ("b.png", "b_mask.png")]
    found = check(
        load("retina_lesions", None), eyes, table(tmp_path / "masks.csv", ("file", "mask"), *rows), tmp_path / "out"
    )
    assert (found["n_cases"], found["dropped"][CONTRADICTION]) == (1, 2)


def test_a_table_of_masks_needs_its_columns(eyes: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "masks.csv", ("photo", "mask"), ("a.png", ""))
    with pytest.raises(TableError, match="file"):
        check(load("retina_lesions", None), eyes, labels, tmp_path / "out")


# --- a detector ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    return Model(published(folder, films()), Split(), torch.device("cpu"), folder)


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six DICOM films of three patients and one without an id; two of them have one name in two folders."""
    folder = tmp_path_factory.mktemp("chests") / NAME
    elements = {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientAge": "050Y"}
    names = ("one/a.dcm", "one/b.dcm", "one/c.dcm", "one/d.dcm", "one/same.dcm", "two/same.dcm")
    for number, name in enumerate(names):
        pixels = np.rint(film(number, 0.3 + 0.05 * number).study.frame.pixels * 255).astype(np.uint8)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(pixels, PatientID=f"{ID}{number // 2}" if number != 3 else None, **elements))
    return folder


BOXES = {
    "a.dcm": [(HEART, (12.0, 12.0, 37.25, 1 / 3 + 37)), (HEART, (1.0, 2.0, 20.0, 30.0)), (AORTA, (40, 8, 60.5, 20))],
    "one/b.dcm": [(HEART, (10.0, 12.0, 37.0, 37.0))],
    "c.dcm": [],
    "d.dcm": [],
    "same.dcm": [(AORTA, (10.0, 12.0, 37.0, 37.0))],
    "nobody.dcm": [(AORTA, (10.0, 12.0, 37.0, 37.0))],
}


def as_csv(path: Path, names: Callable[[str], str] = str) -> Path:
    rows: list[tuple[object, ...]] = [
        (names(name), label, *box) for name, boxes in BOXES.items() for label, box in boxes or [("normal", [""] * 4)]
    ]
    return table(path.with_suffix(".csv"), ("file", "label", "x_min", "y_min", "x_max", "y_max"), *rows)


def as_coco(path: Path) -> Path:
    labels = [HEART, AORTA]
    coco = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(BOXES)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(labels)],
        "annotations": [
            {"image_id": number, "category_id": labels.index(label), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for number, boxes in enumerate(BOXES.values())
            for label, (x0, y0, x1, y1) in boxes
        ],
    }
    path = path.with_suffix(".json")
    path.write_text(json.dumps(coco))
    return path


@pytest.mark.parametrize("form", [as_csv, as_coco])
@pytest.mark.parametrize("is_packed", [False, True], ids=["folder", "zip"])
def test_films_and_boxes(
    chests: Path,
    detector: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: Callable[[Path], Path],
    is_packed: bool,
) -> None:
    data, out = packed(chests, tmp_path / "films.zip") if is_packed else chests, tmp_path / "out"
    found = check(detector, data, form(tmp_path / "boxes"), out)
    assert (found["n_files"], found["n_cases"], found["n_patients"]) == (6, 4, 3)
    assert found["classes"] == {AORTA: 1, HEART: 2, "normal": 2}  # two boxes in one film are one case
    assert found["dropped"] == {AMBIGUOUS: 1, NO_IMAGE: 1}
    folder = out / UNPACKED if is_packed else chests
    direct = as_csv(tmp_path / "direct", lambda name: name if "/" in name else f"one/{name}")
    left = [row for row in rows_of(direct) if "same" not in row["file"] and "nobody" not in row["file"]]
    table(direct, list(left[0]), *[list(row.values()) for row in left])
    read = list(chest.evaluation_cases(folder, out / TRUTH, Counter()))
    wanted = list(chest.evaluation_cases(chests, direct, Counter()))
    assert len(read) == 4
    if form is as_csv:  # COCO states width and height
        assert facts(read) == facts(wanted)
    for own, other in zip(read, wanted, strict=True):
        assert own.study.pixel_hash == other.study.pixel_hash
        assert [label for label, _ in own.boxes] == [label for label, _ in other.boxes]
        assert np.ravel([box for _, box in own.boxes]) == pytest.approx(np.ravel([box for _, box in other.boxes]))

    monkeypatch.setattr("core.screening.load", lambda task, name: detector)
    monkeypatch.setattr("core.tasks.chest_lesions.gate.resembles", lambda grey: None)
    given = ["--labels", str(out / TRUTH), "--out", str(out), "--json", str(out / "metrics.json")]
    assert main(["evaluate", "chest_lesions", "--data", str(folder), *given]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["n"], metrics["n_subjects"], metrics["excluded"]) == (4, found["n_patients"], {})


def test_patients_of_films_are_those_of_the_header(chests: Path, tmp_path: Path) -> None:
    """Two films of one patient are no two patients; a film whose header is silent is a patient, and a table overrules."""
    rows = [(f"one/{name}.dcm", "normal", "", "", "", "") for name in "abcd"]
    labels = table(tmp_path / "boxes.csv", ("file", "label", "x_min", "y_min", "x_max", "y_max"), *rows)
    cases = list(chest.evaluation_cases(chests, labels, Counter()))
    first, second = shared_reader().hash_keys([f"{ID}0", f"{ID}1"], "patient")
    assert [case.patient for case in cases] == [first, first, second, "one/d.dcm"]
    for split in ("train", "test"):  # training cuts by the names of files alone
        assert {case.patient for case in chest.folder_cases(chests, labels, split)} <= {row[0] for row in rows}
    try:
        table(chests / "patients.csv", ("file", "patient", "split"), *[(row[0], "P1", "test") for row in rows])
        assert {case.patient for case in chest.evaluation_cases(chests, labels, Counter())} == {"P1"}
    finally:
        (chests / "patients.csv").unlink()
