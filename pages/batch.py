"""Many images at once: a folder or an archive in, one table out."""

from pages.parts.batching import show_batching
from pages.parts.router import through_router

through_router()
show_batching()
