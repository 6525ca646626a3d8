"""Held-out results of a segmenter: every image answered by the fold that never saw it."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import UsageError
from core.io.pixel_evidence import FILE, ImageAnswer, PixelEvidence, evidence_of, gather
from core.manifest import Metric, OperatingPoint
from core.metrics.lesions import LESION_THRESHOLDS, lesion_report
from core.metrics.pixel_histogram import N_BINS, auroc_of_rows, average_precision_of_rows
from core.metrics.proportions import Interval
from core.metrics.segmentation import SegmentationReport, segmentation_report
from core.training.answers import Answers
from core.training.fit import Fitted
from core.training.held_out import HeldOut, estimate
from core.training.pack import Pack

DATA = "every image by the fold that never saw it"
N_RESAMPLES = 400


def evidence(
    answers: Answers, learn: ModuleType, pack: Pack, network: torch.nn.Module, mask: NDArray[np.bool_]
) -> PixelEvidence:
    """Answers of one network on some images of the pack."""
    rows = []
    for place, scores in answers.each(network, mask):
        truth, inside = learn.truth(pack.label_maps[place])
        rows.append(
            evidence_of(
                ImageAnswer(
                    case=str(pack.cases[place]),
                    patient=str(pack.patients[place]),
                    pixel_hash=str(pack.pixel_hashes[place]),
                    fold=int(pack.folds[place]),
                    scores=scores,
                    rule=learn.rule(pack.images[place]),
                    truth=truth,
                    inside=inside,
                )
            )
        )
    return gather(rows)


def areas(found: PixelEvidence) -> NDArray[np.float64]:
    """Pooled AUROC and average precision of each label, (2 l,)."""
    pooled = found.histograms.sum(axis=0).astype(np.float64)
    return np.concatenate(
        [measure(pooled[:, 0], pooled[:, 1]) for measure in (auroc_of_rows, average_precision_of_rows)]
    )


def segmented(
    labels: Sequence[str],
    pack: Pack,
    answers: Answers,
    learn: ModuleType,
    network: torch.nn.Module,
    fitted: dict[int, Fitted],
    fold: int,
) -> HeldOut:
    """Evidence, figures and operating points of a segmenter.

    The threshold of a label is that of the best Dice on the validation images of the published fold; what it gives is measured
    on the images of the other folds, each answered by its own model.

    Args:
        labels: In channel order.
        pack: Images with label maps.
        answers: Of the folds on `pack`.
        learn: The task's learn.py.
        network: That of `fold` as it is shipped.
        fitted: Results of fit_fold by validation fold; figures are of these folds' images.
        fold: The published one.
    """
    parts = [
        evidence(answers, learn, pack, network if own == fold else answers.network(fitted[own]), pack.folds == own)
        for own in fitted
    ]
    found = gather_parts(parts)
    metrics, points = [], []
    for place, label in enumerate(labels):
        chosen_on = found.histograms[found.folds == fold, place]
        if not chosen_on[:, 1].any():
            raise UsageError(f"the images of fold {fold} hold no {label}, so no threshold can be chosen on them")
        threshold, low, high = _best_dice(chosen_on)
        others = found.of(found.folds != fold) if len(parts) > 1 else found
        report = segmentation_report(found.histograms[:, place], found.patients, threshold)
        measured = segmentation_report(others.histograms[:, place], others.patients, threshold)
        metrics += _metrics(label, report, measured, found, place)
        sensitivity, specificity = measured.at_threshold.sensitivity, measured.at_threshold.specificity
        if sensitivity is None or specificity is None:
            raise UsageError(f"the images hold no {label}, so no threshold can be measured")
        points.append(
            OperatingPoint(
                id=label,
                label=label,
                threshold=threshold,
                threshold_low=low,
                threshold_high=high,
                chosen_for="largest Dice of the pixels",
                chosen_on=f"validation fold, n = {len(chosen_on)}",
                sensitivity=estimate(sensitivity),
                specificity=estimate(specificity),
                data=f"pixels of the other folds' images, {DATA}",
                n=len(others.cases),
            )
        )
    return HeldOut({FILE: found.to_bytes()}, tuple(metrics), tuple(points))


def gather_parts(parts: Sequence[PixelEvidence]) -> PixelEvidence:
    """Several pieces of evidence as one."""
    names = PixelEvidence.__dataclass_fields__
    return PixelEvidence(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _best_dice(histograms: NDArray[np.int64]) -> tuple[float, float, float]:
    """Threshold of the largest pooled Dice, and its 95 % interval over images.

    Args:
        histograms: (n, 2, 1024), with a positive pixel. Resamples without one choose no threshold.
    """
    rng = np.random.default_rng(0)
    n = len(histograms)
    copies = np.stack([np.ones(n), *(np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(N_RESAMPLES))])
    above = np.einsum("rn,nkb->rkb", copies, histograms)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    dice = 2 * above[:, 1] / np.maximum(above[:, 0] + above[:, 1] + above[:, 1, :1], 1)
    chosen = dice.argmax(axis=1) / N_BINS
    low, high = np.quantile(chosen[1:][above[1:, 1, 0] > 0], (0.025, 0.975))
    return float(chosen[0]), float(low), float(high)


def _metrics(
    label: str, report: SegmentationReport, measured: SegmentationReport, found: PixelEvidence, place: int
) -> list[Metric]:
    """Figures of one label: threshold-free ones of all images, the others of those that the threshold was not chosen on."""
    rule = segmentation_report(found.rule_histograms[:, place], found.patients, 0.5)
    nearest = float(LESION_THRESHOLDS[np.abs(LESION_THRESHOLDS - measured.at_threshold.threshold).argmin()])
    lesions = lesion_report(found.counts(place), LESION_THRESHOLDS, found.patients, nearest)
    n, with_lesion = report.n_images, report.n_images - report.n_without_positives
    own = "threshold of the operating point, pixels pooled"
    rows: list[tuple[str, Interval | None, int, str]] = [
        ("pixel_auroc", report.auroc, n, "pixels pooled over images"),
        ("average_precision", report.average_precision, n, "pixels pooled over images"),
        ("image_auroc_mean", report.image_auroc.mean, with_lesion, "images without the lesion have none"),
        ("dice", measured.at_threshold.dice, measured.n_images, own),
        ("iou", measured.at_threshold.iou, measured.n_images, own),
        ("pixel_accuracy", measured.at_threshold.accuracy, measured.n_images, own),
        (
            "accuracy_all_background",
            measured.at_threshold.accuracy_all_background,
            measured.n_images,
            "no pixel called",
        ),
        ("rule_pixel_auroc", rule.auroc, n, "trivial rule on the same pixels"),
        ("rule_average_precision", rule.average_precision, n, "trivial rule on the same pixels"),
        (
            "false_alarm_share",
            lesions.false_alarm_share,
            lesions.n_without_lesions,
            f"share of the field called at {nearest:.3f} in images without the lesion",
        ),
    ]
    for point in lesions.froc.points if lesions.froc else ():
        note = f"lesions touched at up to {point.fp_per_image:g} false positives an image"
        rows.append((f"lesion_sensitivity_{point.fp_per_image:g}", point.sensitivity, lesions.n_lesions, note))
    return [
        Metric(name=name, label=label, value=value.value, low=value.low, high=value.high, n=count, data=DATA, note=note)
        for name, value, count, note in rows
        if value is not None
    ]
