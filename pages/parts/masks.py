"""What a segmenter found: a line a label with its area, the list of lesions, and the masks as files."""

from functools import partial

import streamlit as st

from core.figures.style import number
from core.records import Finding, ScreeningResult
from core.reports.overlay_png import mask_png
from core.task import Label, Task
from pages.parts.recording import note
from pages.parts.words import t

SQUARES = {"haemorrhage": ":violet[:material/square:]", "exudate": ":blue[:material/square:]"}  # near LABEL_COLOURS


def show_found(task: Task, result: ScreeningResult) -> None:
    """Number and area of the lesions of each label."""
    findings = result.prediction.findings if result.prediction else ()
    for label, finding in zip(task.labels, findings, strict=True):
        icon = ":red[:material/error:]" if finding.positive else ":green[:material/check_circle:]"
        st.markdown(f"#### {icon} {t(label.name)} {SQUARES[label.id]}")
        st.markdown(_words(result, label, finding))


def _words(result: ScreeningResult, label: Label, finding: Finding) -> str:
    assert result.prediction is not None
    if not finding.positive:
        return t(
            "None found at the operating point. The highest score of a pixel is {score}.",
            score=number(finding.probability),
        )
    share = result.prediction.measures[f"area_share_{label.id}"][0]
    return t(
        "Places: **{n}**. Area: {area} pixels of the photograph, **{share}** of the field of view. Highest score: {score}.",
        n=len(finding.lesions),
        area=f"{sum(lesion.area_px for lesion in finding.lesions):,.0f}",
        share=f"{number(100 * share)}\u202f%",
        score=number(finding.probability),
    )


def show_lesions(task: Task, result: ScreeningResult) -> None:
    """Every lesion, largest first."""
    findings = result.prediction.findings if result.prediction else ()
    rows = [
        {
            t("Finding"): t(label.name),
            t("Area, pixels"): round(lesion.area_px),
            t("Highest score"): round(lesion.probability, 2),
            "x": round((lesion.box_xyxy[0] + lesion.box_xyxy[2]) / 2),
            "y": round((lesion.box_xyxy[1] + lesion.box_xyxy[3]) / 2),
        }
        for label, finding in zip(task.labels, findings, strict=True)
        for lesion in finding.lesions
    ]
    st.markdown(f"**{t('Lesions')}** · n = {len(rows)}")
    if rows:
        st.dataframe(sorted(rows, key=lambda row: -int(str(row[t("Area, pixels")]))), hide_index=True, width="stretch")
    st.caption(t("x and y: the middle of each place, pixels of the photograph from its upper left corner."))


def show_mask_downloads(task: Task, result: ScreeningResult, stem: str) -> None:
    """One PNG a label, in the size of the photograph."""
    findings = [
        finding for finding in (result.prediction.findings if result.prediction else ()) if finding.mask is not None
    ]
    if not findings:
        return
    names = {label.id: t(label.name) for label in task.labels}
    for column, finding in zip(st.columns(len(findings)), findings, strict=True):
        column.download_button(
            t("Mask: {label}", label=names[finding.label]),
            partial(mask_png, finding),
            f"{stem}_{finding.label}_mask.png",
            "image/png",
            key=f"{task.id}.save.mask.{finding.label}",
            icon=":material/download:",
            on_click=note,
            args=("export", stem),
            width="stretch",
        )
