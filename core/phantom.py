"""The record of a phantom: a synthetic study with exactly known truth, and how it becomes a study or the pixels of a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.records import Frame, Study


@dataclass(frozen=True)
class Phantom:
    """A synthetic study with exactly known truth.

    Attributes:
        pixels: float32 (H, W): detector signal in [0, 1] ("relative"), HU, or counts; or uint8 (H, W, 3) RGB.
        truth: Cause, marker values, boxes and labels by name.
        markers: The true marker values an ideal observer may use, in fixed order.
        meta: DICOM attributes to write by keyword (side, age, sex, weight, spacing ...).
        unit: Of `pixels`.
        posterior: The second view of a whole-body scan, as the file stores it; None for other images.
    """

    pixels: NDArray[np.float32] | NDArray[np.uint8]
    truth: Mapping[str, object]
    markers: Mapping[str, float]
    meta: Mapping[str, object]
    unit: Literal["relative", "HU", "counts", "rgb"] = "relative"
    posterior: NDArray[np.float32] | None = None

    @property
    def stored(self) -> NDArray[np.unsignedinteger]:
        """As a file holds them: 12 bits, 12 bits of HU + 1024, counts (two views: (2, H, W)), or 8 bits of each colour."""
        if self.unit == "rgb":
            return self.pixels.astype(np.uint8)
        planes = self.pixels if self.posterior is None else np.stack([self.pixels, self.posterior])
        scaled = planes * 4095 if self.unit == "relative" else planes + 1024 if self.unit == "HU" else planes
        return np.rint(np.clip(scaled, 0, 65535 if self.unit == "counts" else 4095)).astype(np.uint16)

    def study(self) -> Study:
        """The phantom as the reader would give it, without a detour through a file."""
        first = self.stored if self.posterior is None else self.stored[0]
        pixels = first if self.unit == "rgb" else first.astype(np.float32) - (1024 if self.unit == "HU" else 0)
        spacing = float(str(self.meta["PixelSpacing"])) if "PixelSpacing" in self.meta else None
        age, weight = self.meta.get("PatientAge"), self.meta.get("PatientWeight")
        return Study(
            frames=(Frame(pixels, self.unit, (spacing, spacing) if spacing else None, WINDOWS.get(self.unit)),),
            file_sha256="0" * 64,
            container="dicom",
            tags={key: str(value) for key, value in self.meta.items() if key in STUDY_TAGS and value != ""},
            age_years=None if age is None else float(str(age)),
            weight_kg=None if weight is None else float(str(weight)),
            sex=str(self.meta["PatientSex"]),
            is_phantom=True,
        )


WINDOWS = {"relative": (2048.0, 4096.0), "HU": (200.0, 700.0)}
"""Display window (center, width) that a phantom file of each unit asks for; none for counts and colours."""
STUDY_TAGS = (  # attributes of a phantom that are also tags of a study
    *("Modality", "BodyPartExamined", "ViewPosition", "Laterality", "KneeJointId"),
    *("SliceThickness", "ConvolutionKernel", "KVP", "ContrastBolusAgent", "SlicePosition"),
)
