"""Weights that were trained elsewhere: a form for what no file says, the check line by line, and the models brought so far."""

from typing import Any

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.io.options import read_options
from core.manifest import Manifest
from core.provenance import DataKind
from core.services.own_weights import Outcome, add, brought, remove
from core.task import Task
from core.training.stated import MOST_LETTERS, WITH_PLACES, Line, Stated
from pages.parts.errors import show_error
from pages.parts.frame import show_badge
from pages.parts.menu import show_link
from pages.parts.road import model_key
from pages.parts.task_choice import choose_task
from pages.parts.words import literal, t

_DONE = "own.done"
_ICONS = {
    "passed": ":green[:material/check_circle:]",
    "note": ":orange[:material/info:]",
    "failed": ":red[:material/cancel:]",
}


def show_own_weights() -> None:
    """Closed until it is wanted; what the last check found stays until the next one."""
    with st.expander(t("Bring your own weights"), icon=":material/upload:", key="own.expander"):
        st.markdown(
            t(
                "Weights of one of the networks of a task, trained elsewhere. The file is checked before it is read and in a "
                "process of its own; it is installed only where every check holds."
            )
        )
        _show_form()
        _show_done()
        _show_brought()


def _show_form() -> None:
    task = choose_task("own.task")
    left, right = st.columns(2, gap="medium")
    with left:
        fields = _ask_file(task)
    with right:
        fields |= _ask_origin()
    with st.expander(t("Input and limits"), icon=":material/tune:", key=f"own.more.{task.id}"):
        fields |= _ask_limits(task)
    if task.kind in WITH_PLACES:
        fields["thresholds"] = _ask_thresholds(task)
    else:
        st.caption(
            t("Scores stand alone, without an operating point, until the model is measured on the Evaluation page.")
        )
    if not st.button(t("Check and install"), icon=":material/fact_check:", type="primary", key="own.add"):
        return
    content = fields.pop("file")
    if missing := _missing(fields, content):
        st.warning(t("Please fill in: {fields}.", fields=", ".join(missing)), icon=":material/edit:")
        return
    st.session_state.pop(_DONE, None)
    stated = Stated(task=task.id, **fields)
    try:
        with st.spinner(t("Checking the weights"), show_time=True):
            outcome = add(content.getvalue(), stated)
    except ScreeningError as error:
        show_error(error)
        return
    st.session_state[_DONE] = (stated, outcome)
    if outcome.is_installed:
        st.session_state[model_key(task.id)] = stated.model


def _ask_file(task: Task) -> dict[str, Any]:
    """The file, and which network it belongs to."""
    file = st.file_uploader(
        t("File: safetensors, or a state dict as torch.save writes it"),
        type=["safetensors", "pt", "pth"],
        key="own.file",
    )
    network = st.selectbox(t("Network"), list(task.architectures), key=f"own.network.{task.id}")
    options = st.text_input(
        t("Options of the network, where it was trained with any"),
        key=f"own.options.{task.id}",
        placeholder="name=value",
    )
    model = st.text_input(t("Name of the model"), "", max_chars=40, key="own.model", placeholder="our_hospital")
    sha256 = st.text_input(t("SHA-256 as its maker published it, if there is one"), key="own.sha256", max_chars=64)
    return {
        "file": file,
        "architecture": str(network),
        "options": read_options(options.split()),
        "model": model.strip(),
        "sha256": sha256.strip(),
    }


def _ask_origin() -> dict[str, Any]:
    """Provenance, as those say it who bring the weights."""
    kinds: dict[DataKind, str] = {
        "phantom": t("Phantoms only"),
        "real images, synthetic findings": t("Real images, synthetic findings"),
        "real images, real labels": t("Images of patients, labelled by people"),
    }
    kind = st.radio(t("Trained on"), list(kinds), format_func=kinds.__getitem__, index=None, key="own.kind")
    data = st.text_input(t("Name of the training data"), max_chars=MOST_LETTERS, key="own.data")
    licence = st.text_input(t("Licence of data and weights"), max_chars=MOST_LETTERS, key="own.licence")
    left, right = st.columns(2)
    n = left.number_input(t("Images, if known"), 1, None, None, 1, key="own.n")
    patients = right.number_input(t("Patients, if known"), 1, None, None, 1, key="own.patients")
    by = st.text_input(t("Brought by"), max_chars=80, key="own.by", placeholder=t("Name or role"))
    return {"kind": kind, "data": data, "licence": licence, "n": n, "patients": patients, "by": by}


