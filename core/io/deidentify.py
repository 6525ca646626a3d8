"""A DICOM image without its patient: header by the profile of PS3.15, pixels written anew. Runs in the reader process only.

The table of PS3.15 Annex E (Basic Application Level Confidentiality Profile, edition 2026c) and what to do with each attribute
come from dicom-anonymizer. Stricter than the profile here: it is applied in every item of every sequence; text, dates and unknown
attributes without a line in the table are removed as well; dates are empty and not those of another day.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from dicomanonymizer.simpledicomanonymizer import initialize_actions
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from core.errors import FileError
from core.imaging.burned_in import looks_written
from core.io import header, vocabulary
from core.io.codecs import Decoded, decode, pixel_keyword, standard_name
from core.io.dicom import count_frames, require_description
from core.io.dicom_file import open_dataset

METHOD = ("PS3.15 Annex E Basic Profile, edition 2026c", "Fivefold: text without a rule removed, pixels written anew")
# Kinds of images that are written on as a rule: only a header that excludes it will do.
_WRITTEN_ON = frozenset(("DOC", "ES", "GM", "IVUS", "OT", "RF", "SC", "US", "XA", "XC"))
_DRAWN = frozenset((*range(0x5000, 0x5100), *range(0x6000, 0x6100)))  # groups of curves and overlays
_PIXELS = frozenset(("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "DataSetTrailingPadding"))
_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UN", "OB", "AE", "AS", "DA", "DT", "TM"))
_TIMES = frozenset(("DA", "DT", "TM"))
_KEPT_TEXT = frozenset(
    (
        "CodeMeaning",
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "ConvolutionKernel",
        "Manufacturer",
        "ManufacturerModelName",
        "RescaleType",
    )
)
_CODE, _NUMBER = re.compile(r"[A-Z0-9_ ]{0,16}"), re.compile(r"[0-9+\-.eE ]*")
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_ACTIONS: dict[tuple[int, ...], Callable[[Dataset, tuple[int, ...]], None]] = initialize_actions("dicomfields_2026c")


def deidentify(data: bytes, salt: str, key: bytes) -> bytes:
    """Copy one image without what names its patient.

    Args:
        data: The whole file.
        salt: Secret of one run: equal UIDs of its files become equal new ones, and nobody can go back.
        key: Secret of the pseudonym, which becomes the patient id.

    Returns:
        A file in Explicit VR Little Endian.

    Raises:
        FileError: What `read_dicom` raises, and E_BURNED_IN where text in the pixels is not excluded.
    """
    # pydicom quotes tag values in its warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _copy(data, salt, key)
        except MemoryError as error:
            raise FileError("E_BOMB", "the reader ran out of memory") from error
        except RecursionError as error:
            raise FileError("E_TAG", "sequences nested too deeply") from error


def _copy(data: bytes, salt: str, key: bytes) -> bytes:
    dataset, _ = open_dataset(data)
    require_description(dataset)
    sop_class = dataset.get("SOPClassUID")
    if not isinstance(sop_class, str) or standard_name(sop_class) is None:
        raise FileError("E_TAG", "SOPClassUID is missing or private")
    frames = _pixels(dataset, _asks_pixels(dataset))
    pseudonym = header.pseudonym(dataset, key) or ""
    is_lossy = dataset.file_meta.TransferSyntaxUID in _LOSSY
    _clean(dataset, salt)
    dataset.setdefault("SOPInstanceUID", _new_uid("", salt))
    dataset.PatientID, dataset.PatientName = pseudonym, pseudonym[:16]
    _describe(dataset)
    _store(dataset, frames, is_lossy)
    return _write(dataset)


# --- burned-in text --------------------------------------------------------------------------------------------------


def _asks_pixels(dataset: Dataset) -> bool:
    """Whether the pixels must be looked at, since the header leaves open whether text is burned in.

    Raises:
        FileError: E_BURNED_IN where the header says so, or says nothing about a kind of image that is written on as a rule.
    """
    said = [str(value).strip().upper() for value in header.values(dataset, "BurnedInAnnotation")]
    if said == ["NO"]:
        return False
    if said:
        raise FileError("E_BURNED_IN", "BurnedInAnnotation is not NO")
    modality = header.values(dataset, "Modality")
    if not modality or str(modality[0]).strip().upper() in _WRITTEN_ON:
        raise FileError("E_BURNED_IN", "BurnedInAnnotation is missing in an image of this modality")
    if str(dataset.SOPClassUID).startswith(SecondaryCaptureImageStorage):
        raise FileError("E_BURNED_IN", "BurnedInAnnotation is missing in a secondary capture")
    return True


# --- pixels ----------------------------------------------------------------------------------------------------------


def _pixels(dataset: Dataset, asks: bool) -> list[Decoded]:
    """Every frame, decoded: no comment inside a codestream, no excess byte and no unused bit comes along."""
    if pixel_keyword(dataset) != "PixelData":
        raise FileError("E_TAG", "pixels that are no integers are not exported")
    n_frames = count_frames(dataset)
    n_bytes = n_frames * dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * max(1, dataset.BitsAllocated // 8)
    if n_bytes > vocabulary.MAX_UNPACKED_BYTES:
        raise FileError("E_BOMB", f"{n_bytes} bytes of pixels")
    if dataset.get("HighBit") != dataset.BitsStored - 1:
        raise FileError("E_TAG", "HighBit is not BitsStored - 1")
    frames = []
    for place in range(n_frames):
        decoded = decode(dataset, place, n_frames)
        stored = _used_bits(decoded.stored, dataset.BitsStored)
        if asks and looks_written(stored):
            raise FileError("E_BURNED_IN", "the pixels look as if text were burned in")
        frames.append(decoded._replace(stored=stored))
    return frames


def _used_bits(stored: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    """The lowest `bits` of each pixel, the sign carried on: overlays may hide in the others."""
    values: NDArray[Any] = stored
    unused = 8 * stored.dtype.itemsize - bits
    return (values << unused) >> unused if unused > 0 else values


def _store(copy: Dataset, frames: list[Decoded], is_lossy: bool) -> None:
    stored = frames[0].stored
    copy.Rows, copy.Columns = stored.shape[:2]
    copy.BitsAllocated = 8 * stored.dtype.itemsize
    if frames[0].is_colour:
        copy.PhotometricInterpretation, copy.SamplesPerPixel, copy.PlanarConfiguration = "RGB", 3, 0
    if is_lossy:
        copy.LossyImageCompression = "01"
    content = b"".join(frame.stored.astype(frame.stored.dtype.newbyteorder("<")).tobytes() for frame in frames)
    copy.PixelData = content + b"\0" * (len(content) % 2)  # a value has an even number of bytes
    copy["PixelData"].VR = "OB" if copy.BitsAllocated <= 8 else "OW"


# --- header ----------------------------------------------------------------------------------------------------------


def _clean(dataset: Dataset, salt: str) -> None:
    """Apply the profile to a data set and to every item in it."""
    for tag in list(dataset.keys()):
        try:
            is_kept = _clean_element(dataset, tag, salt)
        except RecursionError:
            raise
        except Exception:  # what cannot be read cannot be cleaned
            is_kept = False
        if not is_kept and tag in dataset:
            del dataset[tag]


def _clean_element(dataset: Dataset, tag: BaseTag, salt: str) -> bool:
    """Whether one element stays, cleaned."""
    element = dataset[tag]
    if tag.is_private or not element.keyword or element.keyword in _PIXELS or tag.group in _DRAWN:
        return False
    if element.VR == "UI":
        return _clean_uids(dataset, tag, salt)
    rule = _ACTIONS.get((tag.group, tag.element))
    if rule is not None and element.VR in _TIMES:
        element.value = ""
    elif rule is not None:
        rule(dataset, (tag.group, tag.element))
    elif element.VR in _TEXT:
        return element.keyword in _KEPT_TEXT
    elif element.VR in ("CS", "DS", "IS"):
        pattern = _CODE if element.VR == "CS" else _NUMBER
        return all(pattern.fullmatch(str(value)) for value in header.values(dataset, element.keyword))
    if tag in dataset and dataset[tag].VR == "SQ":
        for item in dataset[tag].value:
            _clean(item, salt)
    return True


def _clean_uids(dataset: Dataset, tag: BaseTag, salt: str) -> bool:
    """Exchange UIDs but those of the standard itself."""
    element = dataset[tag]
    found = [str(value) for value in header.values(dataset, element.keyword)]
    new = [value if standard_name(value) else _new_uid(value, salt) for value in found]
    element.value = new[0] if len(new) == 1 else new
    return bool(new)


def _new_uid(uid: str, salt: str) -> str:
    return str(generate_uid(entropy_srcs=[salt, uid] if uid else None))


def _describe(copy: Dataset) -> None:
    """Say what was done (PS3.3 C.7.1.1 and C.12.1; the code is of CID 7050)."""
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = list(METHOD)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    copy.DeidentificationMethodCodeSequence = [code]
    copy.LongitudinalTemporalInformationModified = "REMOVED"


def _write(copy: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = copy.SOPClassUID, copy.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["fivefold"])
    # A preamble may hold another file.
    file = FileDataset("", copy, file_meta=meta, preamble=b"\0" * 128)
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
