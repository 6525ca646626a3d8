"""Held-out results of a classifier or grader: evaluation.csv, out_of_fold.csv, headline figures, operating points."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.io.tables import csv_bytes
from core.training.answers import Answers
from core.training.fit import Fitted
from core.training.held_out import (
    HeldOut,
    Scored,
    Scores,
    headline_metrics,
    ideal_observer,
    operating_points,
    reference_metrics,
)
from core.training.pack import Pack

Columns = dict[str, NDArray[Any]]


def graded(
    template: dict[str, Any],
    pack: Pack,
    answers: Answers,
    network: torch.nn.Module,
    fitted: dict[int, Fitted],
    fold: int,
    seed: int,
) -> HeldOut:
    """Held-out results of a network, and out-of-fold answers of all folds on real cases with a measured reference.

    Args:
        template: The task's part of the manifest.
        pack: Arrays with held-out cases (fold -1).
        answers: Of the folds on `pack`.
        network: That of `fold` as it is shipped.
        fitted: Results of fit_fold by validation fold.
        fold: The published one.
        seed: Of the intervals of the thresholds.
    """
    facts, labels = json.loads(str(pack.facts[0])), template["labels"]
    test, ideal = answers.scored(network, pack.folds < 0), ideal_observer(pack)
    metrics = headline_metrics(labels, test, ideal, facts["test_name"])
    files = {"evaluation.csv": _evaluation(pack, labels, test, ideal)}
    measured = np.isfinite(pack.references) & (pack.folds >= 0)
    if measured.any() and set(fitted) == set(pack.folds[pack.folds >= 0]):
        real = answers.out_of_fold(fitted, measured)
        files["out_of_fold.csv"] = _out_of_fold(pack, labels, measured, real)
        references = pack.references[measured].astype(np.float64)
        metrics += reference_metrics(labels, real, references, facts["reference_name"])
    validation = answers.scored(network, pack.folds == fold)
    points = operating_points(template["cuts"], labels, validation, test, facts["test_name"], seed)
    return HeldOut(files, tuple(metrics), tuple(points))


def _evaluation(pack: Pack, labels: Sequence[str], test: Scored, ideal: Scores | None) -> bytes:
    """evaluation.csv: one row a held-out case."""
    mask = pack.folds < 0
    columns: Columns = {"case": pack.cases[mask], "patient": pack.patients[mask], "label": test.targets.astype(int)}
    columns |= {f"p_{label}": test.probabilities[:, place] for place, label in enumerate(labels)}
    if ideal is not None and len(labels) == 1:
        columns["p_ideal_observer"] = ideal[:, 0].round(6)
    elif ideal is not None:
        columns |= {f"ideal_{label}": ideal[:, place].round(6) for place, label in enumerate(labels)}
    return csv_bytes(list(columns), list(zip(*columns.values(), strict=True)))


def _out_of_fold(pack: Pack, labels: Sequence[str], mask: NDArray[np.bool_], real: Scored) -> bytes:
    """out_of_fold.csv: every real case with a measured reference, answered by the fold model that never saw its patient."""
    columns: Columns = {
        "pixel_hash": pack.pixel_hashes[mask],
        "case": pack.cases[mask],
        "patient": pack.patients[mask],
        "fold": pack.folds[mask],
        "label": real.targets.astype(int),
        "reference": pack.references[mask].round(1),
    }
    columns |= {f"p_{label}": real.probabilities[:, place] for place, label in enumerate(labels)}
    return csv_bytes(list(columns), list(zip(*columns.values(), strict=True)))
