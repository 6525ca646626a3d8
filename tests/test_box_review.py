"""Reviewing proposed boxes: what is decided is on the disk at once, by whom, and `curate --reviewed` takes it over."""

import csv
import json
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from io_files import picture
from PIL import Image

from core.cli.main import main
from core.curation import box_review
from core.curation.box_review import BoxReview, Picture
from core.curation.box_sources import N_PHANTOMS, NO_PICTURE, ODD_NAME, pack_folder, sort_upload, write_phantoms
from core.curation.boxes import LABEL
from core.curation.reviews import COLUMNS, JOURNAL
from core.errors import FileError, UsageError
from core.io.reader import Reader, shared_reader
from core.io.tables import csv_bytes
from core.io.voc import TOO_LARGE, VocError, VocFile, parse_voc, voc_of, write_voc
from core.io.wire import WireError, unpack_voc
from core.manifest import DEMO_STATEMENT
from core.services.box_folders import BoxFolders

FILMS = tuple(f"{number:016x}" for number in range(1, 5))
SIZE = (120, 100)
PROPOSED = (10.0, 20.0, 90.0, 80.0)
HEAD = ("file", "patient", "label", "split", "laterality", "x_min", "y_min", "x_max", "y_max")
BOMB = b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    for film in FILMS:
        grey = np.random.default_rng(3).integers(0, 255, SIZE[::-1], dtype=np.uint8)
        (boxes / f"{film}.png").write_bytes(picture(Image.fromarray(grey), "png"))
        (boxes / f"{film}.xml").write_bytes(write_voc(f"{film}.png", SIZE, [(LABEL, PROPOSED)]))
    rows = [(f"images/{film}.png", film, 0, "train", "L", "", "", "", "") for film in FILMS]
    (tmp_path / "labels.csv").write_bytes(csv_bytes(HEAD, rows))
    return boxes


def review_of(folder: Path, statement: str = "") -> BoxReview:
    """As another process would open it."""
    return BoxReview(shared_reader(), folder, statement)


def one(review: BoxReview, film: str) -> Picture:
    (found,) = (picture for picture in review.pictures() if Path(picture.name).stem == film)
    return found


def states(folder: Path) -> list[str]:
    return [picture.state for picture in review_of(folder).pictures()]


def journal(folder: Path) -> list[dict[str, str]]:
    with (folder / JOURNAL).open(newline="") as file:
        return list(csv.DictReader(file))


# --- decisions -------------------------------------------------------------------------------------------------------


def test_decisions_outlive_the_program_that_took_them(folder: Path) -> None:
    review = review_of(folder)
    assert states(folder) == ["open"] * 4
    assert review.accept(one(review, FILMS[0]), PROPOSED, "  Dr.  Lin ") == "accepted"
    assert review.accept(one(review, FILMS[1]), (12.4, 19.6, 200.0, 70.0), "Dr. Lin") == "redrawn"
    review.reject(one(review, FILMS[2]), "Dr. Lin")
    assert states(folder) == ["accepted", "redrawn", "rejected", "open"]
    marks = [parse_voc((folder / f"{film}.xml").read_bytes()) for film in FILMS]
    assert [found.is_verified for found in marks] == [True, True, False, False]
    assert [found.objects[0][1] for found in marks] == [PROPOSED, (12, 20, 120, 70), PROPOSED, PROPOSED]
    assert [(row["picture"], row["decision"], row["reviewer"]) for row in journal(folder)] == [
        (f"{FILMS[0]}.png", "accepted", "Dr. Lin"),
        (f"{FILMS[1]}.png", "redrawn", "Dr. Lin"),
        (f"{FILMS[2]}.png", "rejected", "Dr. Lin"),
    ]
    assert all(len(row["reviewed_at"]) == 20 and row["reviewed_at"].endswith("Z") for row in journal(folder))


def test_the_last_of_two_reviewers_counts_and_both_are_kept(folder: Path) -> None:
    first, second = review_of(folder), review_of(folder)
    shown_to_both = one(first, FILMS[0]), one(second, FILMS[0])
    first.accept(shown_to_both[0], PROPOSED, "A")
    second.reject(shown_to_both[1], "B")
    assert one(first, FILMS[0]).state == "rejected"
    assert [(row["decision"], row["reviewer"]) for row in journal(folder)] == [("accepted", "A"), ("rejected", "B")]
    first.accept(one(first, FILMS[0]), PROPOSED, "A")
    found = one(second, FILMS[0])
    assert (found.state, found.review and found.review.reviewer) == ("accepted", "A")


