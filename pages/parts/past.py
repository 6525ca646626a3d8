"""Page "History": which screenings there are, one of them again, several side by side, and what is deleted."""

import hashlib
import os
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core import registry
from core.errors import HistoryError
from core.figures.style import number
from core.io.reader_process import KEY
from core.services.history import PATIENT_DIGITS, History, Kept, Wanted, history_csv
from pages.parts.errors import show_error
from pages.parts.past_compare import show_comparison
from pages.parts.past_result import outcome_words, show_kept, side_words, time_words
from pages.parts.recording import actor, history, note
from pages.parts.words import literal, t

_LIMIT = 500
_LIST = "past.list"


def show_past() -> None:
    """The whole page."""
    st.title(t("History"))
    st.markdown(
        t(
            "Every screening as numbers: no image, no name, no date of an examination. Choose rows to open or compare them."
        )
    )
    try:
        own = history()
        if own is None:
            st.info(t("The history of this installation is switched off."), icon=":material/history_toggle_off:")
            return
        _show_pseudonyms()
        wanted = _ask()
        rows = own.select(wanted, _LIMIT)
        chosen = _choose(rows, own.count(wanted))
        _show_actions(own, rows, chosen)
        if len(chosen) == 1:
            show_kept(chosen[0])
        elif chosen:
            show_comparison(chosen)
    except HistoryError as error:
        show_error(error)


def _show_pseudonyms() -> None:
    if not os.environ.get(KEY):
        st.info(
            t(
                "Patients are told apart by keyed hashes of their ids. The key of this server is new at each start, so that the "
                "same patient has another hash afterwards. To follow patients for longer, set FIVEFOLD_PSEUDONYM_KEY."
            ),
            icon=":material/key_off:",
        )


def _ask() -> Wanted:
    """What the filters say."""
    tasks = {task.id: t(task.title) for task in registry.tasks().values()}
    outcomes = {outcome: outcome_words(outcome) for outcome in ("accepted", "needs_confirmation", "refused")}
    sides = {"above": t("At or above the operating point"), "below": t("Below the operating point")}
    kinds = {"patients": t("Files of patients"), "phantoms": t("Phantoms")}
    first, second = st.columns(4), st.columns(4)
    task = _select(first[0], t("Task"), tasks, "task")
    outcome = _select(first[1], t("Checks"), outcomes, "outcome")
    side = _select(first[2], t("Score"), sides, "side")
    kind = _select(first[3], t("Images"), kinds, "kind")
    since = second[0].date_input(t("From day (UTC)"), None, key="past.since")
    until = second[1].date_input(t("To day (UTC)"), None, key="past.until")
    patient = second[2].text_input(t("Patient hash begins with"), max_chars=64, key="past.patient")
    return Wanted(
        task=task,
        outcome=outcome,
        since=_midnight(since),
        until=_midnight(until, days=1),
        pseudonym=patient.strip().lower(),
        positive=None if side is None else side == "above",
        is_phantom=None if kind is None else kind == "phantoms",
    )


def _select(column: Any, label: str, names: dict[str, str], key: str) -> str | None:
    chosen: str | None = column.selectbox(
        label, list(names), index=None, format_func=names.__getitem__, key=f"past.{key}", placeholder=t("All")
    )
    return chosen


def _midnight(day: Any, days: int = 0) -> datetime | None:
    return datetime.combine(day, time(), UTC) + timedelta(days=days) if isinstance(day, date) else None


def _choose(rows: list[Kept], n: int) -> list[Kept]:
    """The table; the rows that are marked in it, the earliest first."""
    if not rows:
        st.info(t("No screening is of this kind."), icon=":material/history:")
        return []
    titles = {task.id: t(task.title) for task in registry.tasks().values()}
    table = pd.DataFrame(
        {
            t("Time (UTC)"): [time_words(row) for row in rows],
            t("Task"): [titles.get(row.task, row.task) for row in rows],
            t("Checks"): [outcome_words(row.outcome, row.confirmed) for row in rows],
            t("Answer"): [side_words(row.positive) for row in rows],
            t("Highest score"): [None if row.score is None else number(row.score, 3) for row in rows],
            t("Patient"): [(row.pseudonym or "")[:PATIENT_DIGITS] for row in rows],
            t("Image"): [t("Phantom") if row.is_phantom else t("File") for row in rows],
            t("Model"): [f"{row.model} {row.weights_sha256[:8]}" for row in rows],
        }
    )
    picked = st.dataframe(
        table,
        hide_index=True,
        key=_list_key(rows),
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        alt=t("Screenings, one a row"),
    )
    st.caption(
        t("{shown} of {n} screenings, the latest first.", shown=f"{len(rows):,}", n=f"{n:,}")
        + (" " + _statements(rows) if rows else "")
    )
    chosen = [rows[place] for place in picked.selection.rows if place < len(rows)]
    return sorted(chosen, key=lambda row: row.time)


def _list_key(rows: list[Kept]) -> str:
    """Another list has no row marked: a mark is a place, and would stand at another screening there."""
    return f"{_LIST}.{hashlib.sha256(' '.join(row.id for row in rows).encode()).hexdigest()[:12]}"


def _statements(rows: list[Kept]) -> str:
    """What stands beside every number of models that saw no patient."""
    return " ".join(f"{t(statement)}." for statement in dict.fromkeys(row.statement for row in rows) if statement)


def _show_actions(own: History, rows: list[Kept], chosen: list[Kept]) -> None:
    """Take the list along; delete what is marked."""
    with st.container(horizontal=True):
        st.download_button(
            t("List (CSV)"),
            history_csv(rows),
            f"history_{datetime.now(UTC):%Y%m%d_%H%M%S}.csv",
            "text/csv",
            key="past.csv",
            icon=":material/download:",
            on_click=note,
            args=("export", "history", {"n": len(rows)}),
            disabled=not rows,
        )
        if chosen:
            with st.popover(t("Delete {n} marked", n=len(chosen)), icon=":material/delete:", key="past.ask"):
                st.markdown(
                    t("These screenings are gone then; nothing brings them back. The audit log tells that it was done.")
                )
                if st.button(t("Delete them"), type="primary", key="past.delete"):
                    own.delete([row.id for row in chosen], actor())
                    st.rerun()
        patients = {row.pseudonym for row in chosen if row.pseudonym}
        if len(patients) == 1:
            (patient,) = patients
            with st.popover(t("Delete this patient"), icon=":material/person_remove:", key="past.ask.patient"):
                n = own.count(Wanted(pseudonym=patient))
                name = literal(patient[:PATIENT_DIGITS])
                st.markdown(t("All {n} screenings of the patient {patient} are gone then.", n=n, patient=name))
                if st.button(t("Delete all of them"), type="primary", key="past.delete.patient"):
                    own.delete_patient(patient, actor())
                    st.rerun()
