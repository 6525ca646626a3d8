"""A bone-scan phantom as a MATLAB file of either version, marked as a phantom."""

from io import BytesIO
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from core.io.matlab import HDF5_VERSION, KNEE_CODES, PHANTOM_NAME, USER_BLOCK
from core.phantom import Phantom

_TEXT_BYTES = 116  # of the header, which writers fill with the date
_HEADER_BYTES = 128
_INFO = "diaginfo"


def write_matlab(phantom: Phantom, version: Literal["5", "7.3"]) -> bytes:
    """A .mat file as read_matlab takes it. The same phantom gives the same bytes.

    Args:
        phantom: With a posterior view. `meta["KneeJointId"]`, "right,left" as codes, fills `diaginfo` where present.
        version: Of the format: 5 is written by scipy, 7.3 by h5py as MATLAB would write it.

    Returns:
        V, uint16 (rows, columns, 2), anterior view first; `diaginfo`; the mark of a phantom.
    """
    codes = [int(code) for code in str(phantom.meta.get("KneeJointId", "")).split(",") if code]
    words = {code: word for word, code in KNEE_CODES.items()}
    views = np.moveaxis(phantom.stored, 0, -1)
    write = _write_v5 if version == "5" else _write_v73
    return write(views, codes, [words[code] for code in codes])


def _write_v5(views: NDArray[np.uint16], codes: list[int], words: list[str]) -> bytes:
    from scipy.io import savemat

    variables: dict[str, object] = {"V": views, PHANTOM_NAME: np.float64(1)}
    if codes:
        cells = np.empty((1, len(words)), object)
        cells[0] = words
        variables[_INFO] = {"kneejointid": np.array([codes], np.float64), "kneejointname": cells}
    file = BytesIO()
    savemat(file, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file, Fivefold phantom".ljust(_TEXT_BYTES) + file.getvalue()[_TEXT_BYTES:]


def _write_v73(views: NDArray[np.uint16], codes: list[int], words: list[str]) -> bytes:
    buffer = BytesIO()
    with h5py.File(buffer, "w", userblock_size=USER_BLOCK) as file:
        _put(file, "V", views, "uint16", compression="gzip", shuffle=True)
        _put(file, PHANTOM_NAME, np.ones((1, 1)), "double")
        if codes:
            info = file.create_group(_INFO)
            info.attrs["MATLAB_class"] = np.bytes_(b"struct")
            _put(info, "kneejointid", np.array([codes], np.float64), "double")
            cells = np.empty((1, len(words)), h5py.ref_dtype)
            for k, word in enumerate(words):
                letters = np.array([[ord(letter) for letter in word]], np.uint16)
                cells[0, k] = _put(file, f"#refs#/{k}", letters, "char").ref
            _put(info, "kneejointname", cells, "cell")
    header = b"MATLAB 7.3 MAT-file, Fivefold phantom".ljust(_HEADER_BYTES - len(HDF5_VERSION)) + HDF5_VERSION
    return header + buffer.getvalue()[_HEADER_BYTES:]


def _put(group: Any, name: str, values: NDArray[Any], kind: str, **storage: Any) -> Any:
    """A dataset of MATLAB class `kind`; MATLAB stores its columns as rows."""
    dataset = group.create_dataset(name, data=values.T, **storage)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind.encode())
    if kind == "char":
        dataset.attrs["MATLAB_int_decode"] = np.int32(2)
    return dataset
