"""From class probabilities to findings, for tasks whose classes are ordered grades."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from core.manifest import Manifest, OperatingPoint
from core.records import Finding, Regions


def class_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the last axis, in double precision."""
    return np.asarray(softmax(logits.astype(np.float64), axis=-1))


def by_label(probabilities: NDArray[np.float64], manifest: Manifest) -> dict[str, float]:
    """Probabilities (C,) of one region by label."""
    return {label: float(value) for label, value in zip(manifest.labels, probabilities, strict=True)}


def graded_findings(
    probabilities: NDArray[np.float64], regions: Regions, manifest: Manifest, point: OperatingPoint
) -> tuple[Finding, ...]:
    """One finding a region: the most probable grade, and the probability of `point.label` or worse as its score.

    Args:
        probabilities: (N, C), in the order of `regions` and of `manifest.labels`.
        regions: Examined regions.
        manifest: Names the grades.
        point: Operating point that decides what is positive.
    """
    findings = (graded_finding(row, manifest, point) for row in probabilities)
    return tuple(
        replace(finding, laterality=region.laterality, box_xyxy=region.box_xyxy)
        for region, finding in zip(regions, findings, strict=True)
    )


def graded_finding(probabilities: NDArray[np.float64], manifest: Manifest, point: OperatingPoint) -> Finding:
    """The finding that class probabilities (C,) amount to, without a place."""
    score = float(np.clip(probabilities[manifest.cut(point.label) :].sum(), 0, 1))
    return Finding(
        label=point.label,
        probability=score,
        positive=point.calls(score),
        grade=int(probabilities.argmax()),
        probabilities=by_label(probabilities, manifest),
    )


def mean_finding(findings: Sequence[Finding], manifest: Manifest, point: OperatingPoint) -> Finding:
    """One finding for a patient: from the mean of the class probabilities of several slices, each weighing the same."""
    rows = np.array([[(finding.probabilities or {})[label] for label in manifest.labels] for finding in findings])
    return graded_finding(rows.mean(axis=0), manifest, point)
