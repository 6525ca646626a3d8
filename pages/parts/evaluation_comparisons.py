"""Every two models of a table on the same patients."""

import streamlit as st

from core.evaluation.score_report import ScoreReport
from core.figures.style import number, threshold_words, with_interval
from core.metrics.paired import McNemarTest
from core.metrics.proportions import Interval
from pages.parts.method import show_rows
from pages.parts.words import literal, t, translator


def show_comparisons(report: ScoreReport, threshold: float | None) -> None:
    """AUROCs, then what the models call.

    Args:
        report: Of one model it shows nothing.
        threshold: Of all models; None = each at its own Youden threshold.
    """
    if len(report.models) == 1:
        return
    st.subheader(t("Models compared"))
    if not report.comparisons:
        st.info(t("A comparison needs the column patient, and one row a patient and model."), icon=":material/info:")
        return
    _show_aurocs(report)
    _show_calls(report, threshold)
    st.caption(
        t(
            "On the patients that both models answered, first minus second: DeLong's paired test of the AUROCs, McNemar's of the "
            "calls with bootstrap intervals; in brackets the patients that one model alone calls right. Many comparisons find "
            "something by chance: p is not corrected for their number."
        )
    )


def _show_aurocs(report: ScoreReport) -> None:
    heads = (t("First model"), t("Second model"), t("Patients"), t("AUROC of the first"), t("AUROC of the second"))
    rows = [
        (
            *(literal(name) for name in own.models),
            f"{own.n:,}",
            *(with_interval(auroc, translator(), 3) for auroc in own.aurocs),
            with_interval(own.difference, translator(), 3),
            _p_words(own.p_value),
        )
        for own in report.comparisons
    ]
    show_rows((*heads, t("Difference"), "p"), rows)


def _show_calls(report: ScoreReport, threshold: float | None) -> None:
    if threshold is None:
        st.markdown(t("Each at its own Youden threshold, which was chosen on these very cases:"))
    else:
        st.markdown(t("Both at the threshold above:"))
    heads = (t("First model"), t("Second model"), t("Thresholds"), t("Difference of sensitivities"), "p")
    rows = [
        (
            *(literal(name) for name in own.models),
            " / ".join(threshold_words(cut) for cut in own.thresholds),
            *_difference(own.calls.sensitivity, own.calls.positives),
            *_difference(own.calls.specificity, own.calls.negatives),
        )
        for own in report.compared_at(threshold)
    ]
    # A table takes no two columns of one name: the second p ends in a space of no width.
    show_rows((*heads, t("Difference of specificities"), "p\u200b"), rows)


def _difference(interval: Interval | None, test: McNemarTest) -> tuple[str, str]:
    words = "–" if interval is None else with_interval(interval, translator(), 3)
    return words, f"{_p_words(test.p_value)} ({test.n_only_a} : {test.n_only_b})"


def _p_words(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return "<\u202f0.001" if p_value < 0.001 else number(p_value, 3)
