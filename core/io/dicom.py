"""DICOM bytes to a Study. Runs in the reader process only."""

import hashlib
import warnings
from datetime import date

from pydicom.dataset import Dataset

from core.errors import FileError, UsageError
from core.io import header, nuclear, vocabulary
from core.io.codecs import Decoded, decode, pixel_keyword
from core.io.dicom_file import open_dataset
from core.io.dicom_pixels import make_frame
from core.records import Study

_PHOTOMETRIC = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
)
_MAX_SIDE = 2**16 - 1
_MAX_FRAMES = 2**31 - 1


def read_dicom(data: bytes, index: int, key: bytes) -> Study:
    """Read one frame and the allow-listed facts of a DICOM file.

    Args:
        data: The whole file.
        index: Frame to decode, from 0, in the order of nuclear.file_position.
        key: Secret of the pseudonym.

    Returns:
        A study with one frame, float32 (H, W) in HU, counts or relative grey, or uint8 (H, W, 3).

    Raises:
        FileError: E_NOT_IMAGE, E_TRUNCATED, E_BOMB, E_TAG, E_CODEC or E_NONFINITE.
        UsageError: The file has no frame `index`.
    """
    # pydicom quotes tag values in its warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _read(data, index, key)
        except MemoryError as error:
            raise FileError("E_BOMB", "the reader ran out of memory") from error


def _read(data: bytes, index: int, key: bytes) -> Study:
    dataset, notes = open_dataset(data)
    n_frames = count_frames(dataset)
    if index >= n_frames:
        raise UsageError(f"frame {index + 1} of {n_frames}")
    require_description(dataset)
    views = nuclear.frame_views(dataset, n_frames)
    position = nuclear.file_position(views, index)
    view = views[position] if views else None
    decoded: Decoded = decode(dataset, position, n_frames)
    header.lift_frame_groups(dataset, position)
    frame, pixel_notes = make_frame(dataset, decoded)
    if n_frames > 1:
        is_one_of_views = view == "A" and set(views) != {"A"}
        first = vocabulary.ANTERIOR_VIEW if is_one_of_views else vocabulary.FIRST_FRAME
        notes.append(vocabulary.CHOSEN_FRAME if index else first)
    if decoded.has_excess:
        notes.append(vocabulary.EXCESS_BYTES)
    return Study(
        frames=(frame,),
        file_sha256=hashlib.sha256(data).hexdigest(),
        container="dicom",
        tags=header.tags(dataset, n_frames) | ({"ViewPosition": view} if view else {}),
        age_years=header.age_years(dataset),
        weight_kg=header.weight_kg(dataset),
        sex=header.sex(dataset),
        pseudonym=header.pseudonym(dataset, key),
        keys=header.match_keys(dataset, key),
        notes=tuple(notes + pixel_notes),
        is_phantom=header.is_phantom(dataset),
    )


def examination_date(data: bytes) -> date | None:
    """Day of the examination of a file that `read_dicom` read; None when the header does not tell.

    Raises:
        FileError: E_NOT_IMAGE or E_TRUNCATED.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return header.examination_date(open_dataset(data)[0])


def count_frames(dataset: Dataset) -> int:
    """Frames of an image; one where the header does not tell.

    Raises:
        FileError: E_TAG when the number makes no sense.
    """
    if header.numbers(dataset, "NumberOfFrames") == []:
        return 1
    return header.required_int(dataset, "NumberOfFrames", 0, _MAX_FRAMES) or 1


def require_description(dataset: Dataset) -> None:
    """Check every element without which the pixels cannot be read.

    Raises:
        FileError: E_TAG naming the first one that is missing or impossible.
    """
    header.required_int(dataset, "Rows", 1, _MAX_SIDE)
    header.required_int(dataset, "Columns", 1, _MAX_SIDE)
    allocated = header.required_int(dataset, "BitsAllocated", 1, 64)
    if header.required_int(dataset, "SamplesPerPixel", 1, 3) == 2:
        raise FileError("E_TAG", "SamplesPerPixel is 2")
    if pixel_keyword(dataset) == "PixelData":
        if allocated not in (1, 8, 16, 32):
            raise FileError("E_TAG", f"BitsAllocated is {allocated}")
        header.required_int(dataset, "BitsStored", 1, allocated)
        header.required_int(dataset, "PixelRepresentation", 0, 1)
    photometric = header.values(dataset, "PhotometricInterpretation")
    if not photometric:
        raise FileError("E_TAG", "PhotometricInterpretation is missing")
    if photometric[0] not in _PHOTOMETRIC or len(photometric) > 1:
        raise FileError("E_TAG", "PhotometricInterpretation is unknown")
