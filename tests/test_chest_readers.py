import io
import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.errors import UsageError
from core.io.voc import MAX_XML_BYTES
from core.tasks.chest_lesions.marks import read_marks
from core.tasks.chest_lesions.readers import (
    CHINESE,
    NORMAL,
    label_id,
    read_boxes_csv,
    read_coco,
    read_voc,
    read_yolo,
)
from core.tasks.chest_lesions.task import TASK

HEART, AORTA = TASK.labels[0].id, TASK.labels[2].id

# --- words -----------------------------------------------------------------------------------------------------------


def test_every_label_is_known_by_id_name_chinese_word_and_number() -> None:
    for number, label in enumerate(TASK.labels, start=1):
        for word in (
            label.id,
            label.name,
            label.name.upper(),
            CHINESE[label.id],
            f" {number} ",
            label.id.replace("_", " "),
        ):
            assert label_id(word) == label.id
    assert label_id("No Finding") == label_id("正常") == NORMAL
    assert label_id("0") is label_id("8") is label_id("") is label_id("Pneumonia") is None


# --- tables ----------------------------------------------------------------------------------------------------------

TABLE = """Image Path,Finding,x_min,y_min,x_max,y_max
a.png,心脈肥大,10,20,110.5,90
a.png,Tortuous aorta,50,5,80,60
sub\\b.png,3,1,2,30,40
c.png,正常,,,,
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp950"])
def test_the_table_of_the_reference_system(encoding: str) -> None:
    table = read_boxes_csv(TABLE.encode(encoding))
    assert table.boxes == (
        ("a.png", HEART, (10, 20, 110.5, 90)),
        ("a.png", AORTA, (50, 5, 80, 60)),
        ("sub/b.png", AORTA, (1, 2, 30, 40)),
    )
    assert table.normal == ("c.png",)
    assert table.left_out == {}


def test_boxes_may_be_given_by_their_extent() -> None:
    table = read_boxes_csv(b"h,w,y,x,label,file\n30,20,2,1,scoliosis,a.jpg\n")
    assert table.boxes == (("a.jpg", "scoliosis", (1, 2, 21, 32)),)


def test_the_size_of_the_image_is_not_taken_for_the_box() -> None:
    table = read_boxes_csv(b"filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,512,512,7,1,2,21,32\n")
    assert table.boxes == (("a.jpg", "scoliosis", (1, 2, 21, 32)),)


def test_a_bad_row_costs_itself_only() -> None:
    rows = {
        "x.png,measles,1,2,30,40": "unknown label",
        "x.png,1,1,2,30": "file name",  # a cell is missing: nothing of the row can be trusted
        "../x.png,1,1,2,30,40": "file name",
        "/etc/passwd,1,1,2,30,40": "file name",
        "C:\\x.png,1,1,2,30,40": "file name",
        ",1,1,2,30,40": "file name",
        "x\x00.png,1,1,2,30,40": "file name",
        "x.png,1,one,2,30,40": "box that is none",
        "x.png,1,nan,2,30,40": "box that is none",
        "x.png,1,inf,2,30,40": "box that is none",
        "x.png,1,,2,30,40": "box that is none",
        "x.png,1,30,2,1,40": "box without area",
        "x.png,1,1,2,1,40": "box without area",
        "x.png,1,-5,2,30,40": "box outside the image",
        "x.png,1,1,2,1e9,40": "box outside the image",
        "x.png,1,,,,": "finding without a box",
        "x.png,normal,1,2,30,40": "normal image with a box",
        f"{'y' * 200_000},1,1,2,30,40": "file name",
    }
    for row, reason in rows.items():
        data = f"file,label,x_min,y_min,x_max,y_max\n{row}\ngood.png,1,1,2,30,40\n".encode()
        table = read_boxes_csv(data)
        assert table.boxes == (("good.png", HEART, (1, 2, 30, 40)),), row[:40]
        assert table.left_out == {reason: 1}, row[:40]


def test_an_image_with_a_finding_is_not_normal() -> None:
    table = read_boxes_csv(b"file,label,x,y,w,h\na.png,normal,,,,\na.png,1,1,2,30,40\n")
    assert table.normal == ()
    assert table.left_out == {"named normal and with a finding": 1}


@pytest.mark.parametrize(
    "data", [b"", b"file,label,x,y\n", b"file,x,y,w,h\n", b"label,x,y,w,h\na,1,2,3,4\n", b"\xff\xfe\x00"]
)
def test_what_is_no_table_of_boxes_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        read_boxes_csv(data)


# --- COCO ------------------------------------------------------------------------------------------------------------


def coco(**changes: object) -> bytes:
    whole = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 5, "name": "Cardiomegaly"}, {"id": 6, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 5, "bbox": [10, 20, 30, 40]}],
    }
    return json.dumps(whole | changes).encode()


def test_coco_boxes_and_images_without_any() -> None:
    table = read_coco(coco())
    assert table.boxes == (("a.png", HEART, (10, 20, 40, 60)),)
    assert table.normal == ("b.png",)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"image_id": 9, "category_id": 5, "bbox": [1, 2, 30, 40]}, "file name"),
        ({"image_id": [1], "category_id": 5, "bbox": [1, 2, 30, 40]}, "file name"),
        ({"image_id": 1, "category_id": 6, "bbox": [1, 2, 30, 40]}, "unknown label"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 30]}, "box that is none"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 30, {}]}, "box that is none"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, float("nan"), 4]}, "box that is none"),
        ({"image_id": 1, "category_id": 5, "bbox": [1, 2, 10**400, 4]}, "box that is none"),
        ({"image_id": 1, "category_id": 5, "bbox": [True, 2, 30, 40]}, "box that is none"),
        ({"image_id": 1, "category_id": 5}, "box that is none"),
        ({}, "file name"),
    ],
)
def test_a_bad_annotation_costs_itself_only(annotation: dict[str, object], reason: str) -> None:
    good = {"image_id": 2, "category_id": 5, "bbox": [1, 2, 30, 40]}
    table = read_coco(coco(annotations=[annotation, good, "x", None]))
    assert table.boxes == (("b.png", HEART, (1, 2, 31, 42)),)
    assert table.left_out == Counter([reason, "file name", "file name"])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"images": []}', b"[" * 100_000, b"\x80\x80", b"1" * 5000])
def test_what_is_no_coco_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        read_coco(data)


# --- Pascal VOC ------------------------------------------------------------------------------------------------------

OBJECT = "<object><name>心脈肥大</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>110</xmax><ymax>90</ymax></bndbox></object>"


def voc(objects: str = OBJECT, before: str = "") -> bytes:
    return f"<?xml version='1.0'?>{before}<annotation><filename>a.png</filename>{objects}</annotation>".encode()


def test_voc_counts_pixels_from_one() -> None:
    table = read_voc([voc(), voc("").replace(b"a.png", b"b.png")])
    assert table.boxes == (("a.png", HEART, (10, 20, 110, 90)),)
    assert table.normal == ("b.png",)


def test_hostile_xml_costs_its_file_only() -> None:
    laughs = "<!DOCTYPE a [<!ENTITY l 'ha'><!ENTITY m '&l;&l;&l;&l;'>]>"
    outside = "<!DOCTYPE a [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
    files = {
        "XML with a document type": [
            voc(OBJECT.replace("心脈肥大", "&m;"), laughs),
            voc("&f;", outside),
            voc("", laughs).decode().encode("utf-16"),
        ],
        "XML that is nested too deeply": [voc("<a>" * 1000 + "</a>" * 1000)],
        "XML that cannot be read": [b"", b"<annotation>", b"\x00\x01", b"<?xml version='1.0' encoding='none'?><a/>"],
        "XML that is too large": [voc(" " * MAX_XML_BYTES)],
        "file name": [b"<annotation/>"],
        "box that is none": [voc(OBJECT.replace("<xmin>11</xmin>", ""))],
        "unknown label": [voc(OBJECT.replace("心脈肥大", "cat"))],
        "box outside the image": [voc(OBJECT.replace("11", "-11"))],
    }
    for reason, hostile in files.items():
        table = read_voc([*hostile, voc()])
        assert table.boxes == (("a.png", HEART, (10, 20, 110, 90)),), reason
        assert table.left_out == {reason: len(hostile)}


# --- YOLO ------------------------------------------------------------------------------------------------------------


def test_yolo_boxes_and_polygons() -> None:
    boxes, left_out = read_yolo(
        b"0 0.5 0.4 0.2 0.1\n\n0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n0 0.5 0.4 0.2\n0 0.5 2 0.2 0.1\n0 a b c d\n"
    )
    np.testing.assert_allclose(boxes, [[0, 0.5, 0.4, 0.2, 0.1], [0, 0.2, 0.4, 0.2, 0.4]])
    assert left_out == 3
    assert read_yolo(b"")[0].shape == (0, 5)


# --- drawn marks -----------------------------------------------------------------------------------------------------


def marked(draw_on: Callable[[ImageDraw.ImageDraw], object], quality: int | None = None) -> np.ndarray:
    """A grey film with noise, drawn on by a function that gets a drawing."""
    rng = np.random.default_rng(3)
    grey = np.clip(np.linspace(20, 235, 300)[:, None] + rng.normal(0, 6, (300, 400)), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.repeat(grey[..., None], 3, axis=2))
    draw_on(ImageDraw.Draw(image))
    if quality is not None:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        image = Image.open(file)
    return np.asarray(image)


@pytest.mark.parametrize("quality", [None, 90])
def test_rectangles_and_ellipses_become_boxes(quality: int | None) -> None:
    def shapes(drawing: ImageDraw.ImageDraw) -> None:
        drawing.rectangle((40, 50, 139, 199), outline=(255, 0, 0), width=3)
        drawing.ellipse((180, 60, 279, 119), outline=(255, 0, 0), width=3)
        drawing.rectangle((60, 80, 119, 139), outline=(0, 255, 0), width=3)
        drawing.ellipse((300, 200, 379, 289), outline=(255, 255, 0), width=3)

    marks = read_marks(marked(shapes, quality))
    expected = [
        ("red", (41.5, 51.5, 138.5, 198.5)),
        ("red", (181.5, 61.5, 278.5, 118.5)),
        ("yellow", (301.5, 201.5, 378.5, 288.5)),
        ("green", (61.5, 81.5, 118.5, 138.5)),
    ]
    assert [colour for colour, _ in marks.boxes] == [colour for colour, _ in expected]
    for (_, found), (_, drawn) in zip(marks.boxes, expected, strict=True):
        assert found == pytest.approx(drawn, abs=2)


def test_what_is_no_mark_is_counted() -> None:
    def scribbles(drawing: ImageDraw.ImageDraw) -> None:
        drawing.line((20, 20, 120, 90), fill=(0, 0, 255), width=3)
        drawing.rectangle((200, 20, 260, 80), fill=(0, 0, 255))
        drawing.rectangle((40, 150, 120, 220), outline=(255, 0, 255), width=2)
        drawing.rectangle((90, 190, 190, 280), outline=(255, 0, 255), width=2)
        drawing.point((300, 200), fill=(255, 0, 0))

    marks = read_marks(marked(scribbles))
    assert marks.boxes == ()
    assert marks.left_out == {"not a closed line": 2, "neither rectangle nor ellipse": 1, "too small": 1}


def test_a_film_without_marks_has_none() -> None:
    assert read_marks(marked(lambda drawing: None, 60)).boxes == ()
    with pytest.raises(UsageError, match="uint8"):
        read_marks(np.zeros((20, 20), np.uint8))
