"""What a detector found: the boxes that are called, those below their thresholds, and which one is explained."""

import pandas as pd
import streamlit as st

from core.figures.style import BOX_COLOURS, number
from core.imaging.boxes import ink
from core.manifest import NEVER, Manifest, Metric, OperatingPoint
from core.records import Finding, ScreeningResult
from core.task import Task
from pages.parts.frame import label_name
from pages.parts.road import box_key
from pages.parts.words import t

_NO_PATIENT = ("phantom", "drawn")  # words in the names of data that no reader labelled
_ROW_PX = 36


def show_called(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """The answer: every box at or above the threshold of its finding, or that the film is called normal."""
    found = _numbered(result)
    called = [(place, finding) for place, finding in found if finding.positive]
    if called:
        st.markdown("### :red[:material/error:] " + t("Boxes called: {n}", n=len(called)))
        show_list(task, called, with_corners=False)
    else:
        st.markdown("### :green[:material/check_circle:] " + t("No box: called normal"))
        st.markdown(_nearest(task, manifest, result))
    if len(found) > len(called):
        st.caption(t("Not drawn, below their thresholds: {n}. The tab Boxes lists them.", n=len(found) - len(called)))
    never = [label_name(task, point.label) for point in manifest.operating_points if point.cut_off >= NEVER]
    if never:
        st.caption(
            ":material/block: "
            + t("Never called, no better than chance on the validation films: {findings}.", findings=", ".join(never))
        )
    untested = [label_name(task, label) for label in _labels(called) if not is_tested_on_patients(manifest, label)]
    if untested:
        st.caption(":material/warning: " + t("Never tested on a real film: {findings}.", findings=", ".join(untested)))


def _nearest(task: Task, manifest: Manifest, result: ScreeningResult) -> str:
    """Which finding came nearest to its threshold."""
    assert result.prediction is not None
    called = [point.label for point in manifest.operating_points if point.cut_off < NEVER] or list(manifest.labels)
    scores = {label: result.prediction.measures[f"presence_{label}"][0] for label in called}
    label = max(scores, key=lambda label: scores[label] / first_point(manifest, label).cut_off)
    return t(
        "No finding reached its threshold. Nearest: {finding}, score {score}, threshold {threshold}.",
        finding=label_name(task, label),
        score=number(scores[label]),
        threshold=number(first_point(manifest, label).cut_off),
    )


def first_point(manifest: Manifest, label: str) -> OperatingPoint:
    """The operating point that boxes of a label are judged at."""
    return next(point for point in manifest.operating_points if point.label == label)


def is_tested_on_patients(manifest: Manifest, label: str) -> bool:
    """Whether a figure of the model card is of films on which a reader marked this finding."""
    return any(metric.label == label for metric in patient_metrics(manifest))


def patient_metrics(manifest: Manifest) -> list[Metric]:
    """Figures of the model card that are of films as they are, read by somebody."""
    return [metric for metric in manifest.metrics if not any(word in metric.data for word in _NO_PATIENT)]


def _labels(found: list[tuple[int, Finding]]) -> list[str]:
    return list(dict.fromkeys(finding.label for _, finding in found))


def _numbered(result: ScreeningResult) -> list[tuple[int, Finding]]:
    """Findings with their number in the list and on the image, from 1."""
    return list(enumerate(result.prediction.findings if result.prediction else (), start=1))


def show_list(task: Task, found: list[tuple[int, Finding]], *, with_corners: bool) -> None:
    """One row a box; its number carries the colour of the finding."""
    rows = [_row(task, place, finding, with_corners=with_corners) for place, finding in found]
    backgrounds = [BOX_COLOURS[finding.label] for _, finding in found]
    colours = [f"background-color: {colour}; color: {ink(colour)}" for colour in backgrounds]
    table = pd.DataFrame(rows).style.apply(lambda _: colours, subset=[t("No.")])
    st.dataframe(
        table.format(precision=2), hide_index=True, width="stretch", height=min(_ROW_PX * (len(rows) + 1), 10 * _ROW_PX)
    )


def _row(task: Task, place: int, finding: Finding, *, with_corners: bool) -> dict[str, object]:
    assert finding.box_xyxy is not None
    row: dict[str, object] = {
        t("No."): str(place),
        t("Finding"): label_name(task, finding.label),
        t("Score"): finding.probability,
        t("Threshold"): finding.threshold,
    }
    if with_corners:
        edges = (t("Left edge"), t("Top edge"), t("Right edge"), t("Bottom edge"))
        row |= {t("Called"): t("yes") if finding.positive else t("no")}
        row |= {edge: str(round(value)) for edge, value in zip(edges, finding.box_xyxy, strict=True)}
    return row


def show_all_boxes(task: Task, result: ScreeningResult) -> None:
    """Every box, those below their thresholds too."""
    found = _numbered(result)
    st.markdown(f"**{t('All boxes')}** · n = {len(found)}")
    if found:
        show_list(task, found, with_corners=True)
    st.caption(
        t(
            "Edges in pixels of the film. A box below the threshold of its finding is listed from a score of 0.1 on and is not "
            "drawn unless it is explained."
        )
    )


def show_thresholds(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """The seven findings: highest score, threshold, and what each was trained and tested on."""
    assert result.prediction is not None
    kinds = {
        "phantom": t("Simulated data only"),
        "real images, synthetic findings": t("Real images, synthetic findings"),
        "real images, real labels": t("Trained on patients"),
    }
    rows = []
    for label in manifest.labels:
        score, point = result.prediction.measures[f"presence_{label}"][0], first_point(manifest, label)
        rows.append(
            {
                t("Finding"): label_name(task, label),
                t("Highest score"): number(score),
                t("Threshold"): number(point.cut_off),
                t("Called"): t("yes") if point.calls(score) else t("no"),
                t("Training data"): kinds[manifest.provenance.labels[label]],
                t("Tested on real films"): t("yes") if is_tested_on_patients(manifest, label) else t("no"),
            }
        )
    st.markdown(f"**{t('Findings and their thresholds')}**")
    st.table(pd.DataFrame(rows), hide_index=True, border="horizontal")


def choose_box(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """Which box the map explains; the highest one that is called, unless a person chooses."""
    found = dict(_numbered(result))
    if not found:
        return
    names = {
        place - 1: f"{place} · {label_name(task, finding.label)} · {number(finding.probability)}"
        for place, finding in found.items()
    }
    st.selectbox(
        t("Explained box"),
        [None, *names],
        format_func=lambda place: t("The highest score that is called") if place is None else names[place],
        key=box_key(manifest, result.study.file_sha256),
        persist_state="session",
    )
