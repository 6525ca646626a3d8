"""The table of a batch: how many of each outcome, filters, the rows, and the files that can be saved."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pandas as pd
import streamlit as st

from core import registry
from core.errors import MESSAGES
from core.figures.style import number
from core.reports.batch_table import numbers_of
from core.services.batches import RESULTS, TABLE, Batch
from core.task import Task
from pages.parts.frame import label_name
from pages.parts.past_result import outcome_words
from pages.parts.recording import note
from pages.parts.words import t

Row = Mapping[str, str]


def show_table(batch: Batch, *, is_done: bool) -> None:
    """What is answered so far, and the files once it is done."""
    rows = batch.rows()
    if not rows:
        if is_done:
            st.info(t("There is no image in this folder or archive."), icon=":material/folder_off:")
        return
    counts = Counter(row["outcome"] for row in rows)
    names = {outcome: _outcome(outcome) for outcome in ("accepted", "needs_confirmation", "refused", "error")}
    for column, (outcome, name) in zip(st.columns(4), names.items(), strict=True):
        column.metric(name, f"{counts[outcome]:,}")
    task = registry.task(batch.plan.task)
    kept = _filtered(task, rows, names)
    if kept:
        table = _shown(task, kept)
        st.dataframe(table, hide_index=True, key="batching.rows", placeholder="–", alt=t("Files, one a row"))
    else:
        st.info(t("No file is of this kind."), icon=":material/filter_alt:")
    statement = rows[0]["statement"]
    line = t("{shown} of {n} files.", shown=f"{len(kept):,}", n=f"{len(rows):,}")
    st.caption(f"{line} {t(statement)}." if statement else line)
    st.caption(t("File names are shown as they came: they may name a person."))
    if is_done:
        _show_downloads(batch)


def _outcome(outcome: str) -> str:
    return t("Not readable") if outcome == "error" else outcome_words(outcome)


def _filtered(task: Task, rows: Sequence[Row], names: Mapping[str, str]) -> list[Row]:
    """By outcome, by the side of the operating point, and by score of one column."""
    slots = {slot: _slot_name(task, slot) for slot in numbers_of(rows[0])}
    slots = {slot: name for slot, name in slots.items() if any(row[f"score{slot}"] for row in rows)}
    first, second, third, fourth = st.columns(4)
    outcome = first.selectbox(
        t("Checks"),
        list(names),
        index=None,
        format_func=names.__getitem__,
        key="batching.outcome",
        placeholder=t("All"),
    )
    kept = [row for row in rows if outcome in (None, row["outcome"])]
    if not slots:
        return kept
    slot = second.selectbox(t("Side or finding"), list(slots), format_func=slots.__getitem__, key="batching.slot")
    sides = {"true": t("At or above the operating point"), "false": t("Below the operating point")}
    side = third.selectbox(
        t("Answer"),
        list(sides),
        index=None,
        format_func=sides.__getitem__,
        key="batching.side",
        placeholder=t("All"),
    )
    low, high = fourth.slider(t("Scores from and to"), 0.0, 1.0, (0.0, 1.0), 0.01, key="batching.range")
    if side is not None:
        kept = [row for row in kept if row[f"positive{slot}"] == side]
    if (low, high) != (0.0, 1.0):
        kept = [row for row in kept if row[f"score{slot}"] and low <= float(row[f"score{slot}"]) <= high]
    return kept


def _slot_name(task: Task, slot: str) -> str:
    """Of a column that comes several times: its label or its side."""
    if slot in ("", "_L", "_R"):
        return {"": t("The whole image"), "_L": t("Left"), "_R": t("Right")}[slot]
    return label_name(task, slot.removeprefix("_"))


def _shown(task: Task, rows: Sequence[Row]) -> pd.DataFrame:
    """The columns a reader looks at; the saved table has them all."""
    table = {t("File"): [row["file"] for row in rows], t("Checks"): [_outcome(row["outcome"]) for row in rows]}
    sides = {"true": t("At or above the operating point"), "false": t("Below the operating point"), "": ""}
    for slot in numbers_of(rows[0]):
        if any(row[f"score{slot}"] for row in rows):
            name = _slot_name(task, slot)
            table[f"{name}: {t('Score')}"] = [
                number(float(row[f"score{slot}"]), 3) if row[f"score{slot}"] else "" for row in rows
            ]
            table[f"{name}: {t('Answer')}"] = [
                t(task.labels[int(row[f"grade{slot}"])].name)
                if row.get(f"grade{slot}")
                else sides[row[f"positive{slot}"]]
                for row in rows
            ]
    table[t("Reason")] = list(map(_reason, rows))
    return pd.DataFrame(table)


def _reason(row: Row) -> str:
    """Why there is no score: in words, of the checks their codes, and the task that fits the image better."""
    if row["error"] in MESSAGES:
        return t(MESSAGES[row["error"]].what)
    suggested = registry.tasks().get(row["suggested_task"])
    return row["reasons"] + (f" → {t(suggested.title)}" if suggested else "")


def _show_downloads(batch: Batch) -> None:
    with st.container(horizontal=True):
        for name, label, kind, icon in (
            (TABLE, t("Table (CSV)"), "text/csv", "table"),
            (RESULTS, t("Results (JSON)"), "application/json", "data_object"),
        ):
            content = batch.file(name)
            digest = sha256(content).hexdigest()
            stem, _, end = name.partition(".")
            st.download_button(
                label,
                content,
                f"{batch.plan.task}_{stem}_{digest[:8]}.{end}",
                kind,
                key=f"batching.save.{end}",
                icon=f":material/{icon}:",
                on_click=note,
                args=("export", f"batch {name}, sha256 {digest}"),
            )
