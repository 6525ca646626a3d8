"""Compressed DICOM: every syntax gives the pixels of its uncompressed twin, and what cannot be decoded says so."""

import gdcm
import numpy as np
import pydicom.uid as uids
import pytest
from io_files import (
    compressed,
    describe,
    dicom,
    encapsulated,
    finish,
    jpeg,
    ramp,
    read,
    refusal,
    rgb_picture,
    transcoded,
)
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder

from core.io.codecs import PLUGINS, codestream_size

LOSSLESS = [
    (uids.RLELossless, "pydicom"),
    (uids.JPEG2000Lossless, "pylibjpeg"),
    (uids.JPEGLSLossless, "pyjpegls"),
]


def test_every_pinned_plugin_is_installed() -> None:
    for syntax, plugin in PLUGINS.items():
        assert plugin in get_decoder(syntax).available_plugins


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(("syntax", "plugin"), LOSSLESS)
def test_lossless_twins(syntax: str, plugin: str, bits: int, signed: bool) -> None:
    stored = ramp(bits, signed)
    study = read(compressed(stored, syntax, plugin, BitsStored=bits))
    assert_array_equal(study.frame.pixels, stored)
    assert study.tags["TransferSyntaxUID"] == syntax


@pytest.mark.parametrize(
    "syntax", [gdcm.TransferSyntax.JPEGLosslessProcess14_1, gdcm.TransferSyntax.JPEGLosslessProcess14]
)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_lossless_twins(syntax: int, bits: int, signed: bool) -> None:
    stored = ramp(bits, signed)
    assert_array_equal(read(transcoded(dicom(stored, BitsStored=bits), syntax)).frame.pixels, stored)


@pytest.mark.parametrize(("syntax", "plugin"), LOSSLESS)
def test_lossless_colour(syntax: str, plugin: str) -> None:
    assert_array_equal(read(compressed(rgb_picture(), syntax, plugin)).frame.pixels, rgb_picture())


@pytest.mark.parametrize(
    ("syntax", "plugin", "options"),
    [(uids.JPEG2000, "pylibjpeg", {"j2k_psnr": [60]}), (uids.JPEGLSNearLossless, "pyjpegls", {"jls_error": 2})],
)
def test_lossy_twins(syntax: str, plugin: str, options: dict[str, object]) -> None:
    stored = ramp(12)
    dataset = describe(stored, BitsStored=12)
    dataset.file_meta = Dataset()
    dataset.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)
    assert_allclose(read(finish(dataset, syntax)).frame.pixels, stored, atol=16)


@pytest.mark.parametrize("syntax", [uids.JPEGBaseline8Bit, uids.JPEGExtended12Bit])
def test_jpeg_grey(syntax: str) -> None:
    stored = ramp(8)
    assert_allclose(read(encapsulated(stored, [jpeg(stored)], syntax)).frame.pixels, stored, atol=8)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_jpeg_colour_is_converted_once(photometric: str) -> None:
    rgb = rgb_picture()
    data = encapsulated(rgb, [jpeg(rgb, subsampling=0)], uids.JPEGBaseline8Bit, PhotometricInterpretation=photometric)
    assert_allclose(read(data).frame.pixels.astype(int), rgb, atol=10)


def test_twelve_bit_jpeg() -> None:
    stored = ramp(12)
    data = transcoded(dicom(stored, BitsStored=12), gdcm.TransferSyntax.JPEGExtendedProcess2_4)
    assert_allclose(read(data).frame.pixels, stored, atol=2)


def test_only_the_chosen_frame_is_decoded() -> None:
    volume = np.stack([ramp(12)] * 3)
    data = compressed(volume, uids.JPEG2000Lossless, "pylibjpeg", BitsStored=12)
    start = data.index(b"\xff\x4f\xff\x51")
    broken = data[: start + 40] + b"\xff" * 40 + data[start + 80 :]  # only the first frame
    assert refusal(broken, 0) == "E_CODEC"
    assert_array_equal(read(broken, 2).frame.pixels, volume[2])


@pytest.mark.parametrize("syntax", [uids.MPEG2MPML, "1.2.826.0.1.3680043.8.9"])
def test_unknown_compression(syntax: str) -> None:
    data = encapsulated(ramp(8), [jpeg(ramp(8))], uids.MPEG2MPML)
    assert refusal(data.replace(uids.MPEG2MPML.encode(), syntax.encode())) == "E_CODEC"


def test_fragment_of_another_codec() -> None:
    assert refusal(encapsulated(ramp(8), [b"RIFF" * 64], uids.JPEG2000)) == "E_CODEC"


# --- what a codestream claims ----------------------------------------------------------------------------------------


def claim(syntax: str, rows: int, columns: int) -> bytes:
    """A valid stream whose header is overwritten with another size; the DICOM header claims it too when it fits."""
    if syntax == uids.JPEGBaseline8Bit:
        stream = bytearray(jpeg(ramp(8)))
        at = stream.index(b"\xff\xc0") + 5
        stream[at : at + 4] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
        return bytes(stream)
    dataset = describe(ramp(8))
    dataset.file_meta = Dataset()
    dataset.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    dataset.compress(syntax, generate_instance_uid=False)
    stream = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    if syntax == uids.JPEG2000Lossless:
        stream[8:16] = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
    else:
        at = stream.index(b"\xff\xf7") + 5
        stream[at : at + 4] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(stream)


@pytest.mark.parametrize("syntax", [uids.JPEGBaseline8Bit, uids.JPEG2000Lossless, uids.JPEGLSLossless])
def test_codestreams_that_lie_about_their_size(syntax: str) -> None:
    assert codestream_size(claim(syntax, 48, 64)) == (48, 64)
    assert refusal(encapsulated(ramp(8), [claim(syntax, 480, 640)], syntax)) == "E_TAG"
    assert refusal(encapsulated(ramp(8), [claim(syntax, 60_000, 60_000)], syntax)) == "E_BOMB"
    both = encapsulated(ramp(8), [claim(syntax, 60_000, 60_000)], syntax, Rows=60_000, Columns=60_000)
    assert refusal(both) == "E_BOMB"


@pytest.mark.parametrize("syntax", [uids.JPEGBaseline8Bit, uids.JPEG2000Lossless, uids.JPEGLSLossless])
def test_codestreams_cut_inside_a_whole_file(syntax: str) -> None:
    stream = claim(syntax, 48, 64)
    for n_kept in np.linspace(len(stream) // 2, len(stream) - 8, 5).astype(int):
        assert refusal(encapsulated(ramp(8), [stream[:n_kept]], syntax)) == "E_TRUNCATED"


def test_size_is_found_in_boxes_and_behind_fill_bytes() -> None:
    stream = claim(uids.JPEG2000Lossless, 48, 64)
    assert codestream_size(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(2000) + stream) == (48, 64)
    with_fill = jpeg(ramp(8)).replace(b"\xff\xc0", b"\xff\xff\xc0", 1)
    assert codestream_size(with_fill) == (48, 64)
    for hopeless in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\xd8abcdef", b"\xff\x4f\xff\x51"):
        assert codestream_size(hopeless) is None


def test_more_frames_than_fragments() -> None:
    stored = ramp(8)
    dataset = describe(stored, NumberOfFrames=10**9)
    dataset.PixelData = encapsulate([jpeg(stored)])
    dataset["PixelData"].is_undefined_length = True
    assert refusal(finish(dataset, uids.JPEGBaseline8Bit)) == "E_TRUNCATED"
    dataset.NumberOfFrames = 2
    assert refusal(finish(dataset, uids.JPEGBaseline8Bit), 1) == "E_TRUNCATED"
