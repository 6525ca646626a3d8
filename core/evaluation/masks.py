"""A segmenter on images that it never saw, label by label: from the evidence that rides with the weights, or on new images.

Thresholds were chosen on the images of one fold. Pixels at a threshold are measured on the others. Curves, lesions and the
false-alarm area, which the choice hardly touches, are measured on all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UsageError
from core.evaluation.json_values import interval_json
from core.io.history import read_history
from core.io.pixel_evidence import TOLERANCE_PX, PixelEvidence, read_evidence
from core.manifest import Manifest, OperatingPoint
from core.metrics.lesions import LESION_THRESHOLDS, LesionReport, lesion_report
from core.metrics.proportions import Interval
from core.metrics.segmentation import SegmentationReport, segmentation_report
from core.metrics.surface_distance import SurfaceReport, surface_report

DIGITS = 6  # shares of the field are small
_RULE_THRESHOLD = 0.5  # the rule is judged by its curves alone


@dataclass(frozen=True)
class LabelMasks:
    """One label.

    Attributes:
        label: As in the manifest.
        point: The operating point, of which the threshold is used.
        pixels: All images; its curves are shown.
        at_point: Images on which the threshold was not chosen; its values at the threshold are shown.
        rule: The task's trivial rule on all images.
        lesions: All images, at the counted threshold nearest to that of the operating point.
        surfaces: Images on which the threshold was not chosen and whose outlines were compared at it; None with fewer than two
            patients.
    """

    label: str
    point: OperatingPoint
    pixels: SegmentationReport
    at_point: SegmentationReport
    rule: SegmentationReport
    lesions: LesionReport
    surfaces: SurfaceReport | None


@dataclass(frozen=True)
class MaskReports:
    """What a segmenter did on a set of images.

    Attributes:
        n_images, n_patients: All of them.
        labels: In channel order.
    """

    n_images: int
    n_patients: int
    labels: tuple[LabelMasks, ...]


def held_out_masks(folder: Path, manifest: Manifest) -> MaskReports:
    """Reports on the evidence that was committed with the weights.

    Args:
        folder: weights/<task>/<model>.
        manifest: Read from there.

    Raises:
        UsageError: See `read_evidence`, `read_history` and `mask_reports`.
    """
    evidence = read_evidence(folder, manifest.provenance.held_out_sha256)
    return mask_reports(manifest, evidence, read_history(folder).fold)


def mask_reports(manifest: Manifest, evidence: PixelEvidence, chosen_on: int | None) -> MaskReports:
    """Reports of every label.

    Args:
        manifest: Labels and operating points.
        evidence: Answers to images that the answering network never saw.
        chosen_on: The fold that chose the thresholds; None where no image of the evidence did.

    Raises:
        UsageError: See `segmentation_report`; or labels without an operating point or evidence.
    """
    if evidence.histograms.shape[1] != len(manifest.labels):
        raise UsageError(f"evidence of {evidence.histograms.shape[1]} labels for {len(manifest.labels)}")
    others = evidence
    if chosen_on is not None and (evidence.folds != chosen_on).any():  # a model of one fold has no other images
        others = evidence.of(evidence.folds != chosen_on)
    return MaskReports(
        n_images=len(evidence.cases),
        n_patients=len(np.unique(evidence.patients)),
        labels=tuple(_label_masks(manifest, evidence, others, place) for place in range(len(manifest.labels))),
    )


def _label_masks(manifest: Manifest, evidence: PixelEvidence, others: PixelEvidence, place: int) -> LabelMasks:
    label = manifest.labels[place]
    point = _point_of(manifest, label)
    outlines, of_patients = others.surfaces(place, point.cut_off)
    nearest = LESION_THRESHOLDS[np.abs(LESION_THRESHOLDS - point.cut_off).argmin()]
    return LabelMasks(
        label=label,
        point=point,
        pixels=segmentation_report(evidence.histograms[:, place], evidence.patients, point.cut_off),
        at_point=segmentation_report(others.histograms[:, place], others.patients, point.cut_off),
        rule=segmentation_report(evidence.rule_histograms[:, place], evidence.patients, _RULE_THRESHOLD),
        lesions=lesion_report(evidence.counts(place), LESION_THRESHOLDS, evidence.patients, float(nearest)),
        surfaces=surface_report(outlines, of_patients) if len(np.unique(of_patients)) >= 2 else None,
    )


def thresholds_of(manifest: Manifest) -> tuple[float, ...]:
    """Of each label's operating point, in channel order.

    Raises:
        UsageError: A label without an operating point.
    """
    return tuple(_point_of(manifest, label).cut_off for label in manifest.labels)


def _point_of(manifest: Manifest, label: str) -> OperatingPoint:
    point = next((point for point in manifest.operating_points if point.label == label), None)
    if point is None:
        raise UsageError(f"no operating point for {label}")
    return point


def measure_masks(
    manifest: Manifest,
    evidence: PixelEvidence,
    excluded: Mapping[str, int],
    scored_by: Mapping[str, int],
    chosen_on: int | None = None,
) -> dict[str, Any]:
    """Statistics as JSON values: `{n, n_subjects, held_out, metrics: {label: {name: {value, ci}}}, excluded, ...}`.

    Args:
        manifest: Of the model.
        evidence: One answer an image.
        excluded: Images left out by reason.
        scored_by: Images by the source of their answer.
        chosen_on: See `mask_reports`.

    Raises:
        UsageError: See `mask_reports`.
    """
    reports = mask_reports(manifest, evidence, chosen_on)
    return {
        "task": manifest.task,
        "model": manifest.model,
        "weights_sha256": manifest.weights.sha256,
        "provenance": {"data": manifest.data_kind, "statement": manifest.statement},
        "n": reports.n_images,
        "n_subjects": reports.n_patients,
        "held_out": not manifest.provenance.is_brought,
        "scored_by": dict(scored_by),
        "metrics": {own.label: _metrics(own) for own in reports.labels},
        "operating_points": {own.point.id: _operating_point(own) for own in reports.labels},
        "excluded": dict(excluded),
    }


def _metrics(own: LabelMasks) -> dict[str, Any]:
    """Figures of one label, named as in the manifest; None where the images cannot give one."""
    at = own.at_point.at_threshold
    found: dict[str, Interval | None] = {
        "pixel_auroc": own.pixels.auroc,
        "average_precision": own.pixels.average_precision,
        "image_auroc_mean": own.pixels.image_auroc.mean,
        "dice": at.dice,
        "iou": at.iou,
        "pixel_accuracy": at.accuracy,
        "accuracy_all_background": at.accuracy_all_background,
        "hausdorff95_px": own.surfaces.hausdorff95 if own.surfaces else None,
        "surface_dice": own.surfaces.normalised_surface_dice if own.surfaces else None,
        "rule_pixel_auroc": own.rule.auroc,
        "rule_average_precision": own.rule.average_precision,
        "false_alarm_share": own.lesions.false_alarm_share,
    }
    for point in own.lesions.froc.points if own.lesions.froc else ():
        found[f"lesion_sensitivity_{point.fp_per_image:g}"] = point.sensitivity
    return {name: interval_json(value, DIGITS) for name, value in found.items()}


def _operating_point(own: LabelMasks) -> dict[str, Any]:
    """Pixels at the threshold of the manifest, and the images behind them."""
    at = own.at_point.at_threshold
    return {
        "threshold": own.point.threshold,
        "n": own.at_point.n_images,
        "sensitivity": interval_json(at.sensitivity, DIGITS),
        "specificity": interval_json(at.specificity, DIGITS),
        "precision": interval_json(at.precision, DIGITS),
        "outlines": _outlines(own.surfaces),
    }


def _outlines(own: SurfaceReport | None) -> dict[str, Any] | None:
    """The images behind the two distances: a missed or an invented lesion is the worst case and stays in."""
    if own is None:
        return None
    return {
        "n": own.n_images,
        "n_missed": own.n_missed,
        "n_invented": own.n_invented,
        "n_both_empty": own.n_both_empty,
        "tolerance_px": TOLERANCE_PX,
    }
