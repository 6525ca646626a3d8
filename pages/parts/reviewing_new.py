"""Which folder of boxes is reviewed: one of the server, an uploaded archive, or phantoms to try it out."""

from pathlib import Path

import streamlit as st

from core.curation.box_sources import boxed_folders, sort_upload, write_phantoms
from core.errors import ScreeningError
from core.io.reader import shared_reader
from core.services.box_folders import BoxFolder, BoxFolders
from pages.parts.errors import show_error
from pages.parts.reviewing_picture import forget_shown
from pages.parts.words import t

BOXES, SERVER = "boxes", "folder"
"""Keys of the address: token of an own folder, name of a folder on the server."""
LEFT_OUT = "review.left_out"
_MAX_MB = 256


def show_new(store: BoxFolders, root: Path | None) -> None:
    """Three ways to begin."""
    try:
        with st.container(border=True):
            st.markdown("#### " + t("Try it with phantoms"))
            st.markdown(t("Six simulated hips with proposed boxes: nothing to prepare, nobody's images."))
            if st.button(t("Try with phantoms"), icon=":material/play_arrow:", type="primary", key="review.phantoms"):
                _open(BOXES, _phantoms(store).token)
        if root is not None:
            _show_server(root)
        _show_upload(store)
    except ScreeningError as error:
        show_error(error)
    except OSError:
        st.error(t("The folder cannot be written: the disk is full, or the program may not write there."))


def forget_address() -> None:
    """No folder is open any more."""
    forget_shown()
    for name in (BOXES, SERVER):
        st.query_params.pop(name, None)


def _open(key: str, value: str) -> None:
    st.query_params[key] = value
    st.rerun()


def _phantoms(store: BoxFolders) -> BoxFolder:
    with st.spinner(t("Making phantoms"), show_time=True):
        made = store.create("phantoms", {})
        write_phantoms(made.boxes)
    return made


def _show_server(root: Path) -> None:
    with st.container(border=True):
        st.markdown("#### " + t("A curated data set on the server"))
        folders = boxed_folders(root)
        name = st.selectbox(
            t("Folder on the server"), folders, index=None, key="review.folder", placeholder=t("Choose")
        )
        words = t("Decisions are written into this folder, where `curate` takes them over.")
        st.caption(words if folders else t("No folder there holds boxes: `curate hip_osteoporosis` makes them."))
        if st.button(t("Open"), icon=":material/folder_open:", key="review.open", disabled=name not in folders):
            _open(SERVER, str(name))


def _show_upload(store: BoxFolders) -> None:
    with st.container(border=True):
        st.markdown("#### " + t("Your own pictures and boxes"))
        archive = st.file_uploader(
            t("Zip archive of pictures, each with an XML file of the same name (Pascal VOC, as LabelImg writes it)"),
            type=["zip"],
            key="review.archive",
            max_upload_size=_MAX_MB,
        )
        st.caption(t("A picture without an XML file is taken too: its box is yet to be drawn. File names are kept."))
        if not st.button(
            t("Review them"), icon=":material/arrow_forward:", key="review.upload", disabled=archive is None
        ):
            return
        assert archive is not None
        with st.spinner(t("Unpacking"), show_time=True):
            kept, left_out = sort_upload(shared_reader().unpack(archive.getvalue()))
            made = store.create("upload", kept)
        if left_out:
            st.session_state[LEFT_OUT] = sum(left_out.values())
        _open(BOXES, made.token)
