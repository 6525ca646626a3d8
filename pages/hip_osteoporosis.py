"""Hip osteoporosis: the common task page with its own advice, self-assessment and method."""

from pages.parts.hip import show_hip_page

show_hip_page()
