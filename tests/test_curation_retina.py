"""Curation of retinas at several time points: what names say, label maps against the truth of phantoms, and every conflict."""

import csv
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.cli.main import main
from core.curation.hospitals import mask_png
from core.curation.retina_names import Name, read_name
from core.curation.usage import data_set_zip, files_of
from core.io.phantom_file import write_dicom
from core.manifest import DEMO_STATEMENT
from core.phantom import Phantom
from core.tasks.retina_lesions.data import evaluation_cases, folder_cases
from core.tasks.retina_lesions.phantom import make_time_points
from core.tasks.retina_lesions.task import EXUDATE, HAEMORRHAGE, MICROANEURYSM

SIDE = 160
KINDS = {"haemorrhage": "haemorrhage", "exudate": "bright", "microaneurysm": "microaneurysm"}
NOBODY = "Wang_Da-Ming"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def eye(seed: int) -> tuple[Phantom, ...]:
    return make_time_points(np.random.default_rng([31, seed]), size=SIDE, severity=2.0)


def picture(phantom: Phantom) -> bytes:
    """A photograph as cameras export it, with a name in its text."""
    buffer = io.BytesIO()
    image = Image.fromarray(phantom.pixels.astype(np.uint8))
    exif = image.getexif()
    exif[0x010E] = NOBODY
    image.save(buffer, "png", exif=exif)
    return buffer.getvalue()


def write(folder: Path, name: str, phantom: Phantom, content: bytes | None = None, mask: str = "{}_{}.png") -> None:
    """A photograph and its masks."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(phantom) if content is None else content)
    for kind, truth in KINDS.items():
        own = folder / mask.format(Path(name).with_suffix(""), kind)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(mask_png(np.asarray(phantom.truth[truth], bool)))


def curate(folder: Path, out: Path) -> int:
    return main(["curate", "retina_lesions", "--data", str(folder), "--out", str(out)])


@pytest.fixture(scope="module")
def eyes() -> list[tuple[Phantom, ...]]:
    return [eye(number) for number in range(6)]


@pytest.fixture(scope="module")
def made(eyes: list[tuple[Phantom, ...]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six patients: two by folders, the others by file names; a fault in most of them."""
    folder = tmp_path_factory.mktemp("retina") / "eyes"
    for point, phantom in enumerate(eyes[0], 1):
        write(folder, f"{NOBODY}/t{point}.png", phantom)
    for point, phantom in enumerate(eyes[1], 1):
        write(folder, f"B/images/{point}.png", phantom)
    (folder / "B" / "masks").mkdir()
    for path in (folder / "B" / "images").glob("*_*.png"):
        path.rename(folder / "B" / "masks" / path.name)
    for number, name in ((2, "C"), (3, "D"), (4, "E"), (5, "F")):
        for point, phantom in enumerate(eyes[number], 1):
            write(folder, f"{name}_t{point}.png", phantom)
    _spoil(folder, eyes)
    out = tmp_path_factory.mktemp("data") / "curated"
    assert curate(folder, out) == 0
    return folder, out


def _spoil(folder: Path, eyes: list[tuple[Phantom, ...]]) -> None:
    (folder / "C_t3.png").unlink()  # its masks are of no photograph then
    (folder / "C_t4_exudate.png").write_bytes(mask_png(np.zeros((SIDE, SIDE - 1), bool)))
    (folder / "C_t5_exudate.png").write_bytes(mask_png(np.zeros((SIDE, SIDE), bool)))
    shutil.copy(folder / "D_t1.png", folder / "D_t2.png")
    for path in folder.glob("D_t5_*.png"):
        path.unlink()
    (folder / "E_t1.png").write_bytes(picture(eyes[4][0])[:900])
    (folder / "E_t2_haemorrhage.png").write_bytes(mask_png(np.ones((SIDE, SIDE), bool)))
    greys = io.BytesIO()
    Image.fromarray(np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))).save(greys, "png")
    (folder / "E_t3_exudate.png").write_bytes(greys.getvalue())
    (folder / "E_t4_scar.png").write_bytes(mask_png(np.zeros((SIDE, SIDE), bool)))
    shutil.copy(folder / "E_t5.png", folder / "F_t1.png")  # the same pixels as of another patient
    shutil.copy(folder / "F_t2.png", folder / "F_T2.PNG")
    (folder / "F_T2.PNG").write_bytes(picture(eyes[5][0]))  # another photograph at the same place
    (folder / "notes.txt").write_text("seen by Dr. Lin")


def test_every_conflict_has_its_reason_and_its_count(made: tuple[Path, Path]) -> None:
    _, out = made
    reasons = Counter(row["reason"] for row in rows_of(out / "excluded.csv"))
    assert reasons == {
        "mask of no photograph": 3,  # C_t3
        "mask of another size": 1,  # C_t4
        "copy of another photograph": 1,  # D_t1 and D_t2
        "no mask": 1,  # D_t5
        "E_TRUNCATED": 1,  # E_t1
        "mask marks the whole picture": 1,  # E_t2
        "mask with more than two values": 1,  # E_t3
        "mask of an unknown kind": 1,  # E_t4_scar
        "same pixels as of another patient": 2,  # E_t5 and F_t1
        "time point twice": 2,  # F_t2 and F_T2
        "name tells no time point": 1,  # notes.txt
    }
    summary = json.loads((out / "curation.json").read_text())
    assert summary["excluded"] == dict(reasons.most_common())
    labels = rows_of(out / "labels.csv")
    assert len(labels) == 5 + 5 + 3 + 3 + 1 + 3
    assert sum(own["images"] for own in summary["splits"].values()) == len(labels)
    assert sum(own["patients"] for own in summary["splits"].values()) == 6


