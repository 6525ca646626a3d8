"""Train a network on phantoms or on a folder of the server, and watch it."""

from pages.parts.router import through_router
from pages.parts.teaching import show_teaching

through_router()
show_teaching()
