"""Which reader a file belongs to, decided by its bytes alone."""

from core.errors import FileError
from core.io.dicom import read_dicom
from core.io.dicom_file import has_prefix, looks_bare
from core.io.matlab import looks_matlab, read_matlab
from core.io.raster import looks_raster, read_raster
from core.records import Study


def read_study(data: bytes, index: int, key: bytes) -> Study:
    """Read a DICOM, raster or MATLAB file; see read_dicom, read_raster and read_matlab.

    Raises:
        FileError: E_NOT_IMAGE when it is none of them, else what the readers raise.
    """
    # A DICOM preamble may hold anything, even the header of another format.
    if has_prefix(data):
        return read_dicom(data, index, key)
    if looks_raster(data):
        return read_raster(data, index)
    if looks_matlab(data):
        return read_matlab(data, index)
    if looks_bare(data):
        return read_dicom(data, index, key)
    raise FileError("E_NOT_IMAGE", "unknown file format" if data else "empty file")
