"""Matching of boxes, and COCO's average precision and recall (Lin et al., ECCV 2014; cocoapi `cocoeval.py`), by NumPy alone.

Without crowds and area ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.bootstrap import ManyStatistics
from core.metrics.boxes import box_iou, checked_boxes

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100  # of one image and class
MATCH_IOU = 0.5
LABEL, SCORE = 4, 5  # columns of a detection; a reference box ends with its label
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


def by_label(detected: NDArray[np.floating], reference: NDArray[np.floating], n_labels: int) -> list[ImageBoxes]:
    """Boxes of each label in one image.

    Args:
        detected: (d, 6), x0, y0, x1, y1, number of the label from 1, score; rows of score 0 are none.
        reference: (m, 5), without a score.
        n_labels: Number of labels.
    """
    found = detected[detected[:, SCORE] > 0]
    return [
        image_boxes(
            reference[reference[:, LABEL] == number, :4],
            found[found[:, LABEL] == number, :4],
            found[found[:, LABEL] == number, SCORE],
        )
        for number in range(1, n_labels + 1)
    ]


def match_boxes(image: ImageBoxes, min_iou: float = MATCH_IOU) -> NDArray[np.int64]:
    """Give every detection at most one reference box, and every reference box at most one detection.

    The highest score chooses first, and takes the free reference box of the largest IoU of at least `min_iou`.

    Returns:
        int64 (d,), index of the reference box; -1 for a false positive.
    """
    return match_at(box_iou(image.detected, image.reference), np.array([min_iou]))[0]


def average_precision_and_recall(images: Sequence[Sequence[ImageBoxes]]) -> tuple[float, float] | None:
    """AP50 and AR100, means over the classes that have a reference box; None where no class has one.

    Args:
        images: `images[i][c]` holds class c of image i.
    """
    classes = [class_cases([image[c] for image in images]) for c in range(len(images[0]))]
    (row,) = with_mean_of_classes([coco_numbers(cases) for cases in classes])(np.ones((1, len(images))))
    precision, recall = row[-2:]
    return None if np.isnan(precision) else (float(precision), float(recall))


@dataclass(frozen=True)
class ClassCases:
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


def class_cases(images: list[ImageBoxes]) -> ClassCases:
    """Match one class in every image and join the detections."""
    score = np.concatenate([image.scores for image in images])
    order = np.argsort(-score, kind="stable")
    matches = [match_at(box_iou(image.detected, image.reference), IOU_THRESHOLDS) for image in images]
    return ClassCases(
        images=images,
        n_reference=np.array([len(image.reference) for image in images]),
        order=order,
        image=np.repeat(np.arange(len(images)), [image.scores.size for image in images])[order],
        score=score[order],
        is_match=(np.concatenate(matches, axis=1) >= 0)[:, order],
    )


def coco_numbers(cases: ClassCases) -> ManyStatistics:
    """AP, AP50 and AR of every resample: (r, 3).

    The precision envelope has its corners at matches, so that the curve is kept at those detections only. Copies of an image
    pass a threshold together, which leaves the envelope as it is.
    """
    ends = [np.flatnonzero(row) for row in cases.is_match]
    n_called = [count_up_to(cases, np.ones(cases.score.shape, dtype=bool), places) for places in ends]
    n_found = [count_up_to(cases, row, places) for row, places in zip(cases.is_match, ends, strict=True)]
    n_matches = np.bincount(cases.image, cases.is_match.mean(axis=0), minlength=len(cases.images))

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        n_reference = np.maximum(copies @ cases.n_reference, 1.0)
        pairs = zip(n_found, n_called, strict=True)
        areas = np.stack([_area(copies @ found, copies @ called, n_reference) for found, called in pairs])
        numbers = np.stack([areas.mean(axis=0), areas[0], copies @ n_matches / n_reference], axis=1)
        numbers[copies @ cases.n_reference == 0] = np.nan
        return numbers

    return statistics


def with_mean_of_classes(classes: list[ManyStatistics]) -> ManyStatistics:
    """The numbers of all classes side by side, then their means over the classes that have them: (r, 3 c + 3)."""

    def statistics(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.stack([of_class(copies) for of_class in classes])
        n_defined = np.count_nonzero(~np.isnan(values), axis=0)
        undefined = np.full(n_defined.shape, np.nan)
        mean = np.divide(np.nansum(values, axis=0), n_defined, out=undefined, where=n_defined > 0)
        return np.concatenate([*values, mean], axis=1)

    return statistics


def match_at(iou: NDArray[np.float64], min_iou: NDArray[np.float64]) -> NDArray[np.int64]:
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


def count_up_to(cases: ClassCases, is_counted: NDArray[np.bool_], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counted detections of each image up to each place of the joined order: float64 (n, e)."""
    places = np.flatnonzero(is_counted)
    counts = np.zeros((len(cases.images), ends.size + 1))
    np.add.at(counts, (cases.image[places], np.searchsorted(ends, places)), 1.0)
    return np.cumsum(counts[:, :-1], axis=1)


def _area(
    found: NDArray[np.float64], called: NDArray[np.float64], n_reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the precision envelope over the 101 recalls, 0 beyond the last recall reached: float64 (r,)."""
    precision = found / np.maximum(called, 1.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    n_reached = np.searchsorted(_RECALLS, found / n_reference[:, np.newaxis], side="right")
    return np.sum(envelope * np.diff(n_reached, prepend=0, axis=1), axis=1) / _RECALLS.size
