"""Decoding one frame: which library for which transfer syntax, and what is checked before it may run.

One plugin a syntax, fixed here, so that pixels do not depend on what else is installed. Only 8- and 12-bit JPEG Extended differ.
"""

import math
import struct
from typing import Any, NamedTuple

import numpy as np
import pydicom.uid as uids
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.common import PhotometricInterpretation as Photometric
from pydicom.pixels.decoders.base import get_decoder

from core.errors import FileError
from core.io.vocabulary import MAX_PIXELS

PLUGINS: dict[str, str] = {
    uids.JPEGBaseline8Bit: "pillow",
    uids.JPEGExtended12Bit: "pillow",
    uids.JPEGLossless: "gdcm",
    uids.JPEGLosslessSV1: "gdcm",
    uids.JPEGLSLossless: "pyjpegls",
    uids.JPEGLSNearLossless: "pyjpegls",
    uids.JPEG2000Lossless: "pylibjpeg",
    uids.JPEG2000: "pylibjpeg",
    uids.HTJ2KLossless: "pylibjpeg",
    uids.HTJ2KLosslessRPCL: "pylibjpeg",
    uids.HTJ2K: "pylibjpeg",
    uids.RLELossless: "pydicom",
}
UNCOMPRESSED = (
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.DeflatedExplicitVRLittleEndian,
)
_TWELVE_BIT = "gdcm-12-bit"
get_decoder(uids.JPEGExtended12Bit).add_plugin(_TWELVE_BIT, ("core.io.jpeg12", "decode_frame"))

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_J2K_START = b"\xff\x4f\xff\x51"
_JPEG_START = b"\xff\xd8"
_END = b"\xff\xd9"
_MAX_PADDING = 64
_JPEG_NO_FRAME_HEADER = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC lie among the frame headers C0..CF
_JPEGLS_FRAME_HEADER = 0xF7


class Decoded(NamedTuple):
    """One decoded frame.

    Attributes:
        stored: Integers or floats (H, W) or (H, W, 3) RGB or (H, W) palette indices, unused high bits as in the file.
        is_colour: Three samples a pixel.
        has_excess: The file holds more pixel bytes than described.
    """

    stored: NDArray[np.generic]
    is_colour: bool
    has_excess: bool


