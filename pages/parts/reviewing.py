"""Page "Box review": boxes of the femoral neck, one film at a time, or a gallery of chest findings with their reference boxes."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.curation.box_review import BoxReview, count_states
from core.curation.box_sources import boxed_folders, pack_folder, statement_of
from core.curation.boxes import FOLDER
from core.errors import ScreeningError
from core.io.reader import shared_reader
from core.manifest import DEMO_STATEMENT
from core.services.box_folders import BoxFolder, BoxFolders
from pages.parts.errors import show_error
from pages.parts.gallery import show_gallery
from pages.parts.reviewing_list import show_list
from pages.parts.reviewing_new import BOXES, LEFT_OUT, SERVER, forget_address, show_new
from pages.parts.reviewing_picture import show_picture
from pages.parts.settings import settings
from pages.parts.words import literal, t

HIP, CHEST = "hip", "chest"


@dataclass(frozen=True)
class Opened:
    """The folder in the address.

    Attributes:
        name: As people know it.
        folder: Of pictures and XML files.
        statement: About simulated data, "" for others.
        own: The folder of an upload or of phantoms, None on the server.
    """

    name: str
    folder: Path
    statement: str
    own: BoxFolder | None


@st.cache_resource(show_spinner=False)
def box_folders() -> BoxFolders:
    """Of this installation."""
    return BoxFolders(settings().review.store)


def show_review() -> None:
    """Hip or chest."""
    st.title(t("Box review"))
    names = {HIP: t("Hip: femoral neck"), CHEST: t("Chest: gallery of findings")}
    kind = st.segmented_control(
        t("What is reviewed"),
        list(names),
        format_func=names.__getitem__,
        key="review.kind",
        persist_state="session",
        default=HIP,
        required=True,
        label_visibility="collapsed",
    )
    try:
        if kind == CHEST:
            show_gallery(settings().review.root)
        else:
            _show_hip()
    except ScreeningError as error:
        show_error(error)


def _show_hip() -> None:
    store = box_folders()
    opened = _opened(store)
    if opened is None:
        st.markdown(
            t(
                "Accept, redraw or reject the proposed boxes of a folder, one film at a time. Training then cuts these boxes."
            )
        )
        show_new(store, settings().review.root)
        return
    _show_head(opened)
    if n_left_out := st.session_state.pop(LEFT_OUT, 0):
        words = t(
            "Left out of the archive: {n} files that are neither pictures nor XML files, or have unusual names.",
            n=n_left_out,
        )
        st.info(words, icon=":material/info:")
    review = _review(str(opened.folder), opened.statement)
    pictures = review.pictures()
    if not pictures:
        st.info(t("There is no picture in this folder."), icon=":material/info:")
    else:
        counts = count_states(pictures)
        n_done = len(pictures) - counts.get("open", 0)
        st.progress(n_done / len(pictures), t("{done} of {total} reviewed", done=n_done, total=len(pictures)))
        left, right = st.columns(2, gap="medium")
        with left:
            show_picture(review, pictures)
        with right:
            show_list(pictures, counts)
    _show_end(store, opened)


def _opened(store: BoxFolders) -> Opened | None:
    """What the address names, None where it names nothing that is there."""
    own = store.find(st.query_params.get(BOXES, ""))
    if own is not None:
        is_phantom = own.plan.source == "phantoms"
        name = t("Six phantom hips") if is_phantom else t("Uploaded boxes")
        return Opened(name, own.boxes, DEMO_STATEMENT if is_phantom else "", own)
    root, name = settings().review.root, st.query_params.get(SERVER, "")
    if root is None or name not in boxed_folders(root):
        return None
    return Opened(name, root / name / FOLDER, statement_of(root / name), None)


@st.cache_resource(max_entries=16, show_spinner=False)
def _review(folder: str, statement: str) -> BoxReview:
    # Shared by all sessions that review the folder; it keeps boxes and no picture.
    return BoxReview(shared_reader(), Path(folder), statement)


def _show_head(opened: Opened) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(literal(opened.name), width="content")
        if opened.statement:
            st.badge(t(opened.statement), icon=":material/warning:", color="orange")


def _show_end(store: BoxFolders, opened: Opened) -> None:
    """Take the boxes along, another folder, or this one away."""
    st.divider()
    with st.container(horizontal=True):
        if opened.own is not None:
            st.download_button(
                t("Save pictures, boxes and decisions (zip)"),
                lambda: pack_folder(opened.folder, opened.statement),
                "boxes.zip",
                "application/zip",
                key="review.save",
                icon=":material/download:",
                on_click="ignore",
            )
        st.button(t("Another folder"), icon=":material/folder_open:", key="review.other", on_click=forget_address)
        if opened.own is not None:
            with st.popover(t("Delete this folder and its decisions"), icon=":material/delete:"):
                st.markdown(t("Pictures, boxes and decisions are gone then; nothing brings them back."))
                if st.button(t("Delete it"), type="primary", key="review.delete"):
                    store.delete(opened.own)
                    forget_address()
                    st.rerun()
    if opened.own is None:
        words = t("Every decision is already in the folder on the server. Take the boxes over with this command:")
        st.caption(words)
        st.code("python -m core curate hip_osteoporosis --reviewed DIR/boxes --out DIR", language=None)
    else:
        st.caption(
            t(
                "Every decision is kept at once. Keep the address of this page to come back; "
                "the folder is deleted a week after it was last used."
            )
        )
