"""An installed model on labelled cases: every case takes the road that a page takes, or a committed out-of-fold answer.

A number only counts when the model never saw the patient. Cases whose pixels or patient stand in `training_cases.csv` of the
weights are answered by a fold model that never saw the patient, or from `out_of_fold.csv`, and are left out otherwise.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engine.loader import Model
from core.errors import UsageError
from core.evaluation.answering import NOTHING_KEPT, Uncounted, answer_once
from core.evaluation.json_values import interval_json
from core.evaluation.known import BY_FOLD, BY_MODEL, OUT_OF_FOLD, Known
from core.io.journal import Journal
from core.manifest import Manifest
from core.metrics.correlation import severity_interval
from core.metrics.grades import cumulative
from core.metrics.grading import grading_report
from core.metrics.operating_point import operating_point_metrics
from core.metrics.proportions import Interval, wilson_interval
from core.records import Finding, LabelledCase
from core.screening import screen

REGION_LIMIT_MM = 5.0
DIGITS = 4


@dataclass(frozen=True)
class Answer:
    """One case with its answer, without its image: ten thousand of them fit into memory.

    Attributes:
        case, patient, target, reference: See `LabelledCase`.
        pixel_hash: Of the image.
        probabilities: One a label of the manifest.
        source: BY_MODEL, BY_FOLD or OUT_OF_FOLD.
        region_error_mm: Distance of the automatic region from the labelled centre; None where none is labelled.
    """

    case: str
    patient: str
    pixel_hash: str
    target: float
    reference: float | None
    probabilities: tuple[float, ...]
    source: str
    region_error_mm: float | None

    @classmethod
    def to(cls, case: LabelledCase, probabilities: tuple[float, ...], source: str) -> "Answer":
        """The answer to a case."""
        facts = (case.case_id, case.patient, case.study.pixel_hash, case.target, case.reference)
        return cls(*facts, probabilities, source, _region_error(case))


def answer_cases(
    model: Model,
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: Mapping[int, Model],
    journal: Journal = NOTHING_KEPT,
) -> list[Answer]:
    """Answer every case that may be counted.

    Args:
        model: The installed model.
        cases: With their labels.
        excluded: Gets the number of cases left out by reason.
        fold_models: The models of cross-validation by fold, where they are at hand; they overrule the committed answers.
        journal: Of the run.
    """
    known, answers = Known(model), []
    for case in cases:
        fold = known.folds.get(case.patient)
        by_fold = None if fold is None else fold_models.get(fold)
        committed = known.out_of_fold.get(case.study.pixel_hash)
        given: tuple[float, ...] | None
        if by_fold is not None:
            given, source = _screened(journal, by_fold, case, excluded), BY_FOLD
        elif committed is not None:
            given, source = committed, OUT_OF_FOLD
        elif case.study.pixel_hash in known.pixels or fold is not None:
            excluded["seen in training"] += 1
            continue
        else:
            given, source = _screened(journal, model, case, excluded), BY_MODEL
        if given is not None:
            answers.append(Answer.to(case, given, source))
    return answers


def _screened(journal: Journal, model: Model, case: LabelledCase, excluded: Counter[str]) -> tuple[float, ...] | None:
    """One probability a label for the labelled region; the gate's questions count as confirmed, its refusals as exclusions."""
    given = answer_once(journal, model, case, excluded, lambda: _given(model, case))
    return None if given is None else tuple(given)


def _given(model: Model, case: LabelledCase) -> tuple[float, ...]:
    result = screen(case.study, model, regions=case.regions, confirmed=True, is_explained=False)
    if result.prediction is None:
        raise Uncounted("refused: " + next(check.code for check in result.gate.checks if check.outcome == "refused"))
    return _probabilities(result.prediction.findings[0], model.manifest)


def _probabilities(finding: Finding, manifest: Manifest) -> tuple[float, ...]:
    if finding.probabilities is None:
        return (finding.probability,)
    return tuple(finding.probabilities[label] for label in manifest.labels)


