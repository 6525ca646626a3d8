"""Tab "Explanation check": does the map of the image above follow the model?"""

from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from core.errors import ScreeningError
from core.figures.style import NEUTRAL, new_figure, number, theme
from core.manifest import Manifest
from core.records import ScreeningResult
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.regions import choose_region
from pages.parts.words import t

if TYPE_CHECKING:
    from core.engine.faithfulness import ExplanationCheck

_SAME_MAP = 0.5  # rank correlation above which a random last layer is said to change little
_HEIGHT_PX = 400


def show_explanation_check(task: Task, manifest: Manifest, result: ScreeningResult | None) -> None:
    """Deletion against chance, and weight randomisation."""
    if result is None or result.explanation is None or not result.gate.shows_score:
        st.info(t("This check needs an image with a score."), icon=":material/info:")
        return
    st.markdown(
        t(
            "A picture that looks right can be wrong. Two tests on this image tell whether the map follows what the network used."
        )
    )
    index = choose_region(f"{task.id}.check.which", result)
    if not result.explanation.heatmaps[index].has_evidence:
        st.info(t("No positive evidence: there is no map to check."), icon=":material/info:")
        return
    try:
        with st.spinner(t("Blanking the image step by step ..."), show_time=True):
            check = _checked(task.id, result, index)
    except ScreeningError as error:
        show_error(error)
        return
    left, right = st.columns([6, 5], gap="medium")
    with left:
        show_chart(_deletion_figure(check), f"{task.id}.deletion", _deletion_alt(check))
    with right:
        _show_verdicts(check)


def _checked(task_id: str, result: ScreeningResult, index: int) -> "ExplanationCheck":
    """The check of this map, kept for this session until another one is asked for."""
    from core import screening  # torch is loaded by now

    assert result.explanation is not None
    wanted = (
        result.study.file_sha256,
        result.provenance.weights_sha256,
        result.regions,
        result.explanation.method,
        result.explanation.finding,
        index,
    )
    key = f"{task_id}.check.kept"
    kept = st.session_state.get(key)
    if kept is None or kept[0] != wanted:
        kept = (wanted, screening.check_explanation(result, screening.load(task_id, result.provenance.model), index))
        st.session_state[key] = kept
    check: ExplanationCheck = kept[1]
    return check


def _deletion_figure(check: "ExplanationCheck") -> go.Figure:
    colours = theme(is_dark())
    shares = [100 * share for share in check.shares]
    band = go.Scatter(
        x=[*shares, *reversed(shares)],
        y=[*check.chance_low, *reversed(check.chance_high)],
        fill="toself",
        fillcolor=colours.grid,
        opacity=0.6,
        mode="none",
        hoverinfo="skip",
        name=t("Range of random orders"),
    )
    chance = go.Scatter(
        x=shares,
        y=check.by_chance,
        mode="lines",
        line={"color": NEUTRAL, "width": 2, "dash": "dot"},
        name=t("Random order"),
    )
    by_map = go.Scatter(
        x=shares,
        y=check.by_map,
        mode="lines+markers",
        line={"color": colours.accent, "width": 3},
        name=t("Order of the map"),
    )
    title = [t("Deletion"), t("Score while the region is blanked")]
    figure = new_figure([band, chance, by_map], is_dark(), title, _HEIGHT_PX)
    figure.update_xaxes(title=t("Per cent of the region blanked"))
    figure.update_yaxes(title=t("Score"), range=[-0.02, 1.02])
    return figure


def _deletion_alt(check: "ExplanationCheck") -> str:
    return t(
        "Score while the region is blanked: mean {by_map} in the order of the map, {by_chance} in random order.",
        by_map=number(float(check.by_map.mean())),
        by_chance=number(float(check.by_chance.mean())),
    )


def _show_verdicts(check: "ExplanationCheck") -> None:
    passed, failed = ":green[:material/check_circle:]", ":orange[:material/help:]"
    with st.container(border=True):
        st.markdown(f"**{t('Deletion')}**")
        st.metric(t("Faster than random order by"), number(check.gain, 3))
        if check.is_better_than_chance:
            st.markdown(f"{passed} " + t("Blanking what the map marks lowers the score faster than chance."))
        else:
            st.markdown(f"{failed} " + t("Blanking what the map marks is no better than chance: do not read this map."))
    with st.container(border=True):
        st.markdown(f"**{t('Random weights')}**")
        st.metric(t("Rank correlation with the map of a random last layer"), number(check.random_weights_correlation))
        if abs(check.random_weights_correlation) < _SAME_MAP:
            st.markdown(f"{passed} " + t("With random weights the map is another one: it depends on what was learned."))
        else:
            st.markdown(
                f"{failed} " + t("With random weights the map hardly changes: it shows the image, not the model.")
            )
    st.caption(t("Petsiuk et al. 2018 (deletion), Adebayo et al. 2018 (random weights)."))
