"""Statistics of scores that lie in a table, whoever gave them."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.evaluation.json_values import interval_json
from core.io.score_table import ScoreTable
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.calibration import calibration_report
from core.metrics.cases import binary_cases
from core.metrics.decision_curve import decision_curve
from core.metrics.delong import auroc_interval, auroc_of_copies, compare_aurocs
from core.metrics.operating_point import operating_point_metrics
from core.metrics.paired import mcnemar_test
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval, clustered_wilson_interval
from core.metrics.thresholds import threshold_by_youden

DIGITS = 6
FEW = 20  # cases of a subgroup: fewer tell next to nothing
DELONG, CLUSTERED = "DeLong", "DeLong, clustered by patient (Obuchowski 1997)"


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
    models = {"": table} if table.model is None else table.by(table.model)
    found = {name: _measured(own, threshold, prevalence, n_resamples) for name, own in models.items()}
    first = next(iter(models.values()))
    common: dict[str, Any] = {
        "n": len(first.score) if len(models) == 1 else len(table.score),
        "n_subjects": len(table.score) if table.patient is None else len(np.unique(table.patient)),
        "intervals": _named(table, n_resamples),
        "scored_by": {"scores in the table": len(table.score)},
        "excluded": {},
    }
    if len(models) == 1:
        return common | next(iter(found.values()))
    parts = {part: {name: own[part] for name, own in found.items()} for part in next(iter(found.values()))}
    return common | parts | {"comparisons": _comparisons(models, threshold)}


def _named(table: ScoreTable, n_resamples: int) -> str:
    if n_resamples:
        return f"bootstrap over patients, {n_resamples} resamples"
    return DELONG if table.patient is None else CLUSTERED


def _measured(table: ScoreTable, threshold: float | None, prevalence: float | None, n_resamples: int) -> dict[str, Any]:
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


def _operating_point(table: ScoreTable, threshold: float | None, prevalence: float | None) -> dict[str, Any]:
    """Sensitivity and specificity with Wilson's interval, clustered where a patient may have several rows."""
    cut = _threshold(table, threshold)
    own = operating_point_metrics(table.is_positive, table.score, cut, prevalence)
    chosen = "these very cases: the figures are too good" if threshold is None else "given by the caller"
    return {
        "threshold": round(cut, DIGITS),
        "chosen_on": chosen,
        "prevalence": round(own.prevalence, DIGITS),
        "sensitivity": interval_json(_share(table, table.score >= cut, table.is_positive), DIGITS),
        "specificity": interval_json(_share(table, table.score < cut, ~table.is_positive), DIGITS),
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


def _threshold(table: ScoreTable, given: float | None) -> float:
    return threshold_by_youden(table.is_positive, table.score).threshold if given is None else given


def _share(table: ScoreTable, is_right: NDArray[np.bool_], members: NDArray[np.bool_]) -> Interval:
    patients = np.arange(table.score.size) if table.patient is None else table.patient
    return clustered_wilson_interval(is_right[members], patients[members])


def _subgroups(table: ScoreTable) -> dict[str, Any]:
    """AUROC of every group with its number of cases; null where a class has too few."""
    if table.group is None:
        return {}
    found = {}
    for name, own in table.by(table.group).items():
        n_positive = int(own.is_positive.sum())
        found[name] = {
            "n": len(own.score),
            "n_positive": n_positive,
            "is_few": min(n_positive, len(own.score) - n_positive) < FEW,
            "auroc": interval_json(_or_none(lambda own=own: _auroc(own, 0)), DIGITS),  # type: ignore[misc]
        }
    return found


def _or_none(measure: Callable[[], Interval]) -> Interval | None:
    try:
        return measure()
    except UsageError:
        return None


def _comparisons(models: dict[str, ScoreTable], threshold: float | None) -> list[dict[str, Any]]:
    """Every two models on the patients that both answered; needs one row a patient and model.

    DeLong's paired test of the AUROCs, and McNemar's at the thresholds of the operating points.
    """
    cuts = {name: _threshold(own, threshold) for name, own in models.items()}
    found = []
    for (name_a, a), (name_b, b) in combinations(models.items(), 2):
        if (paired := _paired(a, b)) is None:
            continue
        compared = compare_aurocs(paired[0].is_positive, paired[0].score, paired[1].score)
        found.append(
            {
                "models": [name_a, name_b],
                "n": len(paired[0].score),
                "auroc_difference": interval_json(compared.difference, DIGITS),
                "p_value": None if compared.p_value is None else float(f"{compared.p_value:.3g}"),
                "test": DELONG,
                **_mcnemar(*paired, cuts[name_a], cuts[name_b]),
            }
        )
    return found


def _mcnemar(a: ScoreTable, b: ScoreTable, cut_a: float, cut_b: float) -> dict[str, Any]:
    """Of the sensitivities and of the specificities."""
    is_right_a, is_right_b = (own.is_positive == (own.score >= cut) for own, cut in ((a, cut_a), (b, cut_b)))
    found = {}
    for name, members in (("sensitivity", a.is_positive), ("specificity", ~a.is_positive)):
        test = mcnemar_test(is_right_a[members], is_right_b[members])
        counts = {"only_first_right": test.n_only_a, "only_second_right": test.n_only_b}
        found[f"mcnemar_{name}"] = {"p_value": float(f"{test.p_value:.3g}"), **counts, "is_exact": test.is_exact}
    return found


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
