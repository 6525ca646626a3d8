"""Whose objects they are: a stand-in for the patient, or the patient and study of the source file."""

import hashlib
import hmac
from copy import deepcopy
from typing import Any

import numpy as np
from highdicom.base import SOPClass
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from core import __version__
from core.errors import FileError
from core.io import dicom, header, nuclear
from core.io.derived.plan import Plan
from core.io.dicom_file import open_dataset

MANUFACTURER = "Fivefold"
_METHOD = (
    "New objects, new UIDs, a pseudonym for the patient id",
    "No other attribute of the source; pixels were not cleaned",
)
_LENGTH = 64  # of a value of VR LO
_CHARACTERS = "ISO_IR 192"  # UTF-8
# Patient and study attributes that every object has, empty where nothing is known (type 2).
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
)


def without_pixels(image: Dataset, *others: str) -> Dataset:
    """The header of an image, without `others` of its attributes too."""
    header = Dataset()
    header.update({element.tag: element for element in image if element.keyword not in ("PixelData", *others)})
    return deepcopy(header)  # an element that is set in a data set changes in all that share it


class Context:
    """What the objects of one result share.

    Args:
        plan: The result.
        source: Bytes of the DICOM file that was screened, whose patient and study modules are copied; b"" = de-identified.
        key: Secret of the UIDs.

    Attributes:
        digest: Of the plan.
        reference: The image that all coordinates and masks refer to: the source, or a copy of its display values.
        frame_numbers: Of the frame in the reference, from 1; None where it has one frame.

    Raises:
        FileError: The source cannot be read, or text is burned into an image that shall be de-identified.
    """

    def __init__(self, plan: Plan, source: bytes, key: bytes) -> None:
        self.plan, self.digest, self._key = plan, plan.digest, key
        self.is_identified = bool(source)
        self._patient = Dataset()
        self.frame_numbers: list[int] | None = None
        self.reference: Dataset = self._open(source) if source else self.stand_in()

    def uid(self, *words: str) -> str:
        """A UID from a keyed hash (PS3.5 B.2): the same words give the same one under one key."""
        digest = hmac.new(self._key, "\x1f".join(words).encode(), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(digest[:16])}"

    def identity(self, kind: str, place: int) -> dict[str, Any]:
        """UIDs, numbers and equipment of a new object, as the constructors of highdicom want them."""
        return {
            "series_instance_uid": self.uid(self.digest, kind, "series"),
            "series_number": 9900 + place,
            "sop_instance_uid": self.uid(self.digest, kind, "instance"),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            **self.equipment(),
        }

    def equipment(self) -> dict[str, Any]:
        """This program and the model."""
        plan = self.plan
        return {
            "manufacturer_model_name": f"{plan.task} {plan.model}"[:_LENGTH],
            "device_serial_number": plan.weights_sha256,
            "software_versions": (__version__, plan.version[:_LENGTH]),
        }

    def finish(self, made: SOPClass, words: str) -> SOPClass:
        """Add what every object says: whose it is, what it is worth, when it was made."""
        plan = self.plan
        if self.is_identified:
            made.copy_patient_and_study_information(self._patient)
        else:
            self._mark_anonymous(made)
        made.SpecificCharacterSet = _CHARACTERS
        made.SeriesDescription = self.title(words)
        # The time of the study is copied as the hospital's clock had it, so ours stands beside it on the clock of this machine.
        moment = plan.made_at.astimezone() if self.is_identified else plan.made_at
        day, hour = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
        for where in ("InstanceCreation{}", "Content{}", "Series{}", "{}OfSecondaryCapture"):
            if "SecondaryCapture" not in where or where.format("Date") in made:
                setattr(made, where.format("Date"), day)
                setattr(made, where.format("Time"), hour)
        if not self.is_identified:
            made.TimezoneOffsetFromUTC = "+0000"
        if "PixelData" in made:
            made.ImageComments = plan.caption
            made.DerivationDescription = f"{words} by {plan.caption}"[:1024]
        return made

    def title(self, words: str) -> str:
        """What an object is, marked where the image or the numbers are not real."""
        plan = self.plan
        marks = ("PHANTOM" if plan.is_phantom else "", "DEMONSTRATION" if plan.statement else "")
        return f"{', '.join(filter(None, marks)) or 'Research use'}: {words}"

    def capture(self, pixels: np.ndarray[Any, Any], kind: str, place: int) -> SCImage:
        """A secondary capture of this study.

        Args:
            pixels: uint8 (H, W) or (H, W, 3).
            kind: For its UIDs.
            place: For its series number.
        """
        made = SCImage(
            pixels,
            photometric_interpretation="RGB" if pixels.ndim == 3 else "MONOCHROME2",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),
            study_instance_uid=self.study_uid,
            **self.identity(kind, place),
        )
        sides = {own.laterality or "" for own in self.plan.reported}
        made.PatientOrientation, made.Laterality = [], sides.pop() if len(sides) == 1 else ""
        if pixels.ndim == 3:
            made.LossyImageCompression = "00"
        return made

    @property
    def study_uid(self) -> str:
        """Of the source's study, or a new one that all results of one file share."""
        if self.is_identified:
            return str(self.reference.StudyInstanceUID)
        return self.uid(self.plan.file_sha256, "study")

    def _open(self, source: bytes) -> Dataset:
        dataset, _ = open_dataset(source)
        if hashlib.sha256(source).hexdigest() != self.plan.file_sha256:
            raise FileError("E_TAG", "another file than the one that was screened")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            if not header.values(dataset, keyword):
                raise FileError("E_TAG", f"{keyword} is missing")
        dataset.decode()
        dataset.SpecificCharacterSet = _CHARACTERS
        n_frames = dicom.count_frames(dataset)
        if n_frames > 1:
            views = nuclear.frame_views(dataset, n_frames)
            self.frame_numbers = [nuclear.file_position(views, 0) + 1]
        self._patient = without_pixels(dataset)
        self._patient.SOPClassUID = (
            SecondaryCaptureImageStorage  # says where patient and study are; ours may be any class
        )
        for keyword in _TYPE_2:
            setattr(dataset, keyword, "")  # highdicom refuses values that are not quite as the standard wants them
        return dataset

    def stand_in(self) -> SCImage:
        """A copy of the display values of the frame."""
        if self.plan.has_burned_in:
            raise FileError("E_BURNED_IN", "BurnedInAnnotation is YES")
        made = self.capture(self.plan.image, "image", 0)
        if self.plan.spacing_mm:
            made.PixelSpacing = [f"{value:.6g}" for value in self.plan.spacing_mm]
        self.finish(made, "image as displayed")
        return made

    def _mark_anonymous(self, made: SOPClass) -> None:
        plan = self.plan
        for keyword in _TYPE_2:
            setattr(made, keyword, "")
        made.PatientID = plan.pseudonym or f"FILE-{self.uid(plan.file_sha256, 'patient')[-24:]}"
        if plan.is_phantom:
            made.PatientName = "PHANTOM"
        made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", list(_METHOD)
        made.LongitudinalTemporalInformationModified = "REMOVED"