def test_missing_time_points_and_empty_masks_are_remarks(
    made: tuple[Path, Path], eyes: list[tuple[Phantom, ...]]
) -> None:
    _, out = made
    remarks = Counter(row["remark"] for row in rows_of(out / "remarks.csv"))
    assert remarks["time point missing"] == 2 + 2 + 4 + 2  # of C, D, E and F
    used = {(int(row["time_point"]), row["patient"]) for row in rows_of(out / "labels.csv")}
    gaps = {
        (int(row["time_point"]), row["patient"]) for row in rows_of(out / "remarks.csv") if "missing" in row["remark"]
    }
    assert used & gaps == set()
    assert remarks["empty mask: exudate"] >= 1
    assert json.loads((out / "curation.json").read_text())["remarks"] == dict(remarks.most_common())


def test_all_photographs_of_a_patient_are_on_one_side(made: tuple[Path, Path]) -> None:
    labels = rows_of(made[1] / "labels.csv")
    sides = {(row["patient"], row["split"]) for row in labels}
    assert len(sides) == len({patient for patient, _ in sides}) == 6
    assert {split for _, split in sides} == {"train", "test"}


def test_training_and_evaluation_read_the_true_label_maps(
    made: tuple[Path, Path], eyes: list[tuple[Phantom, ...]]
) -> None:
    _, out = made
    train, test = (list(folder_cases(out, None, split)) for split in ("train", "test"))
    assert (
        len(train) + len(test) == len(rows_of(out / "labels.csv")) == len(list(evaluation_cases(out, None, Counter())))
    )
    truth = {own.pixels.astype(np.uint8).tobytes(): own for points in eyes for own in points}
    seen = set[int]()
    for case in train + test:
        phantom = truth[case.study.frame.pixels.astype(np.uint8).tobytes()]
        found = case.label_map
        assert found is not None
        red, bright = (np.asarray(phantom.truth[name], bool) for name in ("red", "bright"))
        assert np.array_equal(found == MICROANEURYSM, phantom.truth["microaneurysm"])
        assert np.array_equal(np.isin(found, (MICROANEURYSM, HAEMORRHAGE)), red)
        if (found == EXUDATE).any():  # the mask of C_t5 was made empty
            assert np.array_equal(found == EXUDATE, bright & ~red)
        seen |= set(np.unique(found).tolist())
    assert seen >= {0, MICROANEURYSM, HAEMORRHAGE, EXUDATE}


def test_no_name_leaves_the_data_set(made: tuple[Path, Path]) -> None:
    _, out = made
    data = data_set_zip(out)
    for name in (NOBODY, "Wang", "Lin"):
        assert name.encode() not in data
        assert all(name.encode() not in path.read_bytes() and name not in path.name for path in files_of(out))
    assert len(files_of(out)) == 2 * len(rows_of(out / "labels.csv")) + 4


def test_headers_that_tell_another_patient_than_names(tmp_path: Path) -> None:
    """Two folders of one person, a folder of two persons, and one that fits."""
    folder = tmp_path / "eyes"
    ids = {"A/t1": "1", "B/t1": "1", "C/t1": "2", "C/t2": "3", "D/t1": "4"}
    for number, (name, patient) in enumerate(ids.items()):
        phantom = make_time_points(np.random.default_rng([32, number]), size=SIDE)[0]
        named = Phantom(**{**vars(phantom), "meta": {**phantom.meta, "PatientID": patient}})
        write(folder, f"{name}.dcm", named, write_dicom(named))
    assert curate(folder, tmp_path / "out") == 0
    (row,) = rows_of(tmp_path / "out" / "labels.csv")
    assert row["ImageType"] == "PHANTOM"
    reasons = Counter(own["reason"] for own in rows_of(tmp_path / "out" / "excluded.csv"))
    assert reasons == {"header tells another patient": 4}
    assert json.loads((tmp_path / "out" / "curation.json").read_text())["statement"] == DEMO_STATEMENT


def test_a_folder_without_a_usable_photograph_is_said_with_its_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "eyes"
    write(folder, "A_t1.png", eye(9)[0])
    for path in folder.glob("*_*_*.png"):
        path.unlink()
    assert curate(folder, tmp_path / "out") == 2
    assert "no photograph can be used: no mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("P001_t1.jpg", Name("P001", None, 1)),
        ("P001/t1.jpg", Name("P001", None, 1)),
        ("P001/3.tif", Name("P001", None, 3)),
        ("P001/images/03.png", Name("P001", None, 3)),
        ("P001/masks/3_hard-exudate.png", Name("P001", None, 3, "hard_exudate")),
        ("clinic/P001/t2 MA.png", Name("P001", None, 2, "ma")),
        ("P001_OD_t1.jpg", Name("P001", "R", 1)),
        ("P001/OS/t4_he.png", Name("P001", "L", 4, "he")),
        ("P001/L_t4.png", Name("P001", "L", 4)),
        ("P001_OS_t1_OD.png", Name("P001", "L", 1, "od")),  # the optic disc of a left eye
        ("2020_12_t5_Soft_Exudate.png", Name("2020_12", None, 5, "soft_exudate")),
        ("P001_3.jpg", None),
        ("3.jpg", None),
        ("t1.jpg", None),
        ("images/t1.jpg", None),
        ("P001/left.jpg", None),
        ("P001/t123.jpg", None),
    ],
)
def test_what_names_say(path: str, said: Name | None) -> None:
    assert read_name(path) == said


def test_a_patients_name_is_in_no_repr() -> None:
    assert "P001" not in repr(read_name("P001_t1.jpg"))
