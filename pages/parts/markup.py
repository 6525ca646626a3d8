"""The only raw markup of the pages: a style sheet without any data."""

import streamlit as st

_STYLE = """
<style>
[data-testid="stMainBlockContainer"] { padding-inline: clamp(1rem, 3vw, 4rem); padding-bottom: 3rem; }
[data-testid="stMetricValue"] { font-size: clamp(1.25rem, 1.9vw, 1.75rem); }
[data-testid="stImage"] img { background: #000; }
</style>
"""


def apply_style() -> None:
    """Narrower margins and figures, so that a page fits a projector 1024 pixels wide."""
    st.html(_STYLE)
