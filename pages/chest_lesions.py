"""Chest lesions: the common task page with boxes, the width of the heart, every finding on a phantom and its own method."""

from pages.parts.chest import show_chest_page
from pages.parts.router import through_router

through_router()
show_chest_page()
