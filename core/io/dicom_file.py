"""DICOM bytes to a data set: preamble, transfer syntax, bounded inflating. Pixels are decoded elsewhere."""

import zlib
from io import BytesIO

import pydicom
import pydicom.uid as uids
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from core.errors import FileError
from core.io import vocabulary
from core.io.codecs import pixel_keyword, standard_name

_PREFIX_AT = 128
_PREFIX = b"DICM"
_GUESSED_SYNTAX = {
    # (implicit VR, little endian)
    (True, True): uids.ImplicitVRLittleEndian,
    (False, True): uids.ExplicitVRLittleEndian,
    (False, False): uids.ExplicitVRBigEndian,
}


def has_prefix(data: bytes) -> bool:
    """Whether `data` has the 128-byte preamble and "DICM"."""
    return data[_PREFIX_AT : _PREFIX_AT + len(_PREFIX)] == _PREFIX


def looks_bare(data: bytes) -> bool:
    """Whether `data` may be a data set without preamble: it starts with an element of group 2 or 8, little endian."""
    return data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00"


def open_dataset(data: bytes) -> tuple[Dataset, list[str]]:
    """Parse all but the pixels.

    Returns:
        The data set, with pixel data and a known `file_meta.TransferSyntaxUID`, and notes.

    Raises:
        FileError: E_TRUNCATED, E_NOT_IMAGE, E_BOMB or E_TAG.
    """
    try:
        dataset = _parse(data)
        return _require_image(dataset, has_prefix(data))
    except (FileError, MemoryError):
        raise
    except RecursionError as error:
        raise FileError("E_TAG", "sequences nested too deeply") from error
    except EOFError as error:
        raise FileError("E_TRUNCATED", "the header is cut") from error
    except Exception as error:
        raise FileError("E_TAG", "the header cannot be parsed") from error


def _parse(data: bytes) -> Dataset:
    if not has_prefix(data):
        return pydicom.dcmread(BytesIO(data), force=True)
    stream = BytesIO(data)
    stream.seek(_PREFIX_AT + len(_PREFIX))
    meta = read_dataset(stream, False, True, stop_when=_is_after_meta)
    if meta.get("TransferSyntaxUID") != uids.DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(BytesIO(data))
    dataset = read_dataset(BytesIO(_inflate(data[stream.tell() :])), False, True)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def _is_after_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def _inflate(data: bytes) -> bytes:
    # pydicom inflates without a limit: 250 kB would become 250 MB.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, vocabulary.MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise FileError("E_CODEC", "the deflated data set does not inflate") from error
    if not inflater.eof and len(inflated) >= vocabulary.MAX_UNPACKED_BYTES:
        raise FileError("E_BOMB", f"more than {vocabulary.MAX_UNPACKED_BYTES} bytes inflated")
    if not inflater.eof:
        raise FileError("E_TRUNCATED", "the deflated data set is cut")
    return inflated


def _require_image(dataset: Dataset, has_preamble: bool) -> tuple[Dataset, list[str]]:
    notes = []
    if not has_preamble:
        if "SOPClassUID" not in dataset or "Rows" not in dataset:
            raise FileError("E_NOT_IMAGE", "no DICOM preamble")
        notes.append(vocabulary.NO_PREAMBLE)
    keyword = pixel_keyword(dataset)
    if keyword is None:
        if _is_cut(dataset):
            raise FileError("E_TRUNCATED", "the header is cut")
        raise FileError("E_NOT_IMAGE", standard_name(dataset.get("SOPClassUID") or "") or "unknown SOP class")
    if not isinstance(dataset[keyword].value, bytes | None):
        raise FileError("E_TAG", f"{keyword} holds no bytes")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, str | None):
        raise FileError("E_TAG", "TransferSyntaxUID has several values")
    if not syntax:
        encoding = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = _GUESSED_SYNTAX[bool(encoding[0]), bool(encoding[1])]
        notes.append(vocabulary.SYNTAX_GUESSED)
    return dataset, notes


def _is_cut(dataset: Dataset) -> bool:
    """Whether the last element is shorter than it says (pydicom drops all elements when the pixel data is cut)."""
    if not len(dataset):
        return True
    last = dataset.get_item(list(dataset.keys())[-1])
    length = getattr(last, "length", 0)
    return length != 0xFFFFFFFF and len(getattr(last, "value", None) or b"") < length
