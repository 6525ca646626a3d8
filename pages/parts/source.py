"""Where the image comes from: a sample made on the spot, or a file. Both take the same road through the reader process."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core import registry
from core.errors import FileError
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.records import Study
from pages.parts.words import t

SAMPLE, UPLOAD = "sample", "upload"


@dataclass(frozen=True)
class Chosen:
    """An image that was read.

    Attributes:
        study: From the reader.
        read_ms: How long that took.
        truth: What the maker of a sample knows about it; None for a file.
    """

    study: Study
    read_ms: float
    truth: Mapping[str, object] | None = None


def choose_image(task_id: str) -> Chosen | None:
    """Show the source row; the chosen image, or None while there is none.

    Raises:
        ScreeningError: The chosen file is at fault, or the reader is busy.
    """
    names = {SAMPLE: t("Sample"), UPLOAD: t("Upload")}
    row = st.container(horizontal=True, gap="large")
    with row.container(width="content"):
        kind = st.segmented_control(
            t("Image"),
            list(names),
            format_func=names.__getitem__,
            key=f"{task_id}.source",
            persist_state="session",
            default=SAMPLE,
            required=True,
        )
    with row.container(width="stretch"):
        return _choose_upload(task_id) if kind == UPLOAD else _choose_sample(task_id)


def _choose_sample(task_id: str) -> Chosen:
    st.session_state.pop(f"{task_id}.read", None)
    samples = registry.part(task_id, "phantom").SAMPLES
    titles = {sample_id: t(title) for sample_id, (title, *_) in samples.items()}
    sample_id = st.pills(
        t("Samples: phantoms, no patient"),
        list(titles),
        format_func=titles.__getitem__,
        key=f"{task_id}.sample",
        persist_state="session",
        default=next(iter(titles)),
        required=True,
        wrap=True,
    )
    return _read_sample(task_id, str(sample_id))


@st.cache_resource(max_entries=16, show_spinner=False)
def _read_sample(task_id: str, sample_id: str) -> Chosen:
    # Shared by all sessions: a phantom is nobody's image.
    phantom = registry.part(task_id, "phantom").make_sample(sample_id)
    data = write_dicom(phantom)
    read(data)  # the first file of all waits for the reader process to start, which is no part of reading
    return replace(read(data), truth=phantom.truth)


def read(data: bytes) -> Chosen:
    """Read a file in the reader process.

    Raises:
        ScreeningError: The file is at fault, or the reader is busy.
    """
    started = time.perf_counter()
    study = shared_reader().read(data)
    return Chosen(study, 1000 * (time.perf_counter() - started))


def _choose_upload(task_id: str) -> Chosen | None:
    files = st.file_uploader(
        t("DICOM, PNG, JPEG, TIFF or BMP; its name, id and dates are not kept"),
        accept_multiple_files=True,
        key=f"{task_id}.upload",
    )
    if not files:
        st.session_state.pop(f"{task_id}.read", None)
        return None
    file = files[_choose_one(task_id, [file.name for file in files])]
    return _read_once(task_id, file)


def _choose_one(task_id: str, names: Sequence[str]) -> int:
    """Index of the file to screen: the last one unless a person chooses; a select box shows names without markdown."""
    if len(names) == 1:
        return 0
    return st.selectbox(
        t("File to screen ({n} uploaded)", n=len(names)),
        range(len(names)),
        index=len(names) - 1,
        format_func=lambda index: names[index],
        key=f"{task_id}.file.{len(names)}",
    )


def _read_once(task_id: str, file: Any) -> Chosen:
    """The answer of the reader, kept for this session until another file is chosen."""
    key = f"{task_id}.read"
    if st.session_state.get(key, ("", None))[0] != file.file_id:
        try:
            answer: Chosen | FileError = read(file.getvalue())
        except FileError as error:
            answer = error
        st.session_state[key] = (file.file_id, answer)
    kept: Chosen | FileError = st.session_state[key][1]
    if isinstance(kept, FileError):
        raise kept
    return kept
