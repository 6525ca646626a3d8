"""From detections to findings in pixels of the film."""

import numpy as np
from numpy.typing import NDArray

from core.manifest import Manifest, OperatingPoint
from core.records import Finding, Prediction, Regions, Study
from core.tasks.chest_lesions.prepare import to_frame

FLOOR = 0.1  # a box below this score, and below its threshold, is not listed
MIN_SIDE_PX = 1.0  # of what lies in the frame


def decode(
    output: NDArray[np.float32], study: Study, regions: Regions, manifest: Manifest, point: OperatingPoint
) -> Prediction:
    """One finding a box, the highest score first; a film without a positive finding is called normal.

    Args:
        output: Detections, (1, D, 6): box in pixels of the input, number of the label from 1, score; rows of score 0 are none.
        study: Gives the size of the film; boxes are cut at its edge.
        regions: The whole film alone.
        manifest: Names the labels and their thresholds.
        point: Takes the place of its label's first operating point.

    Returns:
        Findings, and for every label the measure presence_LABEL: the highest score of its boxes, 0 without any.
    """
    (region,) = regions
    thresholds = [point.cut_off if point.label == name else _threshold(manifest, name) for name in manifest.labels]
    rows = output[0][output[0, :, 5] > 0].astype(np.float64)
    height, width = study.frame.pixels.shape[:2]
    boxes = np.clip(to_frame(rows[:, :4], region.box_xyxy), 0, (width, height, width, height))
    in_frame = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE_PX).all(axis=1)
    presence = np.zeros(len(manifest.labels))
    findings = []
    for (x0, y0, x1, y1), number, score in zip(
        boxes[in_frame].tolist(), rows[in_frame, 4].astype(int) - 1, rows[in_frame, 5].tolist(), strict=True
    ):
        presence[number] = max(presence[number], score)
        positive = score >= thresholds[number]
        if positive or score >= FLOOR:
            box, threshold = (x0, y0, x1, y1), thresholds[number]
            findings.append(Finding(manifest.labels[number], score, positive, box_xyxy=box, threshold=threshold))
    findings.sort(key=lambda finding: -finding.probability)
    measures = {f"presence_{name}": (float(score),) for name, score in zip(manifest.labels, presence, strict=True)}
    return Prediction(tuple(findings), measures=measures)


def _threshold(manifest: Manifest, label: str) -> float:
    """Of the first operating point of a label."""
    return next(point.cut_off for point in manifest.operating_points if point.label == label)
