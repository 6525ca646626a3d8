"""The machine declaration that rides with every weights file: closed schema, unknown key = error.

`weights/<task>/<model>/manifest.json` holds one Manifest. A threshold belongs to the sha256 of its weights and to nothing else.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from core.errors import WeightsError
from core.i18n import mark
from core.provenance import SHA256, Closed, DataKind, ProvenanceRecord

DEMO_STATEMENT = mark("Simulated data only: numbers carry no clinical meaning")
SYNTHETIC_STATEMENT = mark("Real images, synthetic findings: numbers carry no clinical meaning")
STATEMENTS: dict[str, str] = {
    "phantom": DEMO_STATEMENT,
    "real images, synthetic findings": SYNTHETIC_STATEMENT,
    "real images, real labels": "",
}


AUXILIARY = "auxiliary.json"
SHIPPED, LOCAL = "manifest.json", "local.json"
ADOPTED = "local_"  # ids of operating points that this installation adopted begin so
NEVER = 1.0  # a threshold of a finding that is not called: no score reaches it
EVALUATIONS = ("evaluation_hist.npz", "evaluation_boxes.csv", "evaluation.csv")
"""The file behind `evaluation_sha256`: a folder has one of them, by the kind of its answers."""


_Declaration = TypeVar("_Declaration", bound=Closed)


class Change(Closed):
    """One line of the changelog."""

    version: str
    date: str
    text: str


class WeightsFile(Closed):
    """A tensor file and what must be true of it before it is parsed."""

    file: str
    format: Literal["safetensors"]
    sha256: str = SHA256
    bytes: int
    parameters: int
    dtype: Literal["float32", "float16"]


class Architecture(Closed):
    """A network by name and its options."""

    name: str
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Auxiliary(Closed):
    """A second network that `locate` may call."""

    architecture: Architecture
    weights: WeightsFile


class InputSpec(Closed):
    """What the network takes."""

    modality: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    unit: str
    value_range: tuple[float, float]


class Transform(Closed):
    """One step from pixels to network input, as data."""

    name: str
    parameters: dict[str, float | str] = Field(default_factory=dict)


class Estimate(Closed):
    """A measured number with its 95 % interval."""

    value: float
    low: float
    high: float


class OperatingPoint(Closed):
    """A threshold with what it was chosen for and what it then gave; `score >= threshold` is positive.

    Attributes:
        label: The finding. Where the labels are grades, the lowest one that counts: the score is the probability of it or worse.
        threshold: None where nobody has measured one: the question alone, whose score is shown without an answer.
        sensitivity, specificity: On the held-out data set named in `data`; None where they were not measured.
        threshold_low, threshold_high: 95 % bootstrap interval of the threshold on the data it was chosen on.
    """

    id: str
    label: str
    threshold: float | None
    threshold_low: float | None
    threshold_high: float | None
    chosen_for: str
    chosen_on: str
    sensitivity: Estimate | None
    specificity: Estimate | None
    data: str
    n: int

    @property
    def cut_off(self) -> float:
        """The threshold, for answers that cannot be given without one.

        Raises:
            WeightsError: There is none.
        """
        if self.threshold is None:
            raise WeightsError(f"no threshold for {self.label}")
        return self.threshold

    def calls(self, score: float) -> bool | None:
        """Whether a score is positive; None without a threshold."""
        return None if self.threshold is None else score >= self.threshold


class Calibration(Closed):
    """A fitted map from score to probability."""

    method: Literal["none", "temperature", "platt"]
    parameters: dict[str, float] = Field(default_factory=dict)
    data: str = ""


class Metric(Closed):
    """One held-out figure."""

    name: str
    label: str = ""
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    data: str
    note: str = ""


class ExplanationSpec(Closed):
    """Which layer explanations use."""

    layer: str
    default_method: str


class Manifest(Closed):
    """Everything about one model but its numbers."""

    format: Literal["fivefold-manifest-1"]
    task: str
    model: str
    version: str
    changelog: tuple[Change, ...] = Field(min_length=1)
    architecture: Architecture
    auxiliary: dict[str, Auxiliary] = Field(default_factory=dict)
    input: InputSpec
    transforms: tuple[Transform, ...]
    labels: tuple[str, ...] = Field(min_length=1)
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    calibration: Calibration
    weights: WeightsFile
    explanation: ExplanationSpec
    metrics: tuple[Metric, ...]
    provenance: ProvenanceRecord
    eligible_age_years: tuple[float, float] | None = None
    intended_use: str
    limitations: tuple[str, ...]

    @model_validator(mode="after")
    def _labels_agree(self) -> "Manifest":
        known = set(self.labels)
        if set(self.provenance.labels) != known:
            raise ValueError("provenance.labels must name each label once")
        if not {point.label for point in self.operating_points} <= known:
            raise ValueError("an operating point names an unknown label")
        if self.changelog[-1].version != self.version:
            raise ValueError("the changelog must end with this version")
        made = self.provenance
        measured = (made.evaluation_sha256, made.seed, made.code_revision)
        if not made.is_brought and any(
            value is None
            for point in self.operating_points
            for value in (*measured, point.threshold, point.specificity)
        ):
            raise ValueError("only brought weights may leave seed, code, evaluation or operating points open")
        return self

    @property
    def data_kind(self) -> DataKind:
        """The least real kind of data behind any label."""
        order = list(STATEMENTS)
        return min(self.provenance.labels.values(), key=order.index)

    @property
    def statement(self) -> str:
        """Message id printed with every number of this model; empty when all labels are real."""
        return STATEMENTS[self.data_kind]

    def cut(self, label: str) -> int:
        """The lowest reference class that is positive for `label`: 1 where a single label is found or not, else its grade."""
        return self.labels.index(label) if len(self.labels) > 1 else 1

    @property
    def default_point(self) -> OperatingPoint:
        """The operating point used unless a person chooses another: the first."""
        return self.operating_points[0]


class AuxiliaryManifest(Closed):
    """The declaration of an auxiliary network, `weights/<task>/<name>/auxiliary.json`: its folder is no model of the task.

    Attributes:
        auxiliary: What the manifest of every model takes over that was trained beside it.
    """

    format: Literal["fivefold-auxiliary-1"]
    task: str
    name: str
    version: str
    changelog: tuple[Change, ...] = Field(min_length=1)
    auxiliary: Auxiliary
    metrics: tuple[Metric, ...]
    provenance: ProvenanceRecord
    intended_use: str
    limitations: tuple[str, ...]


class LocalChanges(Closed):
    """What this installation added to a manifest, `weights/<task>/<model>/local.json`: the shipped file stays as it is.

    Attributes:
        weights_sha256: Of the weights that the operating points belong to; with others the file counts for nothing.
        changes: One an operating point: who adopted it, when, and on what data.
        operating_points: Behind the shipped ones; in the place of one that has no threshold.
    """

    format: Literal["fivefold-local-1"]
    weights_sha256: str = SHA256
    changes: tuple[Change, ...] = Field(min_length=1)
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in force: the shipped one, with what this installation added to it for these very weights.

    Raises:
        WeightsError: Missing, unreadable or not of its schema; the message names the field.
    """
    shipped, local = read_shipped_manifest(folder), read_local_changes(folder)
    if local is None or local.weights_sha256 != shipped.weights.sha256:
        return shipped
    answered = {point.label for point in local.operating_points}
    kept = [point for point in shipped.operating_points if point.threshold is not None or point.label not in answered]
    merged = shipped.model_dump() | {
        "version": local.changes[-1].version,
        "changelog": (*shipped.changelog, *local.changes),
        "operating_points": (*kept, *local.operating_points),
    }
    try:
        return Manifest.model_validate(merged)
    except ValidationError as error:
        raise WeightsError(f"{folder.name}: {LOCAL} does not fit the manifest") from error


def read_shipped_manifest(folder: Path) -> Manifest:
    """Read `folder/manifest.json`.

    Raises:
        WeightsError: See `read_manifest`.
    """
    return _read(folder, SHIPPED, Manifest)


def read_local_changes(folder: Path) -> LocalChanges | None:
    """Read `folder/local.json`; None where there is none.

    Raises:
        WeightsError: See `read_manifest`.
    """
    return _read(folder, LOCAL, LocalChanges) if (folder / LOCAL).is_file() else None


def read_auxiliary(folder: Path) -> AuxiliaryManifest:
    """Read `folder/auxiliary.json`.

    Raises:
        WeightsError: See `read_manifest`.
    """
    return _read(folder, AUXILIARY, AuxiliaryManifest)


def _read(folder: Path, name: str, kind: type[_Declaration]) -> _Declaration:
    try:
        return kind.model_validate_json((folder / name).read_bytes())
    except OSError as error:
        raise WeightsError(f"{folder.name}: {name} cannot be read") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise WeightsError(f"{folder.name}: {where}: {first['msg']}") from error


def dump_manifest(manifest: Manifest | AuxiliaryManifest | LocalChanges) -> str:
    """JSON text of a manifest, stable under re-writing."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
