"""A panel of eight phantoms, one of each finding and a normal one, each with boxes and map: the reference's figure."""

from dataclasses import dataclass

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.manifest import Manifest
from core.records import ScreeningResult
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.frame import label_name
from pages.parts.picture import overlay_picture
from pages.parts.words import t

_ACROSS, _SIDE_PX, _STRENGTH = 4, 420, 0.55
_NORMAL = ""


@dataclass(frozen=True)
class _Cell:
    """One phantom as the panel shows it.

    Attributes:
        label: The finding that was drawn, "" on the normal film.
        picture: PNG.
        called: Labels of the boxes that are called, each once.
    """

    label: str
    picture: bytes
    called: tuple[str, ...]


def show_panel(task: Task, manifest: Manifest) -> None:
    """On a button: eight films are made and screened, which takes a while the first time."""
    st.markdown(f"**{t('Every finding on a phantom of its own')}**")
    st.caption(
        t(
            "The reference shows one film of each category with its EigenCAM map. The same with simulated films: seven with one "
            "marked finding each, and a normal one. Boxes and maps are those of the installed model."
        )
    )
    if not st.session_state.get(f"{task.id}.panel"):
        st.button(
            t("Screen the eight films"),
            key=f"{task.id}.panel.start",
            on_click=_open,
            args=(task.id,),
            icon=":material/grid_view:",
        )
        return
    method = st.session_state.get(f"{task.id}.method", "eigen_cam")
    try:
        cells = _cells(task, manifest, method)
    except ScreeningError as error:
        show_error(error)
        return
    for start in range(0, len(cells), _ACROSS):
        for column, cell in zip(st.columns(_ACROSS), cells[start : start + _ACROSS], strict=False):
            with column:
                _show_cell(task, cell)


def _open(task_id: str) -> None:
    st.session_state[f"{task_id}.panel"] = True


def _cells(task: Task, manifest: Manifest, method: str) -> list[_Cell]:
    """Every film of the panel, with progress while one of them is screened."""
    labels = [*manifest.labels, _NORMAL]
    place = st.empty()
    cells = []
    for index, label in enumerate(labels):
        place.progress(index / len(labels), t("Film {n} of {total}", n=index + 1, total=len(labels)))
        cells.append(_cell(task.id, manifest.model, manifest.weights.sha256, label, method))
    place.empty()
    return cells


@st.cache_resource(max_entries=32, show_spinner=False)
def _cell(task_id: str, model: str, sha256: str, label: str, method: str) -> _Cell:
    # Shared by all sessions: a phantom is nobody's image. The hash is there to screen anew with other weights.
    from core import screening  # torch is loaded by now

    study = registry.part(task_id, "phantom").make_single(label or None).study()
    result = screening.screen(study, screening.load(task_id, model), method=method)
    return _Cell(label, overlay_picture(result, _STRENGTH, _SIDE_PX), _called(result))


def _called(result: ScreeningResult) -> tuple[str, ...]:
    findings = result.prediction.findings if result.prediction else ()
    return tuple(dict.fromkeys(finding.label for finding in findings if finding.positive))


def _show_cell(task: Task, cell: _Cell) -> None:
    title = label_name(task, cell.label) if cell.label else t("Normal")
    called = ", ".join(label_name(task, label) for label in cell.called) or t("normal")
    st.image(cell.picture, width="stretch", alt=t("Phantom: {title}. Called: {called}.", title=title, called=called))
    is_right = (cell.label in cell.called) if cell.label else not cell.called
    icon = ":green[:material/check_circle:]" if is_right else ":orange[:material/help:]"
    st.markdown(f"{icon} **{title}**")
    st.caption(t("Called: {called}", called=called))
