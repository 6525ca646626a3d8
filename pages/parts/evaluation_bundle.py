"""A bundle of an earlier evaluation, opened without its data: the same figures, the same slider."""

import hashlib

import streamlit as st

from core.errors import ScreeningError
from core.evaluation.bundle import Bundle, read_bundle
from core.evaluation.bundle_report import score_table
from core.evaluation.score_report import ScoreReport, report_scores
from core.i18n import Translator
from core.reports.paper import question_words
from pages.parts.errors import show_error
from pages.parts.evaluation_panels import show_consequences, show_panels
from pages.parts.evaluation_point import show_point
from pages.parts.evaluation_threshold import start_at
from pages.parts.method import show_rows
from pages.parts.settings import MAX_UPLOAD_MB
from pages.parts.words import LANGUAGE, literal, t

_READ = "evaluation.bundle.read"


def show_bundle() -> None:
    """Upload, what it says of itself, one question with its threshold."""
    st.caption(t("A bundle holds numbers, figures and cases under numbers of their own: no images, no names."))
    file = st.file_uploader(t("Bundle (zip)"), type=["zip"], key="evaluation.bundle", max_upload_size=MAX_UPLOAD_MB)
    if file is None:
        st.session_state.pop(_READ, None)
        return
    try:
        digest, bundle, reports = _read_once(file.file_id, file.getvalue())
    except ScreeningError as error:
        show_error(error)
        return
    _show_about(bundle)
    question = _choose_question(bundle)
    report = reports[question]
    key = f"bundle.{digest}.{question}"
    model, point = report.models[""], bundle.about["operating_points"][question]
    card = {t("model"): float(point["threshold"])} if point["origin"] == "model" else {}
    if point["origin"] == "hand":
        start_at(model, key, float(point["threshold"]))
    chosen = show_point(report, model, key, card)
    show_panels(model, chosen, key, card)
    show_consequences(report, model, chosen, key)


def _read_once(file_id: str, data: bytes) -> tuple[str, Bundle, dict[str, ScoreReport]]:
    """Kept for this session until another bundle is opened.

    Raises:
        ScreeningError: It is none, or was changed.
    """
    kept = st.session_state.get(_READ)
    if kept is None or kept[0] != file_id:
        with st.spinner(t("Measuring"), show_time=True):
            bundle = read_bundle(data)
            reports = {question: report_scores(score_table(bundle, question)) for question in bundle.questions}
        kept = (file_id, (hashlib.sha256(data).hexdigest()[:12], bundle, reports))
        st.session_state[_READ] = kept
    found: tuple[str, Bundle, dict[str, ScoreReport]] = kept[1]
    return found


def _show_about(bundle: Bundle) -> None:
    about = bundle.about
    if about["statement"]:
        st.badge(t(about["statement"]), icon=":material/warning:", color="orange")
    with st.expander(t("What this bundle is of"), icon=":material/inventory_2:"):
        rows = [
            (t("Task"), literal(about["task"] or "–")),
            (t("Model"), literal(f"{about['model']} {about['model_version']}".strip() or "–")),
            (t("Weights, SHA-256"), literal(about["weights_sha256"][:12] or "–")),
            (t("Data, SHA-256"), literal(about["data_sha256"][:12] or "–")),
            (t("Date"), literal(about["date"])),
            (t("Command"), literal(about["command"])),
            *(
                (t("Left out: {reason}", reason=literal(t(reason))), f"{n:,}")
                for reason, n in about["excluded"].items()
            ),
        ]
        show_rows((t("Fact"), t("Value")), rows)


def _choose_question(bundle: Bundle) -> str:
    names = {
        question: question_words(bundle.about["task"], question, Translator(st.session_state[LANGUAGE]))
        for question in bundle.questions
    }
    if len(names) == 1:
        return next(iter(names))
    chosen = st.segmented_control(
        t("What is asked"),
        list(names),
        format_func=names.__getitem__,
        key="evaluation.bundle.question",
        default=next(iter(names)),
        required=True,
    )
    return str(chosen)
