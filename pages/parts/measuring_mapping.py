"""Which column of the hospital's table says what; saved, and used again for the next table of this form."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core import registry
from core.errors import ScreeningError, TableError
from core.evaluation.mapping import NOT_READ, Meaning, TableMapping
from core.evaluation.suggestion import suggest, vocabulary
from core.io.label_table import LabelTable
from core.io.reader import shared_reader
from core.services.evaluations import MAPPING, Evaluation, Evaluations
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.measuring_run import start_step
from pages.parts.words import t

_SHOWN_ROWS, _MOST_TEXTS = 5, 40
_DEFAULT_CUTS = {1: (-2.5,), 2: (-2.5, -1.0)}


def show_mapping(store: Evaluations, evaluation: Evaluation) -> None:
    """The table as it came, the columns, and the button that checks the images against it."""
    task = registry.task(evaluation.plan.task)
    if task.kind in ("detector", "segmenter"):
        _show_start(store, evaluation, None)
        return
    try:
        table = _table(evaluation)
    except ScreeningError as error:
        show_error(error)
        return
    st.subheader(t("Columns of the table"))
    st.dataframe(
        pd.DataFrame(table.rows[:_SHOWN_ROWS], columns=list(table.columns)), hide_index=True, key="measuring.preview"
    )
    st.caption(t("The first {shown} of {n} rows.", shown=min(_SHOWN_ROWS, len(table.rows)), n=f"{len(table.rows):,}"))
    first = _first(evaluation, table, task)
    if first is None:
        return
    try:
        mapping = _ask(task, table, first)
        mapping.check(table)
    except TableError as error:
        show_error(error)
        return
    except ValueError:
        st.info(
            t("Tell what the columns are: the key, the label, and the class of every text."), icon=":material/info:"
        )
        return
    _show_start(store, evaluation, mapping)


def _show_start(store: Evaluations, evaluation: Evaluation, mapping: TableMapping | None) -> None:
    with st.container(horizontal=True):
        wants = st.button(
            t("Check images and labels"), icon=":material/checklist:", type="primary", key="measuring.check"
        )
        if mapping is not None:
            st.download_button(
                t("Save these columns (JSON)"),
                mapping.to_json(),
                "mapping.json",
                "application/json",
                key="measuring.save",
                on_click="ignore",
            )
    st.caption(t("The check reads every image once and scores none."))
    if wants:
        if mapping is not None:
            evaluation.write(MAPPING, mapping.model_dump(mode="json"))
        start_step(store, evaluation, "check")


def _table(evaluation: Evaluation) -> LabelTable:
    """Read once for a session."""
    key, state = evaluation.token, st.session_state
    if state.get("measuring.table", (None, None))[0] != key:
        state["measuring.table"] = (key, shared_reader().read_table(evaluation.labels.read_bytes()))
    table: LabelTable = state["measuring.table"][1]
    return table


def _first(evaluation: Evaluation, table: LabelTable, task: Task) -> TableMapping | None:
    """Where the questions start: what was kept, a saved mapping, a guess, or nothing told; None = the saved one is none."""
    saved = st.file_uploader(t("Columns saved earlier (JSON)"), type=["json"], key="measuring.load", max_upload_size=1)
    try:
        if saved is not None:
            return _of_task(TableMapping.from_json(saved.getvalue()), task)
    except TableError as error:
        show_error(error)
        return None
    if kept := evaluation.read(MAPPING):
        return TableMapping.model_validate(kept)
    try:
        return suggest(table, task.id)
    except TableError:
        st.info(t("No column has a usual name: please tell which is which."), icon=":material/info:")
        return TableMapping.model_construct(task=task.id, key="file", key_columns=(), label_columns=())


def _of_task(mapping: TableMapping, task: Task) -> TableMapping:
    if mapping.task != task.id:
        raise TableError("E_MAPPING", "the saved mapping: of another task")
    return mapping


def _ask(task: Task, table: LabelTable, first: TableMapping) -> TableMapping:
    """All questions, answered by `first` to begin with.

    Raises:
        ValueError: The answers do not fit together.
    """
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        with left:
            answers = _ask_key(table, first) | _ask_others(table, first)
        with right:
            answers |= _ask_labels(task, table, first)
            answers |= _ask_classes(task, table, first, answers["label_columns"])
    return TableMapping(task=task.id, **answers)


def _key(first: TableMapping, name: str) -> str:
    """Of a widget; another one for other first answers, because a widget keeps what it holds."""
    return f"measuring.{hashlib.sha256(first.to_json().encode()).hexdigest()[:8]}.{name}"


def _ask_key(table: LabelTable, first: TableMapping) -> dict[str, Any]:
    names = {"file": t("File"), "accession": t("Accession number"), "patient_date": t("Patient and day")}
    st.markdown(f"**{t('Which image a row is about')}**")
    key = st.segmented_control(
        t("Key"), list(names), format_func=names.__getitem__, default=first.key, required=True, key=_key(first, "key")
    )
    titles = (t("Patient"), t("Day of the examination")) if key == "patient_date" else (names[str(key)],)
    before = first.key_columns if first.key == key else ()
    columns = [
        _column(title, table, before[place] if place < len(before) else None, _key(first, f"{key}{place}"))
        for place, title in enumerate(titles)
    ]
    several = {"first": t("The first by name"), "refuse": t("None of them"), "all": t("All of them")}
    rule = st.selectbox(
        t("If several images are of one row"),
        list(several),
        index=list(several).index(first.several),
        format_func=several.__getitem__,
        key=_key(first, "several"),
    )
    return {"key": key, "key_columns": tuple(filter(None, columns)), "several": rule}


def _ask_others(table: LabelTable, first: TableMapping) -> dict[str, Any]:
    st.markdown(f"**{t('What else the table tells')}**")
    return {
        "patient": _column(
            t("Patient (one patient is never counted as several)"), table, first.patient, _key(first, "patient")
        ),
        "group": _column(t("Group (site, device, age: measured alone)"), table, first.group, _key(first, "group")),
    }


def _ask_labels(task: Task, table: LabelTable, first: TableMapping) -> dict[str, Any]:
    names = {"one": t("One label"), "readers": t("Several readers")}
    if task.has_sides:
        names["sides"] = t("Right and left")
    st.markdown(f"**{t('The label')}**")
    layout = st.segmented_control(
        t("Label columns"),
        list(names),
        format_func=names.__getitem__,
        default=first.layout if first.layout in names else "one",
        required=True,
        key=_key(first, "layout"),
    )
    before = first.label_columns if first.layout == layout else ()
    answers: dict[str, Any] = {"layout": layout}
    if layout == "readers":
        rules = {"majority": t("Majority"), "all agree": t("All agree"), "first": t("First"), "highest": t("Highest")}
        readers = st.multiselect(
            t("Columns of the readers"),
            list(table.columns),
            [own for own in before if own in table.columns],
            key=_key(first, "readers"),
        )
        answers["rule"] = st.selectbox(
            t("Which label counts"),
            list(rules),
            index=list(rules).index(first.rule),
            format_func=rules.__getitem__,
            key=_key(first, "rule"),
        )
        return answers | {"label_columns": tuple(readers)}
    titles = (t("Right side"), t("Left side")) if layout == "sides" else (t("Label"),)
    columns = [
        _column(title, table, before[place] if place < len(before) else None, _key(first, f"{layout}{place}"))
        for place, title in enumerate(titles)
    ]
    if layout == "one" and task.has_sides:
        answers["laterality"] = _column(t("Side (R or L)"), table, first.laterality, _key(first, "side"))
    return answers | {"label_columns": tuple(filter(None, columns))}


def _ask_classes(task: Task, table: LabelTable, first: TableMapping, columns: tuple[str, ...]) -> dict[str, Any]:
    """The class of every text, or the cuts of a T-score."""
    classes = _class_names(task)
    if task.id.endswith("osteoporosis"):
        has_scores = st.toggle(t("The label is a T-score"), bool(first.cuts), key=_key(first, "t_score"))
        if has_scores:
            before = first.cuts or _DEFAULT_CUTS[len(classes) - 1]
            titles = [t("{label} up to", label=classes[-1])] + (
                [t("{label} above", label=classes[0])] if len(classes) > 2 else []
            )
            cuts = [
                st.number_input(title, -10.0, 10.0, float(before[place]), 0.1, key=_key(first, f"cut{place}"))
                for place, title in enumerate(titles)
            ]
            return {"cuts": tuple(cuts), "vocabulary": {}}
    texts = sorted({row[column] for row in table.rows for column in columns if row[column]})
    if len(texts) > _MOST_TEXTS:
        st.warning(t("This column holds {n} different texts: it is no label.", n=f"{len(texts):,}"))
        return {"vocabulary": {}}
    known = vocabulary(table, columns, task.id) | first.vocabulary
    return {"vocabulary": _ask_vocabulary(texts, classes, known, _key(first, f"words.{hash(tuple(texts))}"))}


def _ask_vocabulary(texts: list[str], classes: list[str], known: Mapping[str, Meaning], key: str) -> dict[str, Meaning]:
    """The class of every text; what `known` says to begin with."""
    not_read = t("not read")
    options = [f"{place}: {name}" for place, name in enumerate(classes)] + [not_read]

    def shown(text: str) -> str | None:
        meaning = known.get(text, known.get(text.casefold()))
        if meaning is None:
            return None
        return not_read if isinstance(meaning, str) else options[meaning]

    frame = pd.DataFrame({t("Text"): texts, t("Class"): [shown(text) for text in texts]})
    edited = st.data_editor(
        frame,
        hide_index=True,
        disabled=[t("Text")],
        column_config={t("Class"): st.column_config.SelectboxColumn(options=options, required=True)},
        key=key,
    )
    given = dict(zip(edited[t("Text")], edited[t("Class")], strict=True))
    return {
        text: NOT_READ if chosen == not_read else options.index(chosen)
        for text, chosen in given.items()
        if chosen in options
    }


def _class_names(task: Task) -> list[str]:
    names = [t(label.name) for label in task.labels]
    return names if len(names) > 1 else [t("Negative"), names[0]]


def _column(title: str, table: LabelTable, first: str | None, key: str) -> str | None:
    """One column, or none."""
    columns = list(table.columns)
    chosen: str | None = st.selectbox(
        title,
        columns,
        index=columns.index(first) if first in columns else None,
        key=key,
        placeholder=t("None"),
    )
    return chosen
