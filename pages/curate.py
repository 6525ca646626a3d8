"""A hospital's own files become a labelled data set."""

from pages.parts.curating import show_curating
from pages.parts.router import through_router

through_router()
show_curating()
