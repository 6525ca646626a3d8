"""The user manual."""

from pages.parts.manual import show_manual
from pages.parts.router import through_router

through_router()
show_manual()
