"""Plotly figures on the page: no foreign theme, only the PNG button, and words for readers who cannot see them."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

Clicked = Callable[[Mapping[str, Any]], None]
_BUTTONS = ["zoom", "pan", "select", "lasso2d", "zoomIn", "zoomOut", "autoScale", "resetScale"]


def is_dark() -> bool:
    """Whether the reader's theme is dark."""
    return st.context.theme.type == "dark"


def show_chart(
    figure: go.Figure, key: str, alt: str, *, has_buttons: bool = True, on_click: Clicked | None = None
) -> None:
    """Show a figure.

    Args:
        figure: From core.figures.
        key: Stable name; also the name of the downloaded picture.
        alt: What it shows, in words.
        has_buttons: With a button that saves it as PNG.
        on_click: Gets the point that was clicked: its x, y, point_index and customdata.
    """
    config = {
        "displaylogo": False,
        "displayModeBar": "hover" if has_buttons else False,
        "modeBarButtonsToRemove": _BUTTONS,
        "toImageButtonOptions": {"format": "png", "scale": 2, "filename": key.replace(".", "_")},
    }
    if on_click is None:
        st.plotly_chart(figure, theme=None, key=key, config=config, alt=alt)
        return

    def clicked() -> None:
        points = st.session_state[key].selection.points
        if points:
            on_click(points[0])

    st.plotly_chart(figure, theme=None, key=key, config=config, alt=alt, on_select=clicked, selection_mode="points")
