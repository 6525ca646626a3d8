"""Where the image comes from: a sample made on the spot, a file, or the PACS. All pass through the reader process."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from core import registry
from core.errors import FileError
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.io.series import Series, looks_zip
from core.records import Study
from core.services.pacs.matches import Instance
from core.task import Task
from pages.parts.pacs import choose_archived, forget_search, has_pacs
from pages.parts.presentation import is_presenting
from pages.parts.series import choose_slices
from pages.parts.settings import MAX_UPLOAD_MB, settings
from pages.parts.words import t

SAMPLE, UPLOAD, FOLDER, PACS = "sample", "upload", "folder", "pacs"


@dataclass(frozen=True)
class Chosen:
    """An image that was read.

    Attributes:
        study: From the reader.
        read_ms: How long that took.
        truth: What the maker of a sample knows about it; None for a file.
        slices: Of a series, all chosen slices, the study among them; empty for a single image.
        archived: Where the images lie in the PACS, by the hash of their files; empty for what came otherwise.
    """

    study: Study
    read_ms: float
    truth: Mapping[str, object] | None = None
    slices: tuple[Study, ...] = ()
    archived: Mapping[str, Instance] = field(default_factory=dict)


def choose_image(task: Task) -> Chosen | None:
    """Show the source row, and for a series its slices; the chosen image, or None while there is none.

    Raises:
        ScreeningError: The chosen file is at fault, or the reader is busy.
    """
    task_id, names = task.id, {SAMPLE: t("Sample"), UPLOAD: t("Upload")}
    if task.takes_series and settings().series_root:
        names[FOLDER] = t("Server folder")
    if has_pacs():
        names[PACS] = t("PACS")
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
    if kind != PACS:
        forget_search(task_id)
    with row.container(width="stretch"):
        read: Chosen | ReadSeries | None
        if kind == UPLOAD:
            read = _choose_upload(task)
        elif kind == FOLDER:
            read = _choose_folder(task_id)
        elif kind == PACS:
            read = _choose_archived(task)
        else:
            read = _choose_sample(task_id)
    return _choose_slices(task_id, read) if isinstance(read, ReadSeries) else read


def _choose_slices(task_id: str, read: "ReadSeries") -> Chosen | None:
    """The chosen slices of a series; the one shown large is asked for where there are several."""
    slices = choose_slices(task_id, read.series, read.name)
    if not slices:
        return None
    shown = 0
    if len(slices) > 1:
        shown = st.segmented_control(
            t("Slice shown large"),
            range(len(slices)),
            format_func={place: str(place + 1) for place in range(len(slices))}.__getitem__,
            key=f"{task_id}.shown.{len(slices)}",
            default=0,
            required=True,
        )
    return Chosen(slices[int(shown or 0)], read.read_ms, slices=slices, archived=read.archived)


def _choose_sample(task_id: str) -> Chosen:
    st.session_state.pop(f"{task_id}.read", None)
    samples = registry.part(task_id, "phantom").SAMPLES
    titles = {sample_id: t(title) for sample_id, (title, *_) in samples.items()}
    st.session_state.setdefault(f"{task_id}.sample", next(iter(titles)))  # not a default: keys P and N write it too
    sample_id = st.pills(
        t("Samples: phantoms, no patient"),
        list(titles),
        format_func=titles.__getitem__,
        key=f"{task_id}.sample",
        persist_state="session",
        required=True,
        wrap=True,
    )
    return _read_sample(task_id, str(sample_id))


def shown_sample(task_id: str) -> str | None:
    """Id of the sample on show, None where the image has another source."""
    state = st.session_state
    return state.get(f"{task_id}.sample") if state.get(f"{task_id}.source", SAMPLE) == SAMPLE else None


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


@dataclass(frozen=True)
class ReadSeries:
    """A series that was read.

    Attributes:
        series: From the reader.
        name: Of the upload or folder, for the keys of widgets.
        read_ms: How long reading took, for one slice.
        archived: See Chosen.
    """

    series: Series
    name: str
    read_ms: float
    archived: Mapping[str, Instance] = field(default_factory=dict)


def _choose_upload(task: Task) -> Chosen | ReadSeries | None:
    task_id = task.id
    files = st.file_uploader(
        t("{formats}; names, ids and dates are not kept", formats=t(task.formats)),
        accept_multiple_files=True,
        key=f"{task_id}.upload",
        max_upload_size=MAX_UPLOAD_MB,
    )
    if not files:
        st.session_state.pop(f"{task_id}.read", None)
        return None
    file = files[_choose_one(task_id, [file.name for file in files])]
    return _read_once(task, file)


def _choose_folder(task_id: str) -> ReadSeries | None:
    """One of the series that this installation offers."""
    root = settings().series_root
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root and root.is_dir() else []
    name = st.selectbox(t("Series on the server"), names, index=None, key=f"{task_id}.folder", placeholder=t("Choose"))
    if root is None or name not in names:
        st.session_state.pop(f"{task_id}.read", None)
        return None
    read = _keep(
        task_id, f"folder/{name}", lambda: _read_series(lambda: shared_reader().read_folder(root / name), name)
    )
    assert isinstance(read, ReadSeries)
    return read


def _choose_archived(task: Task) -> Chosen | ReadSeries | None:
    """An image of the PACS; of a task that takes a series all images of one."""
    found = choose_archived(task)
    if found is None:
        st.session_state.pop(f"{task.id}.read", None)
        return None
    pacs, images = found
    name = hashlib.sha256(" ".join(image.instance_uid for image in images).encode()).hexdigest()[:16]

    def answer() -> Chosen | ReadSeries:
        started = time.perf_counter()
        with st.spinner(t("Fetching from the PACS ..."), show_time=True):
            if task.takes_series:
                series, archived = pacs.read_series(images)
            else:
                study, _ = pacs.read(images[0])
        spent = 1000 * (time.perf_counter() - started)
        if task.takes_series:
            return ReadSeries(series, name, spent / len(series.studies), archived)
        return Chosen(study, spent, archived={study.file_sha256: images[0]})

    return _keep(task.id, f"pacs/{name}", answer)


def _choose_one(task_id: str, names: Sequence[str]) -> int:
    """Index of the file to screen: the last one unless a person chooses; a select box shows names without markdown."""
    if len(names) == 1:
        return 0
    key = f"{task_id}.file.{len(names)}"
    st.session_state.setdefault(key, len(names) - 1)
    return st.selectbox(
        t("File to screen ({n} uploaded)", n=len(names)),
        range(len(names)),
        format_func=lambda index: t("File {n}", n=index + 1) if is_presenting() else names[index],
        key=key,
    )


def _read_once(task: Task, file: Any) -> Chosen | ReadSeries:
    """The answer of the reader for an upload."""

    def answer() -> Chosen | ReadSeries:
        data = file.getvalue()
        if task.takes_series and looks_zip(data):
            return _read_series(lambda: shared_reader().read_series(data), file.file_id)
        return read(data)

    return _keep(task.id, file.file_id, answer)


def _keep(task_id: str, name: str, answer: Callable[[], Chosen | ReadSeries]) -> Chosen | ReadSeries:
    """What was read under this name, kept for this session until something else is chosen."""
    key = f"{task_id}.read"
    if st.session_state.get(key, ("", None))[0] != name:
        try:
            found: Chosen | ReadSeries | FileError = answer()
        except FileError as error:
            found = error
        st.session_state[key] = (name, found)
    kept: Chosen | ReadSeries | FileError = st.session_state[key][1]
    if isinstance(kept, FileError):
        raise kept
    return kept


def _read_series(read_all: Callable[[], Series], name: str) -> ReadSeries:
    """Read all slices of a series.

    Raises:
        ScreeningError: No slice can be read, the file is hostile, or the reader is busy.
    """
    started = time.perf_counter()
    with st.spinner(t("Reading the series ..."), show_time=True):
        series = read_all()
    return ReadSeries(series, name, 1000 * (time.perf_counter() - started) / len(series.studies))
