"""All pictures of the folder, each with what was decided, by whom and when."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.curation.box_review import Picture
from core.curation.reviews import State
from pages.parts.reviewing_picture import AT, ONLY_OPEN, REVIEWER, shown_name
from pages.parts.words import t

_LIST, _LIST_PX, _ROW_PX = "review.list", 520, 36
_ICONS: Mapping[State, str] = {"open": "○", "accepted": "✓", "redrawn": "✎", "rejected": "✕"}


def state_names() -> dict[State, str]:
    """What was decided, in the reader's language."""
    return {"open": t("To review"), "accepted": t("Accepted"), "redrawn": t("Redrawn"), "rejected": t("Rejected")}


def show_list(pictures: Sequence[Picture], counts: Mapping[State, int]) -> None:
    """Who reviews, counts, filter and table; a click on a row shows its picture."""
    st.text_input(
        t("Reviewer (name or initials)"),
        key=REVIEWER,
        persist_state="session",
        max_chars=60,
        placeholder=t("Stands beside every decision"),
    )
    names = state_names()
    st.markdown(" · ".join(f"{_ICONS[state]} {name}: **{counts.get(state, 0)}**" for state, name in names.items()))
    is_filtered = st.toggle(t("Only those to review"), key=ONLY_OPEN, persist_state="session")
    rows = [picture for picture in pictures if not is_filtered or picture.state == "open"]
    shown = shown_name(pictures)
    table = pd.DataFrame(
        {
            t("Picture"): [picture.name for picture in rows],
            t("State"): [f"{_ICONS[picture.state]} {names[picture.state]}" for picture in rows],
            t("Reviewer"): [_reviewer(picture) for picture in rows],
            t("When (UTC)"): [_when(picture) for picture in rows],
        }
    )
    places = [place for place, picture in enumerate(rows) if picture.name == shown]
    st.session_state[_LIST] = {"selection": {"rows": places, "columns": [], "cells": []}}

    def chosen() -> None:
        if picked := st.session_state[_LIST].selection.rows:
            st.session_state[AT] = rows[picked[0]].name

    st.dataframe(
        table,
        height=min(_LIST_PX, _ROW_PX * (len(rows) + 2)),
        hide_index=True,
        key=_LIST,
        on_select=chosen,
        selection_mode="single-row",
        placeholder=t("Every picture is reviewed."),
    )


def _reviewer(picture: Picture) -> str:
    return picture.review.reviewer if picture.review else ""


def _when(picture: Picture) -> str:
    return picture.review.reviewed_at[:16].replace("T", " ") if picture.review else ""
