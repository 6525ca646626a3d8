"""Malformed DICOM: each threat of RELIABILITY 2a ends in its code (F2, F3, F5-F8, F19-F22), and what is harmless is read."""

import zlib
from io import BytesIO

import numpy as np
import pydicom.uid as uids
import pytest
from io_files import compressed, describe, dicom, finish, ramp, read, refusal
from numpy.testing import assert_array_equal
from pydicom.dataset import Dataset

from core.errors import FileError
from core.io import vocabulary
from core.io.reader import shared_reader


def headless(dataset: Dataset) -> bytes:
    """The data set alone: no preamble, no file meta."""
    out = BytesIO()
    dataset.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return out.getvalue()


@pytest.mark.parametrize(
    "keyword",
    [
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "SamplesPerPixel",
        "PixelRepresentation",
        "PhotometricInterpretation",
    ],
)
def test_missing_tag_is_named(keyword: str) -> None:
    with pytest.raises(FileError, match=keyword) as caught:
        read(dicom(ramp(12), **{keyword: None}))
    assert caught.value.code == "E_TAG"


@pytest.mark.parametrize(
    "elements",
    [
        {"Rows": 0},
        {"BitsAllocated": 12},
        {"BitsStored": 17},
        {"SamplesPerPixel": 2},
        {"PixelRepresentation": 7},
        {"PhotometricInterpretation": "CMYK"},
        {"PhotometricInterpretation": ["RGB", "RGB"]},
        {"NumberOfFrames": -1},
        {"Rows": [48, 48]},
    ],
)
def test_impossible_description(elements: dict[str, object]) -> None:
    assert refusal(dicom(ramp(12), **elements)) == "E_TAG"


def test_several_transfer_syntaxes_and_pixels_of_unknown_type() -> None:
    data = dicom(ramp(12))
    assert refusal(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.1\\008.1.2.1\0")) == "E_TAG"
    assert refusal(data.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00Qq")) == "E_TAG"


def test_missing_modality_is_for_the_gate() -> None:
    assert "Modality" not in read(dicom(ramp(12), Modality=None)).tags


@pytest.mark.parametrize("elements", [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 10**9}])
def test_short_data(elements: dict[str, object]) -> None:
    assert refusal(dicom(ramp(12), **elements)) == "E_TRUNCATED"


def test_a_frame_beyond_the_pixel_limit() -> None:
    side = 6400
    assert refusal(dicom(np.zeros((side, side), np.uint8))) == "E_BOMB"


@pytest.mark.parametrize("syntax", [uids.ExplicitVRLittleEndian, uids.JPEG2000Lossless, uids.RLELossless])
def test_cut_anywhere_in_the_pixels(syntax: str) -> None:
    noise = np.random.default_rng(7).integers(0, 4096, (48, 64)).astype(np.uint16)
    if syntax == uids.ExplicitVRLittleEndian:
        data = dicom(noise, BitsStored=12)
    else:
        plugin = "pydicom" if syntax == uids.RLELossless else "pylibjpeg"
        data = compressed(noise, syntax, plugin, BitsStored=12)
    start = data.index(b"\xe0\x7f\x10\x00")
    for n_kept in np.linspace(start + 40, len(data) - 12, 10).astype(int):
        assert refusal(data[:n_kept]) == "E_TRUNCATED"


@pytest.mark.parametrize(("n_excess", "noted"), [(0, False), (4000, True)])
def test_excess_bytes(n_excess: int, noted: bool) -> None:
    dataset = describe(ramp(12))
    dataset.PixelData += b"\1" * n_excess
    study = read(finish(dataset))
    assert_array_equal(study.frame.pixels, ramp(12))
    assert (vocabulary.EXCESS_BYTES in study.notes) is noted


def test_odd_length_is_no_excess() -> None:
    odd = np.arange(63, dtype=np.uint8).reshape(7, 9)
    dataset = describe(odd)
    dataset.PixelData += b"\0"
    study = read(finish(dataset))
    assert_array_equal(study.frame.pixels, odd)
    assert vocabulary.EXCESS_BYTES not in study.notes


# --- deflate ---------------------------------------------------------------------------------------------------------


def deflated(dataset: bytes) -> bytes:
    """A deflated file whose data set is `dataset`."""
    template = dicom(ramp(8), uids.DeflatedExplicitVRLittleEndian)
    meta_length = int.from_bytes(template[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return template[: 144 + meta_length] + packer.compress(dataset) + packer.flush()


def test_deflate_bomb_stops_at_the_limit() -> None:
    padding = b"\x09\x00\x10\x00OB\0\0" + (vocabulary.MAX_UNPACKED_BYTES).to_bytes(4, "little")
    bomb = deflated(padding + bytes(vocabulary.MAX_UNPACKED_BYTES))
    assert len(bomb) < 10**6
    assert refusal(bomb) == "E_BOMB"


def test_deflated_data_that_is_cut_or_damaged() -> None:
    data = dicom(ramp(12), uids.DeflatedExplicitVRLittleEndian)
    assert refusal(data[:-20]) == "E_TRUNCATED"
    assert refusal(data[:-200] + b"\xff" * 200) in ("E_CODEC", "E_TRUNCATED")


# --- no image --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        (uids.BasicTextSRStorage, "Basic Text SR"),
        (uids.EncapsulatedPDFStorage, "Encapsulated PDF"),
        (uids.KeyObjectSelectionDocumentStorage, "Key Object"),
        (uids.GrayscaleSoftcopyPresentationStateStorage, "Presentation State"),
        (uids.RTStructureSetStorage, "RT Structure Set"),
        (uids.GeneralECGWaveformStorage, "ECG Waveform"),
        ("1.2.3.4.5", "unknown SOP class"),
    ],
)
def test_objects_without_pixels(sop_class: str, name: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = sop_class, "1.2.3", "SR"
    with pytest.raises(FileError, match=name) as caught:
        read(finish(dataset))
    assert caught.value.code == "E_NOT_IMAGE"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 4000, b"hello world " * 100, b"<html><body>not found</body></html>", b"PK\3\4" + b"\0" * 400],
)
def test_other_files(data: bytes) -> None:
    assert refusal(data) == "E_NOT_IMAGE"


