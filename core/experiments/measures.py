"""What a fitted network answers on some cases, as columns of runs.csv, and how good each answer is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.metrics.agreement import weighted_kappa
from core.metrics.cases import binary_cases
from core.metrics.coco import average_precision_and_recall, by_label
from core.metrics.confusion import classification_report
from core.metrics.delong import auroc_of_copies
from core.metrics.pixel_histogram import (
    auroc_of_rows,
    average_precision_of_rows,
    called_at,
    pixel_histogram,
    stacked_histograms,
)
from core.training.fit import predict
from core.training.pack import Pack

Figures = dict[str, float | int | None]
CALLED = 0.5  # from here on a pixel counts as a lesion


@dataclass(frozen=True)
class Measured:
    """Figures of some cases; none where an answer is not finite.

    Attributes:
        figures: Over all cases.
        marks: Of each case in order, [0, 1]: right or wrong, Dice of the lesions, or AP50 of the boxes; None where the case
            has none. Empty where there are no figures.
    """

    figures: Figures
    marks: list[float | None]


NOTHING = Measured({}, [])


def measured(network: torch.nn.Module, scores: Any, learn: Any, pack: Pack, mask: NDArray[np.bool_]) -> Measured:
    """Figures of some cases, and of each of them.

    Args:
        network: With the weights of the kept epoch.
        scores: Of the task's network module: output to probabilities.
        learn: See `inputs.learner`.
        pack: Arrays.
        mask: Which cases.
    """
    if pack.label_maps.size:
        return _of_masks(network, scores, learn, pack, mask)
    outputs = predict(network, learn, torch.from_numpy(pack.images[mask]))
    if not outputs.isfinite().all():
        return NOTHING
    if pack.has_boxes:
        detected, reference = outputs.numpy(), pack.boxes_of(mask)
        own = [of_boxes(detected[[place]], [boxes]).get("ap50") for place, boxes in enumerate(reference)]
        return Measured(of_boxes(detected, reference), own)
    targets = pack.targets[mask].astype(np.int64)
    probabilities = scores(outputs).numpy().astype(np.float64)
    figures = of_grades(targets, probabilities)
    branches = list(getattr(network, "rows", ()))[1:]  # of a pair, what each network answers alone
    for place, name in enumerate(branches, start=1):
        alone = of_grades(targets, scores(outputs[:, [place]]).numpy().astype(np.float64))
        figures |= {f"{name}_{own}": value for own, value in alone.items() if own.startswith(("accuracy", "recall"))}
    return Measured(figures, [float(right) for right in answered(probabilities) == targets])


def answered(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """The likeliest class of each case, (N,), from (N, 1) of class 1 or (N, C)."""
    if probabilities.shape[1] == 1:
        return (probabilities[:, 0] > 0.5).astype(np.int64)
    return probabilities.argmax(axis=1)


def of_grades(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Figures:
    """Accuracy as k of n, precision, recall and F1 of every class; AUROC of two classes, kappa and distance of more.

    Args:
        targets: (N,).
        probabilities: (N, 1) of class 1, or (N, C).
    """
    binary = probabilities.shape[1] == 1
    answers = np.hstack([1 - probabilities, probabilities]) if binary else probabilities
    predicted, n_classes = answered(probabilities), answers.shape[1]
    report = classification_report(targets, predicted, [str(grade) for grade in range(n_classes)])
    figures: Figures = {"k": int((predicted == targets).sum()), "n": len(targets), "accuracy": report.accuracy.value}
    for own in report.classes:
        figures |= {
            f"precision_{own.label}": own.precision,
            f"recall_{own.label}": own.recall,
            f"f1_{own.label}": own.f1,
        }
    if binary:
        has_both = len(set(targets)) == 2
        auroc = auroc_of_copies(binary_cases(targets, answers[:, 1])) if has_both else None
        return figures | {"auroc": float(auroc(np.ones((1, len(targets))))[0]) if auroc else None}
    has_kappa = len({*targets, *predicted}) > 1
    return figures | {
        "kappa": weighted_kappa(targets, predicted, n_classes) if has_kappa else None,
        "mae": float(np.abs(predicted - targets).mean()),
    }


def of_boxes(detected: NDArray[np.float32], reference: list[NDArray[np.float32]]) -> Figures:
    """AP50 and average recall, means over the labels that have a box.

    Args:
        detected: (N, D, 6).
        reference: Boxes of each image, (M, 5).
    """
    n_labels = int(max(own[:, 4].max(initial=0) for own in reference))
    if not n_labels:
        return {}
    found = average_precision_and_recall(
        [by_label(own, boxes, n_labels) for own, boxes in zip(detected, reference, strict=True)]
    )
    return {} if found is None else {"ap50": found[0], "ar": found[1]}


def _of_masks(network: torch.nn.Module, scores: Any, learn: Any, pack: Pack, mask: NDArray[np.bool_]) -> Measured:
    histograms = []
    for place in np.flatnonzero(mask):
        output = predict(network, learn, torch.from_numpy(pack.images[place])[None])
        if not output.isfinite().all():
            return NOTHING
        truth, inside = learn.truth(pack.label_maps[place])
        found = scores(output)[0].numpy()
        histograms.append([pixel_histogram(own, marked, inside) for own, marked in zip(found, truth, strict=True)])
    counts = np.array(histograms)
    return Measured(of_pixels(counts), [_number(of_pixels(own[None])["dice"]) for own in counts])


def of_pixels(histograms: NDArray[np.int64]) -> Figures:
    """Pixel AUROC, average precision and Dice; each image has one AUROC a label that is marked on it.

    Args:
        histograms: (N, L, 2, 1024), see `metrics.pixel_histogram`.

    Returns:
        auroc, average_precision and dice: means over the labels of what all pixels together give. image_auroc and
        image_auroc_best: mean and largest over images and labels; n_image_auroc of how many; n_below_half of them below 0.5.
        n_empty: images with a marked lesion of which not one pixel is called; n_marked of how many.
    """
    labels = [stacked_histograms(histograms[:, label]) for label in range(histograms.shape[1])]
    pooled = np.stack([own.sum(axis=0) for own in labels]).astype(np.float64)
    of_images = np.concatenate([auroc_of_rows(own[:, 0].astype(float), own[:, 1].astype(float)) for own in labels])
    known = of_images[~np.isnan(of_images)]
    called = np.stack([called_at(own, CALLED)[0] for own in labels])  # (L, N, 2), false and true positives
    n_called, n_positive = called.sum(axis=(1, 2)), pooled[:, 1].sum(axis=1)
    has_lesion = histograms[:, :, 1].sum(axis=(1, 2)) > 0
    is_empty = called.sum(axis=(0, 2)) == 0
    dice = 2 * called[:, :, 1].sum(axis=1) / np.maximum(n_called + n_positive, 1)
    return {
        "auroc": _mean(auroc_of_rows(pooled[:, 0], pooled[:, 1])),
        "average_precision": _mean(average_precision_of_rows(pooled[:, 0], pooled[:, 1])),
        "dice": _mean(np.where(n_positive > 0, dice, np.nan)),
        "image_auroc": _mean(known),
        "image_auroc_best": float(known.max()) if known.size else None,
        "n_image_auroc": int(known.size),
        "n_below_half": int((known < 0.5).sum()),
        "n_empty": int((is_empty & has_lesion).sum()),
        "n_marked": int(has_lesion.sum()),
    }


def _number(value: float | int | None) -> float | None:
    return None if value is None else float(value)


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def prefixed(prefix: str, figures: Mapping[str, float | int | None]) -> Figures:
    """Figures under the name of the part they were measured on."""
    return {f"{prefix}_{name}": value for name, value in figures.items()}