def _ask_limits(task: Task) -> dict[str, Any]:
    """What the manifest takes over from the task, where the weights may differ."""
    declared = registry.part(task.id, "data").MANIFEST
    size, (low, high) = int(declared["input"]["size"][0]), declared["eligible_age_years"]
    columns = st.columns(3)
    own = columns[0].number_input(t("Side of the input, pixels"), 32, 2048, size, 1, key=f"own.size.{task.id}")
    youngest = columns[1].number_input(t("From age, years"), 0, 130, int(low), 1, key=f"own.low.{task.id}")
    oldest = columns[2].number_input(t("To age, years"), 0, 130, int(high), 1, key=f"own.high.{task.id}")
    spec = declared["input"]
    st.caption(
        t(
            "Fixed by the task: {modality}, channels: {channels}, {low} to {high} ({unit}), the window and all other steps. "
            "Weights that need others need a task of their own.",
            modality=", ".join(spec["modality"]),
            channels=spec["channels"],
            low=f"{spec['value_range'][0]:g}",
            high=f"{spec['value_range'][1]:g}",
            unit=spec["unit"],
        )
    )
    return {"size": None if own == size else int(own), "ages": (float(youngest), float(oldest))}


def _ask_thresholds(task: Task) -> dict[str, float | None]:
    """Places cannot be drawn without a threshold: the maker's."""
    st.markdown(f"**{t('Thresholds as the maker of the weights states them')}**")
    columns = st.columns(4)
    return {
        label.id: columns[place % 4].number_input(
            t(label.name), 0.01, 0.99, None, 0.01, key=f"own.threshold.{task.id}.{label.id}"
        )
        for place, label in enumerate(task.labels)
    }


def _missing(fields: dict[str, Any], content: object) -> list[str]:
    """Names of the fields that must be filled in and are not."""
    names = {
        "model": t("Name of the model"),
        "kind": t("Trained on"),
        "data": t("Name of the training data"),
        "licence": t("Licence of data and weights"),
        "by": t("Brought by"),
    }
    found = [] if content else [t("File")]
    found += [name for field, name in names.items() if not fields[field]]
    if None in fields.get("thresholds", {}).values():
        found.append(t("Thresholds"))
    return found


# --- what came of it -------------------------------------------------------------------------------------------------


def _show_done() -> None:
    """The check line by line; where it held, the way to the task's page."""
    if _DONE not in st.session_state:
        return
    stated: Stated
    outcome: Outcome
    stated, outcome = st.session_state[_DONE]
    with st.container(border=True, key="own.findings"):
        st.markdown(f"**{t('Findings of the check')}** · {literal(stated.model)}")
        st.markdown("  \n".join(map(_line, outcome.lines)))
        if outcome.is_installed:
            show_link(stated.task, t("Open the task"), "arrow_forward")
        else:
            st.caption(t("Nothing was installed."))


def _line(line: Line) -> str:
    values = {name: literal(str(value)) for name, value in line.values.items()}
    return f"{_ICONS[line.outcome]} {t(line.message, **values)}"


def _show_brought() -> None:
    """Every model that was brought, with its way out."""
    models = [own for task_id in registry.tasks() for own in brought(task_id)]
    if not models:
        return
    st.markdown(f"**{t('Brought so far')}**")
    for own in models:
        key = f"own.{own.task}.{own.model}"
        with st.container(horizontal=True, vertical_alignment="center", key=f"{key}.row"):
            title = t(registry.task(own.task).title)
            st.markdown(f"{literal(own.model)} · {title} · {own.provenance.date}", width="content")
            show_badge(own, in_full=False)
            with st.popover(t("Remove"), icon=":material/delete:", key=f"{key}.popover"):
                st.markdown(
                    t("The weights, and operating points adopted for them, are deleted. This cannot be undone.")
                )
                if st.button(t("Remove for good"), type="primary", key=f"{key}.remove"):
                    _remove(own)


def _remove(own: Manifest) -> None:
    try:
        remove(own.task, own.model)
    except ScreeningError as error:
        show_error(error)
        return
    st.session_state.pop(_DONE, None)
    if st.session_state.get(model_key(own.task)) == own.model:
        del st.session_state[model_key(own.task)]
    st.rerun()
