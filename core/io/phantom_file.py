"""A phantom as a DICOM file that says everywhere that it is one."""

import hashlib
import io

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from core.records import Phantom

SOP_CLASSES = {"CR": ComputedRadiographyImageStorage}


def patient_id(phantom: Phantom) -> str:
    """Id of a phantom patient, from its pixels: the key that pairs the film with other tables."""
    return f"PHANTOM-{hashlib.sha256(phantom.stored.tobytes()).hexdigest()[:8]}"


def write_dicom(phantom: Phantom, *, monochrome1: bool = False) -> bytes:
    """A 12-bit DICOM file. The same phantom gives the same bytes.

    Args:
        phantom: `meta` fills the header.
        monochrome1: Store inverted, low = bright.
    """
    stored = phantom.stored
    digest = hashlib.sha256(stored.tobytes()).hexdigest()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SOP_CLASSES[str(phantom.meta["Modality"])]
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[digest, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["fivefold"])
    file = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID = generate_uid(entropy_srcs=[digest, "study"])
    file.SeriesInstanceUID = generate_uid(entropy_srcs=[digest, "series"])
    file.ImageType = ["DERIVED", "SECONDARY", "PHANTOM"]
    file.PatientName, file.PatientID = "PHANTOM", patient_id(phantom)
    file.StudyDate = str(phantom.meta["StudyDate"])
    file.Manufacturer, file.BurnedInAnnotation = "Fivefold phantom", "NO"
    file.Modality = str(phantom.meta["Modality"])
    file.BodyPartExamined = str(phantom.meta["BodyPartExamined"])
    file.ViewPosition = str(phantom.meta["ViewPosition"])
    file.ImageLaterality = str(phantom.meta["Laterality"])
    file.PatientSex = str(phantom.meta["PatientSex"])
    file.PatientAge = f"{int(str(phantom.meta['PatientAge'])):03d}Y"
    file.PatientWeight = str(phantom.meta["PatientWeight"])
    file.PixelSpacing = [phantom.meta["PixelSpacing"]] * 2
    file.Rows, file.Columns = stored.shape
    file.SamplesPerPixel, file.BitsAllocated, file.BitsStored, file.HighBit = 1, 16, 12, 11
    file.PixelRepresentation = 0
    file.WindowCenter, file.WindowWidth = "2048", "4096"
    file.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    file.PixelData = (4095 - stored if monochrome1 else stored).astype("<u2").tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
