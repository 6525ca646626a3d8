"""What can be saved of a case beside overlay and JSON: its report, and its DICOM objects."""

import hashlib

import streamlit as st

from core.manifest import Manifest
from core.records import ScreeningResult
from pages.parts.picture import Look, objects_to_save, report_to_save
from pages.parts.recording import note
from pages.parts.words import t, translator


def show_case_exports(manifest: Manifest, result: ScreeningResult, look: Look, stem: str) -> None:
    """Two buttons, and whether the report names what the file tells about the patient.

    Args:
        manifest: Of the model that answered.
        result: Shows a score.
        look: How the image is shown; the report shows it the same way.
        stem: Beginning of file names; carries hashes of the image and of this answer.
    """
    task_id, language = manifest.task, translator().language
    has_patient = bool(st.session_state.get(f"{task_id}.report.patient", False))
    own = hashlib.sha256(f"{stem}{language}{has_patient}".encode()).hexdigest()[:8]
    left, right = st.columns(2)
    left.download_button(
        t("Report (PDF)"),
        lambda: report_to_save(result, manifest, look, language, has_patient=has_patient),
        f"{stem}_{language}_{own}_report.pdf",
        "application/pdf",
        key=f"{task_id}.save.report",
        icon=":material/picture_as_pdf:",
        on_click=note,
        args=("export", stem),
        width="stretch",
    )
    has_text = result.study.tags.get("BurnedInAnnotation") == "YES"
    right.download_button(
        t("DICOM, de-identified (zip)"),
        lambda: objects_to_save(result, manifest, look, language),
        f"{stem}_{language}_dicom.zip",
        "application/zip",
        key=f"{task_id}.save.dicom",
        icon=":material/folder_zip:",
        on_click=note,
        args=("export", stem),
        width="stretch",
        disabled=has_text,
        help=t("Text is burned into the image, so copies of it cannot be called de-identified.") if has_text else None,
    )
    st.checkbox(
        t("Pseudonym, age and sex in the report"),
        key=f"{task_id}.report.patient",
        help=t("As far as the file tells. A name, id or date is never in it."),
        persist_state="session",
    )
