"""How the weights were trained, epoch by epoch, at the foot of the model card."""

import streamlit as st

from core import registry
from core.errors import UsageError
from core.figures.training import epochs_alt, epochs_figure
from core.io.history import TRAIN, VALIDATION, History, read_history
from core.manifest import Manifest
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.words import t, translator


def show_training(task: Task, manifest: Manifest) -> None:
    """Losses on both sides, the parts of the loss, and what a detector found on the validation fold."""
    try:
        history = read_history(registry.WEIGHTS / task.id / manifest.model)
    except UsageError as error:
        show_error(error)
        return
    st.markdown(f"**{t('Training, epoch by epoch')}**")
    show_history(history, f"{task.id}.training")
    st.caption(t("Validation: the fold whose images chose the epoch, the thresholds, or both."))


def show_history(history: History, key: str) -> None:
    """The charts of one fold, finished or not."""
    columns = st.columns(2, gap="medium")
    for place, (title, axis, lines) in enumerate(_charts(history)):
        with columns[place % 2]:
            figure = epochs_figure(title, axis, lines, history.kept_epoch, translator(), is_dark())
            alt = epochs_alt(title, lines, history.kept_epoch, translator())
            show_chart(figure, f"{key}.{place}", alt)


def _charts(history: History) -> list[tuple[str, str, dict[str, list[float | None]]]]:
    """Title, axis and lines of each chart that these weights can give."""
    total, *parts = history.losses()
    sides = {t("Training"): history.of(TRAIN + total), t("Validation"): history.of(VALIDATION + total)}
    charts = [(t("Loss"), t("Loss"), sides)]
    if parts:
        own = {name.removeprefix("loss_"): history.of(VALIDATION + name) for name in parts}
        charts.append((t("Parts of the loss, validation"), t("Loss"), own))
    found = {
        name: history.of(VALIDATION + key)
        for name, key in (("AP, IoU 0.5", "ap50"), ("AR", "ar"))
        if any(value is not None for value in history.of(VALIDATION + key))
    }
    if found:
        charts.append((t("Boxes found, validation"), t("Average precision and recall"), found))
    return charts
