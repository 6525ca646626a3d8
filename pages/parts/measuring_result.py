"""What an evaluation found: what was counted, all grades or places at once, then one question with its threshold and cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core import registry
from core.errors import ScreeningError, UsageError
from core.evaluation.questions import Question, read_grading, read_questions
from core.evaluation.score_report import ScoreReport, report_scores
from core.figures.confusion import grading_confusion_alt, grading_confusion_figure
from core.figures.curves import one_vs_rest_alt, one_vs_rest_figure
from core.figures.style import number
from core.manifest import Manifest, file_sha256
from core.metrics.grading import GradingReport
from core.services.evaluations import CHECK, METRICS, TRUTH, Evaluation
from core.task import Task
from core.training.stated import UNKNOWN_CASES
from pages.parts.case_filter import CaseFilter
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.evaluation_panels import show_consequences, show_panels
from pages.parts.evaluation_point import Chosen, show_point
from pages.parts.frame import grade_name, label_name, network_name, show_badge
from pages.parts.measuring_adopt import show_adopt
from pages.parts.measuring_cases import show_cases
from pages.parts.measuring_export import show_export
from pages.parts.method import show_rows
from pages.parts.words import literal, t, translator

_DIGITS = 3


@dataclass(frozen=True)
class Measured:
    """A finished evaluation, read once for a session.

    Attributes:
        found: What `evaluate --json` wrote.
        checked: What the check before it found.
        questions: With their cases.
        reports: Of the questions that have both kinds of cases, by label.
        grading: Of graders.
        files: Images by the hash of their pixels.
    """

    found: dict[str, Any]
    checked: dict[str, Any]
    questions: tuple[Question, ...]
    reports: dict[str, ScoreReport]
    grading: GradingReport | None
    files: dict[str, Path]


def show_result(evaluation: Evaluation) -> None:
    """Everything."""
    manifest = registry.manifest_of(evaluation.plan.task, evaluation.plan.model)
    if manifest is None:
        raise UsageError("the model is not installed any more")
    task = registry.task(manifest.task)
    try:
        with st.spinner(t("Measuring"), show_time=True):
            measured = _read_once(evaluation, manifest)
    except ScreeningError as error:
        show_error(error)
        return
    _show_head(task, manifest, measured)
    _show_counted(measured)
    if measured.grading is not None:
        _show_grading(task, measured.grading, evaluation.token)
    elif task.kind in ("detector", "segmenter"):
        _show_places(task, measured.found["metrics"])
    if not measured.reports:
        st.info(t("Curves need cases with and without the finding."), icon=":material/info:")
        return
    question = _choose_question(task, measured)
    report = measured.reports[question.label]
    model, key = report.models[""], f"measuring.{evaluation.token}.{question.label}"
    st.subheader(_question_name(task, question.label))
    asked = [own for own in measured.questions if own.label in measured.reports]
    cards = _cards(evaluation, manifest, asked)
    card, cases = cards[question.label], CaseFilter(f"{key}.cases")
    chosen = show_point(report, model, key, card)
    show_panels(model, chosen, key, card, cases)
    show_cases(evaluation, manifest, question, chosen.point.threshold, measured.files, cases)
    show_consequences(report, model, chosen, key)
    show_adopt(evaluation, manifest, question, chosen.point.threshold)
    points = _points(cards, question.label, chosen)
    show_export(evaluation, manifest, measured.found, measured.checked, asked, points)


def _cards(evaluation: Evaluation, manifest: Manifest, asked: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Thresholds of the card by question, but for those that were chosen on these very cases."""
    digest = file_sha256(evaluation.folder / TRUTH)[:12]
    own = {point.id for point in manifest.operating_points if digest in point.chosen_on}
    return {
        question.label: {name: threshold for name, threshold in question.points.items() if name not in own}
        for question in asked
    }


def _points(cards: Mapping[str, Mapping[str, float]], label: str, chosen: Chosen) -> dict[str, dict[str, object]]:
    """Origin and threshold of every question: what is set for the one on show, the card's for the others."""
    found: dict[str, dict[str, object]] = {
        name: {"origin": "model", "threshold": next(iter(card.values()))} if card else {"origin": "youden"}
        for name, card in cards.items()
    }
    if chosen.threshold is None:
        found[label] = {"origin": "youden", "prevalence": chosen.prevalence}
    else:
        origin = "model" if chosen.threshold in cards[label].values() else "hand"
        found[label] = {"origin": origin, "threshold": chosen.threshold, "prevalence": chosen.prevalence}
    return found


