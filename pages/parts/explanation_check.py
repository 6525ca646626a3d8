"""Tab "Explanation check": does the map follow the model? Computed for the image above."""

import streamlit as st

from core.manifest import Manifest
from core.records import ScreeningResult
from core.task import Task
from pages.parts.words import t


def show_explanation_check(task: Task, manifest: Manifest, result: ScreeningResult | None) -> None:
    """Weight randomisation and deletion."""
    if result is None or not result.gate.shows_score:
        st.info(t("This check needs an image with a score."), icon=":material/info:")