def decode(dataset: Dataset, index: int, n_frames: int) -> Decoded:
    """Decode frame `index`, and only that one where the syntax allows.

    Args:
        dataset: With the image pixel elements already checked and `file_meta.TransferSyntaxUID`.
        index: From 0, less than `n_frames`.
        n_frames: From the header.

    Raises:
        FileError: E_TRUNCATED, E_BOMB, E_TAG or E_CODEC.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    n_pixels = dataset.Rows * dataset.Columns
    has_excess = False
    if syntax in UNCOMPRESSED:
        has_excess = _check_length(dataset, n_frames)
    if n_pixels > MAX_PIXELS:
        raise FileError("E_BOMB", f"{dataset.Rows} x {dataset.Columns} pixels")
    plugin = "" if syntax in UNCOMPRESSED else _plugin(dataset, syntax)
    if plugin:
        _check_frame(dataset, index, n_frames)
    # Unused bits are dropped later: padding may lie in them.
    options: dict[str, Any] = {"correct_unused_bits": False, "allow_excess_frames": False}
    try:
        stored, facts = get_decoder(syntax).as_array(dataset, index=index, decoding_plugin=plugin, **options)
    except MemoryError:
        raise
    except Exception as error:
        raise FileError("E_CODEC", f"{syntax.name} does not decode") from error
    is_colour = facts["samples_per_pixel"] == 3
    if is_colour and facts["photometric_interpretation"] != Photometric.RGB:
        raise FileError("E_TAG", "PhotometricInterpretation does not fit the data")
    return Decoded(stored, is_colour, has_excess)


def pixel_keyword(dataset: Dataset) -> str | None:
    """The element that holds the pixels, or None."""
    return next((keyword for keyword in _PIXEL_KEYWORDS if keyword in dataset), None)


def standard_name(uid: str) -> str | None:
    """What the standard calls `uid`; None for a private one, which could carry anything."""
    name = uids.UID(uid).name
    return None if name == uid else name


def _plugin(dataset: Dataset, syntax: uids.UID) -> str:
    plugin = PLUGINS.get(syntax)
    if plugin is None:
        raise FileError("E_CODEC", standard_name(syntax) or "unknown transfer syntax")
    if syntax == uids.JPEGExtended12Bit and dataset.BitsStored > 8:
        plugin = _TWELVE_BIT
    if plugin not in get_decoder(syntax).available_plugins:
        raise FileError("E_CODEC", f"{syntax.name} needs the package of the plugin {plugin}")
    return plugin


def _check_length(dataset: Dataset, n_frames: int) -> bool:
    """Compare the header with the bytes that are there; whether some are left over.

    Raises:
        FileError: E_TRUNCATED.
    """
    n_samples: int = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    n_bits: int = n_samples * dataset.BitsAllocated * n_frames
    if dataset.PhotometricInterpretation == Photometric.YBR_FULL_422:
        n_bits = n_bits * 2 // 3  # two pixels share their colour
    n_bytes = math.ceil(n_bits / 8)
    n_there: int = len(dataset[pixel_keyword(dataset) or ""].value or b"")
    if n_there < n_bytes:
        raise FileError("E_TRUNCATED", f"{n_there} of {n_bytes} pixel bytes")
    return n_there > n_bytes + n_bytes % 2


def _check_frame(dataset: Dataset, index: int, n_frames: int) -> None:
    """Compare the codestream's own header with the file's, before a codec allocates what the stream asks for.

    Raises:
        FileError: E_TRUNCATED, E_BOMB or E_TAG.
    """
    data = dataset.PixelData or b""
    if n_frames > len(data) // 8:  # an item header takes 8 bytes
        raise FileError("E_TRUNCATED", f"{len(data)} bytes for {n_frames} frames")
    try:
        frame = get_frame(data, index, number_of_frames=n_frames)
    except Exception as error:
        raise FileError("E_TRUNCATED", f"frame {index + 1} of {n_frames} is not there") from error
    if dataset.file_meta.TransferSyntaxUID == uids.RLELossless:
        return
    size = codestream_size(frame)
    if size is None:
        raise FileError("E_CODEC", "the frame does not start like its transfer syntax")
    rows, columns = size
    if rows * columns > MAX_PIXELS:
        raise FileError("E_BOMB", f"codestream of {rows} x {columns} pixels")
    if size != (dataset.Rows, dataset.Columns):
        raise FileError("E_TAG", f"Rows and Columns {dataset.Rows} x {dataset.Columns}, codestream {rows} x {columns}")
    # Codecs fill what is missing with grey and say nothing. Entropy-coded data never holds the marker; padding may follow it.
    if _END not in frame[-_MAX_PADDING:]:
        raise FileError("E_TRUNCATED", "the codestream has no end marker")


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) from the header of a JPEG, JPEG-LS or JPEG 2000 stream, None when it has none."""
    try:
        if frame.startswith(_JPEG_START):
            return _jpeg_size(frame)
        start = frame.find(_J2K_START)  # some files wrap the codestream in JP2 boxes
        if start < 0:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return bottom - top, right - left
    except struct.error:
        return None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, position)
        low = marker & 0xFF
        if marker >> 8 != 0xFF:
            return None
        if (0xC0 <= low <= 0xCF and low not in _JPEG_NO_FRAME_HEADER) or low == _JPEGLS_FRAME_HEADER:
            rows, columns = struct.unpack_from(">HH", frame, position + 5)
            return rows, columns
        # A fill byte FF may stand before a marker.
        position += 1 if low == 0xFF else 2 + length
