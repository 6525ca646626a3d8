"""Held-out results of a segmenter: pixels, images, whole lesions, and what is called where there is no lesion."""

import streamlit as st

from core import registry
from core.errors import UsageError
from core.evaluation.masks import LabelMasks, MaskReports, held_out_masks
from core.figures.labels import DrawnLabel
from core.figures.lesions import froc_alt, froc_figure
from core.figures.segmentation import (
    image_auroc_alt,
    image_auroc_figure,
    pixel_precision_recall_alt,
    pixel_precision_recall_figure,
    pixel_roc_alt,
    pixel_roc_figure,
)
from core.figures.style import number, patients_line, with_interval
from core.io.pixel_evidence import MIN_AREA_PX
from core.manifest import Manifest
from core.metrics.proportions import Interval
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.errors import show_error
from pages.parts.frame import held_out_name, label_name
from pages.parts.method import show_rows
from pages.parts.plain import plain
from pages.parts.words import t, translator

_FP_SHOWN = 1.0  # false positives per image of the reading beside the headline figures


def show_segmenting(task: Task, manifest: Manifest) -> None:
    """Headline figures of each label, four figures, the table at the operating points, the published figure."""
    try:
        with st.spinner(t("Measuring")):
            reports = _reports(task.id, manifest.model, manifest.version, manifest)
    except UsageError as error:
        show_error(error)
        return
    st.caption(
        t(
            "{cases}, {n}, each answered by a model that never saw it. 95 % intervals by bootstrap over patients.",
            cases=held_out_name(manifest).capitalize(),
            n=patients_line(translator(), reports.n_images, reports.n_patients),
        )
        + (f" · {t(manifest.statement)}" if manifest.statement else "")
    )
    for own in reports.labels:
        _show_headline(task, own)
    _show_figures(task, reports)
    _show_table(task, reports)
    _show_published(task, reports)


@st.cache_resource(max_entries=4, show_spinner=False)
def _reports(task_id: str, model: str, version: str, _manifest: Manifest) -> MaskReports:
    # Shared by all sessions: these are the model's own published results, resampled once for each version of them.
    return held_out_masks(registry.WEIGHTS / task_id / model, _manifest)


def _show_headline(task: Task, own: LabelMasks) -> None:
    readings = own.lesions.froc.points if own.lesions.froc else ()
    found = next((point.sensitivity for point in readings if point.fp_per_image == _FP_SHOWN), None)
    with st.container(border=True):
        st.markdown(f"**{label_name(task, own.label)}**")
        shown = (
            (t("AUROC of the pixels"), own.pixels.auroc),
            (t("Average precision"), own.pixels.average_precision),
            ("Dice", own.at_point.at_threshold.dice),
            (t("Lesions found at 1 FP/image"), found),
        )
        for column, (name, interval) in zip(st.columns(len(shown)), shown, strict=True):
            if interval is None:
                column.metric(name, "–", help=plain(name))
            else:
                limits = f"{number(interval.low, 3)}–{number(interval.high, 3)}"
                shown_value = number(interval.value, 3)
                column.metric(name, shown_value, limits, delta_color="off", delta_arrow="off", help=plain(name))


def _show_figures(task: Task, reports: MaskReports) -> None:
    labels = [
        DrawnLabel(own.label, label_name(task, own.label), own.pixels, own.at_point.at_threshold, own.rule, own.lesions)
        for own in reports.labels
    ]
    words, dark = translator(), is_dark()
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(pixel_roc_figure(labels, words, dark), f"{task.id}.pixel_roc", pixel_roc_alt(labels, words))
        alt = image_auroc_alt(labels, words)
        show_chart(image_auroc_figure(labels, words, dark), f"{task.id}.image_auroc", alt)
    with right:
        alt = pixel_precision_recall_alt(labels, words)
        show_chart(pixel_precision_recall_figure(labels, words, dark), f"{task.id}.pixel_pr", alt)
        alt = froc_alt(labels, MIN_AREA_PX, words)
        show_chart(froc_figure(labels, MIN_AREA_PX, words, dark), f"{task.id}.froc", alt)
    st.caption(
        t(
            "Dashed: the trivial rule, dark green is a haemorrhage and bright green an exudate, after the illumination is taken "
            "away. Diamonds: the operating points, on images that did not choose them. Lesions are rare, so a high AUROC is "
            "easy: read average precision and whole lesions beside it."
        )
    )


def _show_table(task: Task, reports: MaskReports) -> None:
    st.markdown(f"**{t('At the operating point')}**")
    rows = [
        (t("Threshold"), [number(own.point.cut_off, 3) for own in reports.labels]),
        *(
            (name, [_words(getattr(own.at_point.at_threshold, field), digits) for own in reports.labels])
            for name, field, digits in (
                ("Dice", "dice", 3),
                ("IoU", "iou", 3),
                (t("Sensitivity"), "sensitivity", 3),
                (t("Precision"), "precision", 3),
                (t("Specificity"), "specificity", 4),
                (t("Accuracy"), "accuracy", 4),
                (t("Accuracy of calling nothing"), "accuracy_all_background", 4),
            )
        ),
        (t("Dice of each image, mean"), [_words(own.at_point.image_dice.mean, 3) for own in reports.labels]),
        (t("Called by mistake, % of the field of view"), [_false_alarm(own) for own in reports.labels]),
    ]
    names = [label_name(task, own.label) for own in reports.labels]
    show_rows([t("Pixels"), *names], [(name, *values) for name, values in rows])
    without = ", ".join(
        f"{name} {own.lesions.n_without_lesions}" for name, own in zip(names, reports.labels, strict=True)
    )
    st.caption(
        t(
            "Pixels of the n = {n} images that did not choose the thresholds. An image without the lesion counts as Dice 1 where "
            "nothing is called and as 0 otherwise. Called by mistake: mean over the images without the lesion ({without}), at "
            "the nearest threshold at which lesions were counted.",
            n=reports.labels[0].at_point.n_images,
            without=without,
        )
    )


def _words(interval: Interval | None, digits: int) -> str:
    return "–" if interval is None else with_interval(interval, translator(), digits)


def _false_alarm(own: LabelMasks) -> str:
    share = own.lesions.false_alarm_share
    if share is None:
        return "–"
    return _words(Interval(100 * share.value, 100 * share.low, 100 * share.high), 3)


def _show_published(task: Task, reports: MaskReports) -> None:
    """The reference's figure, which is none of ours and cannot be set beside them."""
    rules = ", ".join(
        f"{label_name(task, own.label)} {number(own.rule.auroc.value, 3)}" for own in reports.labels if own.rule.auroc
    )
    with st.container(border=True):
        st.badge(t("Published, other data: not results of this program"), icon=":material/article:", color="gray")
        st.markdown(t("AUC **0.9681**: FCN-ResNet101, the best of the reference system's five networks."))
        st.caption(
            t(
                "Not comparable: 40 patients of its own at five time points each, folds that may put one eye on both sides, no "
                "interval, and a best value of which it is not said over what. On the images above the trivial rule alone has: "
                "{rules}. The tab Method says more.",
                rules=rules,
            )
        )
