"""Everything there is to say about a detector: matching, average precision and recall of COCO, FROC, presence of a finding.

The rules are those of COCO's evaluation (Lin et al., ECCV 2014; cocoapi `cocoeval.py`) without crowds and area ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import ManyStatistics, intervals_or_none
from core.metrics.boxes import box_iou, checked_boxes, holds_centre
from core.metrics.cases import last_of_ties, patient_index
from core.metrics.delong import auroc_interval
from core.metrics.lesions import FrocCurve, froc_curve
from core.metrics.proportions import Interval

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100  # of one image and class
MATCH_IOU = 0.5
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class ImageBoxes:
    """Boxes of one class in one image; made by `image_boxes`.

    Attributes:
        reference: float64 (m, 4).
        detected: float64 (d, 4), highest score first.
        scores: float64 (d,), falling.
    """

    reference: NDArray[np.float64]
    detected: NDArray[np.float64]
    scores: NDArray[np.float64]


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


def image_boxes(reference: ArrayLike, detected: ArrayLike, scores: ArrayLike) -> ImageBoxes:
    """Check the boxes of one class in one image, sort the detections and keep the best 100.

    Args:
        reference: (m, 4), the reference standard.
        detected: (d, 4).
        scores: (d,), finite. Equal scores keep their order.

    Raises:
        UsageError: See `checked_boxes`; or the scores do not fit.
    """
    boxes, values = checked_boxes(detected), np.asarray(scores, dtype=np.float64)
    if values.shape != (len(boxes),) or not np.isfinite(values).all():
        raise UsageError(f"scores of shape {values.shape} for {len(boxes)} boxes, or one that is not finite")
    order = np.argsort(-values, kind="stable")[:MAX_DETECTIONS]
    return ImageBoxes(checked_boxes(reference), boxes[order], values[order])


def match_boxes(image: ImageBoxes, min_iou: float = MATCH_IOU) -> NDArray[np.int64]:
    """Give every detection at most one reference box, and every reference box at most one detection.

    The highest score chooses first, and takes the free reference box of the largest IoU of at least `min_iou`.

    Returns:
        int64 (d,), index of the reference box; -1 for a false positive.
    """
    return _match(box_iou(image.detected, image.reference), np.array([min_iou]))[0]


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
    classes = [_class_cases([image[c] for image in images]) for c in range(n_classes.pop())]
    intervals = intervals_or_none(_with_mean_of_classes([_coco_numbers(cases) for cases in classes]), patient, seed)
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


@dataclass(frozen=True)
class _ClassCases:
    """One class in all images, detections of all images joined and sorted by falling score.

    Attributes:
        images: As given.
        n_reference: int64 (n,).
        order: int64 (d,), place of each detection before sorting.
        image: int64 (d,), image of each detection.
        score: float64 (d,), falling.
        is_match: Boolean (10, d), at each IoU.
    """

    images: list[ImageBoxes]
    n_reference: NDArray[np.int64]
    order: NDArray[np.int64]
    image: NDArray[np.int64]
    score: NDArray[np.float64]
    is_match: NDArray[np.bool_]


def _class_cases(images: list[ImageBoxes]) -> _ClassCases:
    score = np.concatenate([image.scores for image in images])
    order = np.argsort(-score, kind="stable")
    matches = [_match(box_iou(image.detected, image.reference), IOU_THRESHOLDS) for image in images]
    return _ClassCases(
        images=images,
        n_reference=np.array([len(image.reference) for image in images]),
        order=order,
        image=np.repeat(np.arange(len(images)), [image.scores.size for image in images])[order],
        score=score[order],
        is_match=(np.concatenate(matches, axis=1) >= 0)[:, order],
    )


def _match(iou: NDArray[np.float64], min_iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Greedy matching at several IoUs at once: (d, m), (t,) -> int64 (t, d), -1 without a match."""
    n_detected, n_reference = iou.shape
    matched = np.full((min_iou.size, n_detected), -1)
    is_free = np.ones((min_iou.size, n_reference), dtype=bool)
    rows = np.arange(min_iou.size)
    for i in np.flatnonzero(iou.max(axis=1, initial=0.0) >= min_iou.min()):
        best = np.where(is_free & (iou[i] >= min_iou[:, np.newaxis]), iou[i], -1.0)
        chosen = n_reference - 1 - np.argmax(best[:, ::-1], axis=1)  # of equal IoUs COCO takes the last
        is_hit = best[rows, chosen] >= 0
        matched[is_hit, i] = chosen[is_hit]
        is_free[rows[is_hit], chosen[is_hit]] = False
    return matched


