"""Images that a person hands over for a job: an uploaded archive, or a folder that this installation offers."""

from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts.words import t

ARCHIVE, FOLDER = "archive", "folder"


def choose_images(root: Path | None, key: str) -> tuple[Any, Path | None]:
    """The archive and the folder: at most one of them is there.

    Args:
        root: Folder whose subfolders are offered, None offers none.
        key: Beginning of the keys of the widgets.
    """
    names = {ARCHIVE: t("Zip archive")} | ({FOLDER: t("Server folder")} if root else {})
    kind = ARCHIVE
    if len(names) > 1:
        kind = str(
            st.segmented_control(
                t("Images"),
                list(names),
                format_func=names.__getitem__,
                key=f"{key}.images",
                default=ARCHIVE,
                required=True,
            )
        )
    if kind == ARCHIVE:
        words = t(
            "Zip archive of images, at most {n} MB; names, ids and dates are not kept",
            n=st.get_option("server.maxUploadSize"),
        )
        return st.file_uploader(words, type=["zip"], key=f"{key}.archive"), None
    assert root is not None
    folders = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    name = st.selectbox(t("Folder on the server"), folders, index=None, key=f"{key}.folder", placeholder=t("Choose"))
    return None, root / name if name in folders else None
