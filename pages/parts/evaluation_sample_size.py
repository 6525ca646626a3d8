"""How many cases a study needs, before there are any."""

import streamlit as st

from core.metrics.sample_size import cases_for_auroc, cases_for_sensitivity, cases_for_specificity
from pages.parts.method import show_rows
from pages.parts.words import t

_KEY = "evaluation.plan"


def show_sample_size() -> None:
    """What is expected and wanted, and the cases of each class that follow."""
    with st.expander(t("How many cases a study needs"), icon=":material/calculate:"):
        columns = st.columns(5)
        auroc = _number(columns[0], "auroc", t("Expected AUROC"), (0.5, 0.99), 0.85)
        sensitivity = _number(columns[1], "sensitivity", t("Expected sensitivity"), (0.5, 0.99), 0.9)
        specificity = _number(columns[2], "specificity", t("Expected specificity"), (0.5, 0.99), 0.9)
        prevalence = _number(columns[3], "prevalence", t("Prevalence, %"), (0.1, 99.9), 20.0, 1.0) / 100
        half_width = _number(columns[4], "half_width", t("Wanted half width"), (0.01, 0.25), 0.05)
        found = [
            ("AUROC", cases_for_auroc(auroc, half_width, prevalence)),
            (t("Sensitivity"), cases_for_sensitivity(sensitivity, half_width, prevalence)),
            (t("Specificity"), cases_for_specificity(specificity, half_width, prevalence)),
            (t("Sensitivity, Buderer"), cases_for_sensitivity(sensitivity, half_width, prevalence, "buderer")),
            (t("Specificity, Buderer"), cases_for_specificity(specificity, half_width, prevalence, "buderer")),
        ]
        rows = [(name, *(f"{n:,}" for n in (own.n_positive, own.n_negative, own.n_cases))) for name, own in found]
        show_rows((t("Statistic"), t("Positive cases"), t("Negative cases"), t("All cases")), rows)
        st.caption(
            t(
                "So that the 95 % interval reaches no farther than the half width: AUROC by Hanley and McNeil (1982), "
                "sensitivity and specificity by Wilson's interval, or by the normal one that many protocols cite (Buderer 1996; "
                "too few near 1). One case a patient, at this prevalence; plan some more."
            )
        )


def _number(place, name: str, label: str, limits: tuple[float, float], start: float, step: float = 0.01) -> float:
    return float(
        place.number_input(
            label,
            *limits,
            start,
            step,
            format="%.2f" if step < 1 else "%.1f",
            key=f"{_KEY}.{name}",
            persist_state="session",
        )
    )
