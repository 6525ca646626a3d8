"""What came out of a curation: counts, reasons, labels, previews, the files to save, and how to go on."""

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pandas as pd
import streamlit as st

from core.curation.report import EXCLUDED, HEADERS, PAIRS, REMARKS, Report, read_report
from core.curation.usage import MAX_ZIP_BYTES, TABLES, WITH_IMAGES, commands, data_set_zip, n_bytes
from core.errors import UsageError
from core.figures.counts import counts_alt, counts_figure
from core.services.curations import Curation
from pages.parts.chart import is_dark, show_chart
from pages.parts.curating_words import label_words, reason_words, split_words, unit_words
from pages.parts.errors import show_error
from pages.parts.menu import show_link
from pages.parts.words import t, translator

_PREVIEW_ROWS, _TABLE_PX = 200, 300
_PLACES = {"hip_osteoporosis": "dicom", "ct_osteoporosis": "slices", "chest_lesions": "films", "knee_djd": "mat"}


def show_result(curation: Curation) -> None:
    """Everything, from the counts down to the next step."""
    report = read_report(curation.data)
    if report is None:
        show_error(UsageError("the summary of the curation cannot be read"))
        return
    if report.statement:
        st.badge(t(report.statement), icon=":material/warning:", color="orange")
    _show_counts(report)
    left, right = st.columns(2, gap="medium")
    with left:
        _show_labels(report)
    with right:
        _show_reasons(report)
    _show_tables(report)
    _show_previews(curation.data, report)
    _show_files(curation.data, report)
    _show_next(curation, report)


def _show_counts(report: Report) -> None:
    """Numbers of each side of the split, and of what is left out."""
    with st.container(horizontal=True):
        for split, share in report.splits.items():
            below = t("patients: {n}", n=f"{share.patients:,}")
            if "boxes" in report.facts:
                below = t("boxes: {n}", n=f"{report.facts['boxes']:,}")
            _show_number(f"{split_words(split)}: {unit_words(report.unit)}", f"{share.images:,}", below)
        n_files = t("files in all: {n}", n=f"{report.files:,}")
        _show_number(t("Left out"), f"{sum(report.excluded.values()):,}", n_files)
        if year := report.facts.get("test_year"):
            _show_number(t("First year of the test set"), str(year), t("and later"))


def _show_number(title: str, value: str, below: str) -> None:
    st.metric(title, value, below, delta_color="off", delta_arrow="off", border=True)


def _show_labels(report: Report) -> None:
    """Bars by label, one for each side of the split."""
    labels = list(dict.fromkeys(label for share in report.splits.values() for label in share.labels))
    names = [label_words(report.task, label) for label in labels]
    groups = {
        split_words(split): [share.labels.get(label, 0) for label in labels] for split, share in report.splits.items()
    }
    _show_bars("curating.labels", t("What the labels say"), names, groups, unit_words(report.unit))


def _show_reasons(report: Report) -> None:
    if not report.excluded:
        st.success(t("Nothing was left out."), icon=":material/check_circle:")
        return
    names = [reason_words(reason) for reason in report.excluded]
    _show_bars(
        "curating.reasons",
        t("Why something was left out"),
        names,
        {t("Left out"): list(report.excluded.values())},
        t("Number"),
    )


def _show_bars(key: str, title: str, names: list[str], groups: Mapping[str, list[int]], axis: str) -> None:
    figure = counts_figure(names, groups, title=[title], axis=axis, dark=is_dark())
    show_chart(figure, key, counts_alt(names, groups, title, translator()))


def _show_tables(report: Report) -> None:
    """Reasons as a table, rows of the DXA table, and what is used but worth a look."""
    kinds = [
        (t("Left out"), report.excluded),
        (t("Rows of the DXA table left out"), report.facts.get("dexa_rows_left_out", {})),
        (t("Used, and worth a look"), report.remarks),
    ]
    shown = [(title, counts) for title, counts in kinds if counts]
    if not shown:
        return
    columns = st.columns(max(2, len(shown)), gap="medium")
    for column, (title, counts) in zip(columns, shown, strict=False):
        names = [reason_words(reason) for reason in counts]
        column.dataframe(
            pd.DataFrame({title: names, t("Number"): list(counts.values())}), hide_index=True, width="stretch"
        )