def test_a_crash_between_the_two_files_leaves_no_half_decision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise OSError("disk full")

    review = review_of(folder)
    review.accept(one(review, FILMS[0]), PROPOSED, "A")
    monkeypatch.setattr(box_review, "append_review", die)
    with pytest.raises(OSError, match="disk full"):
        review.reject(one(review, FILMS[0]), "B")
    with pytest.raises(OSError, match="disk full"):
        review.accept(one(review, FILMS[1]), PROPOSED, "B")
    monkeypatch.undo()
    # the withdrawn box waits again; the marked one holds, as if LabelImg had marked it
    assert states(folder)[:2] == ["open", "accepted"]
    # a writer that died in the middle of a line spoils neither the lines before nor the next one
    with (folder / JOURNAL).open("ab") as file:
        file.write(f"{FILMS[2]}.png,accep".encode())
    review.reject(one(review, FILMS[3]), "B")
    assert states(folder) == ["open", "accepted", "open", "rejected"]


def test_a_box_that_another_program_drew_since_has_no_reviewer(folder: Path) -> None:
    review = review_of(folder)
    review.accept(one(review, FILMS[0]), (0, 0, 50, 50), "A")
    (folder / f"{FILMS[0]}.xml").write_bytes(write_voc("", SIZE, [(LABEL, (0, 0, 60, 60))], is_verified=True))
    assert one(review, FILMS[0]).state == "accepted"
    assert one(review, FILMS[0]).box == (0, 0, 60, 60)
    assert one(review, FILMS[0]).review is None
    review.reject(one(review, FILMS[1]), "A")
    (folder / f"{FILMS[1]}.xml").write_bytes(write_voc("", SIZE, [(LABEL, PROPOSED)], is_verified=True))
    assert (one(review, FILMS[1]).state, one(review, FILMS[1]).review) == ("accepted", None)


@pytest.mark.parametrize("reviewer", ["", "  ", '","'])
def test_nobody_cannot_decide(folder: Path, reviewer: str) -> None:
    review = review_of(folder)
    with pytest.raises(UsageError, match="without a name"):
        review.accept(one(review, FILMS[0]), PROPOSED, reviewer)
    assert not (folder / JOURNAL).exists()


@pytest.mark.parametrize("box", [(5, 5, 20, 90), (150, 10, 250, 90), (-40, 0, 15, 90)])
def test_a_box_that_is_too_small_on_the_picture_is_refused(folder: Path, box: tuple[float, ...]) -> None:
    review = review_of(folder)
    with pytest.raises(UsageError, match="at least 16 pixels"):
        review.accept(one(review, FILMS[0]), (box[0], box[1], box[2], box[3]), "A")
    assert states(folder)[0] == "open"


def test_names_of_reviewers_cannot_spoil_the_table(folder: Path) -> None:
    review = review_of(folder)
    review.reject(one(review, FILMS[0]), '=cmd,"x;y\t王醫師')
    assert journal(folder)[0]["reviewer"] == "cmd x y 王醫師"
    review.reject(one(review, FILMS[0]), "+cmd")
    assert journal(folder)[1]["reviewer"] == "'+cmd"
    found = one(review, FILMS[0]).review
    assert found is not None
    assert found.reviewer == "+cmd"


# --- foreign files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "trouble", "box"),
    [
        (BOMB, "XML with a document type", None),
        (b"\x00\x01", "XML that cannot be read", None),
        (write_voc("a", SIZE, []), f"not one box named {LABEL}", None),
        (write_voc("a", SIZE, [("hip", PROPOSED), (LABEL, PROPOSED)]), f"not one box named {LABEL}", PROPOSED),
        (
            write_voc("a", (50, 50), [(LABEL, PROPOSED)]).replace(b">50</ymax>", b">80</ymax>"),
            "a box outside its image",
            (10, 20, 50, 80),
        ),
    ],
)
def test_foreign_xml_waits_for_a_reviewer_who_replaces_it(
    folder: Path, content: bytes, trouble: str, box: tuple[float, ...] | None
) -> None:
    (folder / f"{FILMS[0]}.xml").write_bytes(content.replace(b"<annotation>", b'<annotation verified="yes">'))
    review = review_of(folder)
    found = one(review, FILMS[0])
    assert (found.state, found.trouble, found.box) == ("open", trouble, box)
    review.accept(found, PROPOSED, "A")
    assert one(review, FILMS[0]).trouble == ""
    assert states(folder)[0] in ("accepted", "redrawn")


