"""Up to five photographs of one eye: chosen, and each screened on the same road; answers are kept for this session only."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.errors import BusyError, ScreeningError
from core.evaluation.time_points import MAX_TIME_POINTS, sample_time_points, time_point
from core.io.phantom_file import write_dicom
from core.manifest import Manifest
from core.records import ScreeningResult, Study
from core.task import Task
from pages.parts.corners import corners_hidden
from pages.parts.errors import show_error
from pages.parts.picture import Look, small_pictures
from pages.parts.road import installed_manifest
from pages.parts.settings import MAX_UPLOAD_MB
from pages.parts.source import Chosen, read, shown_sample
from pages.parts.time_course import Kept, Screened, show_comparison, show_row
from pages.parts.words import t

_LONGEST_PX = 480


@dataclass(frozen=True)
class _Photograph:
    """One photograph before it is screened: a name for the session, one for the reader, and how it is read."""

    id: str
    name: str
    read: Callable[[], Chosen]


def show_time_points(task: Task, study: Study | None) -> None:
    """Choose photographs, screen those that are new, and compare them."""
    st.markdown(f"#### {t('Time points of one eye')}")
    try:
        manifest, photographs = installed_manifest(task.id), _choose(task, study)
        if manifest is None:
            return
        answers = _screen_all(manifest, photographs)
    except ScreeningError as error:
        show_error(error)
        return
    if answers:
        show_row(task, [photograph.name for photograph in photographs], answers)
        show_comparison(task, manifest, answers)


def _choose(task: Task, study: Study | None) -> list[_Photograph]:
    """Uploaded photographs in the order of their names, else those of the sample on show where they were asked for."""
    files = st.file_uploader(
        t("Up to {n} photographs of the same eye; their names give their order", n=MAX_TIME_POINTS),
        accept_multiple_files=True,
        key=f"{task.id}.times.upload",
        max_upload_size=MAX_UPLOAD_MB,
    )
    if files:
        if len(files) > MAX_TIME_POINTS:
            st.warning(
                t("{n} photographs: the first {limit} by name are used.", n=len(files), limit=MAX_TIME_POINTS),
                icon=":material/warning:",
            )
        first = sorted(files, key=lambda file: str(file.name))[:MAX_TIME_POINTS]
        return [_Photograph(file.file_id, file.name, partial(_read_upload, file)) for file in first]
    sample, key = shown_sample(task.id), f"{task.id}.times.sample"
    if sample is None or study is None or not study.is_phantom:
        return []
    if st.session_state.get(key) != sample:
        st.button(
            t("Use the five time points of the sample"),
            key=f"{task.id}.times.use",
            on_click=st.session_state.__setitem__,
            args=(key, sample),
            icon=":material/timeline:",
        )
        return []
    with st.spinner(t("Making the photographs of the sample ..."), show_time=True):
        chosen = _read_sample(task.id, sample)
    return [_Photograph(f"{sample}/{place}", "", partial(_as_it_is, one)) for place, one in enumerate(chosen)]


def _read_upload(file: Any) -> Chosen:
    return read(file.getvalue())


def _as_it_is(chosen: Chosen) -> Chosen:
    return chosen


@st.cache_resource(max_entries=2, show_spinner=False)
def _read_sample(task_id: str, sample_id: str) -> tuple[Chosen, ...]:
    # Shared by all sessions: a phantom is nobody's image.
    return tuple(read(write_dicom(phantom)) for phantom in sample_time_points(task_id, sample_id))


def _screen_all(manifest: Manifest, photographs: Sequence[_Photograph]) -> list[Kept]:
    """The answers in the order of the photographs; each is kept as soon as it is there, until it is no longer chosen.

    Raises:
        WeightsError: See `core.screening.load`; a file at fault is an answer.
    """
    kept: dict[tuple[str, str, bool], Kept] = st.session_state.setdefault(f"{manifest.task}.times", {})
    keys = [(photograph.id, manifest.weights.sha256, corners_hidden()) for photograph in photographs]
    for key in set(kept) - set(keys):
        del kept[key]
    for key in [key for key, answer in kept.items() if isinstance(answer, BusyError)]:
        del kept[key]
    todo = [(key, photograph) for key, photograph in zip(keys, photographs, strict=True) if key not in kept]
    if todo:
        from core import screening  # torch is loaded by now, except where no image is chosen above

        model = screening.load(manifest.task, manifest.model)
        bar, started = st.progress(0.0), time.perf_counter()
        for done, (key, photograph) in enumerate(todo):
            bar.progress(done / len(todo), _progress(done, len(todo), time.perf_counter() - started))
            kept[key] = _answer(photograph, lambda study: screening.screen(study, model))
        bar.empty()
    return [kept[key] for key in keys]


def _progress(done: int, total: int, seconds: float) -> str:
    words = t("Screening photograph {n} of {total}", n=done + 1, total=total)
    left = seconds / done * (total - done) if done else 0.0
    return f"{words} · {t('about {seconds} s left', seconds=f'{left:.0f}')}" if done else words


def _answer(photograph: _Photograph, screen: Callable[[Study], ScreeningResult]) -> Kept:
    """A photograph at fault costs its own answer only."""
    try:
        result = screen(photograph.read().study)
    except ScreeningError as error:
        return error
    plain, marked = small_pictures(result, Look(), _LONGEST_PX)
    return Screened(time_point(result), plain, marked)
