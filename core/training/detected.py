"""Held-out results of a detector: evaluation_boxes.csv, figures beside those of the mean boxes, operating points."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import UsageError
from core.io.box_evidence import FILE, BoxEvidence
from core.manifest import Metric, OperatingPoint
from core.metrics.coco import average_precision_and_recall
from core.metrics.delong import auroc_interval
from core.metrics.detection import ClassDetection, DetectionReport, detection_report
from core.metrics.proportions import Interval
from core.training.answers import Answers
from core.training.held_out import HeldOut, operating_point
from core.training.pack import Pack

CHOICE = "youden"
CHANCE = 0.5
PREFIX = "mean_box_"
WORDED_NOTE = "against all other images; DeLong's interval, clustered by patient"
_NOTES = {"": "bootstrap by patient", PREFIX: "every image answered by the mean box of the training images"}


def headline(found: BoxEvidence) -> NDArray[np.float64]:
    """AP50 and AR of all labels together, and the AUROC of each label's presence, as far as the images can give them."""
    areas = []
    for place in range(len(found.labels)):
        is_there, score = found.presence(place)
        if min(is_there.sum(), (~is_there).sum()) > 1:
            areas.append(auroc_interval(is_there, score).value)
    return np.array([*(average_precision_and_recall(found.by_label()) or ()), *areas])


def detected(
    labels: Sequence[str],
    pack: Pack,
    answers: Answers,
    network: torch.nn.Module,
    fold: int,
    facts: Mapping[str, str],
    seed: int,
) -> HeldOut:
    """Evidence, figures and operating points of a detector.

    An operating point is about presence, the highest score of a finding in an image: chosen on the validation fold, measured on
    the held-out images. A finding whose AUROC on the validation fold may be that of chance is never called. Images that
    only words are known of give the AUROC of presence and nothing else.

    Args:
        labels: In the order of their numbers.
        pack: Images with boxes, held-out ones (fold -1) among them.
        answers: Of the folds on `pack`.
        network: That of `fold` as it is shipped.
        fold: The published one.
        facts: Of the pack: names of the held-out images, with boxes (test_name) and with words alone (worded_name).
        seed: Of the intervals of the thresholds.

    Raises:
        UsageError: No held-out image; or a label that either set has in all images or in none.
    """
    if not ((pack.folds < 0) & pack.is_boxed).any():
        raise UsageError("no held-out image, so nothing can be measured")
    data = facts["test_name"]
    training = (pack.folds >= 0) & (pack.folds != fold) & pack.is_boxed
    test = answers.boxes(network, labels, (pack.folds < 0) & pack.is_boxed, training)
    validation = answers.boxes(network, labels, (pack.folds == fold) & pack.is_boxed, training)
    reports = {
        "": detection_report(test.by_label(), test.patients),
        PREFIX: detection_report(test.mean_boxes_by_label(), test.patients),
    }
    metrics = [one for prefix, report in reports.items() for one in _metrics(labels, report, prefix, data)]
    metrics += _of_words(labels, pack, answers, network, facts)
    points = [_point(test, validation, place, data, seed) for place in range(len(labels))]
    return HeldOut({FILE: test.to_bytes()}, tuple(metrics), tuple(points))


def _of_words(
    labels: Sequence[str], pack: Pack, answers: Answers, network: torch.nn.Module, facts: Mapping[str, str]
) -> Iterator[Metric]:
    """AUROC of presence on the held-out images without boxes, for the labels that the words say something of."""
    worded = (pack.folds < 0) & ~pack.is_boxed
    if not worded.any():
        return
    found = answers.scored(network, worded)
    for place, label in enumerate(labels):
        known = pack.presence[worded, place]
        own = np.isfinite(known)
        if min((known[own] > 0).sum(), (known[own] == 0).sum()) > 1:
            value = auroc_interval(known[own] > 0, found.probabilities[own, place], found.patients[own])
            yield _metric("presence_auroc", label, value, int(own.sum()), facts["worded_name"], WORDED_NOTE)


def _point(test: BoxEvidence, validation: BoxEvidence, place: int, data: str, seed: int) -> OperatingPoint:
    label = test.labels[place]
    for name, found in (("validation", validation), ("held-out", test)):
        is_there, _ = found.presence(place)
        if is_there.all() or not is_there.any():
            raise UsageError(f"{is_there.sum()} of {len(is_there)} {name} images hold {label}: both kinds are needed")
    chosen_on, measured_on = ((y.astype(np.float64), s) for y, s in (validation.presence(place), test.presence(place)))
    tells = auroc_interval(*chosen_on, validation.patients).low > CHANCE
    return operating_point((label, label, CHOICE if tells else "never"), chosen_on, measured_on, data, seed)


def _metrics(labels: Sequence[str], report: DetectionReport, prefix: str, data: str) -> Iterator[Metric]:
    """Figures of all labels together, then of each; what the images cannot give is left out."""
    note = _NOTES[prefix]
    means = {
        "mean_average_precision_50": report.mean_average_precision_50,
        "mean_average_precision": report.mean_average_precision,
        "mean_average_recall": report.mean_average_recall,
    }
    for label, values in (("", means), *zip(labels, map(_figures, report.per_class), strict=True)):
        for name, value in values.items():
            if value is not None:
                yield _metric(f"{prefix}{name}", label, value, report.n_images, data, note)


def _metric(name: str, label: str, value: Interval, n: int, data: str, note: str) -> Metric:
    numbers = (round(number, 6) for number in (value.value, value.low, value.high))
    return Metric(
        name=name, label=label, **dict(zip(("value", "low", "high"), numbers, strict=True)), n=n, data=data, note=note
    )


def _figures(own: ClassDetection) -> dict[str, Interval | None]:
    found = {
        "average_precision_50": own.average_precision_50,
        "average_precision": own.average_precision,
        "average_recall": own.average_recall,
        "presence_auroc": own.presence_auroc,
    }
    points = own.froc.points if own.froc else ()
    return found | {f"box_sensitivity_{point.fp_per_image:g}": point.sensitivity for point in points}
