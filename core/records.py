"""The records that travel the road: Study -> Gate -> Regions -> Prediction + Explanation -> ScreeningResult.

All are frozen. Arrays inside are treated as read-only. Coordinates are pixels of the original frame, x to the right, y down;
boxes are half-open `(x_min, y_min, x_max, y_max)`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
LabelledBoxes = tuple[tuple[str, Box], ...]  # label id and box_xyxy of each
Line = tuple[float, float, float, float]  # x and y of its start, x and y of its end, pixels of the frame
Laterality = Literal["L", "R"]


@dataclass(frozen=True)
class Frame:
    """One 2-D pixel plane.

    Attributes:
        pixels: float32 (H, W) after the modality LUT, high = bright, padding set to the minimum; or uint8 (H, W, 3) RGB.
        unit: "HU", "counts", "relative" (grey without physical unit) or "rgb".
        spacing_mm: Row and column spacing, or None when the file does not tell.
        window: VOI window (center, width) in `pixels` units, or None: then display uses percentiles.
        padding: Boolean (H, W), True where the scanner padded, or None.
    """

    pixels: NDArray[np.generic]
    unit: Literal["HU", "counts", "relative", "rgb"]
    spacing_mm: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    padding: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Study:
    """What the reader process gives back for one file: pixels and an allow-list of technical facts, never a name, id or date.

    Attributes:
        frames: At least one.
        file_sha256: Hash of the bytes as they came.
        container: "dicom", "raster" or "matlab".
        tags: Allow-listed technical tags by DICOM keyword (others: core.io.vocabulary), values as short strings.
        age_years, weight_kg: From the header where present.
        sex: "F", "M", "O" or None.
        pseudonym: Keyed hash of the patient id, or None without one.
        keys: Keyed hashes that a label table is matched by, of "accession" and "patient_date", where the header has them.
        notes: Message ids about what the reader decided ("The first of {n} frames is used.").
        is_phantom: The file says it is a phantom made by this project.
    """

    frames: tuple[Frame, ...]
    file_sha256: str
    container: Literal["dicom", "raster", "matlab"]
    tags: Mapping[str, str] = field(default_factory=dict)
    age_years: float | None = None
    weight_kg: float | None = None
    sex: str | None = None
    pseudonym: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_phantom: bool = False

    @property
    def frame(self) -> Frame:
        """The frame that is screened: the first."""
        return self.frames[0]

    @cached_property
    def pixel_hash(self) -> str:
        """Salted hash of the pixels that are screened: tells whether an image was used, not what it shows."""
        salted = b"fivefold-pixels" + np.ascontiguousarray(self.frame.pixels).tobytes()
        return hashlib.sha256(salted).hexdigest()[:32]

    @property
    def laterality(self) -> Laterality | None:
        """Side from the header, None when absent or both."""
        side = self.tags.get("ImageLaterality") or self.tags.get("Laterality") or ""
        return "L" if side == "L" else "R" if side == "R" else None


@dataclass(frozen=True)
class Check:
    """One question asked before the score.

    Attributes:
        code: Stable id, e.g. "side_unknown"; goes into JSON.
        outcome: "passed", "confirm" (a person may override) or "refused".
        message: Message id with `{placeholders}`; what was found, in one line.
        values: Fillers of the placeholders (numbers and words of this program, never tag text).
        suggested_task: Task id that fits the image better, or None.
    """

    code: str
    outcome: Literal["passed", "confirm", "refused"]
    message: str
    values: Mapping[str, object] = field(default_factory=dict)
    suggested_task: str | None = None


@dataclass(frozen=True)
class Gate:
    """All checks of one study and what follows from them."""

    checks: tuple[Check, ...]
    confirmed: bool = False

    @property
    def outcome(self) -> Literal["accepted", "needs_confirmation", "refused"]:
        """The worst outcome; a confirmed gate is still `needs_confirmation`, with `confirmed` recorded beside it."""
        outcomes = {check.outcome for check in self.checks}
        if "refused" in outcomes:
            return "refused"
        return "needs_confirmation" if "confirm" in outcomes else "accepted"

    @property
    def reasons(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome != "passed")

    @property
    def suggested_task(self) -> str | None:
        """The task that fits the image better, when a check knows one."""
        return next((check.suggested_task for check in self.checks if check.suggested_task), None)

    @property
    def shows_score(self) -> bool:
        """Whether a page may show the score now."""
        return self.outcome == "accepted" or (self.outcome == "needs_confirmation" and self.confirmed)


@dataclass(frozen=True)
class Region:
    """A part of the frame that one network input is made from.

    Attributes:
        box_xyxy: In original pixels; may reach beyond the frame (padded by prepare).
        laterality: Side of the body, when the task has one.
        mirrored: The network sees the region flipped left-right.
        source: "proposed" by the program, "user" drawn, or "whole" frame.
    """

    box_xyxy: Box
    laterality: Laterality | None = None
    mirrored: bool = False
    source: Literal["proposed", "user", "whole"] = "proposed"


Regions = tuple[Region, ...]


@dataclass(frozen=True)
class Lesion:
    """One connected piece of a finding's mask.

    Attributes:
        box_xyxy: Around it, pixels of the frame.
        area_px: Pixels of the frame.
        probability: The highest in it.
    """

    box_xyxy: Box
    area_px: float
    probability: float


@dataclass(frozen=True)
class Finding:
    """One reported thing. Same keys in every task and in JSON.

    Attributes:
        label: What was looked for: the label of the operating point.
        probability: The score that the operating point is compared with: of the label, or of it and every higher grade.
        positive: At or above the operating point; None where its threshold is still to be measured.
        grade: The most probable grade as a place among the labels, and `probabilities` of all of them, where labels are grades.
        mask: Boolean (H, W) of the frame, and its pieces in `lesions`, largest first, where places are found.
        threshold: Of its operating point, where each finding has its own.
    """

    label: str
    probability: float
    positive: bool | None
    laterality: Laterality | None = None
    box_xyxy: Box | None = None
    grade: int | None = None
    probabilities: Mapping[str, float] | None = None
    mask: NDArray[np.bool_] | None = None
    lesions: tuple[Lesion, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True)
class Prediction:
    """What decode makes of the network output: findings in original coordinates.

    Attributes:
        findings: A classifier or grader has one a region, in the order of the regions.
        branches: Class probabilities of each branch of a network that has several, by branch, one mapping a region.
        measures: Further numbers about each region by stable name ("roi_hu", "cosine"), one a region; NaN = not measurable.
        lines: What was measured along, by stable name ("heart", "thorax").
    """

    findings: tuple[Finding, ...]
    branches: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    measures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What `locate` measured on the way, for the prediction: see its attributes of the same names."""

    measures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)


