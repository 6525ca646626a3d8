"""Statistics of the scores of any model, on the reader's own labels."""

from pages.parts.evaluation import show_evaluation
from pages.parts.router import through_router

through_router()
show_evaluation()
