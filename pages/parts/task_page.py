"""The one body of all task pages: image, checks, result, and the tabs below."""

from dataclasses import replace

import streamlit as st

from core import registry
from core.errors import ScreeningError, WeightsError
from core.manifest import Manifest
from core.records import ScreeningResult
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.facts import show_facts
from pages.parts.frame import network_name, show_badge
from pages.parts.pacs import show_store
from pages.parts.recording import keep_once
from pages.parts.result import show_result
from pages.parts.road import (
    Choices,
    forget_patient,
    installed_manifest,
    is_kept,
    model_key,
    patient_once,
    read_choices,
    screen_once,
)
from pages.parts.series import show_patient
from pages.parts.source import Chosen, choose_image
from pages.parts.steps import show_steps
from pages.parts.tabs import show_tabs
from pages.parts.thresholds import moved, show_sliders
from pages.parts.view import TaskView
from pages.parts.viewer import show_viewer
from pages.parts.words import t

_WAITING_PX = 560


def show_task(view: TaskView) -> None:
    """The whole page."""
    task = registry.task(view.task_id)
    try:
        published = installed_manifest(task.id)
    except WeightsError as error:
        st.title(t(task.title))
        show_error(error)
        return
    _show_header(task, published)
    if published is None:
        _show_no_weights(task)
        return
    chosen, result, failed = None, None, None
    try:
        chosen = choose_image(task)
    except ScreeningError as error:
        failed = error
    show_steps(task.id)
    if failed is not None:
        show_error(failed)
    elif chosen is None:
        _show_nothing_chosen(task)
    else:
        result = _screened_or_said(view, task, published, chosen)
    show_tabs(view, task, published, chosen.study if chosen else None, result)


def _show_header(task: Task, manifest: Manifest | None) -> None:
    st.title(t(task.title))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        facts = [t(task.image_kind)]
        if manifest is not None:
            facts += [network_name(manifest), t("weights {version}", version=manifest.version)]
            facts += [f"`{manifest.weights.sha256[:8]}`"]
        st.caption(" · ".join(facts), width="content")
        if manifest is not None:
            show_badge(manifest, in_full=True)
    _choose_model(task)


def _choose_model(task: Task) -> None:
    """Which of several installed models answers; nothing is asked where there is one."""
    names = [folder.name for folder in registry.model_folders(task.id)]
    if len(names) > 1:
        st.selectbox(t("Model"), names, key=model_key(task.id), persist_state="session", width=360)


def _show_no_weights(task: Task) -> None:
    with st.container(border=True):
        st.markdown("#### :material/download: " + t("No weights are installed for this task"))
        st.markdown(
            t("The other tasks work. To make weights for this one, run this command in the folder of the program:")
        )
        st.code(f".venv/bin/python -m core train {task.id}", language=None)


def _show_nothing_chosen(task: Task) -> None:
    with st.container(border=True):
        st.markdown("#### :material/upload_file: " + t("No image yet"))
        st.markdown(t("Wanted: {kind}. Drop a file above, or choose a sample.", kind=t(task.image_kind)))


def _screened_or_said(view: TaskView, task: Task, published: Manifest, chosen: Chosen) -> ScreeningResult | None:
    """Screen and show; on the way the final layout stands there empty."""
    manifest = moved(published)
    left, right = (column.empty() for column in st.columns([6, 5], gap="medium"))
    choices = read_choices(manifest, chosen.study.file_sha256)
    if not is_kept(manifest, chosen, choices):
        left.skeleton(height=_WAITING_PX)
        right.skeleton(height=_WAITING_PX)
    try:
        result = _screen(manifest, chosen, choices)
    except ScreeningError as error:
        with left.container():
            show_error(error)
        right.empty()
        return None
    with left.container():
        show_viewer(task, manifest, result, choices)
        show_facts(chosen.study, view.tell_truth(chosen.truth) if chosen.truth else None)
    with right.container():
        show_result(task, manifest, result, choices, view)
        if task.kind == "detector" and result.gate.shows_score:
            show_sliders(task, published)
        if result.gate.shows_score:
            keep_once(result)
        show_store(manifest, result, chosen.archived)
    if len(chosen.slices) > 1:
        _show_patient(task, manifest, chosen, choices, result)
    else:
        forget_patient(task.id)
    return result


def _show_patient(task: Task, manifest: Manifest, chosen: Chosen, choices: Choices, shown: ScreeningResult) -> None:
    """The answer from all chosen slices; a confirmation given for one slice holds for others with the same reasons."""
    from core import screening

    try:
        model = screening.load(manifest.task, manifest.model)
        patient = patient_once(manifest, chosen, choices, shown, screening.screen_slices, model)
    except ScreeningError as error:
        show_error(error)
    else:
        show_patient(task, manifest, patient)


def _screen(manifest: Manifest, chosen: Chosen, choices: Choices) -> ScreeningResult:
    from core import screening  # loads torch: not before the page stands

    model = replace(screening.load(manifest.task, manifest.model), manifest=manifest)
    return screen_once(manifest, chosen, choices, screening.screen, model)
