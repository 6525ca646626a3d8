"""Images that a person hands over for a job: an upload, or a folder that this installation offers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts.words import t

_UPLOAD, _FOLDER = "upload", "folder"


def choose_images(root: Path | None, key: str, upload: Callable[[str], Any] | None = None) -> tuple[Any, Path | None]:
    """What was uploaded and the folder: at most one of them is there.

    Args:
        root: Folder whose subfolders are offered, None offers none.
        key: Beginning of the keys of the widgets.
        upload: Shows the uploader of this key; one of a zip archive without it.
    """
    names = {_UPLOAD: t("Upload")} | ({_FOLDER: t("Server folder")} if root else {})
    kind = _UPLOAD
    if len(names) > 1:
        kind = str(
            st.segmented_control(
                t("Images"),
                list(names),
                format_func=names.__getitem__,
                key=f"{key}.images",
                default=_UPLOAD,
                required=True,
            )
        )
    if kind == _UPLOAD:
        return (upload or _archive)(f"{key}.archive"), None
    assert root is not None
    folders = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    name = st.selectbox(t("Folder on the server"), folders, index=None, key=f"{key}.folder", placeholder=t("Choose"))
    return None, root / name if name in folders else None


def _archive(key: str) -> Any:
    words = t(
        "Zip archive of images, at most {n} MB; names, ids and dates are not kept",
        n=st.get_option("server.maxUploadSize"),
    )
    return st.file_uploader(words, type=["zip"], key=key)
