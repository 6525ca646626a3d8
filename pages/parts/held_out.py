"""The held-out results that every curve and every sentence on the page is computed from."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core import registry
from core.manifest import Manifest
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


def held_out(task_id: str, manifest: Manifest) -> HeldOut | None:
    """The cases of `evaluation.csv`, None without the file."""
    return _read(task_id, manifest.model, manifest.labels[0], manifest.provenance.evaluation_sha256)


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(task_id: str, model: str, label: str, evaluation_sha256: str) -> HeldOut | None:
    # Shared by all sessions: these are the model's own published results, read once for each version of them.
    path = registry.WEIGHTS / task_id / model / "evaluation.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    ideal = table[IDEAL_OBSERVER].tolist() if IDEAL_OBSERVER in table else None
    return HeldOut(table["label"].astype(int).tolist(), table[f"p_{label}"].tolist(), ideal)


def share_at_or_above(cases: HeldOut, score: float) -> tuple[float, float]:
    """Share of the positive and of the negative held-out cases that scored at least `score`."""
    shares = []
    for wanted in (1, 0):
        scores = [s for y, s in zip(cases.y_true, cases.y_score, strict=True) if y == wanted]
        shares.append(sum(s >= score for s in scores) / len(scores))
    return shares[0], shares[1]


@st.cache_resource(max_entries=8, show_spinner=False)
def curve_of(task_id: str, evaluation_sha256: str, _cases: HeldOut) -> RocCurve:
    """ROC curve with its band, computed once for each version of the held-out results."""
    return roc_curve(_cases.y_true, _cases.y_score)