def _class_detection(
    cases: _ClassCases, numbers: _CocoIntervals, patient: NDArray[np.int64], seed: int
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


def _coco_numbers(cases: _ClassCases) -> ManyStatistics:
    """AP, AP50 and AR of every resample: (r, 3).

    The precision envelope has its corners at matches, so that the curve is kept at those detections only. Copies of an image
    pass a threshold together, which leaves the envelope as it is.
    """
    ends = [np.flatnonzero(row) for row in cases.is_match]
    n_called = [_count_up_to(cases, np.ones(cases.score.shape, dtype=bool), places) for places in ends]
    n_found = [_count_up_to(cases, row, places) for row, places in zip(cases.is_match, ends, strict=True)]
    n_matches = np.bincount(cases.image, cases.is_match.mean(axis=0), minlength=len(cases.images))

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        n_reference = np.maximum(copies @ cases.n_reference, 1.0)
        pairs = zip(n_found, n_called, strict=True)
        areas = np.stack([_area(copies @ found, copies @ called, n_reference) for found, called in pairs])
        numbers = np.stack([areas.mean(axis=0), areas[0], copies @ n_matches / n_reference], axis=1)
        numbers[copies @ cases.n_reference == 0] = np.nan
        return numbers

    return statistics


def _area(
    found: NDArray[np.float64], called: NDArray[np.float64], n_reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the precision envelope over the 101 recalls, 0 beyond the last recall reached: float64 (r,)."""
    precision = found / np.maximum(called, 1.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    n_reached = np.searchsorted(_RECALLS, found / n_reference[:, np.newaxis], side="right")
    return np.sum(envelope * np.diff(n_reached, prepend=0, axis=1), axis=1) / _RECALLS.size


def _with_mean_of_classes(classes: list[ManyStatistics]) -> ManyStatistics:
    """The numbers of all classes side by side, then their means over the classes that have them: (r, 3 c + 3)."""

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.stack([of_class(copies) for of_class in classes])
        n_defined = np.count_nonzero(~np.isnan(values), axis=0)
        undefined = np.full(n_defined.shape, np.nan)
        mean = np.divide(np.nansum(values, axis=0), n_defined, out=undefined, where=n_defined > 0)
        return np.concatenate([*values, mean], axis=1)

    return statistics


def _count_up_to(cases: _ClassCases, is_counted: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counted detections of each image up to each place of the joined order: float64 (n, e)."""
    places = np.flatnonzero(is_counted)
    counts = np.zeros((len(cases.images), ends.size + 1))
    np.add.at(counts, (cases.image[places], np.searchsorted(ends, places)), 1.0)
    return np.cumsum(counts[:, :-1], axis=1)


def _froc(
    cases: _ClassCases,
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
    n_found, n_false = (_count_up_to(cases, which, ends) for which in (is_hit, is_false))
    return froc_curve(cases.score[ends], n_found, n_false, cases.n_reference, patient, seed)


def _centre_hits(cases: _ClassCases) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """First hits of a reference box, and detections that hit none: boolean (d,) each, in the joined order.

    The highest score chooses first, and takes the free box of the largest IoU among those that hold its centre.
    """
    first, none = [], []
    for image in cases.images:
        holds = holds_centre(image.detected, image.reference)
        iou = np.where(holds, 1.0 + box_iou(image.detected, image.reference), 0.0)
        first.append(_match(iou, np.array([1.0]))[0] >= 0)
        none.append(~holds.any(axis=1))
    return np.concatenate(first)[cases.order], np.concatenate(none)[cases.order]


def _presence(cases: _ClassCases, has_reference: NDArray[np.bool_], patient: NDArray[np.int64]) -> Interval | None:
    lowest = cases.score.min(initial=0.0) - 1.0  # of an image without a detection: below every score
    highest = [image.scores.max(initial=lowest) for image in cases.images]
    try:
        return auroc_interval(has_reference, highest, patient)
    except UsageError:  # the cases are checked, so one kind of image is missing or of one patient
        return None
