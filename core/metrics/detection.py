"""Everything there is to say about a detector: matching, average precision and recall of COCO, FROC, presence of a finding.

Matching and the numbers of COCO are those of `core.metrics.coco`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import intervals_or_none
from core.metrics.boxes import box_iou, holds_centre
from core.metrics.cases import last_of_ties, patient_index
from core.metrics.coco import (
    ClassCases,
    ImageBoxes,
    class_cases,
    coco_numbers,
    count_up_to,
    match_at,
    with_mean_of_classes,
)
from core.metrics.delong import auroc_interval
from core.metrics.lesions import FrocCurve, froc_curve
from core.metrics.proportions import Interval


@dataclass(frozen=True)
class ClassDetection:
    """One class of boxes. Intervals come from resampled patients; None stands where the class has no reference box, or where more
    than a tenth of the resamples have none.

    Attributes:
        average_precision: Mean over IoU 0.50 to 0.95 in steps of 0.05, precision read at 101 recalls (AP of COCO).
        average_precision_50: At IoU 0.50 (AP50).
        average_recall: Largest recall, mean over the same IoUs (AR100).
        froc: A reference box is found by the detection that `match_boxes` gives it; every other detection is a false positive.
        froc_centre: A reference box is found by a detection whose centre lies in it; further hits of a found box do not count.
        presence_auroc: Highest score of an image against whether it has a reference box, with Obuchowski's interval; None where
            either kind of image comes from fewer than two patients.
        n_reference, n_detected: Boxes, of detections the best 100 an image.
        n_with_reference: Images with a reference box.
    """

    average_precision: Interval | None
    average_precision_50: Interval | None
    average_recall: Interval | None
    froc: FrocCurve | None
    froc_centre: FrocCurve | None
    presence_auroc: Interval | None
    n_reference: int
    n_detected: int
    n_with_reference: int


@dataclass(frozen=True)
class DetectionReport:
    """A detector on one set of images.

    Attributes:
        n_images, n_patients: Behind it; images without any box count.
        mean_average_precision, mean_average_precision_50, mean_average_recall: Plain means over the classes that have a reference
            box, in every resample anew; None where no class has one.
        per_class: In the order of the caller.
    """

    n_images: int
    n_patients: int
    mean_average_precision: Interval | None
    mean_average_precision_50: Interval | None
    mean_average_recall: Interval | None
    per_class: tuple[ClassDetection, ...]


def detection_report(images: Sequence[Sequence[ImageBoxes]], patients: ArrayLike, seed: int = 0) -> DetectionReport:
    """Measure a detector; intervals are percentiles of 2000 resamples of patients.

    Args:
        images: `images[i][c]` holds class c of image i; images without any box belong here too.
        patients: (n,), anything that is equal for images of one patient.
        seed: Same seed, same report.

    Raises:
        UsageError: Images with different numbers of classes, a patient too many or too few, or fewer than two.
    """
    patient = patient_index(patients, len(images))
    n_patients = len(np.unique(patient))
    n_classes = {len(image) for image in images}
    if n_patients < 2 or len(n_classes) != 1:
        raise UsageError(f"a report on {len(images)} images of {n_patients} patients with {sorted(n_classes)} classes")
    classes = [class_cases([image[c] for image in images]) for c in range(n_classes.pop())]
    intervals = intervals_or_none(with_mean_of_classes([coco_numbers(cases) for cases in classes]), patient, seed)
    *of_classes, of_all = (_CocoIntervals(*intervals[i : i + 3]) for i in range(0, len(intervals), 3))
    return DetectionReport(
        n_images=len(images),
        n_patients=n_patients,
        mean_average_precision=of_all.average_precision,
        mean_average_precision_50=of_all.average_precision_50,
        mean_average_recall=of_all.average_recall,
        per_class=tuple(
            _class_detection(cases, numbers, patient, seed) for cases, numbers in zip(classes, of_classes, strict=True)
        ),
    )


class _CocoIntervals(NamedTuple):
    average_precision: Interval | None
    average_precision_50: Interval | None
    average_recall: Interval | None


def _class_detection(
    cases: ClassCases, numbers: _CocoIntervals, patient: NDArray[np.int64], seed: int
) -> ClassDetection:
    is_match = cases.is_match[0]  # IoU 0.50
    has_reference = cases.n_reference > 0
    has_curve = bool(has_reference.any())
    return ClassDetection(
        average_precision=numbers.average_precision,
        average_precision_50=numbers.average_precision_50,
        average_recall=numbers.average_recall,
        froc=_froc(cases, is_match, ~is_match, patient, seed) if has_curve else None,
        froc_centre=_froc(cases, *_centre_hits(cases), patient, seed) if has_curve else None,
        presence_auroc=_presence(cases, has_reference, patient),
        n_reference=int(cases.n_reference.sum()),
        n_detected=cases.score.size,
        n_with_reference=int(np.count_nonzero(has_reference)),
    )


def _froc(
    cases: ClassCases,
    is_hit: NDArray[np.bool_],
    is_false: NDArray[np.bool_],
    patient: NDArray[np.int64],
    seed: int,
) -> FrocCurve:
    """FROC at every score that finds a box, and at the lowest score: between these only false positives are added."""
    ends = last_of_ties(cases.score) if cases.score.size else np.zeros(0, dtype=np.int64)
    finds = np.add.reduceat(is_hit, np.append(0, ends[:-1] + 1)) > 0 if ends.size else np.zeros(0, dtype=bool)
    finds[-1:] = True
    ends = ends[finds]
    n_found, n_false = (count_up_to(cases, which, ends) for which in (is_hit, is_false))
    return froc_curve(cases.score[ends], n_found, n_false, cases.n_reference, patient, seed)


def _centre_hits(cases: ClassCases) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """First hits of a reference box, and detections that hit none: boolean (d,) each, in the joined order.

    The highest score chooses first, and takes the free box of the largest IoU among those that hold its centre.
    """
    first, none = [], []
    for image in cases.images:
        holds = holds_centre(image.detected, image.reference)
        iou = np.where(holds, 1.0 + box_iou(image.detected, image.reference), 0.0)
        first.append(match_at(iou, np.array([1.0]))[0] >= 0)
        none.append(~holds.any(axis=1))
    return np.concatenate(first)[cases.order], np.concatenate(none)[cases.order]


def _presence(cases: ClassCases, has_reference: NDArray[np.bool_], patient: NDArray[np.int64]) -> Interval | None:
    lowest = cases.score.min(initial=0.0) - 1.0  # of an image without a detection: below every score
    highest = [image.scores.max(initial=lowest) for image in cases.images]
    try:
        return auroc_interval(has_reference, highest, patient)
    except UsageError:  # the cases are checked, so one kind of image is missing or of one patient
        return None
