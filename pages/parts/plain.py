"""One plain sentence for each kind of number, shown where a reader asks for it."""

from collections.abc import Mapping

from core.i18n import mark
from pages.parts.words import t

PLAIN: Mapping[str, str] = {
    mark("Sensitivity"): mark("Of all cases with the finding, the share that the model calls positive."),
    mark("Specificity"): mark("Of all cases without the finding, the share that the model calls negative."),
    mark("Positive predictive value"): mark("Of all cases called positive, the share that has the finding."),
    mark("Negative predictive value"): mark("Of all cases called negative, the share that is free of the finding."),
    mark("AUROC"): mark(
        "How often a case with the finding scores higher than one without: 0.5 is chance, 1 is always."
    ),
    mark("AUROC of the pixels"): mark("How often a pixel of the finding scores higher than another: 0.5 is chance."),
    mark("Macro AUROC"): mark("The mean of the AUROCs of every grade against the others: 0.5 is chance, 1 is always."),
    mark("Average precision"): mark(
        "Precision averaged over all thresholds: chance gives the share of positive cases."
    ),
    "Dice": mark("Twice the overlap of answer and reference, over the sum of both areas: 1 is the same area."),
    mark("Lesions found at 1 FP/image"): mark("Share of lesions found where one false alarm an image is allowed."),
    mark("Accuracy"): mark(
        "Share of cases that are called right. With few positives, calling all negative does well too."
    ),
    mark("Within one grade"): mark("Share of cases that are called right or one grade off."),
    mark("Weighted kappa"): mark("Agreement beyond chance: 0 is chance, 1 is complete; far errors weigh more."),
    mark("Mean error, grades"): mark("How many grades the answer lies off on average; 0 is none."),
    "n": mark("How many cases the numbers come from: few cases give wide intervals."),
    mark("Patients"): mark(
        "How many people the cases come from; several images of one person tell less than as many people."
    ),
    mark("Expected grade, 0 to 4"): mark("The mean of the grades, each weighed by its probability."),
    mark("Uptake, times the shafts"): mark("How much brighter the knee is than the shafts of the bones beside it."),
    mark("Cosine between the networks"): mark(
        "How alike the two networks see the image: 0 is not at all, 1 is the same."
    ),
    mark("Alpha, weight of network s"): mark(
        "How much of the answer comes from network s; the rest comes from network t."
    ),
}


def plain(name: str) -> str | None:
    """The sentence for a number by its translated name, None where it needs none."""
    return next((t(sentence) for known, sentence in PLAIN.items() if t(known) == name), None)
