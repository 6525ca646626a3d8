"""Two cases beside each other: one is held, another is chosen."""

from dataclasses import replace

import streamlit as st

from core.figures.style import score_words
from core.records import ScreeningResult
from core.task import Task
from pages.parts.frame import grade_name, label_name
from pages.parts.picture import Look, sheet_bytes
from pages.parts.words import t


def show_side_by_side(task: Task, result: ScreeningResult, look: Look) -> None:
    """A button that holds this case; while another is on show, both with their scores."""
    key = f"{task.id}.held"
    held: ScreeningResult | None = st.session_state.get(key)
    if held is None:
        st.button(
            t("Hold this case to compare"),
            icon=":material/compare:",
            key=f"{task.id}.hold",
            on_click=_hold,
            args=(key, result),
            help=t(
                "Then choose another image: both stand side by side. The held one stays in memory until it is let go."
            ),
        )
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if held.study.file_sha256 == result.study.file_sha256:
            st.caption(t("This case is held. Choose another image to see both."), width="content")
        else:
            st.markdown(f"**{t('Two cases side by side')}**", width="content")
        st.button(t("Let it go"), icon=":material/close:", key=f"{task.id}.let_go", on_click=_let_go, args=(key,))
    if held.study.file_sha256 == result.study.file_sha256:
        return
    titles = (t("Held case"), t("This case"))
    for column, title, case in zip(st.columns(2), titles, (held, result), strict=True):
        with column:
            st.markdown(f"**{title}**" + (" · PHANTOM" if case.study.is_phantom else ""))
            st.image(sheet_bytes(case, _own_look(look, case, result)), width="stretch", alt=title)
            st.markdown(_answer(task, case))
            if case.provenance.statement:
                st.caption(t(case.provenance.statement))


def _own_look(look: Look, case: ScreeningResult, shown: ScreeningResult) -> Look:
    """One look for both, but for a window set for the other image in its own units."""
    return replace(look, layout="stacked", window=look.window if case is shown else None)


def _answer(task: Task, case: ScreeningResult) -> str:
    """Scores of the findings, a line each; none where the gate hides them."""
    if not case.gate.shows_score or case.prediction is None:
        return t("No score is shown: see the checks.")
    sides = {"L": t("Left"), "R": t("Right")}
    lines = []
    for finding in case.prediction.findings:
        if task.kind == "detector" and not finding.positive:
            continue
        name = grade_name(task, finding.label) if task.kind == "grader" else label_name(task, finding.label)
        words = {
            True: t("at or above the operating point"),
            False: t("below the operating point"),
            None: t("no operating point measured yet"),
        }[finding.positive]
        side = [sides[finding.laterality]] if finding.laterality else []
        lines.append(f"- {' · '.join([*side, name])}: {score_words(finding.probability)}, {words}")
    return "\n".join(lines) or t("No box is at or above its operating point.")


def _hold(key: str, result: ScreeningResult) -> None:
    st.session_state[key] = result


def _let_go(key: str) -> None:
    st.session_state.pop(key, None)
