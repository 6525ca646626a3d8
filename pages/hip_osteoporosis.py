"""Hip osteoporosis: the common task page with its own advice, self-assessment and method."""

from pages.parts.hip import show_hip_page
from pages.parts.router import through_router

through_router()
show_hip_page()
