"""The classification report as a table."""

from collections.abc import Sequence

import streamlit as st

from core.figures.style import number
from core.metrics.confusion import ClassificationReport
from core.metrics.proportions import Interval
from pages.parts.method import show_rows
from pages.parts.words import percent, t


def show_classification(report: ClassificationReport, names: Sequence[str], accuracy: Interval | None = None) -> None:
    """Precision, recall, F1 and support of every class, their means, and the accuracy.

    Args:
        report: Of the calls.
        names: What the reader calls each class, in the order of the report.
        accuracy: With an interval that knows which cases belong to one patient; None = every case is another patient.
    """
    rows = [(name, c.precision, c.recall, c.f1, c.support) for name, c in zip(names, report.classes, strict=True)]
    for name, mean in ((t("Macro average"), report.macro), (t("Weighted average"), report.weighted)):
        rows.append((name, mean.precision, mean.recall, mean.f1, report.n_cases))
    heads = (t("Class"), t("Precision"), t("Recall"), "F1", t("Support"))
    st.markdown(f"**{t('Classification report')}**")
    show_rows(heads, [(name, number(p), number(r), number(f), str(n)) for name, p, r, f, n in rows])
    own = accuracy or report.accuracy
    st.caption(
        t(
            "Accuracy {value} ({low} to {high}), n = {n}.",
            value=percent(own.value),
            low=percent(own.low),
            high=percent(own.high),
            n=report.n_cases,
        )
    )
