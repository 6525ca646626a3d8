"""The reference experiments run again: published figures beside ours, leaky protocols beside careful ones."""

from pages.parts.laboratory import show_laboratory
from pages.parts.router import through_router

through_router()
show_laboratory()
