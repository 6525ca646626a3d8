"""Retinal lesions: the common task page with masks, a list of lesions and its own method."""

from pages.parts.retina import show_retina_page
from pages.parts.router import through_router

through_router()
show_retina_page()
