"""The left column: image and overlay, and how they are shown."""

import streamlit as st

from core import registry
from core.manifest import Manifest
from core.records import ScreeningResult, Study
from core.task import Task
from pages.parts.boxes import choose_box
from pages.parts.faithfulness import measured_note
from pages.parts.frame import grade_name, label_name
from pages.parts.network_input import show_network_input
from pages.parts.picture import Layout, Look, heatmaps, sheet_bytes
from pages.parts.redraw import show_redraw
from pages.parts.road import Choices
from pages.parts.side_by_side import show_side_by_side
from pages.parts.words import literal, t
from pages.parts.zoom import show_zoom

_STRENGTH_PERCENT, _FILL_PERCENT = 55, 40
_LAYOUTS: tuple[Layout, ...] = ("auto", "beside", "stacked", "overlay")


def show_viewer(task: Task, manifest: Manifest, result: ScreeningResult, choices: Choices) -> None:
    """The picture on top, its controls below."""
    look = read_look(task.id, result.study)
    with st.container(border=True, key=f"{task.id}.viewer"):
        st.image(sheet_bytes(result, look), width="stretch", alt=_alt(task, result))
        _show_side(task, result)
        if result.gate.outcome == "refused":
            with st.columns([10, 2])[1]:
                _show_display_popover(task.id, manifest, result.study)
            return
        if task.kind == "segmenter" and result.gate.shows_score:
            _show_masks(task)
        if task.kind == "detector" and result.gate.shows_score:
            choose_box(task, manifest, result)
        _show_controls(task.id, manifest, result, choices)
        show_redraw(task, result, look)
        _show_tools(task, manifest, result, look)


def _show_tools(task: Task, manifest: Manifest, result: ScreeningResult, look: Look) -> None:
    """What a closer look needs; each opens below the switches."""
    with st.container(horizontal=True, gap="large"):
        is_zoomed = st.toggle(t("Zoom and measure"), key=f"{task.id}.zoom", persist_state="session")
        is_input_shown = st.toggle(t("What the network saw"), key=f"{task.id}.input", persist_state="session")
    if is_zoomed:
        show_zoom(task, result, look)
    if is_input_shown:
        show_network_input(task, manifest, result)
    show_side_by_side(task, result, look)


def read_look(task_id: str, study: Study) -> Look:
    """How the picture is to be shown; the widgets below it write this."""
    state, sha = st.session_state, study.file_sha256[:12]
    center, width = state.get(f"{task_id}.center.{sha}"), state.get(f"{task_id}.width.{sha}")
    return Look(
        window=(float(center), float(width)) if center is not None and width is not None else None,
        view=state.get(f"{task_id}.view", ""),
        inverted=bool(state.get(f"{task_id}.inverted", False)),
        strength=state.get(f"{task_id}.strength", _STRENGTH_PERCENT) / 100,
        layout=state.get(f"{task_id}.layout", "auto"),
        hidden=tuple(
            label.id for label in registry.task(task_id).labels if not state.get(f"{task_id}.mask.{label.id}", True)
        ),
        fill=state.get(f"{task_id}.fill", _FILL_PERCENT) / 100,
        has_lines=bool(state.get(f"{task_id}.lines", True)),
    )


def _alt(task: Task, result: ScreeningResult) -> str:
    if not result.gate.shows_score:
        return t("The image. No overlay is shown yet.")
    if task.kind == "detector":
        n = sum(bool(finding.positive) for finding in result.prediction.findings) if result.prediction else 0
        return t("The image with its boxes, and the same with the explanation of one. Boxes: {n}.", n=n)
    return t(
        "The image, and the same image with the explanation. The frame marks: {region}.", region=t(task.region_name)
    )


def _show_side(task: Task, result: ScreeningResult) -> None:
    """Where the header does not tell the side, a person may."""
    if not (task.has_sides and result.study.laterality is None and len(result.regions) == 1):
        return
    names = {"L": t("Left"), "R": t("Right")}
    st.segmented_control(
        t("Side of the body (not in the file; taken as left)"),
        list(names),
        format_func=names.__getitem__,
        key=f"{task.id}.laterality.{result.study.file_sha256[:12]}",
        persist_state="session",
    )


def _show_masks(task: Task) -> None:
    """A switch for the mask of each label in its colour, and one opacity for all."""
    *switches, opacity = st.columns([3] * len(task.labels) + [4], vertical_alignment="bottom")
    for column, label in zip(switches, task.labels, strict=True):
        name = f":material/square: {t(label.name)}"
        column.toggle(name, True, key=f"{task.id}.mask.{label.id}", persist_state="session")
    with opacity:
        st.slider(t("Masks"), 0, 100, _FILL_PERCENT, 5, format="%d %%", key=f"{task.id}.fill", persist_state="session")


