"""What a fitted model did on cases it never saw: operating points and headline figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.errors import UsageError
from core.i18n import mark
from core.manifest import NEVER, Estimate, Metric, OperatingPoint
from core.metrics.calibration import calibration_report
from core.metrics.correlation import severity_interval
from core.metrics.grades import cumulative
from core.metrics.grading import grading_report
from core.metrics.operating_point import operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval, wilson_interval
from core.metrics.roc import roc_curve
from core.metrics.thresholds import ChosenThreshold, threshold_by_youden, threshold_for_sensitivity
from core.training.pack import Pack

Scores = NDArray[np.float64]
Choice = Callable[[Scores, Scores], ChosenThreshold]


def _never(y_true: Scores, y_score: Scores) -> ChosenThreshold:
    n_positive = int(np.count_nonzero(y_true))
    n_negative = len(y_true) - n_positive
    none, all_of_them = wilson_interval(0, n_positive), wilson_interval(n_negative, n_negative)
    return ChosenThreshold(NEVER, "never", None, none, all_of_them, n_positive, n_negative)


CHOICES: dict[str, tuple[Choice, str]] = {
    "youden": (threshold_by_youden, mark("largest sum of sensitivity and specificity")),
    "never": (_never, mark("never called: no better than chance on the validation films")),
    "sensitivity_95": (lambda y, s: threshold_for_sensitivity(y, s, 0.95), mark("sensitivity of at least 0.95")),
}
Cuts = Sequence[tuple[str, str, str]]  # id of an operating point, its label, key of CHOICES


@dataclass(frozen=True)
class HeldOut:
    """What a manifest and its folder say about cases that the model never saw: files by name, figures, thresholds."""

    files: dict[str, bytes]
    metrics: tuple[Metric, ...]
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Scored:
    """Cases with the answers to them.

    Attributes:
        targets: Reference class, (N,).
        probabilities: One column a label, (N, C); a single column is the probability of class 1.
        patients: (N,).
    """

    targets: Scores
    probabilities: Scores
    patients: NDArray[np.str_]

    def at(self, place: int) -> tuple[Scores, Scores]:
        """(y_true, y_score) for the label at `place`: it or worse against the rest."""
        if self.probabilities.shape[1] == 1:
            return self.targets, self.probabilities[:, 0]
        return (self.targets >= place).astype(np.float64), cumulative(self.probabilities, place)


def ideal_observer(pack: Pack) -> Scores | None:
    """Class probabilities by a logistic regression on the phantoms' true markers, fitted on training cases, for every test case.

    The best that any reader of these pictures could do; None when the test cases are real.

    Returns:
        (N, C), or (N, 1) where there are two classes.
    """
    known = np.isfinite(pack.markers).all(axis=1) & (pack.markers.shape[1] > 0)
    train, test = known & (pack.folds >= 0), pack.folds < 0
    if not known[test].all():
        return None
    observer = make_pipeline(StandardScaler(), LogisticRegression(C=10.0))
    observer.fit(pack.markers[train], pack.targets[train])
    probabilities = np.asarray(observer.predict_proba(pack.markers[test]), np.float64)
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities


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


def estimate(interval: Interval) -> Estimate:
    """An interval as a manifest holds it."""
    return Estimate(value=round(interval.value, 6), low=round(interval.low, 4), high=round(interval.high, 4))


def operating_points(
    cuts: Cuts, labels: Sequence[str], validation: Scored, test: Scored, data: str, seed: int
) -> list[OperatingPoint]:
    """Thresholds chosen on validation and measured once on the held-out cases, in the order of `cuts`."""
    places = [labels.index(label) for _, label, _ in cuts]
    return [
        operating_point(cut, validation.at(place), test.at(place), data, seed)
        for cut, place in zip(cuts, places, strict=True)
    ]


def operating_point(
    cut: tuple[str, str, str],
    validation: tuple[Scores, Scores],
    test: tuple[Scores, Scores],
    data: str,
    seed: int,
) -> OperatingPoint:
    """One threshold, chosen on (y_true, y_score) of validation and measured once on those of the held-out cases."""
    name, label, choice = cut
    choose, purpose = CHOICES[choice]
    threshold = float(choose(*validation).threshold)
    measured = operating_point_metrics(*test, threshold)
    low, high = _threshold_interval(choose, *validation, seed)
    return OperatingPoint(
        id=name,
        label=label,
        threshold=round(threshold, 6),
        threshold_low=round(low, 6),
        threshold_high=round(high, 6),
        chosen_for=purpose,
        chosen_on=f"validation fold, n = {len(validation[0])}",
        sensitivity=estimate(measured.sensitivity),
        specificity=estimate(measured.specificity),
        data=data,
        n=len(test[0]),
    )


@dataclass(frozen=True)
class _Figures:
    """Makes Metrics about one data set."""

    n: int
    data: str

    def __call__(self, name: str, value: Interval | float | None, label: str = "", note: str = "") -> Metric:
        if value is None:
            raise UsageError(f"{name} of {self.data}: a class has no case")
        interval = value if isinstance(value, Interval) else None
        return Metric(
            name=name,
            label=label,
            value=round(value.value if isinstance(value, Interval) else value, 6),
            low=None if interval is None else round(interval.low, 6),
            high=None if interval is None else round(interval.high, 6),
            n=self.n,
            data=self.data,
            note=note,
        )


def headline_metrics(labels: Sequence[str], test: Scored, ideal: Scores | None, data: str) -> list[Metric]:
    """Held-out figures with intervals."""
    figure = _Figures(len(test.targets), data)
    if len(labels) > 1:
        return _grading_metrics(figure, labels, test, ideal)
    (label,), held_out = labels, test.at(0)
    found = [
        figure("auroc", roc_curve(*held_out).auroc, label, "95 % interval after DeLong"),
        figure("auprc", precision_recall_curve(*held_out).average_precision, label, "average precision"),
    ]
    if ideal is not None:
        area = roc_curve(held_out[0], ideal[:, 0]).auroc
        found.append(figure("auroc_ideal_observer", area, label, "logistic regression on the true markers"))
    calibration = calibration_report(*held_out)
    found.append(figure("brier", calibration.brier_score, label))
    found.append(figure("expected_calibration_error", calibration.expected_calibration_error, label))
    return found


_RESAMPLED = "bootstrap by patient"


def _grading_metrics(figure: _Figures, labels: Sequence[str], test: Scored, ideal: Scores | None) -> list[Metric]:
    """Figures of ordered classes; those of the ideal observer beside the first three."""
    found = []
    observers = [("", test.probabilities, _RESAMPLED)]
    if ideal is not None:
        observers.append(("_ideal_observer", ideal, f"logistic regression on the true markers; {_RESAMPLED}"))
    for suffix, probabilities, note in observers:
        report = grading_report(test.targets, probabilities, test.patients)
        found += [
            figure(f"accuracy{suffix}", report.accuracy, note=note),
            figure(f"macro_auroc{suffix}", report.macro_auroc, note=f"one class against the rest; {note}"),
            figure(f"weighted_kappa{suffix}", report.weighted_kappa, note=f"quadratic weights; {note}"),
        ]
    report = grading_report(test.targets, test.probabilities, test.patients)
    found.append(figure("accuracy_within_one", report.off_by_one, note=_RESAMPLED))
    found.append(figure("mean_absolute_error", report.mean_absolute_error, note=f"grades; {_RESAMPLED}"))
    found += [figure("recall", own.recall, label) for label, own in zip(labels, report.per_class, strict=True)]
    return found


def reference_metrics(labels: Sequence[str], real: Scored, references: Scores, data: str) -> list[Metric]:
    """Agreement of out-of-fold answers with a measured value that falls as the grade rises, such as HU."""
    figure = _Figures(len(real.targets), data)
    report = grading_report(real.targets, real.probabilities, real.patients)
    resampled = "bootstrap by subject"
    return [
        figure(
            "spearman",
            severity_interval(real.probabilities, references, real.patients),
            note=f"expected class against falling reference value; {resampled}",
        ),
        figure("weighted_kappa", report.weighted_kappa, note=f"quadratic weights; {resampled}"),
        figure("accuracy", report.accuracy, note=resampled),
    ]
