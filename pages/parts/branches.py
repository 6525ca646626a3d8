"""Tab "Both networks": what each branch of a pair says and looks at, and how much they differ."""

import streamlit as st

from core import registry
from core.figures.grades import class_probabilities_alt, class_probabilities_figure
from core.figures.style import number
from core.records import ScreeningResult, Study
from pages.parts.chart import is_dark, show_chart
from pages.parts.picture import branch_sheet
from pages.parts.plain import plain
from pages.parts.viewer import read_look
from pages.parts.words import t, translator


def are_at_odds(result: ScreeningResult, index: int) -> bool:
    """Whether the branches hold different classes for the most probable one."""
    branches = result.prediction.branches if result.prediction else {}
    return len({max(rows[index], key=rows[index].__getitem__) for rows in branches.values()}) > 1


def show_branches(study: Study | None, result: ScreeningResult | None) -> None:
    """Probabilities, maps, cosine and alpha."""
    if result is None or result.prediction is None or not result.gate.shows_score:
        st.info(t("This tab needs an image with a score."), icon=":material/info:")
        return
    if not result.prediction.branches:
        st.info(t("This model is a single network."), icon=":material/info:")
        return
    st.markdown(
        t(
            "Two networks of the same build look at the slice through two HU windows; a third head answers from what both found. "
            "They are trained to look at different things."
        )
    )
    task = registry.task(result.provenance.task)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        _show_maps(result)
    with right:
        _show_probabilities(task.id, [t(label.name) for label in task.labels], result)
        _show_numbers(result)


def _names() -> dict[str, str]:
    return {"s": t("Network s, HU −128 to 1024"), "t": t("Network t, HU −450 to 1024")}


def _show_maps(result: ScreeningResult) -> None:
    names = _names()
    look = read_look(result.provenance.task, result.study)
    columns = st.columns(3)
    everything = (
        {**{name: names[name] for name in result.prediction.branches}, "": t("Together")} if result.prediction else {}
    )
    for column, (branch, words) in zip(columns, everything.items(), strict=True):
        with column:
            st.image(branch_sheet(result, look, branch), width="stretch", alt=t("Explanation of: {name}", name=words))
            st.caption(words)
    st.caption(
        t(
            "Where each network found evidence for the score. *Together* is the mean of both, weighted by alpha. "
            "Each picture has its own scale."
        )
    )


def _show_probabilities(task_id: str, classes: list[str], result: ScreeningResult) -> None:
    prediction, names = result.prediction, _names()
    if prediction is None:
        return
    rows = [(t("Together"), list((prediction.findings[0].probabilities or {}).values()))]
    rows += [(names[name], list(regions[0].values())) for name, regions in prediction.branches.items()]
    data = (rows, classes, translator())
    figure = class_probabilities_figure(*data, is_dark())
    show_chart(figure, f"{task_id}.branches", class_probabilities_alt(*data), has_buttons=False)


def _show_numbers(result: ScreeningResult) -> None:
    measures = result.prediction.measures if result.prediction else {}
    left, right = st.columns(2)
    shown = ((t("Cosine between the networks"), "cosine"), (t("Alpha, weight of network s"), "alpha"))
    for column, (name, measure) in zip((left, right), shown, strict=True):
        column.metric(name, number(measures[measure][0]), border=True, help=plain(name))
    st.caption(t("Cosine 0: the networks see different things. Cosine 1: they see the same."))
    if are_at_odds(result, 0):
        st.warning(
            t("**The networks disagree** on the most probable class: read this answer with care."),
            icon=":material/call_split:",
        )
    else:
        st.success(t("The networks agree on the most probable class."), icon=":material/check_circle:")
