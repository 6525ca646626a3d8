"""Reader study: cases answered blind, then with the model."""

from pages.parts.reading import show_reading
from pages.parts.router import through_router

through_router()
show_reading()
