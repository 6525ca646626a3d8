"""The answers of a batch as a table: one row a file, the same columns for every file of a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core import registry
from core.io.tables import plain_cell
from core.manifest import Manifest
from core.records import Finding
from core.reports.result_json import findings_of

SCHEMA = "fivefold-batch-1"
_FIRST = (
    *("schema", "file", "file_sha256", "copy_of", "task", "model", "version", "weights_sha256"),
    *("outcome", "confirmed", "reasons", "suggested_task", "error", "operating_point", "threshold"),
)
_LAST = ("statement",)
_SIDES = ("L", "R")


def columns(manifest: Manifest) -> tuple[str, ...]:
    """Names of all columns. Places are found by label, other answers come by side of the body."""
    kind = registry.task(manifest.task).kind
    numbers = ("score", "positive", *({"grader": ["grade"], "classifier": []}.get(kind, ["n"])))
    return (*_FIRST, *(f"{name}{slot}" for slot in _slots(manifest) for name in numbers), *_LAST)


def _slots(manifest: Manifest) -> list[str]:
    """Ends of the columns that come several times."""
    task = registry.task(manifest.task)
    if task.kind in ("detector", "segmenter"):
        return [f"_{label}" for label in manifest.labels]
    return ["", *(f"_{side}" for side in _SIDES if task.has_sides)]


def numbers_of(row: Mapping[str, str]) -> list[str]:
    """Ends of the columns of a row that come several times: "" or "_" and a label or a side."""
    return [name.removeprefix("score") for name in row if name == "score" or name.startswith("score_")]


def row(manifest: Manifest, case: Mapping[str, Any]) -> list[str]:
    """One file as text; no cell is a formula.

    Args:
        manifest: Of the model.
        case: Names of the file, and either what `shown_json` or what `error_json` gives.
    """
    cells: dict[str, object] = {
        "schema": SCHEMA,
        "version": manifest.version,
        "model": manifest.model,
        "weights_sha256": manifest.weights.sha256,
        "statement": manifest.statement,
    }
    cells |= {name: case[name] for name in ("file", "file_sha256", "copy_of", "task")}
    cells |= _failed(case) if "error" in case else dict(_answered(manifest, case))
    return [_text(cells.get(name)) for name in columns(manifest)]


def _failed(case: Mapping[str, Any]) -> dict[str, object]:
    return {"outcome": "error", "error": case["error"]["code"]}


def _answered(manifest: Manifest, case: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    gate, point = case["gate"], case["operating_point"] or {"id": None, "threshold": None}
    yield from ((name, gate[name]) for name in ("outcome", "confirmed", "suggested_task"))
    yield "reasons", " ".join(reason["code"] for reason in gate["reasons"])
    yield from (("operating_point", point["id"]), ("threshold", point["threshold"]))
    findings = findings_of(case)
    if registry.task(manifest.task).kind in ("detector", "segmenter"):
        if case["measures"]:  # empty while no score is shown
            yield from _by_label(manifest.labels, findings, case["measures"])
        return
    for finding in findings:
        slot = f"_{finding.laterality}" if finding.laterality else ""
        yield from ((f"score{slot}", finding.probability), (f"positive{slot}", finding.positive))
        yield f"grade{slot}", finding.grade


def _by_label(
    labels: Sequence[str], findings: Sequence[Finding], measures: Mapping[str, Sequence[float | None]]
) -> Iterator[tuple[str, object]]:
    """The highest score of each label, and how many of its boxes or places are at or above its operating point."""
    for label in labels:
        own = [finding for finding in findings if finding.label == label]
        called = [finding for finding in own if finding.positive]
        highest = max((finding.probability for finding in own), default=measures.get(f"presence_{label}", [None])[0])
        yield from ((f"score_{label}", highest), (f"positive_{label}", bool(called)))
        yield f"n_{label}", sum(len(finding.lesions) or 1 for finding in called)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else plain_cell(value) if isinstance(value, str) else str(value)
