"""Cards of the home page: one a task, all of one height."""

import streamlit as st

from core import registry
from core.errors import WeightsError
from core.manifest import Manifest, Metric
from core.task import Task
from pages.parts.frame import held_out_name, label_name, show_badge
from pages.parts.menu import has_page, show_link
from pages.parts.words import t

_COLUMNS = 3
_HEADLINES = ("auroc", "weighted_kappa", "average_precision", "mean_average_precision_50")


def show_cards() -> None:
    """Rows of cards, always three wide, so that a card keeps its width; what is free in the last row tells how to begin."""
    tasks = [task for task in registry.tasks().values() if has_page(task.id)]
    for start in range(0, len(tasks), _COLUMNS):
        row = tasks[start : start + _COLUMNS]
        free = _COLUMNS - len(row)
        columns = st.columns([1] * len(row) + ([free] if free else []))
        for column, task in zip(columns, row, strict=False):
            with column.container(border=True, height="stretch", key=f"card.{task.id}"):
                _show_card(task)
        if free:
            with columns[-1].container(border=True, height="stretch", key="card.first"):
                _show_first_steps()


def _show_first_steps() -> None:
    st.markdown(f"#### :material/flag: {t('First time here')}")
    steps = (
        t("Open a task. A sample is examined at once: a phantom, a simulated image whose truth is known."),
        t("Read the checks, then on which side of the operating point the score lies."),
        t("Look at the explanation, and test it in its own tab."),
        t("Upload your own DICOM, PNG or JPEG file. Its name, id and dates are not kept."),
    )
    st.markdown("\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1)))
    show_link("manual", t("User manual"), "menu_book")


def _show_card(task: Task) -> None:
    st.markdown(f"#### :material/{task.icon}: {t(task.title)}")
    st.caption(t(task.image_kind))
    st.markdown(t(task.question))
    try:
        manifest = registry.manifest_of(task.id)
    except WeightsError as error:
        st.badge(t(error.message.what), icon=":material/error:", color="red")
        manifest = None
    else:
        if manifest is None:
            st.badge(t("No weights installed"), icon=":material/download:", color="gray")
    if manifest is not None:
        show_badge(manifest, in_full=False)
        _show_headline(manifest)
    show_link(task.id, t("Open"), "arrow_forward")


def _show_headline(manifest: Manifest) -> None:
    name = next((metric.name for metric in manifest.metrics if metric.name in _HEADLINES), "")
    shown = [metric for metric in manifest.metrics if metric.name == name]
    for metric in shown:
        st.markdown(f"**{_figure(metric, registry.task(manifest.task))}**")
    if shown:
        st.caption(f"n = {shown[0].n} {held_out_name(manifest)}")
    if manifest.statement:
        st.caption(t(manifest.statement))


def _figure(metric: Metric, task: Task) -> str:
    name = "AUROC"
    if metric.name == "weighted_kappa":
        name = t("Weighted kappa")
    elif metric.name == "mean_average_precision_50":
        name = t("Mean average precision, IoU 0.5")
    elif metric.name == "average_precision":
        name = t("{label}: average precision", label=label_name(task, metric.label))
    if metric.low is None or metric.high is None:
        return f"{name} {metric.value:.2f}"
    return t(
        "{name} {value} (95 % CI {low} to {high})",
        name=name,
        value=f"{metric.value:.2f}",
        low=f"{metric.low:.2f}",
        high=f"{metric.high:.2f}",
    )
