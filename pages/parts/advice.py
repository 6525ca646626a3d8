"""The box below the checks: what an answer is a reason for."""

from collections.abc import Sequence

import streamlit as st

from pages.parts.words import t


def show_advice(lines: Sequence[str], *, is_warning: bool, link: str = "") -> None:
    """The next step, in sentences.

    Args:
        lines: Already in the reader's language.
        is_warning: The answer is a reason to act.
        link: Markdown below the sentences of a warning.
    """
    text = " ".join((t("**Next step.**"), *lines))
    if is_warning:
        st.warning(text + link, icon=":material/event:")
    else:
        st.info(text, icon=":material/event:")
