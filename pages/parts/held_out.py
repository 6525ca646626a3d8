"""The held-out results that every curve and every sentence on the page is computed from."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core import registry
from core.manifest import Manifest
from core.metrics.grades import cumulative
from core.metrics.grading import GradingReport, grading_report
from core.metrics.roc import RocCurve, roc_curve

IDEAL_OBSERVER = "p_ideal_observer"


@dataclass(frozen=True)
class HeldOut:
    """Held-out cases of one model.

    Attributes:
        y_true, y_score: One entry a case.
        y_ideal: Scores of the ideal observer, who knows the phantom's true markers; None for real data.
    """

    y_true: list[int]
    y_score: list[float]
    y_ideal: list[float] | None

    @property
    def n_positive(self) -> int:
        """Cases with the finding."""
        return sum(self.y_true)


@dataclass(frozen=True)
class Graded:
    """Cases of a grader: held-out ones, or real ones answered by a model that never saw their patient.

    Attributes:
        y_true: Reference grade, one entry a case.
        probabilities: One row a case, one column a grade.
        patients: Who the case is of.
        ideal: Probabilities of the ideal observer; None for real data.
        references: A measured value of each case (HU); None where there is none.
    """

    y_true: list[int]
    probabilities: list[list[float]]
    patients: list[str]
    ideal: list[list[float]] | None = None
    references: list[float] | None = None


def held_out(task_id: str, manifest: Manifest, label: str) -> HeldOut | None:
    """The cases of `evaluation.csv` for the label of an operating point: it or worse against the rest; None without the file."""
    table = _read(task_id, manifest.model, "evaluation.csv", manifest.provenance.evaluation_sha256)
    if table is None:
        return None
    if len(manifest.labels) == 1:
        ideal = table[IDEAL_OBSERVER].tolist() if IDEAL_OBSERVER in table else None
        return HeldOut(table["label"].astype(int).tolist(), table[f"p_{label}"].tolist(), ideal)
    cut = manifest.cut(label)
    names = [f"ideal_{name}" for name in manifest.labels]
    return HeldOut(
        (table["label"] >= cut).astype(int).tolist(),
        cumulative(_rows(table, [f"p_{name}" for name in manifest.labels]), cut).tolist(),
        cumulative(_rows(table, names), cut).tolist() if names[0] in table else None,
    )


def graded(task_id: str, manifest: Manifest) -> Graded | None:
    """All grades of the held-out cases, None without the file or where labels are no grades."""
    table = _read(task_id, manifest.model, "evaluation.csv", manifest.provenance.evaluation_sha256)
    if table is None or len(manifest.labels) == 1:
        return None
    ideal = [f"ideal_{label}" for label in manifest.labels]
    return Graded(
        table["label"].astype(int).tolist(),
        _rows(table, [f"p_{label}" for label in manifest.labels]),
        table["patient"].tolist(),
        _rows(table, ideal) if ideal[0] in table else None,
    )


def out_of_fold(task_id: str, manifest: Manifest) -> Graded | None:
    """Real cases with a measured value, answered by the fold model that never saw their patient; None without the file."""
    digest = manifest.provenance.out_of_fold_sha256
    table = _read(task_id, manifest.model, "out_of_fold.csv", digest) if digest else None
    if table is None:
        return None
    return Graded(
        table["label"].astype(int).tolist(),
        _rows(table, [f"p_{label}" for label in manifest.labels]),
        table["patient"].tolist(),
        references=table["reference"].tolist(),
    )


def _rows(table: pd.DataFrame, columns: list[str]) -> list[list[float]]:
    return table[columns].to_numpy().tolist()


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(task_id: str, model: str, file: str, sha256: str | None) -> pd.DataFrame | None:
    # Shared by all sessions: these are the model's own published results, read once for each version of them.
    path = registry.WEIGHTS / task_id / model / file
    return pd.read_csv(path) if path.is_file() else None


def share_at_or_above(cases: HeldOut, score: float) -> tuple[float, float]:
    """Share of the positive and of the negative held-out cases that scored at least `score`."""
    shares = []
    for wanted in (1, 0):
        scores = [s for y, s in zip(cases.y_true, cases.y_score, strict=True) if y == wanted]
        shares.append(sum(s >= score for s in scores) / len(scores))
    return shares[0], shares[1]


@st.cache_resource(max_entries=16, show_spinner=False)
def curve_of(task_id: str, evaluation_sha256: str, label: str, _cases: HeldOut) -> RocCurve:
    """ROC curve with its band, computed once for each label and version of the held-out results."""
    return roc_curve(_cases.y_true, _cases.y_score)


@st.cache_resource(max_entries=16, show_spinner=False)
def report_of(task_id: str, sha256: str, who: str, _cases: Graded) -> GradingReport:
    """Figures of a grader ("model" or "ideal"), resampled by patient, computed once for each version of the results."""
    probabilities = _cases.ideal if who == "ideal" and _cases.ideal else _cases.probabilities
    return grading_report(_cases.y_true, probabilities, _cases.patients)