@dataclass(frozen=True)
class Heatmap:
    """One explanation map of one region.

    Attributes:
        values: float32 (h, w) in [0, 1], in the orientation of the original frame; all zero when there is no positive evidence.
        raw_max: Maximum of the map before scaling: maps of different images compare only through it.
        region: Where it lies.
    """

    values: NDArray[np.float32]
    raw_max: float
    region: Region

    @property
    def has_evidence(self) -> bool:
        """False: the page says "no positive evidence" instead of drawing."""
        return self.raw_max > 0


@dataclass(frozen=True)
class Explanation:
    """Why the score is what it is: one map a region.

    Attributes:
        method: Key of core.engine.explain.METHODS.
        target: Label whose score is explained.
        heatmaps: One a region, in the order of the regions.
        branches: The same for each branch of a network that has several, by branch.
        finding: Place among the findings of the one that is explained, where places are found; None = all of them.
    """

    method: str
    target: str
    heatmaps: tuple[Heatmap, ...]
    branches: Mapping[str, tuple[Heatmap, ...]] = field(default_factory=dict)
    finding: int | None = None


@dataclass(frozen=True)
class Provenance:
    """What a result carries about its model: never shown without it.

    Attributes:
        data: "phantom", "real images, synthetic findings" or "real images, real labels".
        statement: Message id to print with every number, or "" for models trained on real labels.
    """

    task: str
    model: str
    version: str
    weights_sha256: str
    data: str
    statement: str


@dataclass(frozen=True)
class ScreeningResult:
    """Everything about one file on one task. Pages, command line, reports and batch take this and recompute nothing."""

    study: Study
    gate: Gate
    regions: Regions
    prediction: Prediction | None
    explanation: Explanation | None
    provenance: Provenance
    operating_point: str | None
    threshold: float | None
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PatientResult:
    """Several slices of one patient, and one answer from all of them.

    Attributes:
        slices: One result a slice, in the order given.
        finding: From the mean class probabilities of the slices that were answered; None when none was.
        n_answered: How many those are.
    """

    slices: tuple[ScreeningResult, ...]
    finding: Finding | None
    n_answered: int


@dataclass(frozen=True)
class LabelledCase:
    """A study with its reference label, for training and evaluation.

    Attributes:
        case_id: Unique in its set.
        patient: Cases of one patient never stand on both sides of a split.
        study: The image.
        target: 0 or 1 for a classifier, index of the grade for a grader.
        markers: True marker values of a phantom, in fixed order; empty for real data.
        regions: The one region that is labelled; None = the one that the task proposes.
        reference: A measured value that the answer is compared with (mean HU of the vertebral body); None without one.
        centre_xy: Where the labelled region truly lies, pixels; None where nobody marked it.
        label_map: uint8 (H, W) of the frame, the class of every pixel; None where only the image has a label.
        boxes: Label and box of every finding, pixels of the frame; none on a normal image, and in tasks without boxes.
        presence: Of every label 1, 0 or NaN for not known, where nobody drew boxes; empty where the boxes are the truth.
    """

    case_id: str
    patient: str
    study: Study
    target: float
    markers: tuple[float, ...] = ()
    regions: Regions | None = None
    reference: float | None = None
    centre_xy: tuple[float, float] | None = None
    label_map: NDArray[np.uint8] | None = None
    boxes: LabelledBoxes = ()
    presence: tuple[float, ...] = ()
