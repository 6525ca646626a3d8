"""Knee bone-scan grading: the common task page with a row for each knee and its own method."""

from pages.parts.knee import show_knee_page
from pages.parts.router import through_router

through_router()
show_knee_page()
