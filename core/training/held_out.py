"""What a fitted model did on cases it never saw: operating points and headline figures."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.i18n import mark
from core.manifest import Estimate, Metric, OperatingPoint
from core.metrics.calibration import calibration_report
from core.metrics.operating_point import operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval
from core.metrics.roc import roc_curve
from core.metrics.thresholds import ChosenThreshold, threshold_by_youden, threshold_for_sensitivity
from core.training.pack import Pack

Scores = NDArray[np.float64]
Labelled = tuple[Scores, Scores]  # (y_true, y_score)
Choice = Callable[[Scores, Scores], ChosenThreshold]


def ideal_observer(pack: Pack) -> Scores | None:
    """Scores of a logistic regression on the phantoms' true markers, fitted on training cases, for every test case.

    The best that any reader of these pictures could do; None when the data are real.
    """
    if pack.markers.shape[1] == 0:
        return None
    train, test = pack.folds >= 0, pack.folds < 0
    observer = make_pipeline(StandardScaler(), LogisticRegression(C=10.0))
    observer.fit(pack.markers[train], pack.targets[train])
    return np.asarray(observer.predict_proba(pack.markers[test])[:, 1], np.float64)


def _threshold_interval(choose: Choice, y_true: Scores, y_score: Scores, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of a chosen threshold."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(400):
        index = rng.integers(0, len(y_true), len(y_true))
        if 0 < y_true[index].sum() < len(index):
            drawn.append(choose(y_true[index], y_score[index]).threshold)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _estimate(interval: Interval) -> Estimate:
    return Estimate(value=round(interval.value, 6), low=round(interval.low, 4), high=round(interval.high, 4))


def operating_points(label: str, validation: Labelled, test: Labelled, data: str, seed: int) -> list[OperatingPoint]:
    """Chosen on validation, measured once on the held-out cases: Youden first, then a sensitivity of 0.95."""
    choices: dict[str, tuple[Choice, str]] = {
        "youden": (threshold_by_youden, mark("largest sum of sensitivity and specificity")),
        "sensitivity_95": (lambda y, s: threshold_for_sensitivity(y, s, 0.95), mark("sensitivity of at least 0.95")),
    }
    points = []
    for name, (choose, purpose) in choices.items():
        threshold = float(choose(*validation).threshold)
        measured = operating_point_metrics(*test, threshold)
        low, high = _threshold_interval(choose, *validation, seed)
        points.append(
            OperatingPoint(
                id=name,
                label=label,
                threshold=round(threshold, 6),
                threshold_low=round(low, 6),
                threshold_high=round(high, 6),
                chosen_for=purpose,
                chosen_on=f"validation fold, n = {len(validation[0])}",
                sensitivity=_estimate(measured.sensitivity),
                specificity=_estimate(measured.specificity),
                data=data,
                n=len(test[0]),
            )
        )
    return points


def headline_metrics(label: str, held_out: Labelled, ideal: Scores | None, data: str) -> list[Metric]:
    """Held-out figures with intervals."""
    n = len(held_out[0])

    def metric(name: str, interval: Interval, note: str = "") -> Metric:
        return Metric(
            name=name,
            label=label,
            value=round(interval.value, 6),
            low=round(interval.low, 6),
            high=round(interval.high, 6),
            n=n,
            data=data,
            note=note,
        )

    found = [
        metric("auroc", roc_curve(*held_out).auroc, "95 % interval after DeLong"),
        metric("auprc", precision_recall_curve(*held_out).average_precision, "average precision"),
    ]
    if ideal is not None:
        found.append(
            metric(
                "auroc_ideal_observer", roc_curve(held_out[0], ideal).auroc, "logistic regression on the true markers"
            )
        )
    calibration = calibration_report(*held_out)
    found.append(Metric(name="brier", label=label, value=round(calibration.brier_score, 6), n=n, data=data))
    found.append(
        Metric(
            name="expected_calibration_error",
            label=label,
            value=round(calibration.expected_calibration_error, 6),
            n=n,
            data=data,
        )
    )
    return found
