"""Where the image comes from: a sample made on the spot, or a file. Both take the same road through the reader process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.records import Study
from pages.parts.errors import show_error
from pages.parts.words import t

SAMPLE, UPLOAD = "sample", "upload"


@dataclass(frozen=True)
class Chosen:
    """An image that was read, and how long that took."""

    study: Study
    read_ms: float


def choose_image(task_id: str) -> Chosen | None:
    """Show the source row; the chosen image, or None while there is none or its file was refused (said on the page)."""
    names = {SAMPLE: t("Sample"), UPLOAD: t("Upload")}
    kind_column, choice_column = st.columns([2, 7], gap="medium")
    with kind_column:
        kind = st.segmented_control(
            t("Image"),
            list(names),
            format_func=names.__getitem__,
            key=f"{task_id}.source",
            default=SAMPLE,
            required=True,
        )
    with choice_column:
        return _choose_upload(task_id) if kind == UPLOAD else _choose_sample(task_id)


def _choose_sample(task_id: str) -> Chosen:
    samples = registry.part(task_id, "phantom").SAMPLES
    titles = {sample_id: t(title) for sample_id, (title, *_) in samples.items()}
    sample_id = st.pills(
        t("Samples: phantoms, no patient"),
        list(titles),
        format_func=titles.__getitem__,
        key=f"{task_id}.sample",
        default=next(iter(titles)),
        required=True,
    )
    return _read_sample(task_id, str(sample_id))


@st.cache_resource(max_entries=16, show_spinner=False)
def _read_sample(task_id: str, sample_id: str) -> Chosen:
    # Shared by all sessions: a phantom is nobody's image.
    return read(write_dicom(registry.part(task_id, "phantom").make_sample(sample_id)))


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
    answer = _read_once(task_id, file)
    if isinstance(answer, ScreeningError):
        show_error(answer)
        return None
    return answer


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


def _read_once(task_id: str, file: Any) -> Chosen | ScreeningError:
    """The answer of the reader, kept for this session until another file is chosen."""
    key = f"{task_id}.read"
    kept = st.session_state.get(key)
    if kept is not None and kept[0] == file.file_id:
        return kept[1]
    try:
        answer: Chosen | ScreeningError = read(file.getvalue())
    except ScreeningError as error:
        answer = error
    st.session_state[key] = (file.file_id, answer)
    return answer
