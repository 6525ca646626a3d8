"""Look-up tables of DICOM (PS3.3 C.11.1 modality LUT, C.11.2 VOI LUT)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        first: Input value that is mapped to entry 0; smaller inputs too.
        entries: float64 (n,) outputs; inputs beyond the last entry get the last.
        top: Largest output that the descriptor allows, 2^bits - 1.
    """

    first: int
    entries: NDArray[np.float64]
    top: float

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `values`, rounded to integers."""
        index = np.rint(values)
        index -= self.first
        np.clip(index, 0, len(self.entries) - 1, out=index)
        return self.entries[index.astype(np.int32)]


def read_table(item: Dataset, is_signed: bool, is_little_endian: bool) -> Table:
    """The table in one item of ModalityLUTSequence or VOILUTSequence.

    Args:
        item: Holds LUTDescriptor and LUTData.
        is_signed: Whether the inputs are signed, which decides how the descriptor's second value reads.
        is_little_endian: Byte order of LUTData with VR OW.

    Raises:
        ValueError: The table is empty, cut or describes another length.
    """
    n_entries, first, bits = (int(value) for value in item.LUTDescriptor)
    n_entries = n_entries or 2**16  # the field has 16 bits
    if is_signed and first >= 2**15:
        first -= 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if is_little_endian else ">"
        data = np.frombuffer(data, np.uint8 if bits <= 8 and len(data) == n_entries else f"{order}u2")
    entries = np.atleast_1d(np.asarray(data, np.float64))
    if not 1 <= bits <= 16 or entries.shape != (n_entries,):
        raise ValueError("LUTData does not fit LUTDescriptor")
    return Table(first, entries, float(2**bits - 1))