def test_xml_is_parsed_by_the_reader_process(folder: Path) -> None:
    content = (folder / f"{FILMS[0]}.xml").read_bytes()
    assert shared_reader().read_voc(content) == parse_voc(content)
    with pytest.raises(VocError, match="document type"):
        shared_reader().read_voc(BOMB)
    with pytest.raises(VocError, match=TOO_LARGE):
        shared_reader().read_voc(b" " * (2**20 + 1))


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"unusable": "words of a stranger"},
        {"file": "", "size": [1], "is_verified": True, "objects": []},
        {"file": "", "size": None, "is_verified": True, "objects": [["a", [1, 2, 3, float("nan")]]]},
        {"file": "", "size": None, "is_verified": True, "objects": [["a", [1, 2, 3]]]},
    ],
)
def test_a_reader_process_that_was_taken_over_is_not_believed(reply: dict[str, object]) -> None:
    with pytest.raises(WireError):
        unpack_voc(reply)
    good = {"file": "x" * 500, "size": [3, 4], "is_verified": 1, "objects": [["a", None]]}
    assert voc_of(good) == VocFile("x" * 100, (3, 4), False, (("a", None),))


def test_a_journal_that_is_none_is_named(folder: Path) -> None:
    (folder / JOURNAL).write_text("picture,decision\na,b\n")
    with pytest.raises(UsageError, match=f"{JOURNAL} has no column x_min"):
        review_of(folder).pictures()
    bad = (f"{FILMS[0]}.png", "accepted", "1", "2", "x", "4", "A", "2026-01-01T00:00:00Z", "")
    undated = (f"{FILMS[1]}.png", "rejected", "", "", "", "", "A", "yesterday", "")
    (folder / JOURNAL).write_bytes(csv_bytes(COLUMNS, [bad, undated]))
    assert states(folder) == ["open"] * 4


@pytest.mark.parametrize("name", ["../labels.csv", "/etc/hostname", ".hidden.png", "a\0b.png"])
def test_no_picture_is_read_from_elsewhere(folder: Path, name: str) -> None:
    with pytest.raises(UsageError):
        review_of(folder).frame(name)


# --- what curation makes of it ---------------------------------------------------------------------------------------


def test_curation_takes_over_boxes_reviewers_and_dates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review = review_of(folder)
    review.accept(one(review, FILMS[0]), PROPOSED, "Dr. Lin")
    review.accept(one(review, FILMS[1]), (0, 0, 50, 60), "Dr. Kim")
    review.reject(one(review, FILMS[2]), "Dr. Lin")
    last = folder / f"{FILMS[3]}.xml"
    last.write_bytes(write_voc(f"{FILMS[3]}.png", SIZE, [(LABEL, PROPOSED)], is_verified=True))  # by LabelImg
    command = ["curate", "hip_osteoporosis", "--reviewed", str(folder), "--out", str(folder.parent)]
    assert main([*command, "--reviewer", "somebody", "--reviewed-on", "2026-03-04", "--all"]) == 0
    printed = capsys.readouterr().out
    assert "3 reviewed boxes" in printed
    assert "left out: 1 files, rejected by a reviewer" in printed
    with (folder.parent / "boxes.csv").open(newline="") as file:
        rows = {row["film"]: row for row in csv.DictReader(file)}
    times = {row["picture"]: row["reviewed_at"] for row in journal(folder)}
    assert {film: (row["x_max"], row["y_max"], row["reviewer"], row["reviewed_on"]) for film, row in rows.items()} == {
        FILMS[0]: ("90", "80", "Dr. Lin", times[f"{FILMS[0]}.png"]),
        FILMS[1]: ("50", "60", "Dr. Kim", times[f"{FILMS[1]}.png"]),
        FILMS[3]: ("90", "80", "somebody", "2026-03-04"),
    }

    with (folder.parent / "labels.csv").open(newline="") as file:
        edges = {row["patient"]: row["x_max"] for row in csv.DictReader(file)}
    assert edges == {FILMS[0]: "90", FILMS[1]: "50", FILMS[3]: "90"}


