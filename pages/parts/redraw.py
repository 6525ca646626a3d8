"""Redrawing the examined region: a box on the image, or four numbers for those who use the keyboard."""

from dataclasses import replace
from typing import Any

import streamlit as st

from core.records import ScreeningResult
from core.task import Task
from pages.parts.box_drawing import box_figure, ordered
from pages.parts.picture import Look, plain_picture
from pages.parts.regions import choose_region
from pages.parts.road import forget_regions, keep_region
from pages.parts.words import t

_HEIGHT_PX = 460
_MIN_SIDE_PX = 16


def show_redraw(task: Task, result: ScreeningResult, look: Look) -> None:
    """A toggle that opens the drawing; most readers never need it."""
    if not task.region_name or not result.regions:
        return
    sha = result.study.file_sha256
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        is_open = st.toggle(t("Redraw the region"), key=f"{task.id}.redraw", persist_state="session")
        if any(region.source == "user" for region in result.regions):
            st.badge(t("Region drawn by hand"), icon=":material/draw:", color="blue")
            st.button(
                t("Use the proposed region"),
                key=f"{task.id}.redraw.reset",
                on_click=forget_regions,
                args=(task.id, sha),
            )
    if is_open:
        _show_drawing(task, result, look)


def _show_drawing(task: Task, result: ScreeningResult, look: Look) -> None:
    index = choose_region(f"{task.id}.redraw.which", result)
    region = result.regions[index]
    version = st.session_state.get(f"{task.id}.redraw.version", 0)
    key = f"{task.id}.redraw.{result.study.file_sha256[:12]}.{index}.{version}"
    st.caption(t("Drag a box over the image: {region}.", region=t(task.region_name)))
    event: Any = st.plotly_chart(
        box_figure(*plain_picture(result, look), region.box_xyxy, _HEIGHT_PX),
        theme=None,
        key=f"{key}.box",
        on_select="rerun",
        selection_mode="box",
        config={"displayModeBar": False},
        alt=t("The image with the examined region, for drawing a box."),
    )
    boxes = event.selection.get("box", [])
    drawn = ordered(boxes[-1]["x"], boxes[-1]["y"]) if boxes else region.box_xyxy
    with st.form(f"{key}.numbers", border=False):
        names = (t("Left edge"), t("Top edge"), t("Right edge"), t("Bottom edge"))
        keys = [f"{key}.{edge}.{round(value)}" for edge, value in zip(("x0", "y0", "x1", "y1"), drawn, strict=True)]
        for column, name, value, number_key in zip(st.columns(4), names, drawn, keys, strict=True):
            column.number_input(name, value=round(value), step=1, key=number_key)
        st.form_submit_button(
            t("Examine this region"), icon=":material/crop_free:", on_click=_use, args=(task.id, result, index, keys)
        )
    if st.session_state.pop(f"{task.id}.redraw.refused", False):
        st.warning(t("The region is too small: at least {n} pixels a side are needed.", n=_MIN_SIDE_PX))


def _use(task_id: str, result: ScreeningResult, index: int, keys: list[str]) -> None:
    x0, y0, x1, y1 = (st.session_state[key] for key in keys)
    box = ordered((x0, x1), (y0, y1))
    if min(box[2] - box[0], box[3] - box[1]) < _MIN_SIDE_PX:
        st.session_state[f"{task_id}.redraw.refused"] = True
        return
    keep_region(task_id, result, index, replace(result.regions[index], box_xyxy=box, source="user"))
    version = f"{task_id}.redraw.version"
    st.session_state[version] = st.session_state.get(version, 0) + 1  # a fresh chart, without the old selection
