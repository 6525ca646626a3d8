"""A hospital's own operating point, chosen on its own cases and kept beside the shipped ones, for these very weights."""

from datetime import UTC, datetime
from pathlib import Path

from core.errors import UsageError
from core.evaluation.questions import Question
from core.evaluation.scores import measure_point
from core.io.weights_file import write_atomically
from core.manifest import (
    ADOPTED,
    LOCAL,
    Change,
    Estimate,
    LocalChanges,
    Manifest,
    OperatingPoint,
    dump_manifest,
    read_local_changes,
    read_manifest,
    read_shipped_manifest,
)
from core.metrics.proportions import Interval

MAX_NAME = 80


def adopt_point(folder: Path, question: Question, threshold: float, by: str, data_sha256: str) -> Manifest:
    """Add an operating point to the model in `folder`; the shipped manifest stays as it is.

    Args:
        folder: weights/<task>/<model>.
        question: The cases it was chosen on; both kinds.
        threshold: From which score on a case is called positive.
        by: Who answers for it.
        data_sha256: Of the cases.

    Returns:
        The manifest that is now in force.

    Raises:
        UsageError: Nobody is named, the model lacks the label, a class has no case, or the folder cannot be written to.
    """
    by = " ".join(by.split())[:MAX_NAME]
    if not by:
        raise UsageError("an operating point that nobody answers for")
    shipped, local = read_shipped_manifest(folder), read_local_changes(folder)
    if question.label not in shipped.labels:
        raise UsageError("an operating point of a label that the model does not have")
    if local is not None and local.weights_sha256 != shipped.weights.sha256:
        local = None  # of earlier weights: a threshold belongs to one sha256
    number = len(local.changes) + 1 if local else 1
    point = _measured(question, threshold, f"{ADOPTED}{number}", by, data_sha256)
    words = f"Operating point {point.id} ({point.label}, {threshold:.6g}) adopted by {by} on {point.chosen_on}."
    change = Change(version=f"{shipped.version}+local.{number}", date=f"{datetime.now(UTC):%Y-%m-%d}", text=words)
    added = LocalChanges(
        format="fivefold-local-1",
        weights_sha256=shipped.weights.sha256,
        changes=(*(local.changes if local else ()), change),
        operating_points=(*(local.operating_points if local else ()), point),
    )
    try:
        write_atomically(folder / LOCAL, dump_manifest(added).encode())
    except OSError as error:
        raise UsageError("the weights folder cannot be written to") from error
    return read_manifest(folder)


def _measured(question: Question, threshold: float, name: str, by: str, data_sha256: str) -> OperatingPoint:
    at = measure_point(question.table, threshold, None)
    n, data = len(question.cases), f"own cases, sha256 {data_sha256[:12]}"
    return OperatingPoint(
        id=name,
        label=question.label,
        threshold=threshold,
        threshold_low=threshold,  # set by a person, not estimated
        threshold_high=threshold,
        chosen_for=f"adopted by {by}",
        chosen_on=f"{data}, n = {n}",
        sensitivity=_estimate(at.sensitivity),
        specificity=_estimate(at.specificity),
        data=f"{data}: the cases it was chosen on, so the figures are too good",
        n=n,
    )


def _estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)
