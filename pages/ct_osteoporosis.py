"""CT osteoporosis: the common task page with both networks, the measured HU and its own method."""

from pages.parts.ct import show_ct_page
from pages.parts.router import through_router

through_router()
show_ct_page()
