"""Thresholds of a detector that a person moves for this session: a copy of the manifest goes down the whole road."""

import streamlit as st

from core import registry
from core.manifest import Manifest
from core.task import Task
from core.tasks.chest_lesions.decode import FLOOR
from pages.parts.frame import label_name
from pages.parts.words import t

_HIGHEST, _STEP = 0.99, 0.01


def moved(manifest: Manifest) -> Manifest:
    """The manifest with the thresholds chosen on this page; as it is for tasks whose findings have none of their own."""
    if registry.task(manifest.task).kind != "detector":
        return manifest
    points = tuple(
        point.model_copy(update={"threshold": st.session_state.get(_key(manifest, point.label), point.threshold)})
        for point in manifest.operating_points
    )
    return manifest.model_copy(update={"operating_points": points})


def _key(manifest: Manifest, label: str) -> str:
    return f"{manifest.task}.threshold.{manifest.weights.sha256[:8]}.{label}"


def show_sliders(task: Task, published: Manifest) -> None:
    """One slider a finding, from its published threshold."""
    with st.expander(t("Move the thresholds"), icon=":material/tune:"):
        for place, point in enumerate(published.operating_points):
            if place % 2 == 0:
                columns = st.columns(2, gap="medium")
            columns[place % 2].slider(
                label_name(task, point.label),
                min(FLOOR, point.cut_off),
                max(_HIGHEST, point.cut_off),
                point.cut_off,
                _STEP,
                key=_key(published, point.label),
                persist_state="session",
            )
        st.button(t("Back to the published thresholds"), on_click=_forget, args=(published,), icon=":material/undo:")
        st.caption(
            t(
                "For this session only. The figures of the tab Performance and of the model card are of the published "
                "thresholds."
            )
        )


def _forget(published: Manifest) -> None:
    for point in published.operating_points:
        st.session_state[_key(published, point.label)] = point.threshold
