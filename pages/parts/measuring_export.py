"""What leaves the page: statistics, a bundle whose files are looked through before it is saved, and a key that stays."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from core.errors import ScreeningError
from core.evaluation.bundle import describe, list_files, write_bundle
from core.evaluation.bundle_cases import SourceCase, key_table
from core.evaluation.bundle_report import make_bundle, printed_questions
from core.evaluation.notes import notes_of
from core.evaluation.questions import Question
from core.manifest import Manifest, file_sha256
from core.reports.evaluation_pdf import summary_files, summary_pdf
from core.services.evaluations import NOTES, TRUTH, Evaluation
from pages.parts.errors import show_error
from pages.parts.method import show_rows
from pages.parts.recording import note
from pages.parts.words import t, translator

_MADE = "measuring.bundle.made"


def show_export(
    evaluation: Evaluation,
    manifest: Manifest,
    found: Mapping[str, Any],
    checked: Mapping[str, Any],
    questions: Sequence[Question],
    points: Mapping[str, Mapping[str, Any]],
) -> None:
    """Make the bundle, list its files, save it.

    Args:
        evaluation: Measured.
        manifest: Of the model.
        found, checked: What the run and the check wrote.
        questions: With both kinds of cases.
        points: By label: origin and threshold in force.
    """
    st.subheader(t("Take it along"))
    sources = _sources(evaluation, questions)
    about = describe(
        manifest,
        operating_points=points,
        configuration={"mapping": checked.get("mapping", {})},
        excluded={**checked.get("dropped", {}), **found["excluded"]},
        command=["python", "-m", "core", "evaluate", manifest.task, "--data", "PATH", "--labels", "PATH"],
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        data_sha256=file_sha256(evaluation.folder / TRUTH),
    )
    if _show_buttons(about, sources):
        try:
            with st.spinner(t("Making the bundle"), show_time=True):
                bundle = make_bundle(about, sources)
                data = write_bundle(bundle, summary_files(bundle.about, printed_questions(bundle)))
                files = [(own.name, own.n_bytes, own.holds) for own in list_files(data)]
                st.session_state[_MADE] = ((about, sources), data, files)
        except ScreeningError as error:
            show_error(error)
            return
    made_of, data, files = st.session_state.get(_MADE, (None, b"", []))
    if made_of == (about, sources):  # else the threshold or a note changed since
        _show_files(data, files)


def _show_buttons(about: Mapping[str, Any], sources: Sequence[SourceCase]) -> bool:
    """What can be saved; whether a bundle is wanted."""
    language = translator().language
    with st.container(horizontal=True):
        st.download_button(
            t("Summary (PDF)"),
            lambda: _summary(about, sources, language),
            "evaluation_summary.pdf",
            "application/pdf",
            key="measuring.summary",
            icon=":material/picture_as_pdf:",
            on_click="ignore",
        )
        wants = st.button(t("Make the bundle"), icon=":material/inventory_2:", key="measuring.bundle")
        st.download_button(
            t("Key to the cases (CSV)"),
            lambda: key_table(sources),
            "key.csv",
            "text/csv",
            key="measuring.key.save",
            icon=":material/key:",
            on_click="ignore",
        )
    st.caption(
        t(
            "The key leads from the numbers of the bundle back to files and patients. It is no part of the bundle: it stays here."
        )
    )
    return wants


def _summary(about: Mapping[str, Any], sources: Sequence[SourceCase], language: str) -> bytes:
    """One page a question; groups and notes are not on it."""
    bundle = make_bundle(about, [replace(own, group="", note="") for own in sources])
    return summary_pdf(bundle.about, printed_questions(bundle), language)


def _show_files(data: bytes, files: Sequence[tuple[str, int, str]]) -> None:
    """Every file, before anything is sent."""
    st.markdown(f"**{t('Every file of the bundle')}**")
    show_rows(
        (t("File"), t("Bytes"), t("What it holds")), [(f"`{name}`", f"{n:,}", t(holds)) for name, n, holds in files]
    )
    st.caption(t("No pixels, no file names and no ids of patients are in it."))
    st.download_button(
        t("Save the bundle (zip)"),
        data,
        "evaluation_bundle.zip",
        "application/zip",
        key="measuring.bundle.save",
        icon=":material/download:",
        on_click=note,
        args=("export", f"evaluation bundle, sha256 {hashlib.sha256(data).hexdigest()}"),
        type="primary",
    )


def _sources(evaluation: Evaluation, questions: Sequence[Question]) -> list[SourceCase]:
    notes = {(note.case, note.label): note.opinion for note in notes_of(evaluation.read(NOTES))}
    images = evaluation.images_by_hash
    return [
        SourceCase(
            question=question.label,
            is_positive=bool(question.table.is_positive[place]),
            score=float(question.table.score[place]),
            file=f"{images[question.pixel_hashes[place]]['name']} ({case})",
            patient=str(question.table.patient[place]) if question.table.patient is not None else "",
            group=question.table.group.known[question.table.group.place[place]] if question.table.group else "",
            note=notes.get((case, question.label), ""),
        )
        for question in questions
        for place, case in enumerate(question.cases)
    ]
