"""Which task a form is about."""

import streamlit as st

from core import registry
from core.task import Task
from pages.parts.words import t


def choose_task(key: str) -> Task:
    """One of all tasks, the first at first.

    Args:
        key: Of the widget; the choice is kept while the reader looks at other pages.
    """
    titles = {task.id: t(task.title) for task in registry.tasks().values()}
    chosen = st.pills(
        t("Task"),
        list(titles),
        format_func=titles.__getitem__,
        key=key,
        persist_state="session",
        default=next(iter(titles)),
        required=True,
    )
    return registry.task(str(chosen))
