"""A detector on images that it never saw: its boxes, on the pixels of the picture that the network sees."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.engine.loader import Model
from core.engine.runner import run
from core.errors import UsageError
from core.evaluation.answering import NOTHING_KEPT, answer_once, check_gate
from core.evaluation.known import BY_FOLD, BY_MODEL, Known
from core.io.box_evidence import BoxEvidence, ImageAnswer, evidence_of, read_evidence
from core.io.journal import Journal
from core.records import LabelledCase

Extra = TypeVar("Extra")
N_COLUMNS = 6  # of a detection


def answer_boxes(
    model: Model,
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: Mapping[int, Model],
    journal: Journal = NOTHING_KEPT,
) -> tuple[BoxEvidence, Counter[str]]:
    """Answer every image that may be counted.

    Args:
        model: The installed model.
        cases: With their boxes.
        excluded: Gets the number of images left out by reason.
        fold_models: The models of cross-validation by fold, where they are at hand.
        journal: Of the run.

    Returns:
        The evidence, beside the mean boxes of the images that the model was trained on; and the number of images by the source of
        their answer.

    Raises:
        UsageError: No image was left.
    """
    training_boxes = registry.part(model.manifest.task, "data").training_boxes
    images, scored_by = [], Counter[str]()
    for case, _, rows, fold in detections(model, ((case, None) for case in cases), excluded, fold_models, journal):
        scored_by[BY_MODEL if fold < 0 else BY_FOLD] += 1
        names = (case.case_id, case.patient, case.study.pixel_hash)
        images.append(ImageAnswer(*names, fold, rows, training_boxes(case).astype(np.float64)))
    if not images:
        raise UsageError(f"no image could be counted; left out: {dict(excluded)}")
    return evidence_of(model.manifest.labels, images, _mean_boxes(model)), scored_by


def _mean_boxes(model: Model) -> NDArray[np.float64]:
    """Of the images that the model was trained on, as committed with it; none of brought weights."""
    manifest = model.manifest
    if manifest.provenance.is_brought:
        return np.zeros((0, 6))
    return read_evidence(model.folder, manifest.provenance.held_out_sha256, manifest.labels).mean_boxes


def detections(
    model: Model,
    cases: Iterable[tuple[LabelledCase, Extra]],
    excluded: Counter[str],
    fold_models: Mapping[int, Model],
    journal: Journal = NOTHING_KEPT,
) -> Iterator[tuple[LabelledCase, Extra, NDArray[np.float64], int]]:
    """Every image that may be counted with what else is known of it, its detections (d, 6) and the fold that answered, or -1."""
    known = Known(model)
    for case, extra in cases:
        fold = known.folds.get(case.patient)
        answering = model if fold is None else fold_models.get(fold)
        if answering is None or (fold is None and case.study.pixel_hash in known.pixels):
            excluded["seen in training"] += 1
            continue
        rows = _detected(journal, answering, case, excluded)
        if rows is not None:
            yield case, extra, rows, -1 if fold is None else fold


def _detected(journal: Journal, model: Model, case: LabelledCase, excluded: Counter[str]) -> NDArray[np.float64] | None:
    """Detections in one image, None where its gate refused or it could not be answered."""
    rows = answer_once(journal, model, case, excluded, lambda: _rows(model, case))
    return None if rows is None else np.array(rows, np.float64).reshape(-1, N_COLUMNS)


def _rows(model: Model, case: LabelledCase) -> list[list[float]]:
    check_gate(model, case)
    locate, prepare = (registry.part(model.manifest.task, name) for name in ("locate", "prepare"))
    done = run(model, prepare.prepare(case.study, locate.locate(case.study), model.manifest))
    rows: list[list[float]] = done.output[0].astype(np.float64).tolist()
    return rows
