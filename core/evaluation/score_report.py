"""Everything that can be shown of a table of scores, measured once for a table; what follows a threshold is measured anew."""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10

import numpy as np

from core.errors import TableError, UsageError
from core.evaluation.score_comparisons import Comparison, PointComparison, compare_models, compare_points
from core.evaluation.score_recalibration import RecalibrationTrial, try_recalibration
from core.evaluation.scores import (
    FEW,
    Subgroup,
    measure_point,
    measure_scores,
    measure_subgroups,
    method_of,
    models_of,
)
from core.io.score_table import ScoreTable
from core.metrics.calibration import CalibrationReport, calibration_report
from core.metrics.confusion import ConfusionMatrix
from core.metrics.decision_curve import DecisionCurve, decision_curve
from core.metrics.histogram import ScoreHistogram, score_histogram
from core.metrics.operating_point import OperatingPointMetrics
from core.metrics.precision_recall import PrecisionRecallCurve, precision_recall_curve
from core.metrics.roc import RocCurve, roc_curve
from core.metrics.thresholds import threshold_by_youden, threshold_for_sensitivity, threshold_for_specificity

_MOST_POINTS = 2000  # of a drawn curve: more than a screen has pixels, and a million cases have a million points
_STEPS = 1000  # of a slider over all scores, at most


@dataclass(frozen=True)
class ModelReport:
    """One model of a table.

    Attributes:
        table: Its rows.
        n_patients: As many as rows where the table names none.
        youden: Threshold chosen on these very rows.
        calibration: None where the scores are no probabilities.
        subgroups: By name.
    """

    table: ScoreTable
    n_patients: int
    youden: float
    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    histogram: ScoreHistogram
    calibration: CalibrationReport | None
    subgroups: tuple[Subgroup, ...]

    @property
    def n(self) -> int:
        """Rows."""
        return self.table.score.size

    @property
    def is_few(self) -> bool:
        """Whether a class has fewer than `FEW` rows."""
        return min(self.roc.n_positive, self.roc.n_negative) < FEW

    @property
    def prevalence(self) -> float:
        """Share of positive rows."""
        return self.roc.n_positive / self.n

    @cached_property
    def recalibration(self) -> RecalibrationTrial | None:
        """What maps would do to the probabilities; None where the scores are none, or the rows too few."""
        return None if self.calibration is None else try_recalibration(self.table)

    def decision(self, prevalence: float | None) -> DecisionCurve | None:
        """Net benefit over thresholds, without intervals; None where the scores are no probabilities."""
        if self.calibration is None:
            return None
        return decision_curve(self.table.is_positive, self.table.score, prevalence=prevalence)

    def for_target(self, rule: str, target: float) -> float | None:
        """Threshold chosen on these very rows.

        Args:
            rule: "sensitivity" or "specificity".
            target: At least this much of it, above 0 and up to 1.

        Returns:
            None for a specificity that only a threshold above every score would reach.
        """
        cases = (self.table.is_positive, self.table.score)
        if rule == "sensitivity":
            return threshold_for_sensitivity(*cases, target).threshold
        try:
            return threshold_for_specificity(*cases, target).threshold
        except UsageError:  # the table was checked, so it is out of reach
            return None

    def at(self, threshold: float | None, prevalence: float | None) -> OperatingPointMetrics:
        """What a threshold does; None = Youden's, and the prevalence of these rows."""
        return measure_point(self.table, self.youden if threshold is None else threshold, prevalence)


@dataclass(frozen=True)
class ThresholdScale:
    """Thresholds that a slider offers.

    Attributes:
        low, high: All scores lie between them.
        step: A power of ten.
        digits: After the decimal point.
    """

    low: float
    high: float
    step: float
    digits: int


@dataclass(frozen=True)
class ScoreReport:
    """A measured table.

    Attributes:
        models: By name; a table without the column has one without a name.
        comparisons: Of every two models whose rows can be matched.
        method: How the intervals of the AUROC are made.
    """

    table: ScoreTable
    models: dict[str, ModelReport]
    comparisons: tuple[Comparison, ...]
    method: str

    def compared_at(self, threshold: float | None) -> list[PointComparison]:
        """What every two models call, as `comparisons`; None = each at its own Youden threshold."""
        cuts = {name: own.youden if threshold is None else threshold for name, own in self.models.items()}
        return compare_points({name: own.table for name, own in self.models.items()}, cuts)

    @property
    def n_patients(self) -> int:
        """Patients of all rows; as many as rows where the table names none."""
        return _patients(self.table)

    def to_json(self, threshold: float | None = None, prevalence: float | None = None) -> str:
        """What `python -m core evaluate --scores scores.csv --json` writes.

        Args:
            threshold: Of all models; None = Youden's of each.
            prevalence: None = that of the table.
        """
        options = {"--threshold": threshold, "--prevalence": prevalence}
        given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        command = shlex.join(["python", "-m", "core", "evaluate", "--scores", "scores.csv", *given])
        found = measure_scores(self.table, threshold=threshold, prevalence=prevalence) | {"command": command}
        return json.dumps(found, indent=2) + "\n"


def report_scores(table: ScoreTable) -> ScoreReport:
    """Measure a table.

    Raises:
        TableError: A class or its patients are too few for any model, or a patient has two labels.
    """
    try:
        models = models_of(table)
        reports = {name: _report(own) for name, own in models.items()}
        return ScoreReport(table, reports, tuple(compare_models(models)), method_of(table))
    except TableError:
        raise
    except UsageError as error:
        raise TableError("E_CASES", error.got) from error


def _report(table: ScoreTable) -> ModelReport:
    cases = (table.is_positive, table.score)
    return ModelReport(
        table=table,
        n_patients=_patients(table),
        roc=roc_curve(*cases, table.patient, most_points=_MOST_POINTS),  # first: it refuses what cannot be measured
        youden=threshold_by_youden(*cases).threshold,
        precision_recall=precision_recall_curve(*cases, most_points=_MOST_POINTS),
        histogram=score_histogram(*cases),
        calibration=calibration_report(*cases) if table.score.min() >= 0 and table.score.max() <= 1 else None,
        subgroups=tuple(measure_subgroups(table)),
    )


def _patients(table: ScoreTable) -> int:
    return table.n_patients


def confusion_of(point: OperatingPointMetrics) -> ConfusionMatrix:
    """The counts behind a threshold."""
    counts = [
        [point.n_true_negative, point.n_false_positive],
        [point.n_false_negative, point.n_true_positive],
    ]
    return ConfusionMatrix(np.array(counts, dtype=np.int64), ("negative", "positive"))


def threshold_scale(table: ScoreTable) -> ThresholdScale:
    """Round thresholds over all scores: steps of some hundredths of their spread, so that scores near 0 have enough of them."""
    low, high = float(table.score.min()), float(table.score.max())
    spread = max(float(table.score.std()) / 10, (high - low) / _STEPS) if high > low else 0.1 * (abs(low) or 1.0)
    exponent = floor(log10(spread))
    step, digits = 10.0**exponent, max(0, -exponent)
    first, last = floor(low / step), ceil(high / step)
    last = max(last, first + 1)  # equal scores
    return ThresholdScale(round(first * step, digits), round(last * step, digits), step, digits)
