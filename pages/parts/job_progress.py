"""How far a job is, in one line with its bar, and what was wrong with one that failed."""

from collections.abc import Mapping

import streamlit as st

from core.errors import MESSAGES, ScreeningError
from core.io.progress import State
from pages.parts.errors import show_error
from pages.parts.words import t


def show_bar(told: State | None, phases: Mapping[str, str]) -> None:
    """The bar.

    Args:
        told: By the job; None before it tells.
        phases: Words of each phase.
    """
    if told is None:
        st.progress(0.0, t("Starting"))
        return
    words = phases.get(told.phase, t("Starting"))
    if told.total:
        words += " · " + t("{done} of {total}", done=f"{told.done:,}", total=f"{told.total:,}")
    if told.seconds_left is not None and told.done < told.total:
        words += " · " + t("about {time} left", time=_time(told.seconds_left))
    st.progress(min(1.0, told.done / told.total) if told.total else 0.0, words)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return t("{n} s", n=max(1, round(seconds)))
    return t("{n} min", n=minutes) if minutes < 90 else t("{n} h", n=f"{seconds / 3600:.1f}")


def show_failure(told: State | None, unexpected: str) -> None:
    """The error that a job ended with.

    Args:
        told: By the job.
        unexpected: A sentence for an end that it did not tell.
    """
    if told is not None and told.code in MESSAGES:
        show_error(ScreeningError(told.code, told.got))
        return
    with st.container(border=True):
        st.markdown("#### :red[:material/error:] " + unexpected)
        st.markdown(t("Next step: {step}", step=t("Start it again; if it happens again, run the self-check.")))
