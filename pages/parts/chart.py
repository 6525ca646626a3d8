"""Plotly figures on the page: no foreign theme, only the PNG button, and words for readers who cannot see them."""

import plotly.graph_objects as go
import streamlit as st

_BUTTONS = ["zoom", "pan", "select", "lasso2d", "zoomIn", "zoomOut", "autoScale", "resetScale"]


def is_dark() -> bool:
    """Whether the reader's theme is dark."""
    return st.context.theme.type == "dark"


def show_chart(figure: go.Figure, key: str, alt: str, *, has_buttons: bool = True) -> None:
    """Show a figure.

    Args:
        figure: From core.figures.
        key: Stable name; also the name of the downloaded picture.
        alt: What it shows, in words.
        has_buttons: With a button that saves it as PNG.
    """
    config = {
        "displaylogo": False,
        "displayModeBar": "hover" if has_buttons else False,
        "modeBarButtonsToRemove": _BUTTONS,
        "toImageButtonOptions": {"format": "png", "scale": 2, "filename": key.replace(".", "_")},
    }
    st.plotly_chart(figure, theme=None, key=key, config=config, alt=alt)
