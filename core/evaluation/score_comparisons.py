"""Every two models of a table on the patients that both answered: their AUROCs, and what they call at their thresholds."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.errors import UsageError
from core.io.score_table import ScoreTable
from core.metrics.delong import compare_aurocs
from core.metrics.paired import CallComparison, compare_calls
from core.metrics.proportions import Interval


@dataclass(frozen=True)
class Comparison:
    """Two models on the patients that both answered.

    Attributes:
        models: The first minus the second is the difference.
        n: Patients.
        aurocs: Of both, on these patients.
        p_value: None where the difference has no variance.
    """

    models: tuple[str, str]
    n: int
    aurocs: tuple[Interval, Interval]
    difference: Interval
    p_value: float | None


@dataclass(frozen=True)
class PointComparison:
    """The same two models, each at its threshold.

    Attributes:
        thresholds: Of both.
        calls: What they call.
    """

    models: tuple[str, str]
    thresholds: tuple[float, float]
    calls: CallComparison


def compare_models(models: dict[str, ScoreTable]) -> list[Comparison]:
    """DeLong's paired test of every two models on the patients that both answered; needs one row a patient and model.

    Raises:
        UsageError: A patient has one label for one model and another for the other.
    """
    found = []
    for names, a, b in _pairs(models):
        own = compare_aurocs(a.is_positive, a.score, b.score)
        aurocs = (own.auroc_a, own.auroc_b)
        found.append(Comparison(names, len(a.score), aurocs, own.difference, own.p_value))
    return found


def compare_points(models: dict[str, ScoreTable], cuts: dict[str, float]) -> list[PointComparison]:
    """The models of `compare_models`, in its order, at thresholds.

    Args:
        models: Rows of each.
        cuts: Threshold of each.

    Raises:
        UsageError: See `compare_models`.
    """
    found = []
    for names, a, b in _pairs(models):
        thresholds = (cuts[names[0]], cuts[names[1]])
        found.append(PointComparison(names, thresholds, compare_calls(a.is_positive, a.score, b.score, *thresholds)))
    return found


def _pairs(models: dict[str, ScoreTable]) -> Iterator[tuple[tuple[str, str], ScoreTable, ScoreTable]]:
    """Every two models whose rows can be matched, with the rows of the same patients in one order."""
    for (name_a, a), (name_b, b) in combinations(models.items(), 2):
        if (paired := _paired(a, b)) is None:
            continue
        n_positive = int(paired[0].is_positive.sum())
        if min(n_positive, len(paired[0].score) - n_positive) >= 2:  # fewer cannot be compared
            yield (name_a, name_b), *paired


def _paired(a: ScoreTable, b: ScoreTable) -> tuple[ScoreTable, ScoreTable] | None:
    """The rows of the patients that both tables have, in one order; None where rows cannot be matched.

    Raises:
        UsageError: A patient has one label for one model and another for the other.
    """
    if a.patient is None or b.patient is None:
        return None
    common, in_a, in_b = np.intersect1d(a.patient, b.patient, return_indices=True)
    if len(np.unique(a.patient)) < len(a.patient) or len(np.unique(b.patient)) < len(b.patient) or not len(common):
        return None
    own_a, own_b = a.at(in_a), b.at(in_b)
    if not np.array_equal(own_a.is_positive, own_b.is_positive):
        raise UsageError("a patient whose label differs from model to model")
    return own_a, own_b
