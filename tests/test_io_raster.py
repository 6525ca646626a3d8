"""Pictures: depth, colour, transparency, orientation, size and posing files (F1, F5, F32-F36)."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from io_files import jpeg, picture, ramp, read, refusal, rgb_picture
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from core.io import vocabulary

LOSSLESS = ["PNG", "TIFF", "BMP"]


def png_of_size(width: int, height: int) -> bytes:
    """A valid 1-bit PNG of zeros, a few kB however large it claims to be."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# --- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
def test_eight_bit_grey(kind: str) -> None:
    study = read(picture(Image.fromarray(ramp(8)), kind))
    assert (study.container, study.frame.unit, study.frame.pixels.dtype) == ("raster", "relative", np.float32)
    assert_array_equal(study.frame.pixels, ramp(8))
    assert study.tags == {"Rows": "48", "Columns": "64", "BitsStored": "8"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_twin(kind: str) -> None:
    eight = ramp(8)
    study = read(picture(Image.fromarray(eight.astype(np.uint16) * 257), kind))
    assert_array_equal(study.frame.pixels / 257, eight)
    assert study.tags["BitsStored"] == "16"


def test_big_endian_and_wide_tiff() -> None:
    big = Image.frombytes("I;16B", (64, 48), ramp(16).astype(">u2").tobytes())
    assert_array_equal(read(picture(big, "TIFF")).frame.pixels, ramp(16))
    wide = ramp(16).astype(np.int32) * 100
    assert_array_equal(read(picture(Image.fromarray(wide), "TIFF")).frame.pixels, wide)


def test_float_tiff_must_be_finite() -> None:
    values = np.linspace(-1, 3, 48 * 64, dtype=np.float32).reshape(48, 64)
    assert_array_equal(read(picture(Image.fromarray(values), "TIFF")).frame.pixels, values)
    values[3, 3] = np.inf
    assert refusal(picture(Image.fromarray(values), "TIFF")) == "E_NONFINITE"


def test_one_bit() -> None:
    mask = ramp(8) > 100
    assert_array_equal(read(picture(Image.fromarray(mask), "PNG")).frame.pixels, mask * 255.0)


# --- colour ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
def test_colour(kind: str) -> None:
    frame = read(picture(Image.fromarray(rgb_picture()), kind)).frame
    assert (frame.unit, frame.pixels.dtype) == ("rgb", np.uint8)
    assert_array_equal(frame.pixels, rgb_picture())


def test_equal_channels_are_grey() -> None:
    frame = read(picture(Image.fromarray(np.stack([ramp(8)] * 3, -1)), "PNG")).frame
    assert frame.unit == "relative"
    assert_array_equal(frame.pixels, ramp(8))


def test_jpeg_twins() -> None:
    assert_allclose(read(jpeg(ramp(8))).frame.pixels, ramp(8), atol=8)
    assert_allclose(read(jpeg(rgb_picture())).frame.pixels.astype(int), rgb_picture(), atol=12)


def test_cmyk_and_palette() -> None:
    image = Image.fromarray(rgb_picture())
    cmyk = read(picture(image.convert("CMYK"), "TIFF")).frame
    assert_allclose(cmyk.pixels.astype(int), rgb_picture(), atol=1)
    indexed = image.quantize(64)
    assert_array_equal(read(picture(indexed, "PNG")).frame.pixels, np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_black(mode: str) -> None:
    white = Image.new("LA" if mode == "LA" else "RGBA", (64, 64), "white")
    white.putalpha(Image.fromarray(np.tile(np.repeat(np.uint8([0, 255]), 32), (64, 1))))
    data = picture(white.quantize(4) if mode == "P" else white, "PNG")
    study = read(data)
    assert (study.frame.pixels[:, :32] == 0).all()
    assert (study.frame.pixels[:, 32:] == 255).all()
    assert study.frame.unit == "relative"
    assert vocabulary.TRANSPARENT in study.notes
    opaque = read(picture(Image.fromarray(rgb_picture()).convert("RGBA"), "PNG"))
    assert_array_equal(opaque.frame.pixels, rgb_picture())
    assert vocabulary.TRANSPARENT not in opaque.notes


def test_half_transparent_grey() -> None:
    image = Image.new("LA", (64, 64), (200, 128))
    assert_allclose(read(picture(image, "PNG")).frame.pixels, 200 * 128 / 255, atol=1)


# --- orientation, pages ----------------------------------------------------------------------------------------------


def test_eight_orientations_give_one_picture() -> None:
    upright = ramp(8)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    for orientation, stored in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        study = read(picture(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif))
        assert_array_equal(study.frame.pixels, upright, err_msg=str(orientation))
        assert (vocabulary.ROTATED in study.notes) is (orientation != 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_first_of_several_pages(kind: str) -> None:
    pages = [Image.fromarray(np.roll(ramp(8), shift)) for shift in (0, 5, 9)]
    study = read(picture(pages[0], kind, save_all=True, append_images=pages[1:]))
    assert_array_equal(study.frame.pixels, ramp(8))
    assert vocabulary.FIRST_FRAME in study.notes
    assert refusal(picture(pages[0], kind, save_all=True, append_images=pages[1:]), 1) == "E_USAGE"


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [6400, 12000, 20000])
def test_bombs(side: int) -> None:
    bomb = png_of_size(side, side)
    assert len(bomb) < 100_000
    assert refusal(bomb) == "E_BOMB"


def test_just_below_the_limit_is_read() -> None:
    assert read(png_of_size(6000, 6000)).frame.pixels.shape == (6000, 6000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_cut_at_ten_points(kind: str) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (64, 64)).astype(np.uint8)
    data = picture(Image.fromarray(noise), kind)
    for n_kept in np.linspace(len(data) * 0.3, len(data) * 0.95, 10).astype(int):
        assert refusal(data[:n_kept]) == "E_TRUNCATED", n_kept


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_signature_and_nothing_else(kind: str) -> None:
    assert refusal(picture(Image.fromarray(ramp(8)), kind)[:12]) == "E_TRUNCATED"


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n",
        b"8BPS\0\1" + bytes(100),
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"BM, as a text may begin",
        b"RIFF\0\0\0\0WEBPVP8 ",
    ],
)
def test_posing_files(data: bytes) -> None:
    assert refusal(data) == "E_NOT_IMAGE"


def test_gif_is_not_among_the_formats() -> None:
    frames = [Image.fromarray(np.roll(ramp(8), shift)) for shift in range(5)]
    assert refusal(picture(frames[0], "GIF", save_all=True, append_images=frames[1:])) == "E_NOT_IMAGE"


@pytest.mark.parametrize("shape", [(1, 1), (5, 3000), (10, 10)])
def test_tiny_pictures_are_read_here_and_refused_at_the_gate(shape: tuple[int, int]) -> None:
    assert read(picture(Image.fromarray(np.full(shape, 9, np.uint8)), "PNG")).frame.pixels.shape == shape


def test_stereo_jpeg_is_read_as_its_first_picture() -> None:
    pages = [Image.fromarray(rgb_picture()), Image.fromarray(rgb_picture()[::-1].copy())]
    out = BytesIO()
    pages[0].save(out, "MPO", save_all=True, append_images=pages[1:], quality=95)
    study = read(out.getvalue())
    assert_allclose(study.frame.pixels.astype(int), rgb_picture(), atol=14)
    assert vocabulary.FIRST_FRAME in study.notes
