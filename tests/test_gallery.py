"""The gallery of chest findings: counts and films follow the COCO file of a curation, boxes lie where they belong."""

import json
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from io_files import picture
from PIL import Image

from core.cli.main import main
from core.curation.chest_lesions import COCO
from core.curation.gallery import NORMAL, Example, Gallery, film_of, labelled_folders, read_gallery, reference_picture
from core.errors import FileError, UsageError
from core.imaging.boxes import DrawnBox
from core.io.reader import Reader, shared_reader
from core.records import Frame
from core.tasks.chest_lesions.task import TASK

HEART, AORTA = TASK.labels[0].id, TASK.labels[2].id
TABLE = f"""file,label,x_min,y_min,x_max,y_max
a.png,{HEART},10,20,60,70
a.png,{AORTA},5,5,30,40
b.png,{HEART},10,20,60,70
b.png,{HEART},30,30,50,50
c.png,normal,,,,
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Films, and what `curate` makes of their table."""
    films = tmp_path / "films"
    films.mkdir()
    for name in "abc":
        (films / f"{name}.png").write_bytes(picture(Image.fromarray(np.full((80, 100), 90, np.uint8)), "png"))
    table = tmp_path / "train.csv"
    table.write_text(TABLE)
    command = ["curate", "chest_lesions", "--data", str(films), "--table", str(table), "--out", str(tmp_path / "set")]
    assert main(command) == 0
    return tmp_path


@pytest.fixture
def gallery(root: Path) -> Gallery:
    return read_gallery(root / "set" / COCO)


def test_counts_are_those_of_the_table(gallery: Gallery) -> None:
    counts = {count.label: (count.n_films, count.n_boxes) for count in gallery.counts() if count.n_films}
    assert counts == {HEART: (2, 3), AORTA: (1, 1), NORMAL: (1, 0)}
    assert [example.name for example in gallery.of(HEART)] == ["a.png", "b.png"]
    assert [example.name for example in gallery.of(NORMAL)] == ["c.png"]
    assert dict(gallery.of(AORTA)[0].boxes)[AORTA] == (5, 5, 30, 40)
    assert [count.label for count in gallery.counts()] == [*(label.id for label in TASK.labels), NORMAL]


def test_folders_and_films(root: Path, gallery: Gallery) -> None:
    assert labelled_folders(root) == ["set"]
    assert labelled_folders(None) == labelled_folders(root / "nowhere") == []
    assert film_of(shared_reader(), root / "films", gallery.examples[0]).pixels.shape == (80, 100)
    for name in ("../train.csv", "nothing.png", "."):
        with pytest.raises(UsageError):
            film_of(shared_reader(), root / "films", Example(name, ()))


def test_files_that_are_none_are_refused(root: Path) -> None:
    (root / "set" / COCO).write_text(json.dumps({"images": 3}))
    with pytest.raises(UsageError, match="no COCO file"):
        read_gallery(root / "set" / COCO)
    with pytest.raises(UsageError, match="cannot be opened"):
        read_gallery(root / COCO)
    (root / "films" / "a.png").write_bytes(b"GIF89a")
    with Reader(workers=1) as reader, pytest.raises(FileError):
        film_of(reader, root / "films", Example("a.png", ()))


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)))


@pytest.mark.parametrize("unit", ["relative", "rgb"])
def test_boxes_are_drawn_where_they_lie(unit: Literal["relative", "rgb"]) -> None:
    pixels = np.zeros((80, 100), np.float32) if unit == "relative" else np.zeros((80, 100, 3), np.uint8)
    frame = Frame(pixels, unit, None, (0.5, 1.0) if unit == "relative" else None)
    box = (20.0, 30.0, 60.0, 70.0)
    drawn = [DrawnBox(box, "#00FF00", "1")]
    whole = pixels_of(reference_picture(frame, drawn, [], 1.5, 400))
    assert whole.shape == (320, 400, 3)
    rows, columns = np.nonzero(whole[:, :, 1] > 200)
    np.testing.assert_allclose((columns.min(), rows.min(), columns.max(), rows.max()), np.array(box) * 4, atol=4)
    part = pixels_of(reference_picture(frame, drawn, [box], 1.5, 400))
    # 60 pixels a side around the middle (40, 50): from (10, 20) to (70, 80)
    assert part.shape == (400, 400, 3)
    rows, columns = np.nonzero(part[:, :, 1] > 200)
    expected = (np.array(box) - (10, 20, 10, 20)) * 400 / 60
    np.testing.assert_allclose((columns.min(), rows.min(), columns.max(), rows.max()), expected, atol=5)


def test_a_cut_stays_inside_the_film() -> None:
    frame = Frame(np.zeros((80, 100), np.float32), "relative", None, (0.5, 1.0))
    far = DrawnBox((70.0, 10.0, 90.0, 30.0), "#00FF00", "1")
    part = pixels_of(reference_picture(frame, [far], [(0.0, 0.0, 10.0, 60.0)], 1.5, 200))
    assert part.shape == (200, round(50 / 75 * 200), 3)
    assert not part.any(), "a box that lies elsewhere is not drawn"
