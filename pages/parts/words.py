"""The words of this session: `t("English sentence", placeholder=...)` in the reader's language."""

import re

import streamlit as st

from core.i18n import LANGUAGES, Translator, choose_language

LANGUAGE = "language"
_ASKED = "language_asked"


def translator() -> Translator:
    """The reader's words, for figures."""
    return Translator(st.session_state.get(LANGUAGE, "en"))


def t(message: str, /, **values: object) -> str:
    """One sentence in the reader's language."""
    return translator()(message, **values)


def percent(share: float) -> str:
    """A share as whole per cent; the narrow space keeps number and sign on one line."""
    return f"{100 * share:.0f}\u202f%"


def literal(text: str) -> str:
    """Text from a file or a person, so that Streamlit shows its markdown instead of obeying it."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def settle_language() -> None:
    """Choose the language of this run: `?lang=` where it is new, else what was chosen before, else the browser's."""
    asked = st.query_params.get("lang")
    if asked in LANGUAGES and asked != st.session_state.get(_ASKED):
        st.session_state[_ASKED] = st.session_state[LANGUAGE] = asked
    elif LANGUAGE not in st.session_state:
        st.session_state[LANGUAGE] = choose_language(None, st.context.locale)


def show_language_chooser() -> None:
    """Select box of the languages by their own names."""
    st.selectbox(
        t("Language"), list(LANGUAGES), format_func=LANGUAGES.__getitem__, key=LANGUAGE, on_change=_keep_in_address
    )


def _keep_in_address() -> None:
    chosen = st.session_state[LANGUAGE]
    st.session_state[_ASKED] = chosen
    st.query_params["lang"] = chosen
