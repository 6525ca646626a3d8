"""Statistics of scores that lie in a table, whoever gave them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.evaluation.json_values import interval_json
from core.evaluation.score_comparisons import Comparison, PointComparison, compare_models, compare_points
from core.io.score_table import ScoreTable
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.calibration import calibration_report
from core.metrics.cases import binary_cases
from core.metrics.decision_curve import decision_curve
from core.metrics.delong import auroc_interval, auroc_of_copies
from core.metrics.operating_point import OperatingPointMetrics, operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval, clustered_wilson_interval
from core.metrics.thresholds import threshold_by_youden

DIGITS = 6
FEW = 20  # cases of a subgroup: fewer tell next to nothing
DELONG, CLUSTERED = "DeLong", "DeLong, clustered by patient (Obuchowski 1997)"


@dataclass(frozen=True)
class Subgroup:
    """The rows with one name in the column group.

    Attributes:
        n, n_positive: Rows, and those with a positive reference.
        is_few: Fewer than `FEW` in a class.
        auroc: None where a class has too few for any.
    """

    name: str
    n: int
    n_positive: int
    is_few: bool
    auroc: Interval | None


def measure_scores(
    table: ScoreTable, *, threshold: float | None = None, prevalence: float | None = None, n_resamples: int = 0
) -> dict[str, Any]:
    """Statistics as JSON values: `{n, n_subjects, metrics: {name: {value, ci}}, operating_points, subgroups, comparisons, ...}`.

    With several models the metrics, operating points and subgroups stand under the name of each.

    Args:
        table: One row a case, or of several models one row a case and model.
        threshold: From which score on a case is called positive; None = Youden's on these very cases, and said so.
        prevalence: Share of positives that predictive values are stated for; None = that of the table.
        n_resamples: Bootstrap over patients in place of DeLong's interval of the AUROC; 0 = DeLong.

    Raises:
        UsageError: See `binary_cases`: both classes are needed, in the table and for every model.
    """
    models = models_of(table)
    found = {name: _measured(own, threshold, prevalence, n_resamples) for name, own in models.items()}
    first = next(iter(models.values()))
    common: dict[str, Any] = {
        "n": len(first.score) if len(models) == 1 else len(table.score),
        "n_subjects": table.n_patients,
        "intervals": _named(table, n_resamples),
        "scored_by": {"scores in the table": len(table.score)},
        "excluded": {},
    }
    if len(models) == 1:
        return common | next(iter(found.values()))
    parts = {part: {name: own[part] for name, own in found.items()} for part in next(iter(found.values()))}
    cuts = {name: _threshold(own, threshold) for name, own in models.items()}
    compared = zip(compare_models(models), compare_points(models, cuts), strict=True)
    return common | parts | {"comparisons": [_comparison_json(own, at) for own, at in compared]}


def models_of(table: ScoreTable) -> dict[str, ScoreTable]:
    """The rows of each model; without the column all rows, under an empty name."""
    return {"": table} if table.model is None else table.by(table.model)


def method_of(table: ScoreTable) -> str:
    """How the interval of the AUROC is made."""
    return DELONG if table.patient is None else CLUSTERED


def _named(table: ScoreTable, n_resamples: int) -> str:
    return f"bootstrap over patients, {n_resamples} resamples" if n_resamples else method_of(table)


def _measured(table: ScoreTable, threshold: float | None, prevalence: float | None, n_resamples: int) -> dict[str, Any]:
    if not n_resamples:  # a million rows are sorted a dozen times below, and what is in order is sorted at once
        table = table.at(np.argsort(table.score, kind="stable"))
    cases = binary_cases(table.is_positive, table.score)
    metrics = {
        "auroc": _auroc(table, n_resamples),
        "average_precision": precision_recall_curve(cases.is_positive, cases.score).average_precision,
    }
    return {
        "n_positive": cases.n_positive,
        "metrics": {name: interval_json(value, DIGITS) for name, value in metrics.items()},
        "calibration": _calibration(table),
        "decision_curve": _decision_curve(table, prevalence),
        "operating_points": {
            "youden" if threshold is None else "given": _operating_point(table, threshold, prevalence)
        },
        "subgroups": _subgroups(table),
    }


def _auroc(table: ScoreTable, n_resamples: int) -> Interval:
    if not n_resamples:
        return auroc_interval(table.is_positive, table.score, table.patient)
    cases = binary_cases(table.is_positive, table.score)
    patients = np.arange(cases.score.size) if table.patient is None else table.patient
    return bootstrap_by_copies(auroc_of_copies(cases), patients, n_resamples).interval


def _calibration(table: ScoreTable) -> dict[str, Any] | None:
    """None where the scores are no probabilities."""
    if table.score.min() < 0 or table.score.max() > 1:
        return None
    report = calibration_report(table.is_positive, table.score)
    return {
        "brier_score": round(report.brier_score, DIGITS),
        "brier_of_prevalence": round(report.brier_of_prevalence, DIGITS),
        "expected_calibration_error": round(report.expected_calibration_error, DIGITS),
        "slope": interval_json(report.slope, DIGITS),
        "intercept": interval_json(report.intercept, DIGITS),
    }


def _decision_curve(table: ScoreTable, prevalence: float | None) -> dict[str, Any] | None:
    """Net benefit over thresholds, without intervals; None where the scores are no probabilities."""
    if table.score.min() < 0 or table.score.max() > 1:
        return None
    curve = decision_curve(table.is_positive, table.score, prevalence=prevalence)
    columns = {"thresholds": curve.thresholds, "net_benefit": curve.net_benefit, "treat_all": curve.treat_all}
    return {name: values.round(DIGITS).tolist() for name, values in columns.items()}


def measure_point(table: ScoreTable, cut: float, prevalence: float | None) -> OperatingPointMetrics:
    """As `operating_point_metrics`; sensitivity, specificity and accuracy clustered where a patient may have several rows."""
    own = operating_point_metrics(table.is_positive, table.score, cut, prevalence)
    if table.patient is None:
        return own
    is_called = table.score >= cut
    every = np.ones(is_called.size, bool)
    return replace(
        own,
        sensitivity=_share(table, is_called, table.is_positive),
        specificity=_share(table, ~is_called, ~table.is_positive),
        accuracy=_share(table, is_called == table.is_positive, every),
    )


def _share(table: ScoreTable, is_right: NDArray[np.bool_], members: NDArray[np.bool_]) -> Interval:
    assert table.patient is not None
    return clustered_wilson_interval(is_right[members], table.patient[members])


def _threshold(table: ScoreTable, given: float | None) -> float:
    return threshold_by_youden(table.is_positive, table.score).threshold if given is None else given


def _operating_point(table: ScoreTable, threshold: float | None, prevalence: float | None) -> dict[str, Any]:
    cut = _threshold(table, threshold)
    own = measure_point(table, cut, prevalence)
    chosen = "these very cases: the figures are too good" if threshold is None else "given by the caller"
    return {
        "threshold": round(cut, DIGITS),
        "chosen_on": chosen,
        "prevalence": round(own.prevalence, DIGITS),
        "sensitivity": interval_json(own.sensitivity, DIGITS),
        "specificity": interval_json(own.specificity, DIGITS),
        "ppv": interval_json(own.ppv, DIGITS),
        "npv": interval_json(own.npv, DIGITS),
        "lr_positive": interval_json(own.lr_positive, DIGITS),
        "lr_negative": interval_json(own.lr_negative, DIGITS),
        "counts": {
            "true_positive": own.n_true_positive,
            "false_positive": own.n_false_positive,
            "true_negative": own.n_true_negative,
            "false_negative": own.n_false_negative,
        },
    }


def measure_subgroups(table: ScoreTable) -> list[Subgroup]:
    """AUROC of every group with its number of cases, by name; empty without the column."""
    if table.group is None:
        return []
    found = []
    for name, own in table.by(table.group).items():
        if not (n := len(own.score)):
            continue  # a group of another model
        n_positive = int(own.is_positive.sum())
        is_few = min(n_positive, n - n_positive) < FEW
        found.append(Subgroup(name, n, n_positive, is_few, _auroc_or_none(own)))
    return found


def _subgroups(table: ScoreTable) -> dict[str, Any]:
    """By name; the AUROC is null where a class has too few for any."""
    return {
        own.name: {
            "n": own.n,
            "n_positive": own.n_positive,
            "is_few": own.is_few,
            "auroc": interval_json(own.auroc, DIGITS),
        }
        for own in measure_subgroups(table)
    }


def _auroc_or_none(table: ScoreTable) -> Interval | None:
    try:
        return _auroc(table, 0)
    except UsageError:
        return None


def _comparison_json(own: Comparison, at: PointComparison) -> dict[str, Any]:
    """DeLong's test, and at the thresholds of the operating points McNemar's with the bootstrap intervals of the differences."""
    found: dict[str, Any] = {
        "models": list(own.models),
        "n": own.n,
        "auroc_difference": interval_json(own.difference, DIGITS),
        "p_value": None if own.p_value is None else float(f"{own.p_value:.3g}"),
        "test": DELONG,
    }
    calls = at.calls
    measured = {
        "sensitivity": (calls.sensitivity, calls.positives),
        "specificity": (calls.specificity, calls.negatives),
    }
    for name, (difference, test) in measured.items():
        counts = {"only_first_right": test.n_only_a, "only_second_right": test.n_only_b}
        found[f"mcnemar_{name}"] = {"p_value": float(f"{test.p_value:.3g}"), **counts, "is_exact": test.is_exact}
        found[f"{name}_difference"] = interval_json(difference, DIGITS)
    return found
