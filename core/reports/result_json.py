"""A ScreeningResult as one JSON object: the same on the page and on the command line, in English, with codes."""

from typing import Any

from core.errors import ScreeningError
from core.records import Check, Finding, ScreeningResult


def _check(check: Check) -> dict[str, Any]:
    return {"code": check.code, "outcome": check.outcome, "message": check.message.format(**check.values)}


def _rounded_box(finding: Finding) -> list[float] | None:
    return None if finding.box_xyxy is None else [round(value, 1) for value in finding.box_xyxy]


def _finding(finding: Finding, mask_file: str | None) -> dict[str, Any]:
    return {
        "label": finding.label,
        "probability": round(finding.probability, 6),
        "positive": finding.positive,
        "laterality": finding.laterality,
        "box_xyxy": _rounded_box(finding),
        "grade": finding.grade,
        "probabilities": None if finding.probabilities is None else dict(finding.probabilities),
        "mask_file": mask_file,
    }


def to_json(result: ScreeningResult) -> dict[str, Any]:
    """The result in the schema of the command line; findings are empty when the gate refused."""
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
        "findings": [_finding(finding, None) for finding in result.prediction.findings] if result.prediction else [],
        "operating_point": None
        if result.operating_point is None
        else {"id": result.operating_point, "threshold": result.threshold},
        "explanation": None
        if explanation is None
        else {
            "method": explanation.method,
            "target": explanation.target,
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


def error_json(task: str, error: ScreeningError) -> dict[str, Any]:
    """A file that could not be answered."""
    words = f"{error.message.what} Wanted: {error.message.wanted} {error.message.next_step}"
    return {"task": task, "error": {"code": error.code, "message": words, "got": error.got}}
