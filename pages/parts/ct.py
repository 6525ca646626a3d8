"""What the CT page adds to the common body: both networks, the measured HU, real slices, advice, method."""

import math
from collections.abc import Mapping

import streamlit as st

from core.figures.agreement import Agreement, agreement_alt, agreement_figure
from core.figures.style import number
from core.manifest import Manifest
from core.metrics.correlation import severity_interval
from core.metrics.grades import expected_grade
from core.records import ScreeningResult
from core.task import Task
from core.tasks.ct_osteoporosis.task import OSTEOPENIA_HU, OSTEOPOROSIS_HU
from pages.parts.advice import show_advice
from pages.parts.branches import are_at_odds, show_branches
from pages.parts.chart import is_dark, show_chart
from pages.parts.ct_method import show_method
from pages.parts.grading import show_intervals
from pages.parts.held_out import out_of_fold, report_of
from pages.parts.task_page import show_task
from pages.parts.unmeasured import no_operating_point
from pages.parts.view import TaskView
from pages.parts.words import t, translator


def show_ct_page() -> None:
    """The CT task."""
    show_task(
        TaskView(
            "ct_osteoporosis",
            (t("Both networks"), show_branches),
            show_next_step,
            show_method,
            tell_truth,
            tell_measures=tell_measures,
            show_real_cases=show_real_cases,
        )
    )


def tell_truth(truth: Mapping[str, object]) -> str:
    """Class, T-score and HU of a sample."""
    words = (t("Normal"), t("Osteopenia"), t("Osteoporosis"))[int(str(truth["label"]))]
    score, hu = number(float(str(truth["t_score_dxa"])), 1), round(float(str(truth["trabecular_hu"])))
    return t(
        "Truth of this phantom: {words}, T-score {value}, trabecular bone {hu} HU", words=words, value=score, hu=hu
    )


def tell_measures(task: Task, result: ScreeningResult, index: int) -> str:
    """The plain measurement beside the network's answer, and whether the networks agree."""
    measured = result.prediction.measures["roi_hu"][index] if result.prediction else math.nan
    lines = []
    if math.isfinite(measured):
        words = t("below 110 HU: osteoporosis likely")
        if measured > OSTEOPENIA_HU:
            words = t("above 160 HU: osteoporosis unlikely")
        elif measured >= OSTEOPOROSIS_HU:
            words = t("between 110 and 160 HU: neither likely nor unlikely")
        lines.append(
            t(
                "Measured in the middle of the region: **{hu} HU**, {words} (Pickhardt 2013).",
                hu=round(measured),
                words=words,
            )
        )
    if are_at_odds(result, index):
        lines.append(":orange[:material/call_split:] " + t("**The two networks disagree**: see the tab Both networks."))
    return "  \n" + "  \n".join(lines) if lines else ""


def show_next_step(result: ScreeningResult) -> None:
    """This grades HU: the measurement that counts is another one."""
    findings = result.prediction.findings if result.prediction else ()
    is_positive = any(finding.positive for finding in findings)
    if any(finding.positive is None for finding in findings):
        advice = no_operating_point()
    elif is_positive:
        advice = t("Low HU on a CT made for another reason is a reason to have a bone-density scan (DXA).")
    else:
        advice = t("Normal HU on one slice does not rule out osteoporosis.")
    show_advice([advice, t("This is HU grading, not DXA. This software cannot diagnose.")], is_warning=is_positive)


def show_real_cases(task: Task, manifest: Manifest) -> None:
    """Predicted severity against measured HU on real slices, each answered by a model that never saw their subject."""
    cases = out_of_fold(task.id, manifest)
    if cases is None or cases.references is None:
        return
    report = report_of(task.id, str(manifest.provenance.out_of_fold_sha256), "model", cases)
    correlation = severity_interval(cases.probabilities, cases.references, cases.patients)
    st.subheader(t("Real slices"))
    st.caption(
        t(
            "n = {n} slices of {subjects} subjects, each graded by a model that never saw the subject. "
            "The reference is the HU measured in the vertebral body: this is HU grading, not DXA. "
            "Intervals by bootstrap over subjects.",
            n=report.n,
            subjects=report.n_groups,
        )
    )
    data = Agreement(
        x=cases.references,
        y=expected_grade(cases.probabilities).tolist(),
        subjects=cases.patients,
        thresholds=(OSTEOPOROSIS_HU, OSTEOPENIA_HU),
        correlation=correlation,
        title=t("Predicted severity and measured HU"),
        unit="HU",
    )
    left, right = st.columns([3, 2], gap="medium")
    with left:
        axes = (t("Measured trabecular bone, HU"), t("Expected grade, 0 normal to 2 osteoporosis"))
        figure = agreement_figure(data, x_title=axes[0], y_title=axes[1], t=translator(), dark=is_dark())
        show_chart(figure, f"{task.id}.agreement", agreement_alt(data, translator()))
    with right:
        show_intervals(((t("Spearman, falling HU"), correlation), (t("Weighted kappa"), report.weighted_kappa)))
        show_intervals(((t("Accuracy"), report.accuracy), (t("Within one grade"), report.off_by_one)))
