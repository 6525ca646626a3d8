"""The day of an examination, which only curation asks the reader process for."""

from collections.abc import Iterator
from datetime import date

import pytest
from io_files import dicom, picture, ramp
from PIL import Image

from core.errors import FileError
from core.io import wire
from core.io.reader import Reader


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(workers=1) as reader:
        yield reader


@pytest.mark.parametrize(
    ("elements", "day"),
    [
        ({"StudyDate": "20240229"}, date(2024, 2, 29)),
        ({"AcquisitionDate": "20200101", "ContentDate": "20200102"}, date(2020, 1, 1)),
        ({"StudyDate": "20230229", "ContentDate": "20200102"}, date(2020, 1, 2)),
        ({"StudyDate": ""}, None),
        ({}, None),
    ],
)
def test_the_day_of_a_film(reader: Reader, elements: dict[str, str], day: date | None) -> None:
    content = dicom(ramp(), PatientID="A1", **elements)
    found = reader.read_dated(content)
    assert found.examined == day
    study = reader.read(content)
    assert (found.study.pixel_hash, found.study.pseudonym) == (study.pixel_hash, study.pseudonym)
    assert [found.study.pseudonym] == reader.hash_keys(["A1"], "patient")
    if day is not None:
        assert str(day.year) not in repr(found).replace("study=" + repr(found.study), "")


def test_a_picture_has_no_day(reader: Reader) -> None:
    assert reader.read_dated(picture(Image.fromarray(ramp()), "png")).examined is None


def test_a_damaged_file_is_refused(reader: Reader) -> None:
    with pytest.raises(FileError):
        reader.read_dated(b"no image")


@pytest.mark.parametrize("told", ["yesterday", "20", 5, None, "2020-13-01"])
def test_a_reply_with_a_day_that_is_none_is_refused(reader: Reader, told: object) -> None:
    header, body = wire.pack_dated(reader.read(dicom(ramp())), date(2020, 1, 1))
    content = b"".join(body)
    assert wire.unpack_dated(header, content, "0" * 64).examined == date(2020, 1, 1)
    if told is not None:
        with pytest.raises(wire.WireError):
            wire.unpack_dated(header | {"examined": told}, content, "0" * 64)
    without = {key: value for key, value in header.items() if key != "examined"}
    with pytest.raises(wire.WireError):
        wire.unpack_dated(without, content, "0" * 64)