def _read_once(evaluation: Evaluation, manifest: Manifest) -> Measured:
    """Kept for this session until another evaluation is looked at."""
    written = (evaluation.folder / METRICS).stat().st_mtime_ns
    key, state = (evaluation.token, written), st.session_state
    if state.get("measuring.read", (None, None))[0] != key:
        state["measuring.read"] = (key, _read(evaluation, manifest))
    measured: Measured = state["measuring.read"][1]
    return measured


def _read(evaluation: Evaluation, manifest: Manifest) -> Measured:
    files = evaluation.images_by_hash
    groups = {own: fact["group"] for own, fact in files.items() if fact["group"]}
    questions = read_questions(evaluation.folder, manifest, groups)
    reports = {}
    for question in questions:
        n_positive = int(question.table.is_positive.sum())
        if min(n_positive, len(question.cases) - n_positive) >= 2:
            reports[question.label] = report_scores(question.table)
    return Measured(
        found=evaluation.read(METRICS),
        checked=evaluation.read(CHECK) or {},
        questions=questions,
        reports=reports,
        grading=read_grading(evaluation.folder, manifest),
        files={own: evaluation.data / fact["file"] for own, fact in files.items()},
    )


def _show_head(task: Task, manifest: Manifest, measured: Measured) -> None:
    found = measured.found
    st.subheader(t("Results: {task}", task=t(task.title)))
    with st.container(horizontal=True, vertical_alignment="center"):
        facts = [network_name(manifest), manifest.version, f"`{found['weights_sha256'][:8]}`"]
        facts += [t("{n} cases", n=f"{found['n']:,}"), t("{n} patients", n=f"{found['n_subjects']:,}")]
        st.caption(" · ".join(facts), width="content")
        show_badge(manifest, in_full=True)
    if manifest.provenance.is_brought:
        st.warning(t(UNKNOWN_CASES), icon=":material/help:")
    if found["weights_sha256"] != manifest.weights.sha256:
        st.warning(t("Other weights were installed since: these results are of the earlier ones."))


def _show_counted(measured: Measured) -> None:
    """Intention to diagnose: every case that was handed in, and why some have no answer."""
    excluded: Mapping[str, int] = measured.found["excluded"]
    dropped: Mapping[str, int] = measured.checked.get("dropped", {})
    n, n_out = int(measured.found["n"]), sum(excluded.values()) + sum(dropped.values())
    if not n_out:
        return
    share = f"{100 * n / (n + n_out):.0f}\u202f%"
    with st.expander(
        t("Left out: {n_out} of {n}; {share} could be answered", n_out=n_out, n=n + n_out, share=share),
        icon=":material/rule:",
    ):
        st.caption(
            t(
                "Sensitivity and specificity are of the answered cases. A case without an answer is neither right nor wrong."
            )
        )
        rows = [
            (t("before the model: {reason}", reason=literal(reason)), str(count)) for reason, count in dropped.items()
        ]
        rows += [(literal(reason), str(count)) for reason, count in excluded.items()]
        show_rows((t("Reason"), "n"), rows)


def _show_grading(task: Task, report: GradingReport, token: str) -> None:
    names = [t(label.name) for label in task.labels]
    data = (report, names, translator())
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(
            grading_confusion_figure(*data, is_dark()), f"measuring.{token[:6]}.grades", grading_confusion_alt(*data)
        )
    with right:
        show_chart(one_vs_rest_figure(*data, is_dark()), f"measuring.{token[:6]}.rest", one_vs_rest_alt(*data))


def _show_places(task: Task, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Figures of masks or boxes, a column a label."""
    known = {label.id for label in task.labels}
    labels = [label for label in metrics if label in known]
    names = list(dict.fromkeys(name for label in labels for name in metrics[label]))
    rows = [[f"`{name}`", *(_interval_words(metrics[label].get(name)) for label in labels)] for name in names]
    st.markdown(f"**{t('Places: boxes or masks against the reference')}**")
    show_rows([t("Statistic"), *(label_name(task, label) for label in labels)], rows)


def _interval_words(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "–"
    low, high = value["ci"]
    return f"{number(value['value'], _DIGITS)} ({number(low, _DIGITS)}–{number(high, _DIGITS)})"


def _choose_question(task: Task, measured: Measured) -> Question:
    """The label that is looked at; no question where there is one."""
    labels = [question.label for question in measured.questions if question.label in measured.reports]
    chosen: str | None = labels[0]
    if len(labels) > 1:
        names = {label: _question_name(task, label) for label in labels}
        chosen = st.segmented_control(
            t("What is asked"),
            labels,
            format_func=names.__getitem__,
            key="measuring.question",
            default=labels[0],
            required=True,
        )
    return next(question for question in measured.questions if question.label == (chosen or labels[0]))


def _question_name(task: Task, label: str) -> str:
    return grade_name(task, label) if task.kind == "grader" else label_name(task, label)
