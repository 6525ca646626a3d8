"""A new curation: task, files, and the table or the marks that give the labels; or a phantom hospital."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.services.curations import Curation, Curations
from core.task import Task
from pages.parts.labelled_images import choose_images
from pages.parts.settings import settings
from pages.parts.task_choice import choose_task
from pages.parts.words import t

PHANTOMS = {"hip_osteoporosis": 40, "ct_osteoporosis": 24, "chest_lesions": 40, "knee_djd": 40, "retina_lesions": 10}
"""Patients of a phantom hospital: about half a minute each."""
_TABLES = {"hip_osteoporosis": ["csv", "xlsx"], "ct_osteoporosis": ["csv", "xlsx"], "chest_lesions": ["csv"]}
_MAX_TABLE_MB, _MAX_YEAR = 20, 2100


def show_new(store: Curations) -> Curation | None:
    """The form; a curation once it was filled in, or a phantom hospital was asked for."""
    with st.container(border=True):
        st.markdown("#### " + t("1. What is curated"))
        task = choose_task("curating.task")
        _show_wanted(task.id)
        made = _ask_phantoms(store, task.id)
        if made is not None:
            return made
        st.markdown("#### " + t("2. Files"))
        images, folder = choose_images(settings().curation.root, "curating")
        given = _ask_labels(task)
        is_ready = (images is not None or folder is not None) and _has_labels(task.id, given)
        if not st.button(
            t("Curate"), icon=":material/inventory_2:", type="primary", key="curating.create", disabled=not is_ready
        ):
            return None
    archive = images.getvalue() if images is not None else None
    return store.create(task.id, images=archive, server_folder=str(folder or ""), **given)


def _show_wanted(task_id: str) -> None:
    """What a hospital hands over."""
    words = {
        "hip_osteoporosis": t(
            "Films (DICOM) with patient and day, and a table of DXA scans. A film gets the scan of its patient that is nearest "
            "in time and less than six months away."
        ),
        "ct_osteoporosis": t(
            "CT slices (DICOM) with the patient, and a table with one T-score or one class a patient. All slices of a patient "
            "get that label."
        ),
        "chest_lesions": t(
            "Films, and their boxes: a table with a row a box, or copies of the films on which rectangles or ellipses are drawn "
            "in colour, or both."
        ),
        "knee_djd": t("Bone scans as MATLAB files (.mat) that name the grade of both knees."),
        "retina_lesions": t(
            "Photographs of up to five time points and, beside each, a mask for every kind of lesion: `P001/t1.jpg` and "
            "`P001/t1_haemorrhage.png`, or `P001_t1.jpg` and `P001_t1_haemorrhage.png`. A black mask says that there is none."
        ),
    }
    st.markdown(words[task_id])


def _ask_phantoms(store: Curations, task_id: str) -> Curation | None:
    n = PHANTOMS[task_id]
    with st.container(horizontal=True, vertical_alignment="center"):
        wants = st.button(t("Try with a phantom hospital"), icon=":material/science:", key="curating.phantoms")
        st.caption(t("{n} phantom patients, with the faults that real files have.", n=n), width="content")
    return store.create(task_id, phantoms=n) if wants else None


def _ask_labels(task: Task) -> dict[str, Any]:
    """What belongs to the images, as `Curations.create` takes it."""
    given: dict[str, Any] = {}
    if task.id not in _TABLES:
        return given
    st.markdown("#### " + t("3. Labels"))
    words = {
        "hip_osteoporosis": t("DXA scans: CSV or XLSX with PatientID, ScanDate and T_score or Neck_BMD"),
        "ct_osteoporosis": t("Labels: CSV or XLSX with PatientID and T_score, or PatientID and label (0 to 2)"),
        "chest_lesions": t("Boxes: CSV with file, label, x_min, y_min, x_max, y_max"),
    }
    key = f"curating.table.{task.id}"
    table = st.file_uploader(words[task.id], type=_TABLES[task.id], key=key, max_upload_size=_MAX_TABLE_MB)
    if table is not None:
        given["table"] = (Path(table.name).suffix.lower(), table.getvalue())
    if task.id == "hip_osteoporosis":
        year = st.number_input(
            t("First year of the test set"),
            1990,
            _MAX_YEAR,
            None,
            1,
            key="curating.year",
            placeholder=t("The last year"),
        )
        given["test_year"] = int(year or 0)
    if task.id == "chest_lesions":
        given |= _ask_marks(task)
    return given


def _ask_marks(task: Task) -> dict[str, Any]:
    """Marked copies, and what their colours mean."""
    words = t("Marked copies: zip archive of pictures that are named like their films")
    marks = st.file_uploader(words, type=["zip"], key="curating.marks")
    if marks is None:
        return {}
    labels = {label.id: t(label.name) for label in task.labels}
    names = {
        "red": t("Red"),
        "yellow": t("Yellow"),
        "green": t("Green"),
        "cyan": t("Cyan"),
        "blue": t("Blue"),
        "magenta": t("Magenta"),
    }
    columns, colours = st.columns(3), {}
    for place, (colour, name) in enumerate(names.items()):
        chosen = columns[place % 3].selectbox(
            name,
            list(labels),
            index=None,
            format_func=labels.__getitem__,
            key=f"curating.colour.{colour}",
            placeholder=t("Not used"),
        )
        if chosen is not None:
            colours[colour] = chosen
    return {"marks": marks.getvalue(), "colours": colours}


def _has_labels(task_id: str, given: dict[str, Any]) -> bool:
    if task_id == "chest_lesions":
        return "table" in given or bool(given.get("colours"))
    return task_id not in _TABLES or "table" in given
