"""The cases behind the figures: chosen by cell, score and group, seen with their overlay, and what a reader says of them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from core.errors import ScreeningError
from core.evaluation.case_list import CELLS, CaseRow, list_cases
from core.evaluation.notes import OPINIONS, Note, notes_csv, notes_json, notes_of, with_note
from core.evaluation.questions import Question
from core.manifest import Manifest
from core.records import ScreeningResult
from core.services.evaluations import NOTES, Evaluation
from pages.parts.case_filter import EVERYTHING, STEPS, CaseFilter
from pages.parts.errors import show_error
from pages.parts.picture import Look, sheet_bytes
from pages.parts.source import read
from pages.parts.words import literal, t

_LIST_PX = 420
_ANCHOR = "cases"


def cell_names() -> dict[str, str]:
    """Cells of the confusion matrix in the reader's language."""
    return {
        "false_negative": t("False negative"),
        "false_positive": t("False positive"),
        "true_positive": t("True positive"),
        "true_negative": t("True negative"),
    }


def show_cases(
    evaluation: Evaluation,
    manifest: Manifest,
    question: Question,
    threshold: float,
    files: Mapping[str, Path],
    cases: CaseFilter,
) -> None:
    """List and picture.

    Args:
        evaluation: Keeps the notes.
        manifest: Of the model.
        question: Whose cases.
        threshold: In force.
        files: Of the images by the hash of their pixels; those that were removed are missing.
        cases: Which of them are listed.
    """
    st.subheader(t("Case by case"), anchor=_ANCHOR)
    st.caption(t("A click on a cell, bin, point or group in the figures above lists its cases here."))
    notes = notes_of(evaluation.read(NOTES))
    rows, key = list_cases(question, threshold), cases.key
    cases.begin()
    _choose_cell(rows, cases)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        rows = _filtered(rows, cases)
        chosen = _choose(rows, question, notes, key)
        _show_export(notes)
    with right:
        if chosen is None:
            st.info(t("Choose a case in the list to see it with its overlay."), icon=":material/touch_app:")
            return
        _show_case(manifest, chosen, files)
        _show_note(evaluation, question.label, chosen, notes, key)


def _choose_cell(rows: list[CaseRow], cases: CaseFilter) -> None:
    names = cell_names()
    counts = {cell: sum(row.cell == cell for row in rows) for cell in CELLS}
    titles = {EVERYTHING: t("All ({n})", n=len(rows))} | {cell: f"{names[cell]} ({counts[cell]})" for cell in CELLS}
    st.segmented_control(
        t("Cell of the confusion matrix"),
        list(titles),
        format_func=titles.__getitem__,
        key=cases.cell_key,
        persist_state="session",
        required=True,
    )


def _filtered(rows: list[CaseRow], cases: CaseFilter) -> list[CaseRow]:
    """By score and group; a click on a figure says where its cases are."""
    groups = sorted({row.group for row in rows})
    left, right = st.columns([3, 2], gap="medium") if len(groups) > 1 else (st.container(), None)
    left.slider(t("Scores from and to"), 0.0, 1.0, step=1 / STEPS, key=cases.range_key, persist_state="session")
    if right is not None:
        right.selectbox(t("Group"), groups, index=None, key=cases.group_key, placeholder=t("All"))
    kept = [row for row in rows if cases.keeps(row)]
    if cases.was_clicked():
        st.toast(
            t("Listed under [Case by case]({place}): {n}.", place=f"#{_ANCHOR}", n=f"{len(kept):,}"),
            icon=":material/list:",
        )
    return kept


def _choose(rows: list[CaseRow], question: Question, notes: list[Note], key: str) -> CaseRow | None:
    """The case that is looked at."""
    names, said = cell_names(), {(note.case, note.label): note.opinion for note in notes}
    opinions = opinion_names()
    table = pd.DataFrame(
        {
            t("Case"): [row.case for row in rows],
            t("Score"): [row.score for row in rows],
            t("Cell"): [names[row.cell] for row in rows],
            t("Note"): [opinions.get(said.get((row.case, question.label), ""), "") for row in rows],
        }
    )
    picked = st.dataframe(
        table,
        height=_LIST_PX,
        hide_index=True,
        key=f"{key}.list",
        on_select="rerun",
        selection_mode="single-row",
        column_config={t("Score"): st.column_config.NumberColumn(format="%.3f")},
        placeholder=t("No case is of this kind."),
    )
    places = picked.selection.rows
    st.caption(t("{n} cases. The wrong ones first, the farthest from the threshold on top.", n=f"{len(rows):,}"))
    return rows[places[0]] if places and places[0] < len(rows) else None


def opinion_names() -> dict[str, str]:
    """What can be said of a case, in the reader's language."""
    return {"agree": t("Agree"), "disagree": t("Disagree"), "label looks wrong": t("Label looks wrong")}


def _show_case(manifest: Manifest, row: CaseRow, files: Mapping[str, Path]) -> None:
    """The image with its overlay, as the task page shows it."""
    path = files.get(row.pixel_hash)
    if path is None or not path.is_file():
        st.info(t("The image of this case is not here any more."), icon=":material/info:")
        return
    try:
        with st.spinner(t("Reading the case"), show_time=True):
            result = _screened(manifest, path)
            sheet = sheet_bytes(result, Look())
    except ScreeningError as error:
        show_error(error)
        return
    reference = t("Positive") if row.is_positive else t("Negative")
    st.image(sheet, width="stretch", alt=t("The image of the case, and the same with the explanation of the score."))
    st.markdown(
        f"**{literal(row.case)}** · "
        + t("reference: {reference}", reference=reference)
        + f" · {cell_names()[row.cell]} · "
        + t("score {score}", score=f"{row.score:.3f}")
    )
    if manifest.statement:
        st.badge(t(manifest.statement), icon=":material/warning:", color="orange")


def _screened(manifest: Manifest, path: Path) -> ScreeningResult:
    """The answer to one file, checks taken as confirmed: it was counted so."""
    from core import screening  # loads torch

    model = screening.load(manifest.task, manifest.model)
    study = read(path.read_bytes()).study
    return screening.screen(study, model, confirmed=True, method=manifest.explanation.default_method)


def _show_note(evaluation: Evaluation, label: str, row: CaseRow, notes: list[Note], key: str) -> None:
    """Agree, disagree, or the label looks wrong; and a few words."""
    names = opinion_names()
    before = next((note for note in notes if (note.case, note.label) == (row.case, label)), None)
    with st.form(f"{key}.note.{row.case}", border=True):
        opinion = st.segmented_control(
            t("What do you say?"),
            list(OPINIONS),
            format_func=names.__getitem__,
            default=before.opinion if before else None,
        )
        words = st.text_input(t("Why (no names, please)"), before.words if before else "", max_chars=500)
        if st.form_submit_button(t("Keep the note")) and opinion:
            evaluation.write(NOTES, notes_json(with_note(notes, Note(row.case, label, opinion, words))))
            st.rerun()


def _show_export(notes: list[Note]) -> None:
    st.download_button(
        t("Notes (CSV)"),
        lambda: notes_csv(notes),
        "notes.csv",
        "text/csv",
        key="measuring.notes",
        icon=":material/rate_review:",
        on_click="ignore",
        disabled=not notes,
    )