def _region_error(case: LabelledCase) -> float | None:
    if case.centre_xy is None or not case.regions or case.study.frame.spacing_mm is None:
        return None
    x0, y0, x1, y1 = (edge - 0.5 for edge in case.regions[0].box_xyxy)  # edges of pixels; the label counts centres
    row_mm, column_mm = case.study.frame.spacing_mm
    return float(
        np.hypot(((x0 + x1) / 2 - case.centre_xy[0]) * column_mm, ((y0 + y1) / 2 - case.centre_xy[1]) * row_mm)
    )


def measure(manifest: Manifest, answers: list[Answer], excluded: Mapping[str, int]) -> dict[str, Any]:
    """Statistics as JSON values: `{n, n_subjects, held_out, metrics: {name: {value, ci}}, excluded, ...}`.

    Intervals are 95 % intervals, by bootstrap over subjects where a subject may have several cases.

    Raises:
        UsageError: No case was left.
    """
    if not answers:
        raise UsageError(f"no case could be counted; left out: {dict(excluded)}")
    targets = np.array([answer.target for answer in answers])
    subjects = np.array([answer.patient for answer in answers])
    given = np.array([answer.probabilities for answer in answers])
    probabilities = given if given.shape[1] > 1 else np.hstack([1 - given, given])
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # stored with six digits
    report = grading_report(targets, probabilities, subjects)
    metrics: dict[str, Interval | None] = {
        "accuracy": report.accuracy,
        "weighted_kappa": report.weighted_kappa,
        "macro_auroc": report.macro_auroc,
        "accuracy_within_one": report.off_by_one,
        "mean_absolute_error": report.mean_absolute_error,
    }
    metrics |= _measured_reference(answers, probabilities, subjects)
    return {
        "task": manifest.task,
        "model": manifest.model,
        "weights_sha256": manifest.weights.sha256,
        "provenance": {"data": manifest.data_kind, "statement": manifest.statement},
        "n": len(answers),
        "n_subjects": len(set(subjects)),
        "held_out": not manifest.provenance.is_brought,
        "scored_by": dict(Counter(answer.source for answer in answers)),
        "metrics": {name: interval_json(value, DIGITS) for name, value in metrics.items()},
        "operating_points": _operating_points(manifest, targets, probabilities),
        "confusion": report.confusion.counts.tolist(),
        "excluded": dict(excluded),
    }


def _measured_reference(
    answers: list[Answer], probabilities: NDArray[np.float64], subjects: NDArray[np.str_]
) -> dict[str, Interval | None]:
    """Agreement with a measured value that falls as the grade rises, and of the region with the labelled centre."""
    found: dict[str, Interval | None] = {}
    references = [answer.reference for answer in answers]
    if all(reference is not None for reference in references):
        found["spearman"] = severity_interval(probabilities, np.array(references, np.float64), subjects)
    errors = [answer.region_error_mm for answer in answers if answer.region_error_mm is not None]
    if errors:
        found["region_within_5_mm"] = wilson_interval(sum(error <= REGION_LIMIT_MM for error in errors), len(errors))
    return found


def _operating_points(
    manifest: Manifest, targets: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> dict[str, Any]:
    """Sensitivity and specificity at the thresholds of the manifest, where both kinds of case are there."""
    points = {}
    for point in manifest.operating_points:
        cut = manifest.cut(point.label)
        truth = (targets >= cut).astype(int)
        if point.threshold is not None and 0 < truth.sum() < len(truth):
            measured = operating_point_metrics(truth, cumulative(probabilities, cut), point.threshold)
            points[point.id] = {
                "threshold": point.threshold,
                "sensitivity": interval_json(measured.sensitivity, DIGITS),
                "specificity": interval_json(measured.specificity, DIGITS),
            }
    return points


def write_cases(path: Path, manifest: Manifest, answers: list[Answer]) -> None:
    """One row a case: id, patient, hash of the pixels, label, reference, probabilities, source, error of the region."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        names = [f"p_{label}" for label in manifest.labels]
        facts = ("scored_by", "region_error_mm", "statement")
        table.writerow(["case", "patient", "pixel_hash", "label", "reference", *names, *facts])
        for answer in answers:
            error = answer.region_error_mm
            row: list[object] = [answer.case, answer.patient, answer.pixel_hash, int(answer.target)]
            row.append("" if answer.reference is None else answer.reference)
            row += [round(value, 6) for value in answer.probabilities]
            table.writerow([*row, answer.source, "" if error is None else round(error, 2), manifest.statement])
