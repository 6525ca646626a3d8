"""Labelled fundus photographs: phantoms by patient, the layout of IDRiD on a made-up folder, tables of a hospital."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_fundus import disc

from core.errors import UsageError
from core.tasks.retina_lesions import data
from core.tasks.retina_lesions.data import evaluation_cases, folder_cases, idrid_cases, phantom_cases
from core.tasks.retina_lesions.phantom import make_phantom
from core.tasks.retina_lesions.task import DISC, EXUDATE, HAEMORRHAGE, MICROANEURYSM

SHAPE = (120, 140)
SPOTS = {1: (40, 50), 2: (60, 70), 3: (80, 60), 4: (70, 90), 5: (50, 90)}  # row and column of each class


def eye(seed: int = 0) -> Image.Image:
    return Image.fromarray(disc(SHAPE, (70, 60, 55), seed=seed))


def mask(*kinds: int) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    for kind in kinds:
        row, column = SPOTS[kind]
        found[row : row + 4, column : column + 5] = kind
    return found


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs with masks of several kinds, and files that can be no photograph or mask."""
    folder = tmp_path_factory.mktemp("eyes")
    (folder / "masks").mkdir()
    masks = {"a": mask(2, 1), "b": mask(1, 4, 5), "c": mask(3)}
    for number, (name, own) in enumerate(masks.items()):
        eye(number).save(folder / f"{name}.png")
        Image.fromarray(own).save(folder / "masks" / f"{name}.png")
    eye().convert("L").save(folder / "grey.png")
    (folder / "notes.png").write_bytes(b"no image at all")
    Image.fromarray(mask(2)[:-1]).save(folder / "masks" / "small.png")
    Image.fromarray(np.where(mask(2), 255, 0).astype(np.uint8)).save(folder / "masks" / "binary.png")
    Image.fromarray(np.repeat(mask(2)[:, :, None], 3, 2) * np.uint8([9, 1, 5])).save(folder / "masks" / "colour.png")
    shutil.copy(folder / "masks" / "a.png", folder.parent / "outside.png")
    return folder


def row(file: str, mask: str = "", patient: str = "", split: str = "train") -> dict[str, str]:
    return {"file": file, "mask": mask, "patient": patient, "split": split}


# --- phantoms --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phantoms of 96 pixels instead of 1024."""
    monkeypatch.setattr(data, "make_phantom", partial(make_phantom, size=96))


@pytest.mark.usefixtures("quick")
def test_training_and_test_share_no_patient_and_no_picture() -> None:
    training, test = (list(phantom_cases(9, part, 4)) for part in ("training", "test"))
    assert len({case.patient for case in training + test}) == 8
    assert len({case.study.pixel_hash for case in training + test}) == 8
    assert len({case.case_id for case in training + test}) == 8
    again, other = (list(phantom_cases(seed, "training", 2)) for seed in (9, 10))
    assert [case.study.pixel_hash for case in again] == [case.study.pixel_hash for case in training[:2]]
    assert other[0].study.pixel_hash != training[0].study.pixel_hash


@pytest.mark.usefixtures("quick")
def test_label_map_of_a_phantom_agrees_with_its_truth() -> None:
    kinds = set[int]()
    for index, case in enumerate(phantom_cases(11, "training", 8)):
        truth = make_phantom(np.random.default_rng([11, 0, index]), size=96).truth
        found = case.label_map
        assert found is not None
        assert np.array_equal(found == MICROANEURYSM, truth["microaneurysm"])
        assert np.array_equal(found == HAEMORRHAGE, truth["haemorrhage"] & ~truth["microaneurysm"])
        assert np.array_equal(found == EXUDATE, truth["bright"] & ~truth["red"])
        assert np.array_equal(found == DISC, truth["disc"] & ~truth["bright"] & ~truth["red"])
        assert case.target == float(np.isin(found, (HAEMORRHAGE, EXUDATE)).any())
        kinds |= set(np.unique(found))
    assert kinds == {0, MICROANEURYSM, HAEMORRHAGE, EXUDATE, DISC}


# --- IDRiD -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def idrid(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("idrid")
    for name in ("images_1024", "labels_1024", "normal_1024"):
        (folder / name).mkdir()
    for number, name in enumerate("abc"):
        eye(number).save(folder / "images_1024" / f"IDRiD_{number:02d}.jpg", quality=95)
        shutil.copy(made / "masks" / f"{name}.png", folder / "labels_1024" / f"IDRiD_{number:02d}.png")
    eye(7).save(folder / "normal_1024" / "normal_000.jpg", quality=95)
    (folder / "normal_1024" / "normal_001.jpg").write_bytes(b"\xff\xd8\xff cut short")
    return folder


def test_idrid_is_eyes_with_lesions_and_eyes_without(idrid: Path) -> None:
    excluded: Counter[str] = Counter()
    cases = list(idrid_cases(idrid, excluded))
    assert [case.case_id for case in cases] == ["IDRiD_00", "IDRiD_01", "IDRiD_02", "normal_000"]
    assert [case.target for case in cases] == [1, 0, 1, 0]  # microaneurysms, soft exudates and the disc are no target
    assert len({case.patient for case in cases}) == 4
    for case, wanted in zip(cases, (mask(2, 1), mask(1, 4, 5), mask(3), mask()), strict=True):
        assert np.array_equal(case.label_map, wanted)
        assert case.label_map is not None
        assert case.label_map.dtype == np.uint8
    assert excluded == {"E_TRUNCATED": 1}


