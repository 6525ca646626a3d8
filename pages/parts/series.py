"""A series of slices: choose some on a sagittal view, and one answer for the patient from all of them."""

import streamlit as st

from core.figures.grades import class_probabilities_alt, class_probabilities_figure
from core.imaging.scout import sagittal_scout
from core.io.series import Series
from core.manifest import Manifest
from core.records import PatientResult, Study
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.frame import grade_name
from pages.parts.words import t, translator

MAX_SLICES = 8
_FIRST_CHOICE = (0.25, 0.5, 0.75)  # places in the series, as shares of its length


def choose_slices(task_id: str, series: Series, key: str) -> tuple[Study, ...]:
    """Show the scout and let a person choose slices, in the order of the series; the first is shown large."""
    names = [_name(series, place) for place in range(len(series.studies))]
    first = sorted({round(share * (len(names) - 1)) for share in _FIRST_CHOICE})
    left, right = st.columns([1, 3], gap="medium")
    with right:
        chosen = st.multiselect(
            t("Slices to grade, at most {n}", n=MAX_SLICES),
            range(len(names)),
            default=first,
            format_func=lambda place: names[place],
            max_selections=MAX_SLICES,
            key=f"{task_id}.slices.{key}",
        )
        st.caption(
            t("Choose slices through the middle of vertebral bodies, away from discs and end plates, best L1 to L4.")
        )
        _show_failures(series)
    places = sorted(chosen)
    with left:
        scout = sagittal_scout(series.studies, places)
        st.image(scout, width="stretch", alt=t("Sagittal view through the series, with the chosen slices."))
    return tuple(series.studies[place] for place in places)


def _name(series: Series, place: int) -> str:
    position = series.studies[place].tags.get("SlicePosition")
    return f"{place + 1}" + (f" · z {float(position):.1f} mm" if position else "")


def _show_failures(series: Series) -> None:
    """How many files were left out; their names stay out of sight: they may name the patient."""
    words = t("Slices in the series: {n}.", n=len(series.studies))
    if series.failures:
        words += " " + t("Files left out: {n} (another series, doubles, or not readable).", n=len(series.failures))
    st.caption(words)


def show_patient(task: Task, manifest: Manifest, patient: PatientResult) -> None:
    """One answer for the patient, and the slices it is the mean of."""
    with st.container(border=True):
        st.markdown(f"**{t('All chosen slices of this patient')}**")
        if patient.finding is None:
            st.info(t("None of the chosen slices could be graded."), icon=":material/info:")
            return
        if not all(result.gate.shows_score for result in patient.slices if result.prediction):
            st.info(t("Confirm the checks above first: they hold for all chosen slices."), icon=":material/info:")
            return
        finding = patient.finding
        words = {
            True: t("at or above the operating point"),
            False: t("below the operating point"),
            None: t("no operating point measured yet"),
        }[finding.positive]
        grade = t(task.labels[finding.grade or 0].name)
        st.markdown(
            f"#### {grade}  \n"
            + t(
                "Mean of {n} slices. {grade}: {score}, {words}.",
                n=patient.n_answered,
                grade=grade_name(task, finding.label),
                score=f"{finding.probability:.2f}",
                words=words,
            )
        )
        rows = [(t("Patient"), list((finding.probabilities or {}).values()))]
        for place, result in enumerate(patient.slices, start=1):
            if result.prediction:
                own = result.prediction.findings[0].probabilities or {}
                rows.append((t("Slice {n}", n=place), list(own.values())))
        data = (rows, [t(label.name) for label in task.labels], translator())
        figure = class_probabilities_figure(*data, is_dark())
        show_chart(figure, f"{task.id}.patient", class_probabilities_alt(*data), has_buttons=False)
        if manifest.statement:
            st.caption(t(manifest.statement))
