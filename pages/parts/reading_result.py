"""What the model changed: accuracy, agreement and time without and with it, and everything as a file."""

import json
from collections.abc import Sequence

import streamlit as st

from core.evaluation.reading import Answers, Reading, Summary, readings_csv, study_json, summarise
from core.figures.style import number, with_interval
from core.metrics.proportions import Interval
from core.services.reader_study import ReaderStudy
from pages.parts.method import show_rows
from pages.parts.words import t, translator


def show_result(study: ReaderStudy, readings: Sequence[Reading], *, is_whole: bool) -> None:
    """Files while the study runs, figures once it is whole: figures in between would tell the reader how he does."""
    if is_whole:
        _show_figures(summarise(readings))
    else:
        st.caption(t("The figures stand here when all cases are read."))
    _show_files(study, readings)


def _show_figures(summary: Summary) -> None:
    with st.container(border=True):
        st.subheader(t("What the model changed"))
        n_changed = summary.n_to_right + summary.n_to_wrong
        st.markdown(
            t(
                "{n} of {total} answers changed: {right} to the reference, {wrong} away from it (McNemar p {p}).",
                n=n_changed,
                total=summary.blind.n,
                right=summary.n_to_right,
                wrong=summary.n_to_wrong,
                p=_p_words(summary.test.p_value),
            )
        )
        st.markdown(
            t(
                "Median time a case: {blind} s without the model, {added} s more with it.",
                blind=number(summary.blind_s, 1),
                added=number(summary.added_s, 1),
            )
        )
        heads = (t("Answers"), "n", t("Accuracy"), t("Sensitivity"), t("Specificity"), t("Kappa with the reference"))
        shown = [(t("Reader alone"), summary.blind), (t("Reader with the model"), summary.aided)]
        shown += [(t("Model alone"), summary.model)] if summary.model else []
        show_rows(heads, [_row(name, answers) for name, answers in shown])
        st.caption(
            t(
                "In brackets 95 % intervals: Wilson, of kappa bootstrap. Kappa: 0 is chance, 1 is complete agreement. "
                "One reader and few cases tell little; the second answer follows the first at once, "
                "so it also gains from a second look."
            )
        )


def _row(name: str, answers: Answers) -> tuple[str, ...]:
    measures = (answers.accuracy, answers.sensitivity, answers.specificity, answers.kappa)
    return (name, str(answers.n), *(_words(interval) for interval in measures))


def _words(interval: Interval | None) -> str:
    return "–" if interval is None else with_interval(interval, translator(), 2)


def _p_words(p_value: float) -> str:
    return "<\u202f0.001" if p_value < 0.001 else number(p_value, 3)


def _show_files(study: ReaderStudy, readings: Sequence[Reading]) -> None:
    plan, stem = study.plan, f"reader_study_{study.plan.task}_{study.plan.reader}_{study.token[:8]}"
    names = ("task", "model", "version", "weights_sha256", "label", "reader", "source", "n", "seed")
    facts = {name: getattr(plan, name) for name in names}
    with st.container(horizontal=True):
        st.download_button(
            t("Answers (CSV)"),
            lambda: readings_csv(readings, plan.reader, plan.statement),
            f"{stem}_{len(readings)}.csv",
            "text/csv",
            key="reading.csv",
            icon=":material/table:",
            on_click="ignore",
        )
        st.download_button(
            t("Study (JSON)"),
            lambda: json.dumps(study_json(readings, facts, plan.statement), indent=2, allow_nan=False),
            f"{stem}_{len(readings)}.json",
            "application/json",
            key="reading.json",
            icon=":material/data_object:",
            on_click="ignore",
        )
