"""Which pages there are, in which section, and links to them. A task without a page file is not shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core import registry
from pages.parts.words import t

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Entry:
    """One line of the menu.

    Attributes:
        file: Name in `pages/` without `.py`; also the address, except for the home page.
        title: In the reader's language.
        icon: Material icon name.
    """

    file: str
    title: str
    icon: str


def sections() -> dict[str, list[Entry]]:
    """Sections with their entries; empty sections are left out."""
    tasks = [Entry(task.id, t(task.title), task.icon) for task in registry.tasks().values()]
    everything = {
        t("Screen"): [Entry("home", t("Home"), "home"), *tasks, Entry("batch", t("Batch screening"), "folder_zip")],
        t("Measure"): [
            Entry("curate", t("Curation"), "inventory_2"),
            Entry("evaluate", t("Evaluation"), "query_stats"),
            Entry("review", t("Box review"), "crop_free"),
            Entry("reader_study", t("Reader study"), "compare"),
            Entry("experiments", t("Experiments"), "science"),
            Entry("train", t("Training"), "model_training"),
        ],
        t("Record"): [Entry("history", t("History"), "history"), Entry("manual", t("User manual"), "menu_book")],
    }
    there = {title: [entry for entry in entries if has_page(entry.file)] for title, entries in everything.items()}
    return {title: entries for title, entries in there.items() if entries}


def has_page(file: str) -> bool:
    """Whether `pages/<file>.py` exists."""
    return (FOLDER / f"{file}.py").is_file()


def page_of(entry: Entry, *, is_open: bool) -> StreamlitPage:
    """The page behind an entry; the address is the same in every language, and answers with a refusal where it is not open."""
    return st.Page(
        FOLDER / f"{entry.file}.py",
        title=entry.title,
        icon=f":material/{entry.icon}:",
        url_path=entry.file,
        default=entry.file == "home",
        visibility="visible" if is_open else "hidden",
    )


def show_link(file: str, label: str, icon: str) -> None:
    """A link to another page of this app."""
    st.page_link(FOLDER / f"{file}.py", label=label, icon=f":material/{icon}:")


def go_to(file: str, query: Mapping[str, str]) -> None:
    """Leave for another page of this app, with what its address shall say."""
    st.switch_page(FOLDER / f"{file}.py", query_params=query)
