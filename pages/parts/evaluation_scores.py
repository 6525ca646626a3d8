"""A table of scores of any model in, its statistics out."""

import hashlib
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.errors import TableError
from core.evaluation.score_example import example_scores
from core.evaluation.score_report import ScoreReport, report_scores
from core.io.score_table import read_scores
from core.manifest import DEMO_STATEMENT
from pages.parts.errors import show_error
from pages.parts.evaluation_panels import show_consequences, show_panels
from pages.parts.evaluation_point import show_point
from pages.parts.evaluation_table import show_columns, show_table_checks
from pages.parts.settings import MAX_UPLOAD_MB
from pages.parts.words import t

UPLOAD, EXAMPLE = "upload", "example"
_READ = "evaluation.read"


@dataclass(frozen=True)
class Measured:
    """A table that was read and measured.

    Attributes:
        digest: Of its bytes, for the keys of widgets and the names of files.
    """

    digest: str
    report: ScoreReport


def show_scores() -> None:
    """A table and everything measured from it; without a table what one looks like."""
    st.caption(
        t(
            "The table is read and measured on this machine: nothing leaves it. It is forgotten soon after its page is closed."
        )
    )
    _show_table()


def _show_table() -> None:
    try:
        measured = _choose_table()
    except TableError as error:
        show_error(error)
        show_columns(is_open=True)
        return
    show_columns(is_open=measured is None)
    if measured is None:
        return
    show_table_checks(measured.report)
    name = _choose_model(measured)
    model = measured.report.models[name]
    key = f"evaluation.{measured.digest}.{list(measured.report.models).index(name)}"
    chosen = show_point(measured.report, model, key)
    show_panels(model, chosen, key)
    show_consequences(measured.report, model, chosen, key)
    _show_download(measured, chosen.threshold, chosen.prevalence)


def _choose_table() -> Measured | None:
    """What was uploaded, or the example.

    Raises:
        TableError: The upload is at fault.
    """
    names = {UPLOAD: t("Upload"), EXAMPLE: t("Example")}
    row = st.container(horizontal=True, gap="large")
    with row.container(width="content"):
        kind = st.segmented_control(
            t("Table"),
            list(names),
            format_func=names.__getitem__,
            key="evaluation.source",
            persist_state="session",
            default=UPLOAD,
            required=True,
        )
    with row.container(width="stretch"):
        if kind == EXAMPLE:
            st.session_state.pop(_READ, None)
            st.badge(t(DEMO_STATEMENT), icon=":material/warning:", color="orange")
            return _measure_example()
        file = st.file_uploader(
            t("CSV table with the columns label and score; names of files are not kept"),
            key="evaluation.upload",
            max_upload_size=MAX_UPLOAD_MB,
        )
    if file is None:
        st.session_state.pop(_READ, None)
        return None
    return _measure_once(file)


@st.cache_resource(max_entries=1, show_spinner=False)
def _measure_example() -> Measured:
    # Shared by all sessions: its scores were drawn at random.
    return _measure(example_scores())


def _measure_once(file: Any) -> Measured:
    """Statistics of an upload, kept for this session until another table is chosen."""
    if st.session_state.get(_READ, ("", None))[0] != file.file_id:
        try:
            with st.spinner(t("Measuring"), show_time=True):
                found: Measured | TableError = _measure(file.getvalue())
        except TableError as error:
            found = error
        st.session_state[_READ] = (file.file_id, found)
    kept: Measured | TableError = st.session_state[_READ][1]
    if isinstance(kept, TableError):
        raise kept
    return kept


def _measure(data: bytes) -> Measured:
    return Measured(hashlib.sha256(data).hexdigest()[:12], report_scores(read_scores(data)))


def _choose_model(measured: Measured) -> str:
    """The model on show; a select box shows names without markdown."""
    names = list(measured.report.models)
    if len(names) == 1:
        return names[0]
    place = st.selectbox(
        t("Model on show"),
        range(len(names)),
        format_func=lambda place: names[place],
        key=f"evaluation.{measured.digest}.model",
        persist_state="session",
    )
    return names[place or 0]


def _show_download(measured: Measured, threshold: float | None, prevalence: float | None) -> None:
    st.download_button(
        t("Statistics (JSON)"),
        lambda: measured.report.to_json(threshold, prevalence),
        f"evaluation_{measured.digest}.json",
        "application/json",
        key="evaluation.save.json",
        icon=":material/data_object:",
        on_click="ignore",
    )
    words = t("All models, at this threshold and prevalence: the numbers that the command *evaluate --scores* writes.")
    if threshold is None:
        words = t(
            "All models, each at its own Youden threshold: the numbers that the command *evaluate --scores* writes."
        )
    st.caption(words)
