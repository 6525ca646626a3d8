"""The only raw markup of the pages: style sheets without any data."""

import streamlit as st

_STYLE = """
<style>
[data-testid="stMainBlockContainer"] { padding-inline: clamp(1rem, 3vw, 4rem); padding-bottom: 3rem; }
[data-testid="stMetricValue"] { font-size: clamp(1.25rem, 1.9vw, 1.75rem); }
[data-testid="stImage"] img { background: #000; }
[data-testid="stCaptionContainer"] { opacity: 0.8; }
[data-testid="stCaptionContainer"] code { color: inherit; }
[data-testid^="stBaseButton-primary"] { color: light-dark(#FFFFFF, #0E1621); }
</style>
"""
_PRESENTATION = """
<style>
html { font-size: 20px; }
[data-testid="stMainBlockContainer"] { padding-top: 1rem; }
[data-testid="stFileUploaderFile"] { display: none; }
</style>
"""


def apply_style() -> None:
    """Narrower margins and figures, so that a page fits a projector 1024 pixels wide; a contrast of 4.5 for small print."""
    st.html(_STYLE)


def apply_presentation_style() -> None:
    """Big type, and no names of uploaded files."""
    st.html(_PRESENTATION)
