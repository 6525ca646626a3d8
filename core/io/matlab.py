"""MATLAB files (v5 by scipy, v7.3 by h5py) of whole-body bone scans to a Study. Runs in the reader process only.

Known files hold one array `V` (also seen as `Y`) of 1024 x 256 counts, anterior then posterior view, and a struct `diaginfo`.
Every element is checked by its description before it is read. Of `diaginfo` only the two lists of knee codes are looked at; the
free-text `comment` and the table beside it go nowhere, and a `diaginfo` that cannot be read costs nothing but its codes.

HDF5 can send its reader to other files (external storage, external links, virtual datasets): such files are refused.
"""

import hashlib
import math
import struct
import warnings
import zlib
from io import BytesIO
from itertools import islice
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from core.errors import FileError, UsageError
from core.io import vocabulary
from core.records import Frame, Study

SHAPE = (1024, 256, 2)  # rows, columns and views (anterior, posterior)
NAMES = ("V", "Y")  # variables that must be the image where they are present, the first before the second
MAX_ELEMENTS = 64_000_000  # of any array that a file describes, used or not
KNEE_CODES = {"unspect": -1, "normal": 2, "minimal": 3, "mildDJD": 4, "modDJD": 5, "sevDJD": 6}
PHANTOM_NAME = "fivefold_phantom"  # a variable of one element with this name marks a phantom of this project
HDF5_VERSION, USER_BLOCK = b"\x00\x02IM", 512
_NUMERIC = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double")
_CODES = {word.lower(): code for word, code in KNEE_CODES.items()}
_VERSIONS = (b"\x00\x01IM", b"\x01\x00MI", HDF5_VERSION, b"\x02\x00MI")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATRIX, _COMPRESSED, _MAX_VARIABLES = 14, 15, 10_000
_FILTERS = (1, 2, 3)  # gzip, shuffle and Fletcher-32
_MAX_WORD_CHARS = 16


def looks_matlab(data: bytes) -> bool:
    """Whether `data` starts like a .mat file of version 5 or 7.3."""
    return _looks_hdf5(data) or data[124:128] in _VERSIONS


