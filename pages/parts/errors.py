"""An error as one plain sentence, what was wanted and what to do next."""

import streamlit as st

from core.errors import ScreeningError
from pages.parts.words import t


def show_error(error: ScreeningError) -> None:
    """Show what happened; `got` is technical and stands in the small line with the code."""
    message = error.message
    with st.container(border=True):
        st.markdown(f"#### :red[:material/error:] {t(message.what)}")
        st.markdown(t("Wanted: {wanted}", wanted=t(message.wanted)))
        st.markdown(t("Next step: {step}", step=t(message.next_step)))
        st.text(f"{error.code}" + (f" · {error.got}" if error.got else ""))
