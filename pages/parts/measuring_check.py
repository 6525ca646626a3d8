"""What the check found, before anything runs; a person agrees, or goes back."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core import registry
from core.services.evaluations import CHECK, Evaluation, Evaluations
from core.task import Task
from pages.parts.measuring_mapping import show_mapping
from pages.parts.measuring_run import start_step
from pages.parts.method import show_rows
from pages.parts.words import literal, t

_FEW = 20
_PASSED, _QUESTION = ":green[:material/check_circle:]", ":orange[:material/help:]"


def show_check(store: Evaluations, evaluation: Evaluation) -> None:
    """Counts, questions, classes; then start."""
    task, found = registry.task(evaluation.plan.task), evaluation.read(CHECK)
    st.subheader(t("Check before the run"))
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        _show_counts(found)
        _show_classes(task, found)
    with right, st.container(border=True):
        _show_questions(found)
    with st.container(horizontal=True, vertical_alignment="center"):
        wants = st.button(
            t("Run the model on {n} cases", n=f"{found['n_cases']:,}"),
            icon=":material/play_arrow:",
            type="primary",
            key="measuring.run",
            disabled=not found["n_cases"],
        )
        st.caption(t("About {seconds} s an image on one core, without explanations.", seconds=found["seconds_each"]))
    if wants:
        start_step(store, evaluation, "run")
    if task.kind not in ("detector", "segmenter"):
        with st.expander(t("Change the columns"), icon=":material/edit:"):
            show_mapping(store, evaluation)


def _show_counts(found: Mapping[str, Any]) -> None:
    columns = st.columns(4)
    shown = (
        (t("Files"), found["n_files"]),
        (t("Rows"), found["n_rows"]),
        (t("Cases"), found["n_cases"]),
        (t("Patients"), found["n_patients"]),
    )
    for column, (name, count) in zip(columns, shown, strict=True):
        column.metric(name, f"{count:,}")


def _show_classes(task: Task, found: Mapping[str, Any]) -> None:
    """Cases of each class and group; a class that is too few tells nothing."""
    names = {label.id: t(label.name) for label in task.labels} | {"normal": t("Normal")}
    if len(task.labels) == 1:
        names |= {"0": t("Negative"), "1": names[task.labels[0].id]}
    rows = [(names.get(label, literal(label)), f"{n:,}") for label, n in found["classes"].items()]
    if rows:
        show_rows((t("Class"), "n"), rows)
    if found["groups"]:
        show_rows((t("Group"), "n"), [(literal(name), f"{n:,}") for name, n in found["groups"].items()])
    if any(n < _FEW for n in found["classes"].values()):
        st.caption(t("A class with fewer than {few} cases gives wide intervals.", few=_FEW))


def _show_questions(found: Mapping[str, Any]) -> None:
    """What a person should know before agreeing."""
    fits = not found["dropped"]
    lines = [(True, t("Every label lies on an image, and every image has one."))] if fits else []
    lines += [(False, f"{t(reason)} ({n:,})") for reason, n in found["dropped"].items()]
    unreadable = {code: len(numbers) for code, numbers in found["unreadable"].items()}
    lines.append((not unreadable, _counted(unreadable) if unreadable else t("Every image can be read.")))
    if "same_pixels" in found:
        lines += _pixel_lines(found)
    lines += [(False, t(note)) for note in found["notes"]]
    st.markdown("\n".join(f"{_PASSED if passed else _QUESTION} {line}  " for passed, line in lines))


def _counted(unreadable: Mapping[str, int]) -> str:
    words = ", ".join(f"{code}: {n}" for code, n in unreadable.items())
    return t("Images that cannot be read: {reasons}.", reasons=words)


def _pixel_lines(found: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Doubles, contradictions, and what the model was trained on."""
    same, contradicting = len(found["same_pixels"]), len(found["contradicting_pixels"])
    trained = found["trained_pixels"] + found["trained_patients"]
    return [
        (not same, t("Images that are there more than once: {n}.", n=same) if same else t("No image is there twice.")),
        *([(False, t("The same image with different labels: {n}.", n=contradicting))] if contradicting else []),
        (
            not trained,
            t("Cases whose image or patient the model was trained on, which will not count: {n}.", n=trained)
            if trained
            else t("The model was trained on none of these images and patients."),
        ),
    ]