def _show_previews(out: Path, report: Report) -> None:
    """First rows of the tables. No name, id or day is in them, but for names of files that stay where they are: not shown."""
    titles = {
        PAIRS: t("Pairs"),
        HEADERS: t("Headers"),
        "labels.csv": t("Labels"),
        "knees.csv": t("Knees"),
        EXCLUDED: t("Left out"),
        REMARKS: t("Worth a look"),
    }
    there = {name: title for name, title in titles.items() if (out / name).is_file()}
    if not there:
        return
    st.subheader(t("Look into the tables"))
    for name, tab in zip(there, st.tabs(list(there.values())), strict=True):
        with tab:
            table = _first_rows(out / name)
            if report.task not in WITH_IMAGES:
                table = table.drop(columns="file", errors="ignore")
            st.dataframe(table, hide_index=True, height=_TABLE_PX, key=f"curating.rows.{name}")
    st.caption(
        t(
            "At most {n} rows of each. A film is named by the hash of its file, a patient by a hash under a key that this run "
            "alone knows, unless the installation has one of its own.",
            n=_PREVIEW_ROWS,
        )
    )


def _first_rows(path: Path) -> pd.DataFrame:
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = islice(csv.reader(file), _PREVIEW_ROWS + 1)
    return pd.DataFrame(rows, columns=head)


def _show_files(out: Path, report: Report) -> None:
    """Every table by itself, and the whole data set in one zip file."""
    st.subheader(t("Take it along"))
    size = n_bytes(out)
    with st.container(horizontal=True):
        st.download_button(
            t("Whole data set (zip, {size})", size=_size_words(size)),
            lambda: data_set_zip(out),
            f"{report.task}_data_set.zip",
            "application/zip",
            key="curating.zip",
            icon=":material/folder_zip:",
            type="primary",
            on_click="ignore",
            disabled=size > MAX_ZIP_BYTES,
        )
        for name in TABLES:
            if (out / name).is_file():
                mime = "application/json" if name.endswith(".json") else "text/csv"
                st.download_button(
                    name, (out / name).read_bytes(), name, mime, key=f"curating.save.{name}", on_click="ignore"
                )
    if size > MAX_ZIP_BYTES:
        st.caption(t("The data set is too large for one zip file: copy its folder on the server."))
    elif report.task in WITH_IMAGES:
        st.caption(t("Pictures in it have no header: no name, no id and no day."))
    else:
        st.caption(
            t(
                "The zip file holds tables alone. The images stay where they are: a copy would carry the names in their headers. "
                "The tables name the files as they are called: see that no file is called after a person."
            )
        )


def _size_words(size: int) -> str:
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{max(1, round(size / 2**10))} KB"


def _show_next(curation: Curation, report: Report) -> None:
    """How to train on it, and how to measure a model on it."""
    st.subheader(t("Go on with this data set"))
    plan = curation.plan
    if plan.phantoms:
        images: Path | str = curation.data / "hospital" / _PLACES.get(plan.task, "")
    else:
        images = plan.server_folder or "FOLDER"
    train, evaluate = commands(plan.task, images, curation.data)
    st.code(f"{train}\n{evaluate}", language="bash", wrap_lines=True)
    lines = []
    if report.task not in WITH_IMAGES and not plan.phantoms and not plan.server_folder:
        lines.append(t("FOLDER is the unpacked archive that you uploaded."))
    lines.append(t("Copy the data set before it is deleted, a day after it was last used."))
    if report.task in WITH_IMAGES:
        lines.append(t("A folder in the root folder of the trainings can be chosen on the page Training."))
    st.caption(" ".join(lines))
    with st.container(horizontal=True):
        show_link("train", t("Training"), "model_training")
        show_link("evaluate", t("Evaluation"), "query_stats")
