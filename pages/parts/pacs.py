"""The hospital's PACS on a task page: search, choose a study and an image in it, store the result back."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime

import streamlit as st

from core import registry
from core.errors import PacsError, ScreeningError
from core.io.keys import iso_date
from core.manifest import Manifest
from core.records import ScreeningResult
from core.services.pacs.client import Pacs
from core.services.pacs.matches import Instance, Query, SeriesMatch, StudyMatch
from core.services.pacs.settings import pacs_settings
from core.task import Task
from pages.parts.access import is_page_open
from pages.parts.errors import show_error
from pages.parts.recording import note
from pages.parts.words import t, translator

_MOST_STUDIES = 100


def has_pacs() -> bool:
    """Whether this installation names one, for roles that may do more than look: names stand in it. Settings that are wrong
    are told to who chooses it.
    """
    if not is_page_open("pacs"):
        return False
    try:
        return pacs_settings() is not None
    except PacsError:
        return True


def forget_search(task_id: str) -> None:
    """What was found, names included, leaves the session."""
    for key in [str(key) for key in st.session_state if str(key).startswith(f"{task_id}.pacs.")]:
        del st.session_state[key]


def choose_archived(task: Task) -> tuple[Pacs, tuple[Instance, ...]] | None:
    """Search form and select boxes; the chosen image, or all of the chosen series where the task takes one.

    Raises:
        ScreeningError: The question could match others, or the PACS is at fault.
    """
    settings = pacs_settings()
    if settings is None:
        return None
    pacs, key = Pacs(settings), f"{task.id}.pacs"
    asked = _ask(task)
    if asked is not None:
        forget_search(task.id)
        with st.spinner(t("Searching ..."), show_time=True):
            st.session_state[f"{key}.studies"] = pacs.studies(asked, _MOST_STUDIES)
    studies: list[StudyMatch] | None = st.session_state.get(f"{key}.studies")
    if studies is None:
        return None
    if not studies:
        st.info(t("No such study in the PACS."), icon=":material/search_off:")
        return None
    study = _choose_study(key, studies)
    if study is None:
        return None
    images = _choose_images(task, pacs, study)
    return (pacs, images) if images else None


def _ask(task: Task) -> Query | None:
    """The question, when it was just asked."""
    with st.form(f"{task.id}.archive", border=False):
        left, right, third, button = st.columns([3, 3, 3, 2], vertical_alignment="bottom")
        patient = left.text_input(t("Patient id"), key=f"{task.id}.archive.patient", max_chars=64, autocomplete="off")
        number = right.text_input(
            t("Accession number"), key=f"{task.id}.archive.number", max_chars=64, autocomplete="off"
        )
        day = third.date_input(t("Day"), None, key=f"{task.id}.archive.day", max_value="today")
        wants = button.form_submit_button(t("Search"), icon=":material/search:", key=f"{task.id}.archive.search")
    if not wants:
        return None
    only = day if isinstance(day, date) else None
    if not (patient.strip() or number.strip() or only):
        st.info(t("Enter a patient id, an accession number or a day."), icon=":material/info:")
        return None
    return Query(patient.strip(), number.strip(), _modalities(task.id), only, only)


def _modalities(task_id: str) -> tuple[str, ...]:
    manifest = registry.manifest_of(task_id)
    return manifest.input.modality if manifest else ()


def _choose_study(key: str, studies: list[StudyMatch]) -> StudyMatch | None:
    """Names are shown here, to choose by, and nowhere else; a select box shows them without markdown."""
    place = st.selectbox(
        t("Study ({n} found)", n=len(studies)),
        range(len(studies)),
        index=0 if len(studies) == 1 else None,
        format_func=lambda own: _study_words(studies[own]),
        placeholder=t("Choose"),
        key=f"{key}.study",
    )
    return None if place is None else studies[place]


def _study_words(study: StudyMatch) -> str:
    day = iso_date(study.day) or study.day
    facts = (study.patient_name, study.patient_id, day, " ".join(study.modalities), study.description, study.accession)
    return " · ".join(filter(None, facts))


def _choose_images(task: Task, pacs: Pacs, study: StudyMatch) -> tuple[Instance, ...]:
    key = f"{task.id}.pacs"
    listed = st.session_state.get(f"{key}.series")
    if listed is None or listed[0] != study:
        listed = (study, [(own, pacs.instances(own)) for own in pacs.series(study, _modalities(task.id))])
        st.session_state[f"{key}.series"] = listed
    found: list[tuple[SeriesMatch, list[Instance]]] = [entry for entry in listed[1] if entry[1]]
    if not found:
        st.info(t("The study holds no image for this task."), icon=":material/image_not_supported:")
        return ()
    name = hashlib.sha256(study.study_uid.encode()).hexdigest()[:8]
    left, right = st.columns(2)
    place = 0
    if len(found) > 1:
        place = left.selectbox(
            t("Series"), range(len(found)), format_func=lambda own: _series_words(*found[own]), key=f"{key}.in.{name}"
        )
    images = found[place][1]
    if task.takes_series or len(images) == 1:
        return tuple(images)
    index = right.selectbox(
        t("Image"), range(len(images)), format_func=lambda own: str(own + 1), key=f"{key}.image.{name}.{place}"
    )
    return (images[index],)


def _series_words(series: SeriesMatch, images: list[Instance]) -> str:
    facts = (series.number, series.modality, series.description, t("images: {n}", n=len(images)))
    return " · ".join(filter(None, facts))


def show_store(manifest: Manifest, result: ScreeningResult, archived: Mapping[str, Instance]) -> None:
    """A button that stores the result in the study the image came from, where this installation allows it."""
    image = archived.get(result.study.file_sha256)
    if image is None or not result.gate.shows_score or not has_pacs():
        return
    settings = pacs_settings()
    if settings is None or not settings.can_store:
        return
    task_id, sha = manifest.task, result.study.file_sha256[:12]
    with st.container(border=True):
        st.caption(
            t(
                "Overlay, masks where there are any, structured report and printed report join the study, with its patient."
            )
        )
        if st.button(t("Store in the PACS"), icon=":material/cloud_upload:", key=f"{task_id}.store.{sha}"):
            _store(Pacs(settings), image, manifest, result)


def _store(pacs: Pacs, image: Instance, manifest: Manifest, result: ScreeningResult) -> None:
    from core.reports.result_json import to_json
    from core.services.pacs.answers import store_result  # loads torch

    answer = hashlib.sha256(repr({**to_json(result), "timings_ms": None}).encode()).hexdigest()
    # The same answer stored twice is the same objects, as long as its time is the same.
    made = st.session_state.setdefault(f"{manifest.task}.stored", {})
    made_at = made.setdefault(answer, datetime.now(UTC))
    try:
        with st.spinner(t("Storing ..."), show_time=True):
            n = store_result(pacs, image, result, manifest, pacs.fetch(image), made_at, translator().language)
    except ScreeningError as error:
        show_error(error)
    else:
        note("export", f"PACS, file {result.study.file_sha256}", {"objects": n})
        st.success(t("Stored in the study, objects: {n}.", n=n), icon=":material/check_circle:")
