"""Tab "Explanation check": does the map of the image above follow the model?"""

from collections.abc import Iterable
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
from pages.parts.faithfulness import show_measured
from pages.parts.regions import choose_region
from pages.parts.words import t

if TYPE_CHECKING:
    from core.engine.faithfulness import ExplanationCheck

_SAME_MAP = 0.5  # rank correlation above which a random last layer is said to change little
_HEIGHT_PX = 400


def show_explanation_check(task: Task, manifest: Manifest, result: ScreeningResult | None) -> None:
    """The map of the image above, tested; then every method on images whose truth is known."""
    _show_this_map(task, result)
    show_measured(task, manifest)


def _show_this_map(task: Task, result: ScreeningResult | None) -> None:
    """Deletion and insertion against chance, and weight randomisation."""
    if result is None or result.explanation is None or not result.gate.shows_score:
        st.info(t("This check needs an image with a score."), icon=":material/info:")
        return
    st.markdown(
        t(
            "A picture that looks right can be wrong. Three tests on this image tell whether the map follows what the network "
            "used."
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
        show_chart(_insertion_figure(check), f"{task.id}.insertion", _insertion_alt(check))
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
    band = [*check.chance_low, *reversed(check.chance_high)]
    figure = _curves_figure(
        [t("Deletion"), t("Score while the region is blanked")], check.shares, check.by_map, check.by_chance, band
    )
    figure.update_xaxes(title=t("Per cent of the region blanked"))
    return figure


def _insertion_figure(check: "ExplanationCheck") -> go.Figure:
    """The same random orders read backwards."""
    band = [*reversed(check.chance_low), *check.chance_high]
    figure = _curves_figure(
        [t("Insertion"), t("Score while the blanked region is shown")],
        *(check.shares, check.inserted, check.inserted_by_chance, band),
    )
    figure.update_xaxes(title=t("Per cent of the region shown"))
    return figure


def _curves_figure(
    title: list[str],
    at: Iterable[float],
    by_map: Iterable[float],
    by_chance: Iterable[float],
    band: list[float],
) -> go.Figure:
    """Scores in the order of the map and in random order.

    Args:
        title: Lines.
        at: Shares of the region.
        by_map, by_chance: Scores there.
        band: Lowest scores of random orders there, then the highest ones backwards.
    """
    colours = theme(is_dark())
    shares = [100 * share for share in at]
    area = go.Scatter(
        x=[*shares, *reversed(shares)],
        y=band,
        fill="toself",
        fillcolor=colours.grid,
        opacity=0.6,
        mode="none",
        hoverinfo="skip",
        name=t("Range of random orders"),
    )
    chance = go.Scatter(
        x=shares,
        y=list(by_chance),
        mode="lines",
        line={"color": NEUTRAL, "width": 2, "dash": "dot"},
        name=t("Random order"),
    )
    own = go.Scatter(
        x=shares,
        y=list(by_map),
        mode="lines+markers",
        line={"color": colours.accent, "width": 3},
        name=t("Order of the map"),
    )
    figure = new_figure([area, chance, own], is_dark(), title, _HEIGHT_PX)
    figure.update_yaxes(title=t("Score"), range=[-0.02, 1.02])
    return figure


def _deletion_alt(check: "ExplanationCheck") -> str:
    return t(
        "Score while the region is blanked: mean {by_map} in the order of the map, {by_chance} in random order.",
        by_map=number(float(check.by_map.mean())),
        by_chance=number(float(check.by_chance.mean())),
    )


def _insertion_alt(check: "ExplanationCheck") -> str:
    return t(
        "Score while the blanked region is shown: mean {by_map} in the order of the map, {by_chance} in random order.",
        by_map=number(float(check.inserted.mean())),
        by_chance=number(float(check.inserted_by_chance.mean())),
    )


def _show_verdicts(check: "ExplanationCheck") -> None:
    _show_verdict(
        t("Deletion"),
        (t("Faster than random order by"), number(check.gain, 3)),
        check.is_better_than_chance,
        t("Blanking what the map marks lowers the score faster than chance."),
        t("Blanking what the map marks is no better than chance: do not read this map."),
    )
    _show_verdict(
        t("Insertion"),
        (t("Rises faster than random order by"), number(check.insertion_gain, 3)),
        check.is_inserted_faster_than_chance,
        t("Showing only what the map marks raises the score faster than chance."),
        t("Showing only what the map marks is no better than chance: other places matter as much."),
    )
    _show_verdict(
        t("Random weights"),
        (t("Rank correlation with the map of a random last layer"), number(check.random_weights_correlation)),
        abs(check.random_weights_correlation) < _SAME_MAP,
        t("With random weights the map is another one: it depends on what was learned."),
        t("With random weights the map hardly changes: it shows the image, not the model."),
    )
    st.caption(t("Petsiuk et al. 2018 (deletion, insertion), Adebayo et al. 2018 (random weights)."))


def _show_verdict(title: str, metric: tuple[str, str], is_passed: bool, passed: str, failed: str) -> None:
    """One test: its number, and what that means."""
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.metric(*metric)
        if is_passed:
            st.markdown(f":green[:material/check_circle:] {passed}")
        else:
            st.markdown(f":orange[:material/help:] {failed}")
