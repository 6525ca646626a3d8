"""One picture with its box: draw another one, accept, reject, go on. Mouse, numbers and keys lead to the same decision."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.curation.box_review import BoxReview, Picture, following, next_open
from core.curation.boxes import MIN_SIDE_PX, TOO_SMALL
from core.errors import ScreeningError
from core.figures.style import HIGHLIGHT, NEGATIVE, NEUTRAL
from core.records import Box, Frame
from pages.parts.box_drawing import box_figure, ordered
from pages.parts.errors import show_error
from pages.parts.picture import frame_picture
from pages.parts.words import literal, t

AT, ONLY_OPEN, REVIEWER = "review.at", "review.only_open", "review.reviewer"
_DRAWN, _FAILED, _FRAME = "review.drawn", "review.failed", "review.frame"
_EDGES = ("x0", "y0", "x1", "y1")
_HEIGHT_PX = 520
_LOOKS = {
    "open": (HIGHLIGHT, "dash"),
    "accepted": (NEGATIVE, "solid"),
    "redrawn": (NEGATIVE, "solid"),
    "rejected": (NEUTRAL, "dot"),
}


def shown_name(pictures: Sequence[Picture]) -> str:
    """The picture on show: the chosen one, else the first open one."""
    name = str(st.session_state.get(AT, ""))
    return name if name in {picture.name for picture in pictures} else next_open(pictures, "") or pictures[0].name


def forget_shown() -> None:
    """Another folder may hold pictures of the same names."""
    for key in (AT, _DRAWN, _FRAME):
        st.session_state.pop(key, None)


def show_picture(review: BoxReview, pictures: Sequence[Picture]) -> None:
    """The picture on show and everything that can be done with it."""
    name = shown_name(pictures)
    picture = next(one for one in pictures if one.name == name)
    with st.container(border=True):
        st.markdown(f"**{literal(name)}**")
        _show_state(picture)
        try:
            frame = _frame(review, name)
        except ScreeningError as error:
            frame = None
            show_error(error)
        keys = [] if frame is None else _show_box(picture, frame)
        _show_decision(review, pictures, picture, keys)
        if frame is not None:
            _show_edges(picture, frame, keys)


def _frame(review: BoxReview, name: str) -> Frame:
    """Read once while it is on show; only this session keeps it."""
    kept = st.session_state.get(_FRAME)
    if kept is None or kept[:2] != (review, name):
        kept = st.session_state[_FRAME] = (review, name, review.frame(name))
    return kept[2]


def _show_state(picture: Picture) -> None:
    said = picture.review
    if picture.trouble:
        words = t(
            "The XML file cannot be used as it is: {reason}. Accepting a box replaces it.", reason=t(picture.trouble)
        )
        st.warning(words, icon=":material/warning:")
    elif picture.state == "open" or said is None:
        words = t("Not reviewed yet") if picture.state == "open" else t("Marked as verified by another program")
        st.caption(words)
    else:
        values = {"who": literal(said.reviewer), "when": said.reviewed_at[:16].replace("T", " ")}
        words = {
            "accepted": t("Accepted by {who}, {when} UTC", **values),
            "redrawn": t("Redrawn by {who}, {when} UTC", **values),
            "rejected": t("Rejected by {who}, {when} UTC", **values),
        }[picture.state]
        st.caption(words)


def _edges(picture: Picture) -> tuple[list[str], list[int | None]]:
    """Keys of the four numbers, and what they start with: the box that was drawn, else the one of the file."""
    version, drawn = _drawn(picture)
    start: list[int | None] = [None] * 4 if drawn is None else [round(edge) for edge in drawn]
    return [f"review.{picture.name}.{version}.{edge}.{value}" for edge, value in zip(_EDGES, start, strict=True)], start


def _drawn(picture: Picture) -> tuple[int, Box | None]:
    """How often a box was drawn on it since it is on show, and the last one."""
    found: tuple[int, Box | None] = st.session_state.get(_DRAWN, {}).get(picture.name, (0, picture.box))
    return found


def _show_box(picture: Picture, frame: Frame) -> list[str]:
    """The picture for drawing; the keys of its numbers."""
    keys, start = _edges(picture)
    box = _box([st.session_state.get(key, value) for key, value in zip(keys, start, strict=True)])
    colour, dash = _LOOKS[picture.state] if box == _whole(picture.box) else (HIGHLIGHT, "solid")
    version, _ = _drawn(picture)
    key = f"review.{picture.name}.{version}.chart"

    def select() -> None:
        boxes = st.session_state[key].selection.get("box", [])
        if boxes:
            # a fresh chart, without the selection that is now the box
            _draw(picture, ordered(boxes[-1]["x"], boxes[-1]["y"]))

    shown, factor = frame_picture(frame)
    st.plotly_chart(
        box_figure(shown, factor, box, _HEIGHT_PX, colour, dash),
        theme=None,
        key=key,
        on_select=select,
        selection_mode="box",
        config={"displayModeBar": False},
        alt=t("The picture with its box, for drawing another one."),
    )
    return keys


def _draw(picture: Picture, box: Box | None) -> None:
    st.session_state[_DRAWN] = {picture.name: (_drawn(picture)[0] + 1, box)}


def _show_edges(picture: Picture, frame: Frame, keys: Sequence[str]) -> None:
    """Four numbers, for those who use the keyboard and for the last pixel."""
    rows, columns = frame.pixels.shape[:2]
    _, start = _edges(picture)
    names, ends = (t("Left edge"), t("Top edge"), t("Right edge"), t("Bottom edge")), (columns, rows, columns, rows)
    for column, name, key, value, end in zip(st.columns(4), names, keys, start, ends, strict=True):
        inside = None if value is None else min(max(value, 0), end)
        column.number_input(name, min_value=0, max_value=end, value=inside, step=1, key=key)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(t("Drag a box over the picture to draw another one, or type its edges in pixels."), width="content")
        if _box([st.session_state[key] for key in keys]) != _whole(picture.box):
            st.button(
                t("Undo the drawing"),
                icon=":material/undo:",
                key="review.undo",
                type="tertiary",
                on_click=_draw,
                args=(picture, picture.box),
            )


def _box(numbers: Sequence[Any]) -> Box | None:
    """The box between the numbers; None while one is missing."""
    if len(numbers) < len(_EDGES) or None in numbers:
        return None
    x0, y0, x1, y1 = map(float, numbers)
    return ordered((x0, x1), (y0, y1))


def _show_decision(review: BoxReview, pictures: Sequence[Picture], picture: Picture, keys: Sequence[str]) -> None:
    """The four buttons."""
    if failed := st.session_state.pop(_FAILED, ""):
        st.error(failed, icon=":material/error:")
    can_decide = bool(str(st.session_state.get(REVIEWER, "")).strip())
    _, start = _edges(picture)
    has_box = _box([st.session_state.get(key, value) for key, value in zip(keys, start, strict=False)]) is not None
    everything, place = (review, pictures, picture, keys), (pictures, picture.name)
    with st.container(horizontal=True):
        st.button(
            t("Back"),
            icon=":material/arrow_back:",
            key="review.back",
            shortcut="Left",
            on_click=_go,
            args=(*place, -1),
        )
        st.button(
            t("Accept"),
            icon=":material/check:",
            type="primary",
            key="review.accept",
            shortcut="A",
            disabled=not (can_decide and has_box),
            on_click=_accept,
            args=everything,
        )
        st.button(
            t("Reject"),
            icon=":material/close:",
            key="review.reject",
            shortcut="X",
            disabled=not can_decide,
            on_click=_reject,
            args=everything,
        )
        st.button(
            t("Next"),
            icon=":material/arrow_forward:",
            key="review.next",
            shortcut="Right",
            on_click=_go,
            args=(*place, 1),
        )
    if not can_decide:
        st.caption(t("Name the reviewer first, at the top of the list: it stands beside every decision."))


def _go(pictures: Sequence[Picture], name: str, step: int) -> None:
    only_open = bool(st.session_state.get(ONLY_OPEN))
    st.session_state[AT] = following(pictures, name, step, only_open=only_open)
    _forget_drawing()


def _whole(box: Box | None) -> Box | None:
    """In whole pixels, as the numbers are."""
    return None if box is None else _box([round(edge) for edge in box])


def _forget_drawing() -> None:
    st.session_state.pop(_DRAWN, None)


def _accept(review: BoxReview, pictures: Sequence[Picture], picture: Picture, keys: Sequence[str]) -> None:
    box = _box([st.session_state[key] for key in keys])
    assert box is not None
    _decide(lambda who: review.accept(picture, box, who), pictures, picture)


def _reject(review: BoxReview, pictures: Sequence[Picture], picture: Picture, _: Sequence[str]) -> None:
    _decide(lambda who: review.reject(picture, who), pictures, picture)


def _decide(write: Any, pictures: Sequence[Picture], picture: Picture) -> None:
    """Write a decision and go on to the next open picture; what cannot be written is said, and nothing moves."""
    try:
        write(st.session_state[REVIEWER])
    except ScreeningError as error:
        is_small = error.got.startswith(TOO_SMALL)
        words = t("The box is too small: at least {n} pixels a side are needed.", n=round(MIN_SIDE_PX))
        st.session_state[_FAILED] = words if is_small else f"{t(error.message.what)} {t(error.message.next_step)}"
    except OSError:
        st.session_state[_FAILED] = t(
            "The decision is not kept: the disk is full, or the program may not write into this folder."
        )
    else:
        st.session_state[AT] = next_open(pictures, picture.name)
        _forget_drawing()
