"""A new evaluation: task, images, and the table of labels."""

from pathlib import Path

import streamlit as st

from core import registry
from core.manifest import Manifest
from core.services.evaluations import Evaluation, Evaluations
from pages.parts.cohort import show_cohort
from pages.parts.frame import network_name, show_badge
from pages.parts.labelled_images import choose_images
from pages.parts.road import installed_manifest
from pages.parts.settings import settings
from pages.parts.words import t

_MAX_TABLE_MB = 20
_TABLES = {
    "classifier": ["csv", "xlsx"],
    "grader": ["csv", "xlsx"],
    "segmenter": ["csv", "xlsx"],
    "detector": ["csv", "json"],
}


def show_new(store: Evaluations) -> Evaluation | None:
    """The form; an evaluation once it was filled in."""
    with st.container(border=True):
        st.markdown("#### " + t("1. What is measured"))
        manifest = choose_task("measuring.task")
        if manifest is None:
            return None
        st.markdown("#### " + t("2. Images"))
        images, folder = choose_images(settings().evaluation.root, "measuring")
        show_cohort(manifest.task)
        st.markdown("#### " + t("3. Labels"))
        table = st.file_uploader(
            _table_words(registry.task(manifest.task).kind),
            type=_TABLES[registry.task(manifest.task).kind],
            key="measuring.labels",
            max_upload_size=_MAX_TABLE_MB,
        )
        is_ready = table is not None and (images is not None or folder is not None)
        if not st.button(
            t("Go on to the columns"),
            icon=":material/arrow_forward:",
            type="primary",
            key="measuring.create",
            disabled=not is_ready,
        ):
            return None
    assert table is not None
    labels = (Path(table.name).suffix.lower(), table.getvalue())
    data = images.getvalue() if images is not None else None
    return store.create(manifest.task, manifest.model, labels, data, str(folder or ""))


def choose_task(key: str) -> Manifest | None:
    """The manifest of the model of a task; `key` names the widget."""
    tasks = [task for task in registry.tasks().values() if registry.model_folders(task.id)]
    titles = {task.id: t(task.title) for task in tasks}
    chosen = st.pills(
        t("Task"),
        list(titles),
        format_func=titles.__getitem__,
        key=key,
        persist_state="session",
        default=next(iter(titles), None),
        required=True,
    )
    manifest = installed_manifest(str(chosen)) if chosen else None
    if manifest is None:
        st.info(t("No weights are installed for this task"), icon=":material/info:")
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{network_name(manifest)} · {manifest.version} · `{manifest.weights.sha256[:8]}`", width="content")
        show_badge(manifest, in_full=True)
    return manifest


def _table_words(kind: str) -> str:
    """What the table of labels looks like."""
    if kind == "detector":
        return t("Boxes: CSV with file, label, x_min, y_min, x_max, y_max, or a COCO file (JSON)")
    if kind == "segmenter":
        return t("Masks: CSV or XLSX with the columns file, mask (a picture in the archive) and patient")
    return t("Labels: CSV or XLSX, one row an image; which column is which is asked next")
