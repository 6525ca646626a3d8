"""Boxes of the femoral neck: proposed, reviewed in LabelImg, read back, and cut by training."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, ramp
from PIL import Image

from core.cli.main import main
from core.curation.boxes import LABEL, read_reviewed, write_proposal
from core.errors import UsageError
from core.io.reader import shared_reader
from core.io.tables import csv_bytes
from core.io.voc import VocError, parse_voc, write_voc
from core.tasks.hip_osteoporosis.data import evaluation_cases, folder_cases
from core.tasks.hip_osteoporosis.locate import locate
from core.tasks.hip_osteoporosis.phantom import make_phantom

FILMS = ("00000000000000aa", "00000000000000bb", "00000000000000cc")
SIZE = (380, 440)
HEAD = ("file", "patient", "label", "split", "laterality", "x_min", "y_min", "x_max", "y_max")


def verified(content: bytes) -> bytes:
    return content.replace(b"<annotation>", b'<annotation verified="yes">')


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    (tmp_path / "boxes").mkdir()
    (tmp_path / "images").mkdir()
    rows = []
    for place, film in enumerate(FILMS):
        (tmp_path / "images" / f"{film}.png").write_bytes(picture(Image.fromarray(ramp()), "png"))
        (tmp_path / "boxes" / f"{film}.xml").write_bytes(write_voc(f"{film}.png", SIZE, [(LABEL, (10, 20, 110, 90))]))
        rows.append((f"images/{film}.png", film, place % 2, "train", "LR"[place % 2], "", "", "", ""))
    (tmp_path / "labels.csv").write_bytes(csv_bytes(HEAD, rows))
    return tmp_path


def mark(data_set: Path, film: str) -> None:
    path = data_set / "boxes" / f"{film}.xml"
    path.write_bytes(verified(path.read_bytes()))


def adopt(data_set: Path, *more: str) -> int:
    command = ["curate", "hip_osteoporosis", "--reviewed", str(data_set / "boxes"), "--out", str(data_set), *more]
    return main(command)


def test_a_proposal_is_the_region_that_training_would_cut(tmp_path: Path) -> None:
    study = make_phantom(np.random.default_rng(4)).study()
    (region,) = locate(study)
    write_proposal(tmp_path, FILMS[0], study.frame, region.box_xyxy)
    found = parse_voc((tmp_path / f"{FILMS[0]}.xml").read_bytes())
    rows, columns = study.frame.pixels.shape[:2]
    assert (found.file, found.size, found.is_verified) == (f"{FILMS[0]}.png", (columns, rows), False)
    ((name, box),) = found.objects
    assert name == LABEL
    assert box is not None
    inside = np.clip(region.box_xyxy, 0, [columns, rows] * 2)
    np.testing.assert_allclose(box, inside, atol=0.5)
    assert (tmp_path / f"{FILMS[0]}.png").is_file()


def test_voc_counts_pixels_from_one_both_ways() -> None:
    content = write_voc("a&b.png", (300, 200), [("x<y", (10, 20, 110, 90)), ("x", (-5, -5, 999, 999))])
    assert b"<xmin>11</xmin><ymin>21</ymin><xmax>110</xmax><ymax>90</ymax>" in content
    assert parse_voc(content).objects == (("x<y", (10, 20, 110, 90)), ("x", (0, 0, 300, 200)))
    assert parse_voc(content).file == "a&b.png"


def test_reviewed_boxes_are_what_training_cuts(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for film in FILMS[:2]:
        mark(data_set, film)
    assert adopt(data_set, "--reviewer", "=reader 1", "--reviewed-on", "2026-03-04") == 0
    printed = capsys.readouterr().out
    assert "2 reviewed boxes" in printed
    assert "1 files, not marked as verified" in printed
    with (data_set / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["film"], row["x_max"], row["reviewer"], row["reviewed_on"]) for row in rows] == [
        (film, "110", "'=reader 1", "2026-03-04") for film in FILMS[:2]
    ]
    cases = list(folder_cases(data_set, None, "train"))
    assert [case.regions is None for case in cases] == [False, False, True]
    left, right = (case.regions[0] for case in cases[:2] if case.regions)
    assert left.box_xyxy == right.box_xyxy == (10, 5, 110, 105)
    assert (left.laterality, left.mirrored, right.laterality, right.mirrored) == ("L", False, "R", True)
    assert [case.regions for case in evaluation_cases(data_set, None, Counter())] == [None] * 3


def test_unmarked_boxes_are_taken_when_asked(data_set: Path) -> None:
    assert adopt(data_set, "--all") == 0
    assert all(case.regions for case in folder_cases(data_set, None, "train"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (write_voc("a", SIZE, []), f"not one box named {LABEL}"),
        (write_voc("a", SIZE, [("hip", (10, 20, 110, 90))]), f"not one box named {LABEL}"),
        (write_voc("a", SIZE, [(LABEL, (10, 20, 110, 90))] * 2), f"not one box named {LABEL}"),
        (write_voc("a", SIZE, [(LABEL, (10, 20, 20, 90))]), "a box that is too small"),
        (
            write_voc("a", SIZE, [(LABEL, (10, 20, 110, 90))]).replace(b">110<", b">999<"),
            "a box outside its image",
        ),
        (
            write_voc("a", SIZE, [(LABEL, (10, 20, 110, 90))]).replace(b">110<", b">nan<"),
            "a box or a size that is none",
        ),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "XML with a document type"),
        (b"", "XML that cannot be read"),
    ],
)
def test_boxes_that_are_none_are_counted(data_set: Path, content: bytes, reason: str) -> None:
    (data_set / "boxes" / f"{FILMS[1]}.xml").write_bytes(content)
    (data_set / "boxes" / "Chen_Mei.xml").write_bytes(write_voc("a", SIZE, [(LABEL, (10, 20, 110, 90))]))
    found = read_reviewed(shared_reader(), data_set / "boxes", is_marked=False)
    assert sorted(found.boxes) == [FILMS[0], FILMS[2]]
    assert found.left_out == Counter({reason: 1, "not named like a film": 1})


def test_calls_that_cannot_work(data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt(data_set, "--reviewed-on", "spring") == 2
    (data_set / "labels.csv").write_text("file,patient\na,b\n")
    assert adopt(data_set, "--all") == 2
    assert "labels.csv has no column" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no XML file"):
        read_reviewed(shared_reader(), tmp_path / "nowhere", is_marked=True)


@pytest.mark.parametrize(
    "box", [("1", "2", "", "9"), ("1", "2", "x", "9"), ("5", "5", "5", "5"), ("1", "2", "nan", "9")]
)
def test_training_refuses_a_box_that_is_none(data_set: Path, box: tuple[str, ...]) -> None:
    row = (f"images/{FILMS[0]}.png", "p", 1, "train", "L", *box)
    (data_set / "labels.csv").write_bytes(csv_bytes(HEAD, [row]))
    with pytest.raises(UsageError, match="reviewed box"):
        list(folder_cases(data_set, None, "train"))


def test_xml_that_is_too_large_is_refused() -> None:
    with pytest.raises(VocError, match="too large"):
        parse_voc(b" " * (2**20 + 1))
