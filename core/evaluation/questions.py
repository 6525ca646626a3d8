"""The yes-or-no questions that an evaluation of images answered, each with its cases: what curves and thresholds are made of.

A classifier answers one question. A grader answers one for every grade that an operating point asks for: this grade or a worse
one? A detector or segmenter answers for every label whether the image holds it at all, by the highest score in it.
"""

import csv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import registry
from core.errors import UsageError
from core.io import box_evidence, pixel_evidence
from core.io.score_table import Names, ScoreTable
from core.manifest import Manifest, file_sha256
from core.metrics.grades import cumulative
from core.metrics.grading import GradingReport, grading_report
from core.metrics.pixel_histogram import N_BINS

CASES = "cases.csv"
_MALFORMED = (OSError, LookupError, ValueError, TypeError, EOFError, csv.Error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Question:
    """One label, or grade and worse.

    Attributes:
        label: As in the manifest.
        points: Thresholds of the card by the id of their operating point, the default one first.
        table: A row a case.
        cases: Id of each row's case.
        pixel_hashes: Of each row's image.
    """

    label: str
    points: Mapping[str, float]
    table: ScoreTable
    cases: tuple[str, ...]
    pixel_hashes: tuple[str, ...]


@dataclass(frozen=True)
class _Cases:
    """What all questions share: (n,) each."""

    cases: Sequence[str]
    patients: Sequence[str]
    pixel_hashes: Sequence[str]


def read_questions(folder: Path, manifest: Manifest, groups: Mapping[str, str]) -> tuple[Question, ...]:
    """The questions of a finished evaluation.

    Args:
        folder: That `evaluate --out` wrote to.
        manifest: Of the model that answered.
        groups: Group of an image by the hash of its pixels; those without one form the group "". Empty = no groups.

    Raises:
        UsageError: The folder holds no answers.
    """
    kind = registry.task(manifest.task).kind
    read = {"segmenter": _of_masks, "detector": _of_boxes}.get(kind, _of_classes)
    try:
        common, answers = read(folder, manifest)
    except _MALFORMED as error:
        raise UsageError("the folder holds no answers of this model") from error
    if not common.cases:
        raise UsageError("the folder holds no answers of this model")
    group = Names.of(_column([groups.get(own, "") for own in common.pixel_hashes])) if groups else None
    patient = np.unique(list(common.patients), return_inverse=True)[1].astype(np.int64)
    return tuple(
        Question(
            label=label,
            points={
                point.id: point.threshold
                for point in manifest.operating_points
                if point.label == label and point.threshold is not None
            },
            table=ScoreTable(is_positive, score, patient, group, None),
            cases=tuple(common.cases),
            pixel_hashes=tuple(common.pixel_hashes),
        )
        for label, (is_positive, score) in answers.items()
    )


_Answers = dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]


def read_grading(folder: Path, manifest: Manifest) -> GradingReport | None:
    """All grades of a finished evaluation at once; None where the labels are no grades.

    Raises:
        UsageError: The folder holds no answers, or too few.
    """
    if registry.task(manifest.task).kind != "grader":
        return None
    try:
        common, target, given = _classes(folder, manifest)
    except _MALFORMED as error:
        raise UsageError("the folder holds no answers of this model") from error
    return grading_report(target, given, np.array(common.patients))


def _classes(folder: Path, manifest: Manifest) -> tuple[_Cases, NDArray[np.float64], NDArray[np.float64]]:
    """The cases, their targets (n,) and probabilities (n, labels)."""
    with (folder / CASES).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    common = _Cases(*([row[name] for row in rows] for name in ("case", "patient", "pixel_hash")))
    target = np.array([float(row["label"]) for row in rows])
    given = np.array([[float(row[f"p_{label}"]) for label in manifest.labels] for row in rows])
    if given.shape[1] > 1:
        given = given / given.sum(axis=1, keepdims=True)  # stored with six digits
    return common, target, given


def _of_classes(folder: Path, manifest: Manifest) -> tuple[_Cases, _Answers]:
    common, target, given = _classes(folder, manifest)
    asked = dict.fromkeys(point.label for point in manifest.operating_points)
    return common, {
        label: (target >= (cut := manifest.cut(label)), given[:, 0] if given.shape[1] == 1 else cumulative(given, cut))
        for label in asked
    }


def _of_boxes(folder: Path, manifest: Manifest) -> tuple[_Cases, _Answers]:
    digest = file_sha256(folder / box_evidence.FILE)
    evidence = box_evidence.read_evidence(folder, digest, manifest.labels)
    common = _Cases(*([getattr(own, name) for own in evidence.images] for name in ("case", "patient", "pixel_hash")))
    return common, {label: evidence.presence(place) for place, label in enumerate(manifest.labels)}


def _of_masks(folder: Path, manifest: Manifest) -> tuple[_Cases, _Answers]:
    digest = file_sha256(folder / pixel_evidence.FILE)
    evidence = pixel_evidence.read_evidence(folder, digest)
    common = _Cases(*(getattr(evidence, name).tolist() for name in ("cases", "patients", "pixel_hashes")))
    return common, {
        label: (own[:, 1].any(axis=1), _highest(own.sum(axis=1)))
        for label, own in zip(manifest.labels, evidence.histograms.swapaxes(0, 1), strict=True)
    }


def _highest(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lower edge of the highest bin with a pixel, 0 without one: (n, bins) -> (n,)."""
    return np.where(counts.any(axis=1), N_BINS - 1 - (counts[:, ::-1] > 0).argmax(axis=1), 0) / N_BINS


def _column(names: Iterable[str]) -> "pd.Series[str]":
    return pd.Series(list(names), dtype=str)
