"""What the tabs "Method" of all tasks share."""

import streamlit as st

from core.task import Task
from pages.parts.words import t


def show_references(task: Task) -> None:
    """Papers and sources, with their address where they have one."""
    st.markdown(f"**{t('References')}**")
    lines = [f"{ref.text} [{ref.url}]({ref.url})" if ref.url else ref.text for ref in task.references]
    st.markdown("\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)))
