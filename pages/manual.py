import streamlit as st
from pages.parts.words import t
st.title(t("User manual"))
