"""What a table of scores looks like, and what was found in the one that was uploaded."""

import pandas as pd
import streamlit as st

from core.evaluation.score_example import SEED, example_scores
from core.evaluation.score_report import ScoreReport
from core.evaluation.scores import FEW
from pages.parts.method import show_rows
from pages.parts.words import percent, t

_SHOWN_ROWS = 5
_PASSED, _QUESTION = ":green[:material/check_circle:]", ":orange[:material/help:]"


def show_columns(*, is_open: bool) -> None:
    """The wanted columns, the first rows of the example, and a button that saves all of it.

    Args:
        is_open: In full; else folded away, because a table is on show.
    """
    place = st.container(border=True) if is_open else st.expander(t("Columns of the table"), icon=":material/table:")
    with place:
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown(f"**{t('Columns')}**")
            show_rows([t("Column"), t("Needed"), t("Meaning")], _columns())
            st.caption(
                t("One row a case, CSV in UTF-8, the names of the columns in the first row; others are not kept.")
            )
        with right:
            _show_example()


def _columns() -> list[tuple[str, str, str]]:
    required, optional = t("required"), t("optional")
    return [
        ("label", required, t("0 or 1: what the reference says")),
        (
            "score",
            required,
            t("A number, higher = more likely positive. From 0 to 1 it is also measured as a probability"),
        ),
        (
            "patient",
            optional,
            t("The same in all rows of one patient, so that intervals know it. A pseudonym is enough"),
        ),
        ("group", optional, t("Site, device, age group: each is measured alone")),
        ("model", optional, t("Which model gave the score; models with the same patients are compared")),
    ]


def _show_example() -> None:
    data = example_scores()
    lines = [line.split(",") for line in data.decode().splitlines()]
    st.markdown(f"**{t('Example')}**")
    st.table(pd.DataFrame(lines[1 : _SHOWN_ROWS + 1], columns=lines[0]), hide_index=True, border="horizontal")
    st.download_button(
        t("Example table (CSV)"),
        data,
        "example_scores.csv",
        "text/csv",
        key="evaluation.save.example",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(t("{n} rows drawn at random (seed {seed}): nobody's scores.", n=len(lines) - 1, seed=SEED))


def show_table_checks(report: ScoreReport) -> None:
    """How much there is of what, and what limits the statistics."""
    table = report.table
    n, n_positive = table.score.size, int(table.is_positive.sum())
    groups = 0 if table.group is None else len(table.group.known)
    with st.container(border=True):
        st.markdown(f"**{t('Checks before the statistics')}**")
        shown = (
            (t("Rows"), f"{n:,}"),
            (t("Patients"), "–" if table.patient is None else f"{report.n_patients:,}"),
            (t("Positive rows"), f"{n_positive:,} ({percent(n_positive / n)})"),
            (t("Groups"), str(groups or "–")),
            (t("Models"), "–" if table.model is None else str(len(report.models))),
        )
        for column, (name, value) in zip(st.columns(len(shown)), shown, strict=True):
            column.metric(name, value)
        st.markdown("  \n".join(_checks(report)))


def _checks(report: ScoreReport) -> list[str]:
    table, models = report.table, report.models.values()
    found = [f"{_PASSED} " + t("Every row has a label, a score and no gap")]
    if table.patient is None:
        found.append(
            f"{_QUESTION} "
            + t("No column patient: every row is taken for another patient. If not, intervals are too narrow")
        )
    elif any(model.n_patients < model.n for model in models):
        found.append(f"{_PASSED} " + t("Some patients have several rows: intervals count patients"))
    else:
        found.append(f"{_PASSED} " + t("One row a patient and model"))
    if any(model.is_few for model in models):
        found.append(
            f"{_QUESTION} " + t("Fewer than {few} rows in a class: read the intervals, not the numbers", few=FEW)
        )
    if any(model.calibration is None for model in models):
        found.append(
            f"{_QUESTION} " + t("Scores outside 0 to 1 are no probabilities: no Brier score and no calibration")
        )
    return found
