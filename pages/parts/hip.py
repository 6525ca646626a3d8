"""What the hip page adds to the common body: advice, self-assessment, method."""

from collections.abc import Mapping

from core.clinical.osteoporosis import advises_measurement
from core.figures.style import number
from core.records import ScreeningResult
from pages.parts.advice import show_advice
from pages.parts.hip_form import read_form, show_self_assessment
from pages.parts.hip_method import show_method
from pages.parts.settings import settings
from pages.parts.task_page import show_task
from pages.parts.unmeasured import no_operating_point
from pages.parts.view import TaskView
from pages.parts.words import t


def show_hip_page() -> None:
    """The hip task."""
    own_tab = (t("Self-assessment"), show_self_assessment)
    show_task(TaskView("hip_osteoporosis", own_tab, show_next_step, show_method, tell_truth))


def tell_truth(truth: Mapping[str, object]) -> str:
    """What the simulated DXA of a sample says."""
    words = t("Osteoporosis") if truth["label"] else t("No osteoporosis")
    value = number(float(str(truth["t_score_dxa"])), 1)
    return t("Truth of this phantom: {words}, T-score {value}", words=words, value=value)


def show_next_step(result: ScreeningResult) -> None:
    """Score and form stand side by side: either alone is a reason for the advice, and neither changes the other."""
    findings = result.prediction.findings if result.prediction else ()
    form = read_form()
    lines = []
    if any(finding.positive is None for finding in findings):
        lines.append(no_operating_point())
    elif any(finding.positive for finding in findings):
        lines.append(t("A score above the operating point is a reason to have a bone-density scan (DXA)."))
    else:
        lines.append(t("A score below the operating point does not rule out osteoporosis."))
    is_high = form is not None and advises_measurement(form.result, form.present)
    if is_high:
        lines.append(t("The self-assessment alone is a reason to have a bone-density scan (DXA), whatever the score."))
    lines.append(t("This software cannot diagnose."))
    is_reason = is_high or any(finding.positive for finding in findings)
    show_advice(lines, is_warning=is_reason, link=_referral())


def _referral() -> str:
    chosen = settings()
    if not chosen.referral_url:
        return ""
    words = t("Book an appointment: {name}", name=chosen.referral_name)
    return f"  \n[{words}]({chosen.referral_url})"