def read_matlab(data: bytes, index: int) -> Study:
    """Read one view of a whole-body bone scan, as read_dicom does with one frame of a two-frame file.

    Negative counts (left by a filter) become 0, with a note.

    Args:
        data: The whole file, for which looks_matlab holds.
        index: 0 is the anterior view, 1 the posterior one.

    Returns:
        A study with one frame, float32 (1024, 256) "counts", and the tag ViewPosition "A" or "P". Its tags KneeJointId and
        KneeJointName hold the codes of the right and the left knee ("2,5") as `kneejointid` and as the words of `kneejointname`
        give them, empty for an unknown word.

    Raises:
        FileError: E_MAT, E_TRUNCATED, E_BOMB or E_NONFINITE.
        UsageError: `index` is neither 0 nor 1.
    """
    if index >= SHAPE[2]:
        raise UsageError(f"frame {index + 1} of {SHAPE[2]}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            counts, tags, is_phantom = _read_hdf5(data) if _looks_hdf5(data) else _read_v5(data)
            pixels = counts[:, :, index].astype(np.float32, order="C")
        except FileError:
            raise
        except MemoryError as error:
            raise FileError("E_BOMB", "the reader ran out of memory") from error
        except Exception as error:  # neither library is made for hostile files
            code = "E_TRUNCATED" if isinstance(error, OSError) and "truncated" in str(error) else "E_MAT"
            raise FileError(code, "the file is damaged") from error
    if not np.isfinite(pixels).all():
        raise FileError("E_NONFINITE", "pixel values")
    notes = [vocabulary.CHOSEN_FRAME if index else vocabulary.ANTERIOR_VIEW]
    if pixels.min() < 0:
        pixels = np.maximum(pixels, 0)
        notes.append(vocabulary.NEGATIVE_COUNTS)
    sizes = dict(zip(("Rows", "Columns", "NumberOfFrames"), map(str, SHAPE), strict=True))
    return Study(
        frames=(Frame(pixels, "counts"),),
        file_sha256=hashlib.sha256(data).hexdigest(),
        container="matlab",
        tags={"Modality": "NM", "ViewPosition": "AP"[index]} | sizes | tags,
        notes=tuple(notes),
        is_phantom=is_phantom,
    )


def _choose(fits: dict[str, bool]) -> str:
    """The image among the variables, of which `fits` says whether they are numeric arrays of the right shape."""
    named = [name for name in NAMES if name in fits][:1]
    candidates = named or [name for name, is_fit in fits.items() if is_fit]
    if len(candidates) != 1:
        raise FileError("E_MAT", f"no V, no Y and {len(candidates)} arrays of 1024 x 256 x 2")
    if not fits[candidates[0]]:
        raise FileError("E_MAT", f"{named[0]} is no numeric array of 1024 x 256 x 2")
    return candidates[0]


def _require_small(shape: tuple[int, ...], item_bytes: int) -> None:
    n_elements = math.prod(shape)
    if min(shape, default=0) < 0:
        raise FileError("E_MAT", "an array has a negative size")
    if n_elements > MAX_ELEMENTS or n_elements * item_bytes > vocabulary.MAX_UNPACKED_BYTES:
        raise FileError("E_BOMB", f"an array of {n_elements} elements")


def _tags(ids: NDArray[Any] | None, names: list[str]) -> dict[str, str]:
    """Codes of both knees, right first; what is no pair of short integers or of words is left out."""
    tags = {}
    if ids is not None and ids.dtype.kind in "iuf" and ids.size == 2:
        pair = [float(value) for value in ids.ravel()]
        if all(value.is_integer() and abs(value) < 100 for value in pair):
            tags["KneeJointId"] = ",".join(f"{value:.0f}" for value in pair)
    codes = [_CODES.get(name.strip().lower()) for name in names]
    if len(codes) == 2 and codes != [None, None]:
        tags["KneeJointName"] = ",".join("" if code is None else str(code) for code in codes)
    return tags


# --- version 5 -------------------------------------------------------------------------------------------------------


def _read_v5(data: bytes) -> tuple[NDArray[Any], dict[str, str], bool]:
    from scipy.io import loadmat, whosmat  # 0.1 s that the reader of other files need not spend

    _require_whole_v5(data)
    fits: dict[str, bool] = {}
    has_info = is_phantom = False
    for name, shape, kind in whosmat(BytesIO(data)):
        _require_small(shape, 1)
        fits[name] = tuple(shape) == SHAPE and kind in _NUMERIC and fits.get(name, True)
        has_info |= name == "diaginfo" and kind == "struct" and tuple(shape) == (1, 1)
        is_phantom |= name == PHANTOM_NAME and kind in _NUMERIC and math.prod(shape) == 1
    name = _choose(fits)
    counts = loadmat(BytesIO(data), variable_names=[name])[name]
    if not isinstance(counts, np.ndarray) or counts.shape != SHAPE or counts.dtype.kind not in "iuf":
        raise FileError("E_MAT", "the image holds no real numbers")
    return counts, _info_v5(data) if has_info else {}, is_phantom


def _require_whole_v5(data: bytes) -> None:
    """Walk over the variables, unpacking them piece by piece into nothing: E_TRUNCATED, E_BOMB or E_MAT."""
    tag = struct.Struct("<II" if data[126:128] == b"IM" else ">II")
    at, n_bytes, n_variables = 128, 0, 0
    while at < len(data):
        if at + tag.size > len(data):
            raise FileError("E_TRUNCATED", "the file ends within a tag")
        kind, size = tag.unpack_from(data, at)
        at += tag.size
        n_variables += 1
        if kind not in (_MATRIX, _COMPRESSED) or n_variables > _MAX_VARIABLES:
            raise FileError("E_MAT", "the file is no list of variables")
        if at + size > len(data):
            raise FileError("E_TRUNCATED", "the file ends within a variable")
        n_bytes += size if kind == _MATRIX else _unpacked_bytes(memoryview(data)[at : at + size], n_bytes)
        at += size
    if not n_variables:
        raise FileError("E_TRUNCATED", "the file ends after its header")


def _unpacked_bytes(packed: memoryview, n_before: int) -> int:
    stream, n_bytes = zlib.decompressobj(), 0
    for start in range(0, len(packed), 2**16):
        piece = bytes(packed[start : start + 2**16])
        while piece and not stream.eof:
            n_bytes += len(stream.decompress(piece, 2**20))
            piece = stream.unconsumed_tail
            if n_before + n_bytes > vocabulary.MAX_UNPACKED_BYTES:
                raise FileError("E_BOMB", f"more than {vocabulary.MAX_UNPACKED_BYTES} bytes")
    return n_bytes


def _info_v5(data: bytes) -> dict[str, str]:
    from scipy.io import loadmat

    try:
        info = loadmat(BytesIO(data), variable_names=["diaginfo"])["diaginfo"][0, 0]
        fields = info.dtype.names or ()
        names = np.ravel(info["kneejointname"]).tolist() if "kneejointname" in fields else []
        words = [str(name.item()) if isinstance(name, np.ndarray) and name.size == 1 else str(name) for name in names]
        return _tags(np.asarray(info["kneejointid"]) if "kneejointid" in fields else None, words)
    except Exception:  # a table or another opaque object may stand beside the codes
        return {}


# --- version 7.3 -----------------------------------------------------------------------------------------------------


def _looks_hdf5(data: bytes) -> bool:
    return _HDF5_SIGNATURE in (data[: len(_HDF5_SIGNATURE)], data[USER_BLOCK : USER_BLOCK + len(_HDF5_SIGNATURE)])


def _read_hdf5(data: bytes) -> tuple[NDArray[Any], dict[str, str], bool]:
    with h5py.File(BytesIO(data), "r") as file:
        members = {name: _member(file, name) for name in islice(file, _MAX_VARIABLES)}
        name = _choose({name: _is_image(member) for name, member in members.items() if not name.startswith("#")})
        counts = members[name][...]
        # MATLAB stores its columns as rows.
        in_order = counts.T if counts.shape != SHAPE else counts
        is_phantom = getattr(members.get(PHANTOM_NAME), "size", 0) == 1
        return in_order, _info_hdf5(file, members.get("diaginfo")), is_phantom


def _member(group: Any, name: str) -> Any:
    """A dataset or group: E_MAT when it is or may be outside of the file, E_BOMB when it is too large."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FileError("E_MAT", "the file links to other places")
    return _require_inside(group[name])


def _require_inside(member: Any) -> Any:
    """The member; if it is a dataset, its bytes must lie in this file, in a usual packing and number."""
    if not isinstance(member, h5py.Dataset):
        return member
    layout = member.id.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
        raise FileError("E_MAT", "the file takes data from other files")
    if any(layout.get_filter(k)[0] not in _FILTERS for k in range(layout.get_nfilters())):
        raise FileError("E_MAT", "an array is packed in an unknown way")
    chunk = layout.get_chunk() if layout.get_layout() == h5py.h5d.CHUNKED else ()
    for shape in (member.shape or (), chunk):
        _require_small(shape, member.id.get_type().get_size())
    return member


def _is_image(member: Any) -> bool:
    if getattr(member, "shape", None) not in (SHAPE, SHAPE[::-1]):
        return False
    kind = str(np.bytes_(member.attrs.get("MATLAB_class", b"double")), "ascii")  # absent: not written by MATLAB
    return kind in _NUMERIC and member.dtype.kind in "iuf" and member.dtype.itemsize <= 8


def _info_hdf5(file: Any, info: Any) -> dict[str, str]:
    if not isinstance(info, h5py.Group):
        return {}
    try:
        ids, cells = (_member(info, field) if field in info else None for field in ("kneejointid", "kneejointname"))
        words = []
        if cells is not None and cells.size == 2 and h5py.check_ref_dtype(cells.dtype) is h5py.Reference:
            words = [_word(_require_inside(file[cell])) for cell in cells[...].ravel()]
        return _tags(ids[...] if ids is not None and ids.size == 2 else None, words)
    except FileError:
        raise
    except Exception:
        return {}


def _word(text: Any) -> str:
    is_short = text.dtype == np.uint16 and text.size <= _MAX_WORD_CHARS
    return "".join(map(chr, text[...].ravel())) if is_short else ""
