"""A new batch: task, images, and what is done with questions and answers."""

import streamlit as st

from core.services.batches import Batch, Batches
from core.services.history_settings import history_settings
from pages.parts.labelled_images import choose_images
from pages.parts.measuring_new import choose_task
from pages.parts.recording import actor
from pages.parts.settings import settings
from pages.parts.words import t


def show_new(store: Batches) -> Batch | None:
    """The form; a batch once it was filled in."""
    with st.container(border=True):
        st.markdown("#### " + t("1. What is screened"))
        manifest = choose_task("batching.task")
        if manifest is None:
            return None
        st.markdown("#### " + t("2. Images"))
        images, folder = choose_images(settings().batch.root, "batching", _uploaded)
        st.markdown("#### " + t("3. Answers"))
        confirmed = st.checkbox(
            t("Score images that raise questions too; the table says which they are"), key="batching.confirmed"
        )
        st.caption(
            t("Without it their rows have the questions and no score. Images that do not fit the task never have one.")
        )
        has_history = history_settings().enabled and st.checkbox(
            t("Keep every answer in the history"), key="batching.history"
        )
        is_ready = bool(images) or folder is not None
        if not st.button(
            t("Screen them"),
            icon=":material/play_arrow:",
            type="primary",
            key="batching.create",
            disabled=not is_ready,
        ):
            return None
    return store.create(
        manifest.task,
        manifest.model,
        images or [],
        str(folder or ""),
        confirmed=confirmed,
        has_history=has_history,
        by=actor(),
    )


def _uploaded(key: str) -> list[tuple[str, bytes]]:
    words = t(
        "One zip archive or several images, at most {n} MB; names, ids and dates in them are not kept",
        n=st.get_option("server.maxUploadSize"),
    )
    files = st.file_uploader(words, accept_multiple_files=True, key=key)
    return [(file.name, file.getvalue()) for file in files]
