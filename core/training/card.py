"""MODEL_CARD.md, generated from the manifest and nothing else."""

from collections.abc import Sequence

from core.manifest import AuxiliaryManifest, Change, Manifest, Metric, ProvenanceRecord, WeightsFile


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
        *(f"| {d.role} | {d.name} | {d.n} | {d.patients} | {d.licence} |" for d in provenance.datasets),
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
        f"seed {provenance.seed}, code {provenance.code_revision}, {provenance.date}.",
        f"Weights sha256 `{weights.sha256}`.",
        "",
        "## Changes",
        "",
        *(f"- {change.version} ({change.date}): {change.text}" for change in changes),
        "",
    ]


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
        *(
            f"| {p.id} | {p.threshold:.3f} ({p.threshold_low:.3f}-{p.threshold_high:.3f}) | {p.chosen_for} | {p.chosen_on}"
            f" | {p.sensitivity.value:.3f} ({p.sensitivity.low:.3f}-{p.sensitivity.high:.3f})"
            f" | {p.specificity.value:.3f} ({p.specificity.low:.3f}-{p.specificity.high:.3f}) | {p.data}, n = {p.n} |"
            for p in manifest.operating_points
        ),
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
