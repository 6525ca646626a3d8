"""What the tabs "Method" of all tasks share."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.task import Task
from pages.parts.words import t


def show_references(task: Task) -> None:
    """Papers and sources, with their address where they have one."""
    st.markdown(f"**{t('References')}**")
    lines = [f"{ref.text} [{ref.url}]({ref.url})" if ref.url else ref.text for ref in task.references]
    st.markdown("\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)))


def show_protocols(published: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """The published protocol beside ours.

    Args:
        published: Head of its column.
        rows: Step, what was published, what is done here.
    """
    st.markdown(f"**{t('Published protocol and ours')}**")
    show_rows([t("Step"), published, t("Here")], rows)


def show_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table without row numbers."""
    st.table(pd.DataFrame(rows, columns=list(heads)), hide_index=True, border="horizontal")


def show_formulas(*lines: str) -> None:
    """Formulas below each other, aligned at their `&`: short lines, because half a page is narrow."""
    st.latex(r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}")


def show_published_badge() -> None:
    """The title of published results, and that they are not ours."""
    st.markdown(f"**{t('Published results')}**")
    st.badge(t("Published, other data: not results of this program"), icon=":material/article:", color="gray")


def show_lines(title: str, lines: Sequence[str]) -> None:
    """A title with one bullet a line."""
    st.markdown("\n".join([f"**{title}**", "", *(f"- {line}" for line in lines)]))
