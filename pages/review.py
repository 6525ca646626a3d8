"""Review the proposed boxes of hip films, and look at the labelled findings of chest films."""

from pages.parts.reviewing import show_review
from pages.parts.router import through_router

through_router()
show_review()
