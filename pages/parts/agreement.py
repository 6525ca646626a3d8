"""Two networks on one photograph: where both, only the first or only the second calls a pixel."""

from dataclasses import replace
from typing import Any

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.figures.style import number
from core.imaging.agreement_map import BOTH, FIRST_ONLY, SECOND_ONLY, swatch_png
from core.manifest import Manifest
from core.metrics.agreement_masks import overlap
from core.records import ScreeningResult
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.frame import network_name
from pages.parts.method import show_rows
from pages.parts.picture import agreement_picture
from pages.parts.road import confirm, read_choices, screen_once
from pages.parts.source import Chosen
from pages.parts.viewer import read_look
from pages.parts.words import t


def show_agreement(task: Task, result: ScreeningResult) -> None:
    """The agreement map with a second network where one is installed; results are kept like those of the page.

    Args:
        task: Its models are segmenters.
        result: Shows a score.
    """
    st.markdown(f"#### {t('Agreement of two networks')}")
    shown = result.provenance.model
    names = [folder.name for folder in registry.model_folders(task.id) if folder.name != shown]
    if not names:
        st.markdown(
            t("A second network can be installed with the train command; this place then shows where both agree:")
        )
        st.code(f".venv/bin/python -m core train {task.id} --architecture {task.architectures[1]}", language=None)
        return
    name = st.selectbox(
        t("Second network"), names, index=None, placeholder=t("Choose"), key=f"{task.id}.second", width=360
    )
    if name is None:
        return
    try:
        first, second = (registry.manifest_of(task.id, model) for model in (shown, name))
        assert first is not None, "a result of a model that is not installed"
        assert second is not None, "a model that was just listed"
        with st.spinner(t("Screening with the second network ..."), show_time=True):
            other = _screen(second, name, result)
    except ScreeningError as error:
        show_error(error)
        return
    if other.gate.shows_score:
        _show_maps(task, _names(first, second), result, other)
    else:
        _show_reasons(task, other)
    if second.statement:
        st.caption(f"{network_name(second)} · {t(second.statement)}")


def _names(first: Manifest, second: Manifest) -> tuple[str, str]:
    """The networks as papers spell them; two models of one architecture by their folders."""
    names = network_name(first), network_name(second)
    return names if names[0] != names[1] else (first.model, second.model)


def _screen(manifest: Manifest, name: str, result: ScreeningResult) -> ScreeningResult:
    """The second network on the same image and the same region."""
    from core import screening  # torch is loaded by now

    choices = replace(read_choices(manifest, result.study.file_sha256), method=manifest.explanation.default_method)
    model = screening.load(manifest.task, name)
    return screen_once(manifest, Chosen(result.study, 0.0), choices, screening.screen, model)


def _show_reasons(task: Task, other: ScreeningResult) -> None:
    """Why the second network does not answer, or not yet."""
    st.markdown(t("The checks of the second network raised questions, so its masks stay hidden:"))
    st.markdown("\n".join(f"- {t(check.message, **check.values)}" for check in other.gate.reasons))
    if other.gate.outcome == "needs_confirmation":
        st.button(
            t("I have read this: show the masks"),
            key=f"{task.id}.second.confirm",
            on_click=confirm,
            args=(task.id, other),
            icon=":material/visibility:",
        )


def _mask(result: ScreeningResult, index: int) -> Any:
    assert result.prediction is not None
    return result.prediction.findings[index].mask


def _show_maps(task: Task, names: tuple[str, str], first: ScreeningResult, second: ScreeningResult) -> None:
    """One map a label side by side, their legend, and how much the masks share."""
    look, rows = read_look(task.id, first.study), []
    for index, (column, label) in enumerate(zip(st.columns(len(task.labels)), task.labels, strict=True)):
        masks = _mask(first, index), _mask(second, index)
        shared = overlap(*masks)
        counts = (shared.n_both, shared.n_first_only, shared.n_second_only)
        rows.append((t(label.name), *(f"{n:,}" for n in counts), number(shared.dice, 3), number(shared.iou, 3)))
        with column.container(border=True):
            st.markdown(f"**{t(label.name)}**")
            alt = t(
                "{label}: pixels called by both networks {both}, only by the first {first}, only by the second {second}.",
                label=t(label.name),
                both=counts[0],
                first=counts[1],
                second=counts[2],
            )
            st.image(agreement_picture(first, masks, look), width="stretch", alt=alt)
    heads = (t("Both"), t("Only {network}", network=names[0]), t("Only {network}", network=names[1]))
    with st.container(horizontal=True, vertical_alignment="center"):
        for colour, head in zip((BOTH, FIRST_ONLY, SECOND_ONLY), heads, strict=True):
            st.image(swatch_png(colour), width=18, alt="")
            st.markdown(head, width="content")
    show_rows([t("Pixels of the photograph"), *heads, "Dice", "IoU"], rows)
    st.caption(
        t(
            "Each network at its own operating points. Dice and IoU say how far the two networks agree, not which one is "
            "right; where neither calls a pixel they are 1."
        )
    )
