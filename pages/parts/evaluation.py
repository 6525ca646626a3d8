"""Page "Evaluation": labelled images, a table of scores or a bundle in; statistics out."""

import streamlit as st

from pages.parts.evaluation_bundle import show_bundle
from pages.parts.evaluation_sample_size import show_sample_size
from pages.parts.evaluation_scores import show_scores
from pages.parts.measuring import show_images
from pages.parts.words import t

IMAGES, SCORES, BUNDLE = "images", "scores", "bundle"
_SHOW = {IMAGES: show_images, SCORES: show_scores, BUNDLE: show_bundle}


def show_evaluation() -> None:
    """What is measured, its statistics, and how many cases a study needs."""
    st.title(t("Evaluation"))
    st.markdown(
        t("Measure a model against your own labels: with intervals, by patient, by group. Nothing leaves this machine.")
    )
    names = {IMAGES: t("Labelled images"), SCORES: t("Table of scores"), BUNDLE: t("Open a bundle")}
    mode = st.segmented_control(
        t("What do you have?"),
        list(names),
        format_func=names.__getitem__,
        key="evaluation.mode",
        persist_state="session",
        default=IMAGES,
        required=True,
    )
    _SHOW[str(mode)]()
    show_sample_size()