def _show_controls(task_id: str, manifest: Manifest, result: ScreeningResult, choices: Choices) -> None:
    from core.engine.explain import METHODS  # torch is loaded by now

    method, strength, more = st.columns([5, 5, 2], vertical_alignment="bottom")
    with method:
        methods = _methods(task_id)
        st.selectbox(
            t("Explanation"),
            methods,
            index=methods.index(choices.method),
            format_func=lambda method: METHODS[method].name,
            key=f"{task_id}.method",
            persist_state="session",
        )
    with strength:
        st.slider(
            t("Overlay"),
            0,
            100,
            _STRENGTH_PERCENT,
            5,
            format="%d %%",
            key=f"{task_id}.strength",
            persist_state="session",
        )
    with more:
        _show_display_popover(task_id, manifest, result.study)
    st.caption(" ".join([t(METHODS[choices.method].sentence), *_limits(task_id, choices.method)]))
    st.caption(":material/rule: " + measured_note(manifest, choices.method))
    if result.gate.shows_score and result.explanation is None:
        st.info(
            t("No box is called, so none is explained. A box below its threshold can be chosen above."),
            icon=":material/info:",
        )
    elif result.gate.shows_score and not any(heatmap.has_evidence for heatmap in heatmaps(result)):
        st.info(
            t("No positive evidence: nothing in the image raised the score, so nothing is drawn."),
            icon=":material/info:",
        )


def _methods(task_id: str) -> list[str]:
    """Explanation methods that suit the task's kind of network."""
    from core.engine.explain_boxes import methods_for

    return list(methods_for(registry.task(task_id).kind))


def _limits(task_id: str, method: str) -> list[str]:
    """What a method cannot show of a box, in one sentence."""
    from core.engine.explain_boxes import BOX_METHODS

    return [t(BOX_METHODS[method])] if registry.task(task_id).kind == "detector" else []


def _show_display_popover(task_id: str, manifest: Manifest, study: Study) -> None:
    with st.popover("", icon=":material/tune:", help=t("Display"), key=f"{task_id}.display", width="stretch"):
        if registry.task(task_id).kind == "detector":
            _show_views(task_id)
        if study.frame.unit != "rgb":
            _show_window(task_id, study)
        st.toggle(t("Invert"), key=f"{task_id}.inverted", persist_state="session")
        names = {
            "auto": t("By shape"),
            "beside": t("Side by side"),
            "stacked": t("One above the other"),
            "overlay": t("Overlay only"),
        }
        st.radio(t("Layout"), _LAYOUTS, format_func=names.__getitem__, key=f"{task_id}.layout", persist_state="session")
        points = _point_names(registry.task(task_id), manifest)
        if registry.task(task_id).kind == "detector":
            st.toggle(t("Width of the heart"), True, key=f"{task_id}.lines", persist_state="session")
        elif len(points) > 1:
            st.radio(
                t("Operating point") if registry.task(task_id).kind != "segmenter" else t("Explained finding"),
                list(points),
                format_func=points.__getitem__,
                key=f"{task_id}.point",
                persist_state="session",
            )


def _point_names(task: Task, manifest: Manifest) -> dict[str, str]:
    """By id: the finding that is explained, or the threshold, of grades with its question, and why it was chosen."""
    if task.kind == "segmenter":
        return {point.id: label_name(task, point.label) for point in manifest.operating_points}
    names = {}
    for point in manifest.operating_points:
        question = [grade_name(task, point.label)] if task.kind == "grader" else []
        threshold = [] if point.threshold is None else [f"{point.threshold:.2f}"]
        names[point.id] = " · ".join([*threshold, *question, literal(t(point.chosen_for))])
    return names


def _show_views(task_id: str) -> None:
    """The three pictures of the reference system; the network sees the first."""
    names = {"": t("As windowed"), "log": t("Logarithm"), "normalised": t("Normalised")}
    st.radio(t("Greys"), list(names), format_func=names.__getitem__, key=f"{task_id}.view", persist_state="session")


def _show_window(task_id: str, study: Study) -> None:
    """Sliders in the frame's own units; their start is what the file asks for, else its whole range."""
    frame, sha = study.frame, study.file_sha256[:12]
    low, high = float(frame.pixels.min()), float(frame.pixels.max())
    if high <= low:
        return
    center, width = frame.window or ((low + high) / 2, high - low)
    span = high - low
    first, last = min(low, center), max(high, center)
    st.slider(
        t("Window center"),
        first,
        last,
        float(center),
        span / 200,
        format="%.0f",
        key=f"{task_id}.center.{sha}",
        persist_state="session",
    )
    widest = max(2 * span, width)
    st.slider(
        t("Window width"),
        1.0,
        widest,
        float(max(1.0, width)),
        span / 200,
        format="%.0f",
        key=f"{task_id}.width.{sha}",
        persist_state="session",
    )
