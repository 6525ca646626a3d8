"""Fivefold: the router. One page a file in `pages/`; what they share lives in `pages/parts/`."""

import streamlit as st

from pages.parts.access import is_page_open, show_refusal
from pages.parts.frame import show_sidebar_foot
from pages.parts.intended_use import is_accepted, show_intended_use
from pages.parts.markup import apply_style
from pages.parts.menu import page_of, sections
from pages.parts.presentation import is_presenting, show_presentation_head
from pages.parts.words import settle_language

st.set_page_config(page_title="Fivefold", page_icon="🩻", layout="wide", initial_sidebar_state=248)
apply_style()
settle_language()
pages = {
    title: [page_of(entry, is_open=is_page_open(entry.file)) for entry in entries]
    for title, entries in sections().items()
}
page = st.navigation(pages, position="hidden" if is_presenting() else "sidebar", expanded=True)
name = page.url_path or "home"
if is_presenting():
    show_presentation_head()
else:
    show_sidebar_foot(name)
if not is_page_open(name):
    show_refusal(name)
elif not is_accepted():
    show_intended_use()
else:
    page.run()