def test_a_decision_that_was_changed_leaves_nothing_behind(folder: Path) -> None:
    def labels() -> dict[str, str]:
        assert main(["curate", "hip_osteoporosis", "--reviewed", str(folder), "--out", str(folder.parent)]) == 0
        with (folder.parent / "labels.csv").open(newline="") as file:
            return {row["patient"]: row["x_max"] for row in csv.DictReader(file)}

    review = review_of(folder)
    review.accept(one(review, FILMS[0]), PROPOSED, "A")
    review.reject(one(review, FILMS[1]), "A")
    assert labels() == {FILMS[0]: "90", FILMS[2]: "", FILMS[3]: ""}
    review.reject(one(review, FILMS[0]), "B")
    review.accept(one(review, FILMS[1]), (0, 0, 40, 40), "B")
    assert labels() == {FILMS[1]: "40", FILMS[2]: "", FILMS[3]: ""}


def test_a_data_set_without_a_film_left_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review = review_of(folder)
    for film in FILMS:
        review.reject(one(review, film), "A")
    before = (folder.parent / "labels.csv").read_bytes()
    assert main(["curate", "hip_osteoporosis", "--reviewed", str(folder), "--out", str(folder.parent)]) == 2
    assert "every film was rejected" in capsys.readouterr().err
    assert (folder.parent / "labels.csv").read_bytes() == before


# --- uploads and phantoms --------------------------------------------------------------------------------------------


def archive(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def test_an_upload_comes_back_as_it_was_with_its_decisions(folder: Path, tmp_path: Path) -> None:
    film = (folder / f"{FILMS[0]}.png").read_bytes()
    sent = {"in/hip 1.png": film, "in/hip 1.XML": BOMB, "hip_2.png": film, "notes.txt": b"x", "../../a&b.png": film}
    kept, left_out = sort_upload(shared_reader().unpack(archive(sent)))
    assert set(kept) == {"hip 1.png", "hip 1.xml", "hip_2.png"}
    assert left_out == Counter({NO_PICTURE: 1, ODD_NAME: 1})
    store = BoxFolders(tmp_path / "store")
    made = store.create("upload", kept)
    review = review_of(made.boxes)
    review.accept(one(review, "hip_2"), PROPOSED, "A")
    again = store.find(made.token)
    assert again == made
    with zipfile.ZipFile(BytesIO(pack_folder(again.boxes, ""))) as packed:
        assert set(packed.namelist()) == {*kept, "hip_2.xml", JOURNAL}
        assert packed.read("hip 1.png") == film
        assert parse_voc(packed.read("hip_2.xml")).is_verified
    second, _ = sort_upload(shared_reader().unpack(pack_folder(again.boxes, "")))
    assert states(store.create("upload", second).boxes) == ["open", "redrawn"]
    store.delete(made)
    assert store.find(made.token) is None


@pytest.mark.parametrize("content", [b"no zip", archive({"a.xml": b"<annotation/>"})])
def test_an_upload_without_pictures_is_refused(content: bytes) -> None:
    with pytest.raises((FileError, UsageError)):
        sort_upload(shared_reader().unpack(content))


def test_phantoms_say_so_in_every_row(tmp_path: Path) -> None:
    write_phantoms(tmp_path)
    review = review_of(tmp_path, DEMO_STATEMENT)
    found = review.pictures()
    assert len(found) == N_PHANTOMS
    assert {(picture.state, picture.trouble) for picture in found} == {("open", "")}
    review.reject(found[0], "A")
    assert [row["statement"] for row in journal(tmp_path)] == [DEMO_STATEMENT]
    with zipfile.ZipFile(BytesIO(pack_folder(tmp_path, DEMO_STATEMENT))) as packed:
        assert packed.comment.decode() == DEMO_STATEMENT


def test_a_crashed_reader_costs_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Reader, data: bytes) -> VocFile:
        raise FileError("E_CRASH", "")

    monkeypatch.setattr(Reader, "read_voc", crash)
    assert {picture.trouble for picture in review_of(folder).pictures()} == {"XML that cannot be read"}


def test_values_go_through_json() -> None:
    from core.io.voc import describe_voc

    content = write_voc("a", SIZE, [("x", PROPOSED)], is_verified=True)
    assert voc_of(json.loads(json.dumps(describe_voc(content)))) == parse_voc(content)
