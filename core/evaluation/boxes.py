"""A detector on images that it never saw, label by label: from the evidence that rides with the weights, or on new images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.evaluation.json_values import interval_json
from core.io.box_evidence import BoxEvidence, read_evidence
from core.manifest import Manifest, OperatingPoint
from core.metrics.detection import ClassDetection, DetectionReport, detection_report
from core.metrics.operating_point import OperatingPointMetrics, operating_point_metrics
from core.metrics.proportions import Interval
from core.metrics.roc import RocCurve, roc_curve

DIGITS = 4


@dataclass(frozen=True)
class LabelBoxes:
    """One label.

    Attributes:
        label: As in the manifest.
        point: Its operating point: an image holds the finding where its highest score reaches the threshold.
        boxes, mean_box: The detector, and the mean box of its training images in its place.
        presence: ROC curve of the highest score; None where the images with the finding, or those without, are fewer than two.
        at_point: The operating point on these images; None where all of them have the finding or none.
    """

    label: str
    point: OperatingPoint
    boxes: ClassDetection
    mean_box: ClassDetection
    presence: RocCurve | None
    at_point: OperatingPointMetrics | None


@dataclass(frozen=True)
class BoxReports:
    """What a detector did on a set of images.

    Attributes:
        detector, mean_boxes: All labels together.
        labels: In the order of the manifest.
    """

    detector: DetectionReport
    mean_boxes: DetectionReport
    labels: tuple[LabelBoxes, ...]


def held_out_boxes(folder: Path, manifest: Manifest) -> BoxReports:
    """Reports on the evidence that was committed with the weights.

    Args:
        folder: weights/<task>/<model>.
        manifest: Read from there.

    Raises:
        UsageError: See `read_evidence` and `box_reports`.
    """
    return box_reports(manifest, read_evidence(folder, manifest.provenance.held_out_sha256, manifest.labels))


def box_reports(manifest: Manifest, evidence: BoxEvidence) -> BoxReports:
    """Reports of every label.

    Args:
        manifest: Labels and operating points.
        evidence: Answers to images that the answering network never saw.

    Raises:
        UsageError: See `detection_report`; or a label without an operating point.
    """
    detector = detection_report(evidence.by_label(), evidence.patients)
    mean_boxes = detection_report(evidence.mean_boxes_by_label(), evidence.patients)
    labels = tuple(
        _label_boxes(manifest, evidence, place, (detector.per_class[place], mean_boxes.per_class[place]))
        for place in range(len(manifest.labels))
    )
    return BoxReports(detector, mean_boxes, labels)


def _label_boxes(
    manifest: Manifest, evidence: BoxEvidence, place: int, reports: tuple[ClassDetection, ClassDetection]
) -> LabelBoxes:
    label = manifest.labels[place]
    point = next((point for point in manifest.operating_points if point.label == label), None)
    if point is None:
        raise UsageError(f"no operating point for {label}")
    is_there, score = evidence.presence(place)
    n_there = int(is_there.sum())
    fewest = min(n_there, len(is_there) - n_there)
    return LabelBoxes(
        label=label,
        point=point,
        boxes=reports[0],
        mean_box=reports[1],
        presence=roc_curve(is_there, score) if fewest >= 2 else None,
        at_point=operating_point_metrics(is_there, score, point.cut_off) if fewest else None,
    )


def measure_boxes(
    manifest: Manifest, evidence: BoxEvidence, excluded: Mapping[str, int], scored_by: Mapping[str, int]
) -> dict[str, Any]:
    """Statistics as JSON values: `{n, n_subjects, held_out, metrics: {label: {name: {value, ci}}}, excluded, ...}`.

    Args:
        manifest: Of the model.
        evidence: One answer an image.
        excluded: Images left out by reason.
        scored_by: Images by the source of their answer.

    Raises:
        UsageError: See `box_reports`.
    """
    reports = box_reports(manifest, evidence)
    return {
        "task": manifest.task,
        "model": manifest.model,
        "weights_sha256": manifest.weights.sha256,
        "provenance": {"data": manifest.data_kind, "statement": manifest.statement},
        "n": reports.detector.n_images,
        "n_subjects": reports.detector.n_patients,
        "held_out": not manifest.provenance.is_brought,
        "scored_by": dict(scored_by),
        "metrics": {"all": _together(reports), **{own.label: _metrics(own) for own in reports.labels}},
        "operating_points": {own.point.id: _operating_point(own) for own in reports.labels if own.at_point},
        "excluded": dict(excluded),
    }


def _together(reports: BoxReports) -> dict[str, Any]:
    """Means over the labels that have a reference box, named as in the manifest."""
    found: dict[str, Interval | None] = {}
    for prefix, report in (("", reports.detector), ("mean_box_", reports.mean_boxes)):
        found[f"{prefix}mean_average_precision_50"] = report.mean_average_precision_50
        found[f"{prefix}mean_average_precision"] = report.mean_average_precision
        found[f"{prefix}mean_average_recall"] = report.mean_average_recall
    return {name: interval_json(value, DIGITS) for name, value in found.items()}


def _metrics(own: LabelBoxes) -> dict[str, Any]:
    """Figures of one label, named as in the manifest; None where the images cannot give one."""
    found: dict[str, Interval | None] = {}
    for prefix, report in (("", own.boxes), ("mean_box_", own.mean_box)):
        found[f"{prefix}average_precision_50"] = report.average_precision_50
        found[f"{prefix}average_precision"] = report.average_precision
        found[f"{prefix}average_recall"] = report.average_recall
        found[f"{prefix}presence_auroc"] = report.presence_auroc
        for point in report.froc.points if report.froc else ():
            found[f"{prefix}box_sensitivity_{point.fp_per_image:g}"] = point.sensitivity
    return {name: interval_json(value, DIGITS) for name, value in found.items()}


def _operating_point(own: LabelBoxes) -> dict[str, Any]:
    """Presence at the threshold of the manifest."""
    at = own.at_point
    assert at is not None
    return {
        "threshold": own.point.threshold,
        "n": at.n_cases,
        "n_positive": at.n_positive,
        "sensitivity": interval_json(at.sensitivity, DIGITS),
        "specificity": interval_json(at.specificity, DIGITS),
    }
