"""One screening of the history again: the same cards as on its task page, and the picture to whoever has the file."""

import json

import streamlit as st

from core import registry
from core.errors import ScreeningError
from core.figures.scores import score_bar_alt, score_bar_figure
from core.figures.style import number, threshold_words
from core.manifest import Manifest
from core.records import Finding, Gate, Study
from core.reports.result_json import findings_of, scores_of, shown_json
from core.services.history import PATIENT_DIGITS, Kept
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.checks import show_gate
from pages.parts.errors import show_error
from pages.parts.frame import label_name
from pages.parts.method import show_rows
from pages.parts.picture import Look, sheet_bytes
from pages.parts.recording import note
from pages.parts.result import say_score, show_grades, show_headline
from pages.parts.settings import MAX_UPLOAD_MB
from pages.parts.source import read
from pages.parts.words import literal, t, translator

_MOST_BOXES = 20


def time_words(kept: Kept) -> str:
    """When it was screened."""
    return f"{kept.time:%Y-%m-%d %H:%M:%S}"


def outcome_words(outcome: str, confirmed: bool = False) -> str:
    """What the checks said."""
    if outcome == "needs_confirmation":
        return t("Questions, confirmed") if confirmed else t("Questions")
    return {"accepted": t("Passed"), "refused": t("Not examined")}.get(outcome, outcome)


def side_words(positive: bool | None) -> str:
    """On which side of the operating point; a dash where no score is shown."""
    if positive is None:
        return "–"
    return t("At or above the operating point") if positive else t("Below the operating point")


def show_kept(kept: Kept) -> None:
    """Everything that is known of it."""
    task = registry.task(kept.task)
    st.subheader(t("{task}, screened on {time} UTC", task=t(task.title), time=time_words(kept)))
    with st.container(horizontal=True, vertical_alignment="center"):
        facts = [literal(kept.model), t("weights {version}", version=literal(kept.result["provenance"]["version"]))]
        facts += [f"`{kept.weights_sha256[:8]}`", t("file {hash}", hash=f"`{kept.file_sha256[:12]}`")]
        st.caption(" · ".join(facts), width="content")
        if kept.statement:
            st.badge(t(kept.statement), icon=":material/warning:", color="orange")
    left, right = st.columns([6, 5], gap="medium")
    with left:
        _show_answer(task, kept)
        _show_picture(kept)
    with right:
        show_gate(Gate(tuple(kept.gate_checks()), kept.confirmed))
        _show_facts(kept)
        _show_download(kept)


def _show_answer(task: Task, kept: Kept) -> None:
    findings = findings_of(kept.result)
    with st.container(border=True, key="past.answer"):
        if not kept.has_score:
            st.markdown("### :material/visibility_off: " + t("No score was shown"))
        elif task.kind in ("detector", "segmenter"):
            _show_places(task, kept, findings)
        else:
            for index, finding in enumerate(findings):
                show_headline(task, finding, is_only=len(findings) == 1)
                st.markdown(say_score(task, finding))
                threshold = scores_of(kept.result)[finding.label, finding.laterality].threshold
                if threshold is not None and (finding.probabilities is None or len(findings) == 1):
                    numbers = (finding.probability, threshold, None, translator())
                    figure = score_bar_figure(*numbers, is_dark())
                    show_chart(figure, f"past.score.{index}", score_bar_alt(*numbers), has_buttons=False)
            if task.kind == "grader":
                show_grades(task, findings, "past.grades")