def test_idrid_is_found_where_its_folders_are(idrid: Path, made: Path) -> None:
    assert len(list(evaluation_cases(idrid, None, Counter()))) == 4
    assert len(list(data.background_cases(idrid, 3, 12))) == 4
    write_table(made / "truth.csv", [row("a.png", "masks/a.png", "p1")])
    (case,) = evaluation_cases(made, None, Counter())
    assert (case.patient, case.target) == ("p1", 1)


@pytest.mark.realdata
def test_real_idrid_has_its_number_of_eyes_and_lesions(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 34 photographs with masks 2 are read; 60 are without."""
    folder = data_dir / "retina_idrid"
    names = sorted(path.name for path in (folder / "images_1024").glob("*.jpg"))
    assert len(names) == 34
    assert len(list((folder / "normal_1024").glob("*.jpg"))) == 60
    table = [row(f"images_1024/{name}", f"labels_1024/{Path(name).stem}.png") for name in (names[0], names[20])]
    monkeypatch.setattr(data, "truth_table", lambda folder, path, columns: table)
    for case in evaluation_cases(folder, Path("labels.csv"), Counter()):
        assert case.label_map is not None
        shares = [(case.label_map == kind).mean() for kind in (HAEMORRHAGE, EXUDATE, 5)]
        assert 0.0005 < shares[2] < 0.03  # the optic disc
        assert 0 < sum(shares[:2]) < 0.15
        assert case.target == 1


# --- a hospital's table ----------------------------------------------------------------------------------------------


def test_hospital_folder_is_split_by_its_table(made: Path, tmp_path: Path) -> None:
    rows = [row("a.png", "masks/a.png", "p1"), row("b.png", "masks/b.png", "p1"), row("c.png", "", "p2", "test")]
    labels = write_table(tmp_path / "labels.csv", rows)
    training, test = (list(folder_cases(made, labels, split)) for split in ("train", "test"))
    assert [(case.case_id, case.patient, case.target) for case in training] == [
        ("train-00001", "p1", 1),
        ("train-00002", "p1", 0),
    ]
    assert [(case.case_id, case.patient, case.target) for case in test] == [("test-00001", "p2", 0)]
    assert test[0].label_map is not None
    assert not test[0].label_map.any()  # no mask: no lesion


def test_same_name_in_two_folders_is_two_cases(made: Path, tmp_path: Path) -> None:
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        shutil.copy(made / "a.png", tmp_path / folder / "1.png")
    labels = write_table(tmp_path / "labels.csv", [row("left/1.png"), row("right/1.png")])
    cases = list(evaluation_cases(tmp_path, labels, Counter()))
    assert len({case.case_id for case in cases}) == len({case.patient for case in cases}) == 2


def test_hospital_folder_needs_its_table(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--labels"):
        folder_cases(made, None, "train")
    with pytest.raises(UsageError, match="mask"):
        evaluation_cases(made, write_table(tmp_path / "labels.csv", [{"file": "a.png", "patient": ""}]), Counter())
    with pytest.raises(UsageError, match=r"truth\.csv"):
        evaluation_cases(tmp_path / "empty", None, Counter())


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (row("notes.png"), "E_NOT_IMAGE"),
        (row("gone.png"), "cannot be opened"),
        (row("../outside.png"), "E_USAGE"),
        (row("grey.png", "masks/a.png"), "no colour photograph"),
        (row("a.png", "masks/gone.png"), "mask cannot be opened"),
        (row("a.png", "notes.png"), "mask E_NOT_IMAGE"),
        (row("a.png", "../outside.png"), "mask E_USAGE"),
        (row("a.png", "masks"), "mask cannot be opened"),
    ],
)
def test_file_that_cannot_be_read_costs_its_row(
    made: Path, tmp_path: Path, faulty: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_table(tmp_path / "labels.csv", [row("c.png", "masks/c.png"), faulty, row("b.png")])
    excluded: Counter[str] = Counter()
    cases = list(evaluation_cases(made, labels, excluded))
    assert [case.case_id for case in cases] == ["case-00001", "case-00003"]
    assert excluded == {reason: 1}
    assert len(list(folder_cases(made, labels, "train"))) == 2
    assert capsys.readouterr().err == 2 * f"row 2: left out, {reason}\n"  # no name of a file


@pytest.mark.parametrize(("name", "words"), [("small", "size"), ("colour", "grey"), ("binary", "classes 0 to 5")])
@pytest.mark.parametrize("read", [partial(folder_cases, split="train"), partial(evaluation_cases, excluded=Counter())])
def test_mask_that_does_not_fit_is_a_usage_error(
    made: Path, tmp_path: Path, name: str, words: str, read: Callable[..., object]
) -> None:
    """A mask of 0 and 255 too: 255 is no class, and would be taken for what lies beyond the field."""
    labels = write_table(tmp_path / "labels.csv", [row("c.png", "masks/c.png"), row("a.png", f"masks/{name}.png")])
    with pytest.raises(UsageError, match=f"row 2 .*{words}"):
        list(read(made, labels))
