"""Sends a page that was opened without the router back to it."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def through_router() -> None:
    """First line of every page.

    Until some session has run `app.py`, Streamlit takes the folder `pages/` for its older kind of app and runs the file behind
    the address alone, without menu and language. `st.navigation` ends that for the whole process; so does this.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
