"""Labelled chest films: phantoms, composites, marked hearts and a hospital's folder give films, boxes and patients."""

import json
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from task_manifests import manifest_of

from core.errors import UsageError
from core.imaging.display import to_bytes, to_display
from core.phantom import Phantom
from core.records import LabelledCase
from core.tasks.chest_lesions import data, lungs
from core.tasks.chest_lesions.landmarks import Masks, find_landmarks
from core.tasks.chest_lesions.nih import Part
from core.tasks.chest_lesions.phantom import make_phantom
from core.tasks.chest_lesions.task import FILM_SIDE, SIDE, TASK
from tests.test_chest_landmarks import drawn_masks

HEART, _, AORTA = (label.id for label in TASK.labels[:3])


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- phantoms --------------------------------------------------------------------------------------------------------


def test_phantom_cases_carry_the_truth_of_the_phantom() -> None:
    (case,) = data.phantom_cases(5, "training", 1)
    phantom = make_phantom(np.random.default_rng([5, 0, 0]))
    assert list(case.boxes) == phantom.truth["boxes"]
    assert case.target == float(bool(case.boxes))
    assert case.markers == tuple(phantom.markers.values())
    stored, boxes = data.training_array(case), data.training_boxes(case)
    assert (stored.shape, stored.dtype) == ((SIDE, SIDE), np.uint8)
    shown = Image.fromarray(to_display(case.study.frame)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    inner = (slice(2, -2),) * 2  # around the film there is black
    assert np.abs(stored - np.asarray(shown) * 255)[inner].max() <= 0.5
    assert (boxes.shape, boxes.dtype) == ((len(case.boxes), 5), np.float32)
    for row, (label, box) in zip(boxes, case.boxes, strict=True):
        assert TASK.labels[int(row[4]) - 1].id == label
        assert row[:4] == pytest.approx(np.array(box) * SIDE / FILM_SIDE, abs=1e-3)


def test_parts_share_no_patient() -> None:
    cases = [next(data.phantom_cases(5, part, 1)) for part in ("training", "test")]
    assert cases[0].patient != cases[1].patient
    assert cases[0].study.pixel_hash != cases[1].study.pixel_hash


# --- composites ------------------------------------------------------------------------------------------------------


@cache
def normal() -> Phantom:
    """A normal film stands for a real one: its masks are known."""
    findings = {label.id: 0.05 for label in TASK.labels}
    return make_phantom(np.random.default_rng([94, 0]), findings=findings)


def find(film: NDArray[np.float32]) -> NDArray[np.bool_]:
    assert (film.shape, film.dtype) == ((FILM_SIDE, FILM_SIDE), np.float32)
    return np.stack([np.asarray(normal().truth[name]) for name in ("heart", "right_lung", "left_lung")])


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients whose film can be a base, and one row for every reason why a film cannot."""
    folder = tmp_path_factory.mktemp("nih")
    rows = [f"{n}.png,{n},44,PA,No Finding" for n in range(6)]
    others = [
        "7.png,7,44,AP,No Finding",
        "8.png,8,44,PA,Infiltration",
        "9.png,9,12,PA,No Finding",
        "10.png,10,,PA,No Finding",
    ]
    table(folder / "index.csv", "image,patient,age,view,labels", *rows, *others)
    shown = to_bytes(to_display(normal().study().frame))
    for n in range(11):
        write(folder / f"images/{n}.png", shown)
    return folder


@pytest.fixture(scope="module")
def composites(nih: Path) -> list[LabelledCase]:
    return list(data.composite_cases(nih, find, 3, "training", 7))


def test_composites_come_from_normal_pa_films_of_adults(composites: list[LabelledCase], nih: Path) -> None:
    assert len(composites) == 7
    patients = Counter(case.patient for case in composites)
    assert set(patients) < {f"nih-{n}" for n in range(6)}
    assert sorted(patients.values()) == [1, 1, 1, 2, 2]
    tested = {case.patient for case in data.composite_cases(nih, find, 3, "test", 1)}
    assert len(tested) == 1
    assert not tested & set(patients)


def test_composites_differ_and_are_boxed_where_something_is_drawn(composites: list[LabelledCase]) -> None:
    base = to_display(normal().study().frame)
    assert len({case.study.pixel_hash for case in composites}) == 7
    assert len({case.case_id for case in composites}) == 7
    assert {case.target for case in composites} == {0.0, 1.0}
    for case in composites:
        pixels = case.study.frame.pixels
        assert (pixels.shape, pixels.dtype) == ((FILM_SIDE, FILM_SIDE), np.float32)
        assert np.corrcoef(pixels.ravel(), base.ravel())[0, 1] > 0.8
        assert case.target == float(bool(case.boxes))
        boxes = data.training_boxes(case)
        assert (boxes[:, :2] < boxes[:, 2:4]).all()
        assert set(boxes[:, 4]) <= set(range(1, 8))


def test_the_same_seed_gives_the_same_composite(composites: list[LabelledCase], nih: Path) -> None:
    again = next(data.composite_cases(nih, find, 3, "training", 7))
    assert again.study.pixel_hash == composites[0].study.pixel_hash
    assert again.boxes == composites[0].boxes


def test_films_without_a_heart_are_left_out_and_named(nih: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def nothing(film: NDArray[np.float32]) -> NDArray[np.bool_]:
        return np.zeros((3, *film.shape), bool)

    assert list(data.composite_cases(nih, nothing, 3, "training", 2)) == []
    assert capsys.readouterr().err.count("no heart between two lungs") == 2


def worded(nih: Path, part: Part) -> dict[str, dict[str, float]]:
    """Presence of every label that is known, by case."""
    names = [label.id for label in TASK.labels]
    cases = list(data.worded_cases(nih, 3, part))
    assert all(case.boxes == () for case in cases)
    return {
        case.case_id: {name: value for name, value in zip(names, case.presence, strict=True) if value == value}
        for case in cases
    }


def test_words_of_held_out_patients_are_measured_and_those_of_others_learnt(tmp_path: Path) -> None:
    """Rare words are never trained on, nor what may be an infiltrate under another name."""
    words = ["No Finding", "Infiltration", "Pneumonia", "Effusion|Infiltration", "Hernia", "Cardiomegaly", "Effusion"]
    rows = [f"{n}.png,{n},44,AP,{words[n % 7]}" for n in range(70)]
    table(tmp_path / "index.csv", "image,patient,age,view,labels", *rows)
    shown = to_bytes(to_display(normal().study().frame))
    for n in range(70):
        write(tmp_path / f"images/{n}.png", shown)
    training, test = worded(tmp_path, "training"), worded(tmp_path, "test")
    assert not set(training) & set(test)
    assert {f"nih-{n}" for n in range(70) if words[n % 7] == "Cardiomegaly"} < set(test)
    drawn = {name for name in test if words[int(name.removeprefix("nih-")) % 7] not in ("Cardiomegaly", "Pneumonia")}
    assert {f"nih-{n}" for n in range(70) if words[n % 7] == "Pneumonia"} < set(test)
    assert len(drawn) == pytest.approx(50 // 3, abs=4)
    assert len(training) + len(test) == 70
    for name, known in training.items():
        own = words[int(name.removeprefix("nih-")) % 7]
        assert own not in ("Pneumonia", "Cardiomegaly")
        assert known == {"lung_field_infiltration": float("Infiltration" in own)}
    for name, known in test.items():
        own = words[int(name.removeprefix("nih-")) % 7].split("|")
        assert known == {label: float(word in own) for label, word in data.FINDINGS.items()}


def test_films_with_words_and_composites_share_their_held_out_patients(nih: Path) -> None:
    def patients(part: Part) -> set[str]:
        both = [*data.composite_cases(nih, find, 3, part, 7), *data.worded_cases(nih, 3, part)]
        return {case.patient for case in both}

    assert not patients("training") & patients("test")


def test_an_index_without_a_base_is_an_error(tmp_path: Path) -> None:
    table(tmp_path / "index.csv", "image,patient,age,view,labels", "7.png,7,44,AP,No Finding")
    with pytest.raises(UsageError, match="names no PA film"):
        next(data.composite_cases(tmp_path, find, 1, "training", 1))


# --- real hearts and lungs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn films of 400 x 380 pixels, the last one the swapped one; hearts of 0.41 and 0.52 of the thorax."""
    folder = tmp_path_factory.mktemp("marked")
    names = ["case_000.png", "case_001.png", data.SWAPPED]
    for name, half in zip(names, (60, 75, 60), strict=True):
        masks = drawn_masks(heart_half=half)
        film = np.where(masks.heart, 200, np.where(masks.right_lung | masks.left_lung, 40, 120)).astype(np.uint8)
        write(folder / "images" / name, film)
        for part in ("heart", "right_lung", "left_lung"):
            write(folder / part / name, getattr(masks, part).astype(np.uint8) * 255)
    table(folder / "index.csv", "image,ctr", *(f"{name}," for name in names))
    return folder


def test_marked_cases_hold_the_masks_but_for_the_swapped_film(marked: Path) -> None:
    cases = list(data.marked_cases(marked))
    assert [case.case_id for case in cases] == ["heart-lung-case_000", "heart-lung-case_001"]
    truth = drawn_masks(heart_half=60)
    label_map = cases[0].label_map
    assert label_map is not None
    for kind, mask in zip(lungs.CHANNELS, (truth.heart, truth.right_lung, truth.left_lung), strict=True):
        assert np.array_equal(label_map == kind, mask)


def test_film_and_map_are_stored_on_the_same_pixels(marked: Path) -> None:
    case = next(data.marked_cases(marked))
    film, label_map = data.heart_lung.training_array(case), data.heart_lung.training_map(case)
    assert film.shape == label_map.shape == (lungs.SIDE, lungs.SIDE)
    assert film.dtype == label_map.dtype == np.uint8
    for kind, grey in ((lungs.HEART, 200), (lungs.RIGHT_LUNG, 40), (lungs.LEFT_LUNG, 40)):
        own = film[label_map == kind]
        assert (own == np.median(own)).mean() > 0.9
        assert np.median(own) == pytest.approx((grey - 40) / 160 * 255, abs=2)
        assert np.sum(label_map == kind) == pytest.approx(np.sum(case.label_map == kind) * (256 / 400) ** 2, rel=0.02)
    assert (label_map[:, :6] == 0).all()  # 20 columns narrower than high: margins


def test_hearts_wider_than_half_the_thorax_have_a_box(marked: Path) -> None:
    narrow, wide = data.evaluation_cases(marked, None, Counter())
    assert (narrow.boxes, narrow.target) == ((), 0.0)
    ((label, box),) = wide.boxes
    assert (label, wide.target) == (HEART, 1.0)
    assert box == pytest.approx((130, 178, 280, 302), abs=1)
    assert data.training_boxes(wide)[0, :4] == pytest.approx((np.array(box) + [10, 0, 10, 0]) * SIDE / 400, abs=0.01)


def test_a_mask_of_another_size_is_an_error(marked: Path, tmp_path: Path) -> None:
    write(tmp_path / "images/a.png", np.tile(np.arange(90, dtype=np.uint8), (90, 1)))
    table(tmp_path / "index.csv", "image", "a.png")
    with pytest.raises(UsageError, match=r"right_lung/a\.png cannot be opened"):
        next(data.marked_cases(tmp_path))
    for part in ("heart", "right_lung", "left_lung"):
        write(tmp_path / part / "a.png", np.eye(80, dtype=np.uint8) * 255)
    with pytest.raises(UsageError, match="another size"):
        next(data.marked_cases(tmp_path))


# --- a hospital's folder ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        write(folder / name, rng.integers(0, 255, (200, 300)).astype(np.uint8))
    table(
        folder / "boxes.csv",
        "file,label,x_min,y_min,x_max,y_max",
        "a.png,心脈肥大,100,50,200,150",
        f"a.png,{AORTA},120,20,350,90",
        "b.png,normal,,,,",
        f"c.png,{AORTA},310,20,350,90",
        "c.png,nonsense,10,20,50,90",
        f"gone.png,{AORTA},10,20,50,90",
    )
    return folder


def test_boxes_of_a_table(hospital: Path) -> None:
    excluded = Counter[str]()
    cases = list(data.evaluation_cases(hospital, None, excluded))
    found = {case.patient: case.boxes for case in cases}
    assert found == {
        "a.png": ((HEART, (100, 50, 200, 150)), (AORTA, (120, 20, 300, 90))),
        "b.png": (),
    }
    assert excluded == {"unknown label": 1, "box outside the image": 1, "cannot be opened": 1}
    a = data.training_boxes(cases[0])
    assert a[0] == pytest.approx(np.array([100, 100, 200, 200, 0]) * SIDE / 300 + [0, 0, 0, 0, 1], abs=0.01)


def test_boxes_of_coco_and_voc_files_are_the_same(hospital: Path, tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 7, "name": HEART}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [100, 50, 100, 100]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    corners = "<xmin>101</xmin><ymin>51</ymin><xmax>200</xmax><ymax>150</ymax>"
    box = f"<object><name>{HEART}</name><bndbox>{corners}</bndbox></object>"
    (tmp_path / "a.xml").write_text(f"<annotation><filename>a.png</filename>{box}</annotation>")
    (tmp_path / "b.xml").write_text("<annotation><filename>b.png</filename></annotation>")
    for labels in (tmp_path / "boxes.json", tmp_path):
        found = {case.patient: case.boxes for case in data.evaluation_cases(hospital, labels, Counter())}
        assert found == {"a.png": ((HEART, (100, 50, 200, 150)),), "b.png": ()}


def test_patients_and_splits(hospital: Path, tmp_path: Path) -> None:
    labels = hospital / "boxes.csv"
    own = [{case.patient for case in data.folder_cases(hospital, labels, split)} for split in ("train", "test")]
    assert own[0] | own[1] == {"a.png", "b.png"}
    assert not own[0] & own[1]
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((hospital / name).read_bytes())
    few = table(tmp_path / "few.csv", "file,label,x,y,w,h", f"a.png,{HEART},10,20,50,90", "b.png,normal,,,,")
    table(tmp_path / "patients.csv", "file,patient,split", "a.png,P1,test", "b.png,P2,train")
    ((train,), (test,)) = (list(data.folder_cases(tmp_path, few, split)) for split in ("train", "test"))
    assert (train.patient, train.boxes, test.patient) == ("P2", (), "P1")
    table(tmp_path / "patients.csv", "file,patient,split", "a.png,P1,test")
    with pytest.raises(UsageError, match="lacks 1 of 2 files"):
        list(data.folder_cases(tmp_path, few, "train"))


def test_a_folder_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--labels"):
        data.folder_cases(tmp_path, None, "train")
    with pytest.raises(UsageError, match=r"boxes\.csv cannot be opened"):
        list(data.evaluation_cases(tmp_path, None, Counter()))


# --- manifest and real films -----------------------------------------------------------------------------------------


def test_the_manifest_is_valid_and_names_every_label() -> None:
    manifest = manifest_of("chest_lesions", "real images, synthetic findings")
    assert manifest.labels == tuple(label.id for label in TASK.labels)
    assert [point.label for point in manifest.operating_points] == list(manifest.labels)
    layers: Any = data.MANIFEST["explanation_layer"]
    assert set(layers) == set(TASK.architectures)
    assert (
        data.background_facts({"training_name": "phantoms", "test_name": "others", "licence": "A"})["kind"]
        == "real images, synthetic findings"
    )


def test_real_hearts_and_lungs(data_dir: Path) -> None:
    for case in islice(data.marked_cases(data_dir / "chest_heart_lung"), 3):
        label_map = data.heart_lung.training_map(case)
        film = data.heart_lung.training_array(case).astype(float)
        heart, right, left = (label_map == kind for kind in lungs.CHANNELS)
        assert film[heart].mean() > film[right | left].mean() + 20
        found = find_landmarks(Masks(heart, right, left))
        assert found is not None
        whole = find_landmarks(Masks(*(case.label_map == kind for kind in lungs.CHANNELS)))
        assert whole is not None
        assert found.width.ratio == pytest.approx(whole.width.ratio, abs=0.02)


def test_real_films_become_composites(data_dir: Path) -> None:
    marked = next(data.marked_cases(data_dir / "chest_heart_lung"))
    masks = np.stack([marked.label_map == kind for kind in lungs.CHANNELS])
    cases = list(data.composite_cases(data_dir / "chest_nih", lambda _: masks, 1, "training", 3))
    assert 1 <= len(cases) <= 3
    assert len({case.patient for case in cases}) == len(cases)
    assert all(data.training_array(case).std() > 20 for case in cases)
