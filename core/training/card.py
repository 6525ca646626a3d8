"""MODEL_CARD.md, generated from the manifest and nothing else."""

from collections.abc import Sequence

from core.manifest import AuxiliaryManifest, Change, Manifest, Metric, OperatingPoint, WeightsFile
from core.provenance import ProvenanceRecord


def _figure(metric: Metric) -> str:
    interval = "" if metric.low is None else f" ({metric.low:.3f}-{metric.high:.3f})"
    return f"| {metric.name} | {metric.label} | {metric.value:.3f}{interval} | {metric.n} | {metric.data} | {metric.note} |"


def _figures(metrics: Sequence[Metric]) -> list[str]:
    return [
        "## Held-out results",
        "",
        "| figure | label | value (95 % interval) | n | data | note |",
        "|---|---|---|---|---|---|",
        *(_figure(metric) for metric in metrics),
        "",
    ]


def _made(
    provenance: ProvenanceRecord, architecture: str, weights: WeightsFile, changes: Sequence[Change]
) -> list[str]:
    """Data, command and changes."""
    return [
        "## Data",
        "",
        "| role | data | images | patients | licence |",
        "|---|---|---|---|---|",
        *(
            f"| {d.role} | {d.name} | {_or_open(d.n)} | {_or_open(d.patients)} | {d.licence} |"
            for d in provenance.datasets
        ),
        "",
        "Label provenance: " + "; ".join(f"{label}: {kind}" for label, kind in provenance.labels.items()) + ".",
        "",
        "## How it was made",
        "",
        "```",
        provenance.command,
        "```",
        "",
        f"Architecture {architecture}, {weights.parameters:,} parameters, {weights.dtype}, "
        f"seed {_or_open(provenance.seed)}, code {_or_open(provenance.code_revision)}, {provenance.date}.",
        f"Weights sha256 `{weights.sha256}`.",
        "",
        "## Changes",
        "",
        *(f"- {change.version} ({change.date}): {change.text}" for change in changes),
        "",
    ]


def _or_open(value: object | None) -> str:
    return "not stated" if value is None else str(value)


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:.3f}" + ("" if low is None else f" ({low:.3f}-{high:.3f})")


def _point(point: OperatingPoint) -> str:
    """One row of the operating points."""
    at = [
        _interval(own.value, own.low, own.high) if own else "not measured"
        for own in (point.sensitivity, point.specificity)
    ]
    threshold = _interval(point.threshold, point.threshold_low, point.threshold_high)
    cells = (point.id, threshold, point.chosen_for, point.chosen_on, *at, f"{point.data}, n = {point.n}")
    return "| " + " | ".join(cells) + " |"


def model_card(manifest: Manifest) -> str:
    """The card of a model as Markdown."""
    lines = [
        f"# {manifest.task}: {manifest.model} {manifest.version}",
        "",
        *([f"**{manifest.statement}.**", ""] if manifest.statement else []),
        manifest.intended_use,
        "",
        "## Limitations",
        "",
        *(f"- {limitation}" for limitation in manifest.limitations),
        "",
        *_figures(manifest.metrics),
        "## Operating points",
        "",
        "| id | threshold (95 % interval) | chosen for | chosen on | sensitivity | specificity | measured on |",
        "|---|---|---|---|---|---|---|",
        *map(_point, manifest.operating_points),
        "",
        *_made(manifest.provenance, manifest.architecture.name, manifest.weights, manifest.changelog),
    ]
    return "\n".join(lines)


def auxiliary_card(manifest: AuxiliaryManifest) -> str:
    """The card of an auxiliary network as Markdown."""
    declared = manifest.auxiliary
    lines = [
        f"# {manifest.task}: auxiliary network {manifest.name} {manifest.version}",
        "",
        manifest.intended_use,
        "",
        "## Limitations",
        "",
        *(f"- {limitation}" for limitation in manifest.limitations),
        "",
        *_figures(manifest.metrics),
        *_made(manifest.provenance, declared.architecture.name, declared.weights, manifest.changelog),
    ]
    return "\n".join(lines)