def test_a_prefix_and_nothing_else() -> None:
    assert refusal(bytes(128) + b"DICM") == "E_TRUNCATED"


# --- preamble --------------------------------------------------------------------------------------------------------


def test_image_without_preamble_is_read() -> None:
    study = read(headless(describe(ramp(12))))
    assert_array_equal(study.frame.pixels, ramp(12))
    assert {vocabulary.NO_PREAMBLE, vocabulary.SYNTAX_GUESSED} <= set(study.notes)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "Rows"])
def test_without_preamble_it_must_describe_an_image(keyword: str) -> None:
    assert refusal(headless(describe(ramp(12), **{keyword: None}))) == "E_NOT_IMAGE"


@pytest.mark.parametrize("magic", [b"MZ\x90\0", b"\x7fELF", b"II*\0", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"])
def test_what_stands_in_the_preamble_does_not_matter(magic: bytes) -> None:
    data = dicom(ramp(12))
    assert_array_equal(read(magic.ljust(128, b"\0") + data[128:]).frame.pixels, ramp(12))


# --- structure -------------------------------------------------------------------------------------------------------


def test_nested_sequences() -> None:
    tag = b"\x08\x00\x40\x11"  # ReferencedImageSequence
    head = tag + b"SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    tail = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = dicom(ramp(12))
    at = data.index(b"\x08\x00\x60\x00CS")  # Modality, which follows in the order of tags
    deep = data[:at] + data[at:].replace(b"\x28\x00\x02\x00", head * 3000 + tail * 3000 + b"\x28\x00\x02\x00", 1)
    assert refusal(deep) == "E_TAG"
    shallow = data[:at] + data[at:].replace(b"\x28\x00\x02\x00", head * 3 + tail * 3 + b"\x28\x00\x02\x00", 1)
    assert_array_equal(read(shallow).frame.pixels, ramp(12))


def test_the_server_outlives_it_all() -> None:
    before = shared_reader().pids
    assert refusal(dicom(ramp(12), Rows=None)) == "E_TAG"
    assert shared_reader().pids == before
