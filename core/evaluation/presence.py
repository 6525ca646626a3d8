"""A detector on images that have words in place of boxes: whether it finds something, not where.

Words were mined from reports and are wrong in about one case in ten; one that stands for a finding is wider or narrower than it.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.engine.loader import Model
from core.errors import UsageError
from core.evaluation.answering import NOTHING_KEPT
from core.evaluation.box_answers import detections
from core.evaluation.json_values import interval_json
from core.evaluation.known import BY_FOLD, BY_MODEL
from core.io.journal import Journal
from core.manifest import Manifest
from core.metrics.delong import auroc_interval
from core.metrics.operating_point import operating_point_metrics
from core.metrics.proportions import Interval
from core.metrics.roc import roc_curve
from core.metrics.thresholds import threshold_for_sensitivity
from core.records import LabelledCase
from core.screening import measure

DIGITS = 4
RULE_OUT_SENSITIVITY = 0.95
PREVALENCE = 0.1  # of an abnormal film where films of the healthy are read; said beside the NPV


@dataclass(frozen=True)
class WordedAnswers:
    """Images with words, and the presence of every label.

    Attributes:
        cases, patients, views: (n,).
        words: Of each image.
        is_abnormal: Boolean (n,), False where the words call the image normal.
        presence: float64 (n, l), the highest score of a box of each label, 0 without any.
        measures: What the task measures beside its boxes, by name, float64 (n,); NaN where it could not be measured.
        scored_by: Images by the source of their answer.
    """

    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    views: NDArray[np.str_]
    words: tuple[frozenset[str], ...]
    is_abnormal: NDArray[np.bool_]
    presence: NDArray[np.float64]
    measures: Mapping[str, NDArray[np.float64]]
    scored_by: Mapping[str, int]

    def has(self, word: str) -> NDArray[np.bool_]:
        """Whether each image has a word."""
        return np.array([word in own for own in self.words])


def answer_words(
    model: Model,
    cases: Iterable[tuple[LabelledCase, frozenset[str]]],
    excluded: Counter[str],
    fold_models: Mapping[int, Model],
    journal: Journal = NOTHING_KEPT,
) -> WordedAnswers:
    """Answer every image that may be counted.

    Args:
        model: The installed model.
        cases: With their words; target 0 = called normal.
        excluded: Gets the number of images left out by reason.
        fold_models: The models of cross-validation by fold, where they are at hand.
        journal: Of the run.

    Raises:
        UsageError: No image was left.
    """
    n_labels, rows, scored_by = len(model.manifest.labels), [], Counter[str]()
    wanted = sorted(set(registry.part(model.manifest.task, "data").MEASURES.values()))
    locate = registry.part(model.manifest.task, "locate").locate
    for case, words, found, fold in detections(model, cases, excluded, fold_models, journal):
        scored_by[BY_MODEL if fold < 0 else BY_FOLD] += 1
        scores = [found[found[:, 4] == number, 5].max(initial=0.0) for number in range(1, n_labels + 1)]
        view = case.study.tags.get("ViewPosition", "")
        measured = measure(case.study, locate(case.study), model).measures
        values = [measured[name][0] if name in measured else np.nan for name in wanted]
        rows.append((case.case_id, case.patient, view, words, case.target > 0, scores, values))
    if not rows:
        raise UsageError(f"no image could be counted; left out: {dict(excluded)}")
    names, patients, views, worded, abnormal, presence, values = zip(*rows, strict=True)
    columns = (np.array(names), np.array(patients), np.array(views))
    measures = dict(zip(wanted, np.array(values, np.float64).T, strict=True))
    return WordedAnswers(
        *columns, worded, np.array(abnormal), np.array(presence, np.float64), measures, dict(scored_by)
    )


def measure_words(
    manifest: Manifest, answers: WordedAnswers, excluded: Mapping[str, int], prevalence: float = PREVALENCE
) -> dict[str, Any]:
    """Statistics as JSON values: `{n, metrics: {label: {name: {value, ci}}}, abnormality: {...}, excluded, ...}`.

    Args:
        manifest: Of the model.
        answers: To images that the answering network never saw.
        excluded: Images left out by reason.
        prevalence: Share of abnormal images where normal ones would be ruled out.

    Raises:
        UsageError: A prevalence that is no share.
    """
    if not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}")
    known: Mapping[str, str] = registry.part(manifest.task, "data").FINDINGS
    words = {label: word for label, word in known.items() if label in manifest.labels}
    return {
        "task": manifest.task,
        "model": manifest.model,
        "weights_sha256": manifest.weights.sha256,
        "provenance": {"data": manifest.data_kind, "statement": manifest.statement},
        "reference": "words of the image's report, against all other images",
        "n": len(answers.cases),
        "n_subjects": len(set(answers.patients)),
        "n_images": {label: int(answers.has(word).sum()) for label, word in words.items()},
        "held_out": not manifest.provenance.is_brought,
        "scored_by": dict(answers.scored_by),
        "metrics": {
            **{
                label: _aurocs(answers, answers.has(word), _of(manifest, answers, label))
                | _measured(answers, answers.has(word), label, manifest.task)
                for label, word in words.items()
            },
            "abnormal": _aurocs(answers, answers.is_abnormal, _abnormality(answers)),
        },
        "abnormality": _rule_out(answers, prevalence),
        "excluded": dict(excluded),
    }


def _of(manifest: Manifest, answers: WordedAnswers, label: str) -> NDArray[np.float64]:
    return answers.presence[:, manifest.labels.index(label)]


def _abnormality(answers: WordedAnswers) -> NDArray[np.float64]:
    """The highest presence of any label, (n,)."""
    return answers.presence.max(axis=1)


def _aurocs(
    answers: WordedAnswers, y_true: NDArray[np.bool_], y_score: NDArray[np.float64], name: str = "presence_auroc"
) -> dict[str, Any]:
    """Of all images with a score, and of those of each view; None where a class has too few patients."""
    own = np.isfinite(y_score)
    found = {name: _auroc(y_true[own], y_score[own], answers.patients[own])}
    for view in sorted(set(answers.views) - {""}):
        own = np.isfinite(y_score) & (answers.views == view)
        found[f"{name}_{view}"] = _auroc(y_true[own], y_score[own], answers.patients[own])
    return {name: interval_json(value, DIGITS) for name, value in found.items()}


def _measured(answers: WordedAnswers, y_true: NDArray[np.bool_], label: str, task: str) -> dict[str, Any]:
    """The same of what is measured of a finding, where it could be measured."""
    name = registry.part(task, "data").MEASURES.get(label)
    if name is None or not np.isfinite(answers.measures[name]).any():
        return {}
    return _aurocs(answers, y_true, answers.measures[name], f"{name}_auroc")


def _auroc(y_true: NDArray[np.bool_], y_score: NDArray[np.float64], patients: NDArray[np.str_]) -> Interval | None:
    try:
        return auroc_interval(y_true, y_score, patients)
    except UsageError:
        return None


def chooses(patient: str) -> bool:
    """Whether the images of a patient choose the threshold; about half of the patients do, the others measure it."""
    return hashlib.sha256(patient.encode()).digest()[0] % 2 == 0


def _rule_out(answers: WordedAnswers, prevalence: float) -> dict[str, Any] | None:
    """ROC of the abnormality score, and a threshold below which an image is called normal.

    The threshold is the highest with the wanted sensitivity on the images of about half of the patients; it is measured on the
    others. None where one of these parts lacks abnormal or normal images.
    """
    score, y_true = _abnormality(answers), answers.is_abnormal
    chosen_on = np.array([chooses(patient) for patient in answers.patients])
    try:
        threshold = threshold_for_sensitivity(y_true[chosen_on], score[chosen_on], RULE_OUT_SENSITIVITY).threshold
        measured = operating_point_metrics(y_true[~chosen_on], score[~chosen_on], threshold, prevalence)
        curve = roc_curve(y_true, score)
    except UsageError:
        return None
    return {
        "roc": {"fpr": curve.fpr.round(DIGITS).tolist(), "tpr": curve.tpr.round(DIGITS).tolist()},
        "rule_out": {
            "threshold": round(threshold, 6),
            "chosen_for": f"sensitivity of at least {RULE_OUT_SENSITIVITY}",
            "n_chosen_on": int(chosen_on.sum()),
            "n_measured_on": measured.n_cases,
            "sensitivity": interval_json(measured.sensitivity, DIGITS),
            "specificity": interval_json(measured.specificity, DIGITS),
            "npv": interval_json(measured.npv, DIGITS),
            "prevalence": prevalence,
            "share_ruled_out": round((measured.n_true_negative + measured.n_false_negative) / measured.n_cases, DIGITS),
        },
    }


def write_words(path: Path, manifest: Manifest, answers: WordedAnswers) -> None:
    """One row an image: case, patient, view, words, presence of every label."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "patient", "view", "words", *(f"presence_{label}" for label in manifest.labels)])
        rows = zip(answers.cases, answers.patients, answers.views, answers.words, answers.presence, strict=True)
        for case, patient, view, words, presence in rows:
            table.writerow([case, patient, view, "|".join(sorted(words)), *presence.round(6)])
