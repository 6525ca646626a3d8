"""What was screened before: find it, open it again, compare it, delete it."""

from pages.parts.past import show_past
from pages.parts.router import through_router

through_router()
show_past()
