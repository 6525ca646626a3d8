"""A ScreeningResult as one JSON object: the same on the page and on the command line, in English, with codes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import registry
from core.errors import ScreeningError
from core.records import Check, Finding, Lesion, PatientResult, ScreeningResult


def _check(check: Check) -> dict[str, Any]:
    return {"code": check.code, "outcome": check.outcome, "message": check.message.format(**check.values)}


def _rounded_box(finding: Finding) -> list[float] | None:
    return None if finding.box_xyxy is None else [round(value, 1) for value in finding.box_xyxy]


def _rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {label: round(value, 6) for label, value in probabilities.items()}


def _lesions(finding: Finding) -> list[dict[str, Any]] | None:
    """Every piece of the mask, largest first; null where the finding has none."""
    if finding.mask is None:
        return None
    return [
        {
            "box_xyxy": [round(value, 1) for value in lesion.box_xyxy],
            "area_px": round(lesion.area_px, 1),
            "probability": round(lesion.probability, 6),
        }
        for lesion in finding.lesions
    ]


def _finding(finding: Finding, mask_file: str | None) -> dict[str, Any]:
    return {
        "label": finding.label,
        "probability": round(finding.probability, 6),
        "positive": finding.positive,
        "laterality": finding.laterality,
        "box_xyxy": _rounded_box(finding),
        "threshold": finding.threshold,
        "grade": finding.grade,
        "probabilities": None if finding.probabilities is None else _rounded(finding.probabilities),
        "lesions": _lesions(finding),
        "mask_file": mask_file,
    }


def _measures(result: ScreeningResult) -> dict[str, list[float | None]]:
    """Numbers about each region; null where one could not be measured."""
    measures = result.prediction.measures if result.prediction else {}
    return {
        name: [round(value, 4) if math.isfinite(value) else None for value in values]
        for name, values in measures.items()
    }


def _lines(result: ScreeningResult) -> dict[str, list[float]]:
    """What was measured along: x and y of both ends."""
    lines = result.prediction.lines if result.prediction else {}
    return {name: [round(value, 1) for value in line] for name, line in lines.items()}


def to_json(result: ScreeningResult, mask_files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The result in the schema of the command line; findings are empty when the gate refused.

    Args:
        result: What to write.
        mask_files: Names of the mask files that were written, by label.
    """
    names = mask_files or {}
    gate, explanation, provenance = result.gate, result.explanation, result.provenance
    return {
        "task": provenance.task,
        "model": provenance.model,
        "file_sha256": result.study.file_sha256,
        "gate": {
            "outcome": gate.outcome,
            "confirmed": gate.confirmed,
            "reasons": [_check(check) for check in gate.reasons],
            "suggested_task": gate.suggested_task,
        },
        "findings": [_finding(finding, names.get(finding.label)) for finding in result.prediction.findings]
        if result.prediction
        else [],
        "measures": _measures(result),
        "lines": _lines(result),
        "branches": {name: [_rounded(row) for row in rows] for name, rows in result.prediction.branches.items()}
        if result.prediction
        else {},
        "operating_point": None
        if result.operating_point is None
        else {"id": result.operating_point, "threshold": result.threshold},
        "explanation": None
        if explanation is None
        else {
            "method": explanation.method,
            "target": explanation.target,
            "finding": explanation.finding,
            "raw_max": [round(heatmap.raw_max, 6) for heatmap in explanation.heatmaps],
        },
        "provenance": {
            "data": provenance.data,
            "statement": provenance.statement,
            "version": provenance.version,
            "weights_sha256": provenance.weights_sha256,
            "regions": [region.source for region in result.regions],
        },
        "timings_ms": dict(result.timings_ms),
    }


def shown_json(result: ScreeningResult) -> dict[str, Any]:
    """What may be kept of a result: as `to_json`, the same for the same file, and no number that the gate hides."""
    record = {key: value for key, value in to_json(result).items() if key != "timings_ms"}
    if result.gate.shows_score:
        return record
    return record | {"findings": [], "measures": {}, "lines": {}, "branches": {}, "explanation": None}


def findings_of(record: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a result that was written by `to_json`, without the pixels of masks."""
    return tuple(
        Finding(
            label=str(found["label"]),
            probability=float(found["probability"]),
            positive=found["positive"],
            laterality=found["laterality"],
            box_xyxy=None if found["box_xyxy"] is None else tuple(found["box_xyxy"]),
            grade=found["grade"],
            probabilities=found["probabilities"],
            lesions=tuple(
                Lesion(tuple(own["box_xyxy"]), own["area_px"], own["probability"]) for own in found["lesions"] or ()
            ),
            threshold=found["threshold"],
        )
        for found in record["findings"]
    )


@dataclass(frozen=True)
class KeptScore:
    """One score of a result that was written.

    Attributes:
        value: In [0, 1].
        threshold: Of its operating point, where the result says it.
        positive: At or above it; None where nobody has chosen one.
    """

    value: float
    threshold: float | None
    positive: bool | None


def scores_of(record: Mapping[str, Any]) -> dict[tuple[str, str | None], KeptScore]:
    """Every score of a result by label and side of the body; of several boxes the highest, of none the presence."""
    has_one_point = registry.task(record["task"]).kind in ("classifier", "grader")
    point = (record["operating_point"] or {}).get("threshold") if has_one_point else None
    found: dict[tuple[str, str | None], KeptScore] = {}
    for finding in sorted(findings_of(record), key=lambda finding: finding.probability):
        threshold = point if finding.threshold is None else finding.threshold
        found[finding.label, finding.laterality] = KeptScore(finding.probability, threshold, finding.positive)
    for name, values in record["measures"].items():
        label = name.removeprefix("presence_")
        if label != name and values[0] is not None:
            found.setdefault((label, None), KeptScore(values[0], None, False))
    return found


def patient_json(patient: PatientResult, places: Sequence[int], n_slices: int, n_left_out: int) -> dict[str, Any]:
    """One answer for a patient with the results of its slices.

    Args:
        patient: What was screened.
        places: Places of its slices in the series, from 1.
        n_slices, n_left_out: Slices of the series, and files that are no part of it.
    """
    return {
        "task": patient.slices[0].provenance.task,
        "model": patient.slices[0].provenance.model,
        "series": {"n_slices": n_slices, "n_left_out": n_left_out, "slices": list(places)},
        "findings": [_finding(patient.finding, None)] if patient.finding else [],
        "n_answered": patient.n_answered,
        "provenance": to_json(patient.slices[0])["provenance"],
        "slices": [to_json(result) for result in patient.slices],
    }


def error_json(task: str, error: ScreeningError) -> dict[str, Any]:
    """A file that could not be answered."""
    words = f"{error.message.what} Wanted: {error.message.wanted} {error.message.next_step}"
    return {"task": task, "error": {"code": error.code, "message": words, "got": error.got}}
