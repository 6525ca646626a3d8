"""Tab "Model card": the manifest of the weights as tables a person can read."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.figures.style import number
from core.manifest import Manifest, Metric, OperatingPoint
from core.task import Task
from pages.parts.frame import label_name, network_name, short_provenance
from pages.parts.training import show_training
from pages.parts.words import literal, t

Rows = list[tuple[str, str]]


def show_card(task: Task, manifest: Manifest) -> None:
    """Identity, use and limits, numbers, data, changes."""
    left, right = st.columns(2, gap="large")
    with left:
        _show_pairs(t("Identity"), _identity(task, manifest))
        _show_pairs(t("Input"), _input(manifest))
        _show_pairs(t("How it was made"), _making(manifest))
    with right:
        st.markdown(f"**{t('Intended use')}**")
        st.markdown(t(manifest.intended_use))
        st.markdown(f"**{t('Limitations')}**")
        st.markdown("\n".join(f"- {t(line)}" for line in manifest.limitations) or t("not reported"))
        _show_table(
            t("Changes"),
            (t("Version"), t("Date"), t("Change")),
            [(c.version, c.date, literal(c.text)) for c in manifest.changelog],
        )
    if not manifest.provenance.is_brought:  # nobody here saw its epochs
        show_training(task, manifest)
    heads: Sequence[str] = (t("Metric"), t("Value"), t("95 % interval"), "n", t("Data"), t("Note"))
    _show_table(t("Held-out results"), heads, [_metric(task, metric) for metric in manifest.metrics])
    heads = (t("Threshold"), t("Chosen for"), t("Chosen on"), t("Sensitivity"), t("Specificity"), "n", t("Measured on"))
    _show_table(t("Operating points"), heads, [_point(point) for point in manifest.operating_points])
    heads = (t("Data set"), t("Role"), t("Images"), t("Patients"), t("Licence"))
    sets = [
        (literal(d.name), d.role, _or_open(d.n), _or_open(d.patients), literal(d.licence))
        for d in manifest.provenance.datasets
    ]
    _show_table(t("Data"), heads, sets)


def _identity(task: Task, manifest: Manifest) -> Rows:
    return [
        (t("Task"), t(task.title)),
        (t("Model"), f"{manifest.model} {manifest.version}"),
        (t("Network"), network_name(manifest)),
        (t("Labels"), ", ".join(t(label.name) for label in task.labels if label.id in manifest.labels)),
        (t("Parameters"), f"{manifest.weights.parameters:,}".replace(",", "\u2009")),
        (
            t("Weights file"),
            f"{manifest.weights.file}, {manifest.weights.bytes / 1e6:.1f} MB, {manifest.weights.dtype}",
        ),
        ("SHA-256", _in_groups(manifest.weights.sha256)),
    ]


def _in_groups(digest: str) -> str:
    """Groups of eight, so that a narrow column can break the line."""
    return " ".join(digest[start : start + 8] for start in range(0, len(digest), 8))


def _input(manifest: Manifest) -> Rows:
    spec, ages = manifest.input, manifest.eligible_age_years
    steps = [
        f"{step.name} ({_options(step.parameters)})" if step.parameters else step.name for step in manifest.transforms
    ]
    return [
        (t("Modality"), ", ".join(spec.modality)),
        (t("Size"), f"{spec.size[0]} × {spec.size[1]} × {spec.channels}"),
        (t("Steps"), "; ".join(steps)),
        (
            t("Age range"),
            t("{low} to {high} years", low=f"{ages[0]:g}", high=f"{ages[1]:g}") if ages else t("not reported"),
        ),
        (t("Explained layer"), manifest.explanation.layer),
    ]


def _options(parameters: dict[str, float | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _making(manifest: Manifest) -> Rows:
    made = manifest.provenance
    calibration = manifest.calibration
    return [
        (t("Training data"), short_provenance(manifest)),
        (t("Command"), made.command),
        (t("Seed"), _or_open(made.seed)),
        (t("Code revision"), _or_open(made.code_revision)),
        (t("Date"), made.date),
        (t("Calibration"), calibration.method if calibration.method != "none" else t("none")),
    ]


def _or_open(value: object | None) -> str:
    return t("not reported") if value is None else str(value)


def _metric(task: Task, metric: Metric) -> tuple[str, ...]:
    interval = t("not reported")
    if metric.low is not None and metric.high is not None:
        interval = f"{number(metric.low, 3)}–{number(metric.high, 3)}"
    name = f"{label_name(task, metric.label)}: {metric.name}" if metric.label else metric.name
    return (name, number(metric.value, 3), interval, str(metric.n), metric.data, metric.note or "–")


def _point(point: OperatingPoint) -> tuple[str, ...]:
    estimates = [
        f"{number(e.value)} ({number(e.low)}–{number(e.high)})" if e else t("not measured")
        for e in (point.sensitivity, point.specificity)
    ]
    threshold = t("not measured") if point.threshold is None else number(point.threshold, 3)
    chosen_for = literal(t(point.chosen_for))  # names who adopted it, in words of that person
    return (threshold, chosen_for, point.chosen_on, *estimates, str(point.n), point.data)


def _show_pairs(title: str, rows: Rows) -> None:
    st.markdown(f"**{title}**")
    st.table(pd.DataFrame(rows), hide_index=True, hide_header=True, border="horizontal")


def _show_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    st.markdown(f"**{title}**")
    if not rows:
        st.markdown(t("not reported"))
        return
    st.table(pd.DataFrame(rows, columns=list(heads)), hide_index=True, border="horizontal")
