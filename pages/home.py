"""The first page: what can be screened, how well, and where to read on."""

import streamlit as st

from pages.parts.cards import show_cards
from pages.parts.router import through_router
from pages.parts.words import t

through_router()
st.title("Fivefold")
st.markdown(t("Screen medical images, see why the model answered, and measure it on labelled data."))
st.caption(t("Everything runs on this machine: no image and no number leaves it."))
show_cards()

st.subheader(t("What can be measured"))
left, middle, right = st.columns(3)
with left:
    st.markdown(":material/query_stats: " + t("**Accuracy.** Every model shows its held-out results with intervals."))
with middle:
    st.markdown(
        ":material/ads_click: " + t("**Explanation.** Six methods, with tests of whether they follow the model.")
    )
with right:
    st.markdown(":material/tune: " + t("**Operating point.** Move the threshold and the prevalence, see what follows."))