def _show_places(task: Task, kept: Kept, findings: tuple[Finding, ...]) -> None:
    """A row a label, then the places that are called."""
    rows = []
    for (label, _), score in scores_of(kept.result).items():
        called = [finding for finding in findings if finding.label == label and finding.positive]
        n = sum(len(finding.lesions) or 1 for finding in called)
        threshold = "–" if score.threshold is None else threshold_words(score.threshold)
        rows.append((label_name(task, label), number(score.value), threshold, str(n)))
    show_rows([t("Finding"), t("Highest score"), t("Threshold"), t("Places called")], rows)
    boxes = [(finding, place) for finding in findings if finding.positive for place in _places(finding)]
    if boxes:
        lines = [
            (label_name(task, finding.label), number(score), " ".join(f"{edge:.0f}" for edge in box))
            for finding, (box, score) in boxes[:_MOST_BOXES]
        ]
        show_rows([t("Finding"), t("Score"), t("Left, top, right, bottom (pixels)")], lines)
        if len(boxes) > _MOST_BOXES:
            st.caption(t("The first {n} of {total}; the saved result holds all.", n=_MOST_BOXES, total=len(boxes)))


def _places(finding: Finding) -> list[tuple[tuple[float, ...], float]]:
    if finding.lesions:
        return [(lesion.box_xyxy, lesion.probability) for lesion in finding.lesions]
    return [(finding.box_xyxy, finding.probability)] if finding.box_xyxy else []


def _show_facts(kept: Kept) -> None:
    ways = {"page": t("Page"), "command line": t("Command line"), "batch": t("Batch screening")}
    rows = [(t("Way in"), ways.get(kept.source, kept.source))]
    rows += [(t("Patient"), kept.pseudonym[:PATIENT_DIGITS])] if kept.pseudonym else []
    rows += [(t("Age"), f"{kept.age_years:.0f}")] if kept.age_years is not None else []
    rows += [(t("Sex"), kept.sex)] if kept.sex else []
    show_rows([t("Fact"), t("Value")], rows)


def _show_download(kept: Kept) -> None:
    record = json.dumps(kept.result, indent=2, ensure_ascii=False, allow_nan=False)
    st.download_button(
        t("Result (JSON)"),
        record,
        f"{kept.task}_{kept.file_sha256[:12]}_{kept.id[:8]}.json",
        "application/json",
        key="past.json",
        icon=":material/data_object:",
        on_click=note,
        args=("export", kept.id),
    )


def _show_picture(kept: Kept) -> None:
    """Of the file, when it is handed in again."""
    with st.container(border=True):
        st.markdown(f"**{t('Picture')}**")
        st.caption(t("No picture is kept. Hand in the same file again to see it with its overlay."))
        file = st.file_uploader(
            t("The same file"), key=f"past.file.{kept.id}", max_upload_size=MAX_UPLOAD_MB, label_visibility="collapsed"
        )
        if file is None or not kept.has_score:
            return
        try:
            chosen = read(file.getvalue())
            if chosen.study.file_sha256 != kept.file_sha256:
                st.warning(
                    t("This is another file: its hash is not the one that was kept."), icon=":material/difference:"
                )
                return
            manifest = registry.manifest_of(kept.task, kept.model)
            if manifest is None or manifest.weights.sha256 != kept.weights_sha256:
                st.warning(
                    t("Other weights are installed now: screen the file on its task page."), icon=":material/update:"
                )
                return
            _show_again(kept, manifest, chosen.study)
        except ScreeningError as error:
            show_error(error)


def _show_again(kept: Kept, manifest: Manifest, study: Study) -> None:
    """The picture of the same answer, which is made once more and compared with the one that was kept."""
    from core import screening  # loads torch

    point = (kept.result["operating_point"] or {}).get("id")
    known = {own.id for own in manifest.operating_points}
    result = screening.screen(
        study,
        screening.load(manifest.task, manifest.model),
        confirmed=kept.confirmed,
        point=point if point in known and registry.task(kept.task).kind != "detector" else None,
    )
    st.image(sheet_bytes(result, Look()), width="stretch", alt=t("The image, and the same with its overlay."))
    if shown_json(result)["findings"] == kept.result["findings"]:
        st.caption(":material/check: " + t("Screened once more just now: the same answer as the one that was kept."))
    else:
        st.warning(
            t("Screened once more just now: the answer differs. A region was drawn by hand, or a threshold was moved."),
            icon=":material/difference:",
        )
