"""Which region of a film with several is meant."""

import streamlit as st

from core.records import ScreeningResult
from pages.parts.words import t


def choose_region(key: str, result: ScreeningResult) -> int:
    """Index of the region a person chose; without a question when there is only one.

    Args:
        key: Key of the widget.
        result: Has at least one region.
    """
    if len(result.regions) == 1:
        return 0
    names = {"L": t("Left"), "R": t("Right"), None: t("Region")}
    chosen = st.segmented_control(
        t("Region"),
        range(len(result.regions)),
        format_func=lambda index: names[result.regions[index].laterality],
        key=key,
        persist_state="session",
        default=0,
        required=True,
    )
    return int(chosen or 0)
