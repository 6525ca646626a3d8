"""The machine declaration that rides with every weights file: closed schema, unknown key = error.

`weights/<task>/<model>/manifest.json` holds one Manifest. A threshold belongs to the sha256 of its weights and to nothing else.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import WeightsError
from core.i18n import mark

DEMO_STATEMENT = mark("Simulated data only: numbers carry no clinical meaning")
SYNTHETIC_STATEMENT = mark("Real images, synthetic findings: numbers carry no clinical meaning")
DataKind = Literal["phantom", "real images, synthetic findings", "real images, real labels"]
STATEMENTS: dict[str, str] = {
    "phantom": DEMO_STATEMENT,
    "real images, synthetic findings": SYNTHETIC_STATEMENT,
    "real images, real labels": "",
}
SHA256 = Field(pattern=r"^[0-9a-f]{64}$")


AUXILIARY = "auxiliary.json"
SHIPPED, LOCAL = "manifest.json", "local.json"
NEVER = 1.0  # a threshold of a finding that is not called: no score reaches it
EVALUATIONS = ("evaluation_hist.npz", "evaluation_boxes.csv", "evaluation.csv")
"""The file behind `evaluation_sha256`: a folder has one of them, by the kind of its answers."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Declaration = TypeVar("_Declaration", bound=_Closed)


class Change(_Closed):
    """One line of the changelog."""

    version: str
    date: str
    text: str


class WeightsFile(_Closed):
    """A tensor file and what must be true of it before it is parsed."""

    file: str
    format: Literal["safetensors"]
    sha256: str = SHA256
    bytes: int
    parameters: int
    dtype: Literal["float32", "float16"]


class Architecture(_Closed):
    """A network by name and its options."""

    name: str
    options: dict[str, str | int | float | bool] = {}


class Auxiliary(_Closed):
    """A second network that `locate` may call."""

    architecture: Architecture
    weights: WeightsFile


class InputSpec(_Closed):
    """What the network takes."""

    modality: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    unit: str
    value_range: tuple[float, float]


class Transform(_Closed):
    """One step from pixels to network input, as data."""

    name: str
    parameters: dict[str, float | str] = {}


class Estimate(_Closed):
    """A measured number with its 95 % interval."""

    value: float
    low: float
    high: float


class OperatingPoint(_Closed):
    """A threshold with what it was chosen for and what it then gave; `score >= threshold` is positive.

    Attributes:
        label: The finding. Where the labels are grades, the lowest one that counts: the score is the probability of it or worse.
        sensitivity, specificity: On the held-out data set named in `data`.
        threshold_low, threshold_high: 95 % bootstrap interval of the threshold on the data it was chosen on.
    """

    id: str
    label: str
    threshold: float
    threshold_low: float
    threshold_high: float
    chosen_for: str
    chosen_on: str
    sensitivity: Estimate
    specificity: Estimate
    data: str
    n: int


class Calibration(_Closed):
    """A fitted map from score to probability."""

    method: Literal["none", "temperature", "platt"]
    parameters: dict[str, float] = {}
    data: str = ""


class Metric(_Closed):
    """One held-out figure."""

    name: str
    label: str = ""
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    data: str
    note: str = ""


class Dataset(_Closed):
    """A source of training or test data, with its terms."""

    name: str
    role: Literal["training", "validation", "test"]
    n: int
    patients: int
    licence: str
    citation: str = ""


class ProvenanceRecord(_Closed):
    """What made these weights."""

    labels: dict[str, DataKind]
    datasets: tuple[Dataset, ...]
    command: str
    seed: int
    code_revision: str
    date: str
    training_cases_sha256: str = SHA256
    evaluation_sha256: str = SHA256
    out_of_fold_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class ExplanationSpec(_Closed):
    """Which layer explanations use."""

    layer: str
    default_method: str


class Manifest(_Closed):
    """Everything about one model but its numbers."""

    format: Literal["fivefold-manifest-1"]
    task: str
    model: str
    version: str
    changelog: tuple[Change, ...] = Field(min_length=1)
    architecture: Architecture
    auxiliary: dict[str, Auxiliary] = {}
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


class AuxiliaryManifest(_Closed):
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


class LocalChanges(_Closed):
    """What this installation added to a manifest, `weights/<task>/<model>/local.json`: the shipped file stays as it is.

    Attributes:
        weights_sha256: Of the weights that the operating points belong to; with others the file counts for nothing.
        changes: One an operating point: who adopted it, when, and on what data.
        operating_points: Behind the shipped ones.
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
    merged = shipped.model_dump() | {
        "version": local.changes[-1].version,
        "changelog": (*shipped.changelog, *local.changes),
        "operating_points": (*shipped.operating_points, *local.operating_points),
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
