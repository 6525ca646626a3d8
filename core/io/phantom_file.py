"""A phantom as a DICOM file that says everywhere that it is one."""

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    NuclearMedicineImageStorage,
    OphthalmicPhotography8BitImageStorage,
    generate_uid,
)

from core.errors import UsageError
from core.io.nuclear import VIEWS
from core.phantom import WINDOWS, Phantom

SOP_CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "CT": CTImageStorage,
    "NM": NuclearMedicineImageStorage,
    "OP": OphthalmicPhotography8BitImageStorage,
}
# What the image type says between "derived, secondary" and "phantom" (PS3.3 C.8.2.1.1.1, C.8.4.9.1.1 and C.8.17.2.1.4).
_IMAGE_TYPES = {"CR": [], "CT": ["AXIAL"], "NM": ["WHOLE BODY", "EMISSION"], "OP": ["", "COLOR"]}
_AS_THEY_ARE = (
    "Modality",
    "BodyPartExamined",
    "StudyDate",
    "PatientSex",
    "PatientWeight",
    "SliceThickness",
    "KVP",
    "ConvolutionKernel",
    "ContrastBolusAgent",
)
_ENERGY_WINDOW_VECTOR, _DETECTOR_VECTOR = 0x00540010, 0x00540020


def patient_id(phantom: Phantom) -> str:
    """Id of a phantom patient, from its pixels: the key that pairs the film with other tables.

    Slices of one phantom patient share the one that `meta` gives as PatientID.
    """
    return str(phantom.meta.get("PatientID", f"PHANTOM-{_digest(phantom)[:8]}"))


def write_dicom(phantom: Phantom, *, monochrome1: bool = False) -> bytes:
    """A file of 12 bits, of 16 for counts or of 8 for each colour.

    It is a CR, a CT slice, an NM whole-body scan of one or two frames, anterior first, or an ophthalmic photograph (OP).

    The same phantom gives the same bytes.

    Args:
        phantom: `meta` fills the header: what is absent or empty there is not written, nor is what has no place in the IOD.
            SlicePosition is the z coordinate of an axial slice in mm.
        monochrome1: Store a radiograph inverted, low = bright.

    Raises:
        UsageError: `monochrome1` for HU or counts, whose stored values have a meaning, or for colours.
    """
    if monochrome1 and phantom.unit != "relative":
        raise UsageError("only a radiograph can be stored inverted")
    file = _empty_file(phantom)
    if "PixelSpacing" in phantom.meta:
        file.PixelSpacing = [phantom.meta["PixelSpacing"]] * 2
    if phantom.unit == "rgb":
        _store_colours(file, phantom.stored)
    else:
        _store_grey(file, phantom, monochrome1)
    if phantom.unit == "HU":
        file.RescaleSlope, file.RescaleIntercept, file.RescaleType = "1", "-1024", "HU"
    if "SlicePosition" in phantom.meta:
        _place(file, float(str(phantom.meta["SlicePosition"])))
    if file.Modality == "NM":
        _describe_views(file, 1 if phantom.posterior is None else 2)
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _store_grey(file: Dataset, phantom: Phantom, monochrome1: bool) -> None:
    stored = phantom.stored
    file.Rows, file.Columns = stored.shape[-2:]
    bits = 16 if phantom.unit == "counts" else 12
    file.SamplesPerPixel, file.BitsAllocated, file.BitsStored, file.HighBit = 1, 16, bits, bits - 1
    file.PixelRepresentation = 0
    if phantom.unit in WINDOWS:
        file.WindowCenter, file.WindowWidth = (f"{value:g}" for value in WINDOWS[phantom.unit])
    file.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    file.PixelData = (4095 - stored if monochrome1 else stored).astype("<u2").tobytes()


def _store_colours(file: Dataset, stored: NDArray[np.unsignedinteger]) -> None:
    """One photograph, colour by pixel (PS3.3 C.8.17.2)."""
    file.NumberOfFrames, (file.Rows, file.Columns) = 1, stored.shape[:2]
    file.SamplesPerPixel, file.BitsAllocated, file.BitsStored, file.HighBit = 3, 8, 8, 7
    file.PixelRepresentation, file.PlanarConfiguration, file.PhotometricInterpretation = 0, 0, "RGB"
    file.LossyImageCompression = "00"
    data = stored.tobytes()
    file.PixelData = data + b"\0" * (len(data) % 2)  # a value has an even number of bytes


def _digest(phantom: Phantom) -> str:
    return hashlib.sha256(phantom.stored.tobytes()).hexdigest()


def _empty_file(phantom: Phantom) -> FileDataset:
    """File meta, identity, patient and the attributes that `meta` and the header share."""
    modality, digest = str(phantom.meta["Modality"]), _digest(phantom)
    examined = str(phantom.meta.get("PatientID", digest))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SOP_CLASSES[modality]
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[digest, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["fivefold"])
    file = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID = generate_uid(entropy_srcs=[examined, "study"])
    file.SeriesInstanceUID = generate_uid(entropy_srcs=[examined, "series"])
    file.ImageType = ["DERIVED", "SECONDARY", *_IMAGE_TYPES[modality], "PHANTOM"]
    file.PatientName, file.PatientID = "PHANTOM", patient_id(phantom)
    file.Manufacturer, file.BurnedInAnnotation = "Fivefold phantom", "NO"
    for keyword in _AS_THEY_ARE:
        if phantom.meta.get(keyword, "") != "":
            setattr(file, keyword, str(phantom.meta[keyword]))
    if "PatientAge" in phantom.meta:
        file.PatientAge = f"{int(str(phantom.meta['PatientAge'])):03d}Y"
    if modality == "CR":
        file.ViewPosition = str(phantom.meta["ViewPosition"])
    if modality in ("CR", "OP"):
        file.ImageLaterality = str(phantom.meta["Laterality"])
    return file


def _place(file: Dataset, z_mm: float) -> None:
    """An axial slice of a patient on the back, its centre on the z axis (PS3.3 C.7.6.2)."""
    spacing = float(file.PixelSpacing[0])
    x_mm, y_mm = (-spacing * (n_pixels - 1) / 2 for n_pixels in (file.Columns, file.Rows))
    file.ImagePositionPatient = [f"{value:.4f}" for value in (x_mm, y_mm, z_mm)]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.PatientPosition = "HFS"


def _describe_views(file: Dataset, n_views: int) -> None:
    """One detector a frame, with the code of its view (PS3.3 C.8.4.8 and C.8.4.11)."""
    file.NumberOfFrames = n_views
    file.FrameIncrementPointer = [_ENERGY_WINDOW_VECTOR, _DETECTOR_VECTOR]
    file.EnergyWindowVector, file.NumberOfEnergyWindows = [1] * n_views, 1
    file.DetectorVector, file.NumberOfDetectors = list(range(1, n_views + 1)), n_views
    file.EnergyWindowInformationSequence = [Dataset()]
    file.DetectorInformationSequence = [_detector(*VIEWS[view]) for view in "AP"[:n_views]]


def _detector(value: str, meaning: str) -> Dataset:
    code, detector = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    detector.ViewCodeSequence = [code]
    return detector
