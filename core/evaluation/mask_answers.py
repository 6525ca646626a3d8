"""A segmenter on photographs with label maps: pixel by pixel on the picture that the network sees."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from core import registry
from core.engine.loader import Model
from core.engine.runner import run
from core.errors import UsageError
from core.evaluation.answering import NOTHING_KEPT, answer_once, check_gate
from core.evaluation.known import BY_FOLD, BY_MODEL, OUT_OF_FOLD, Known
from core.evaluation.masks import thresholds_of
from core.io.journal import Journal
from core.io.pixel_evidence import ImageAnswer, PixelEvidence, evidence_of, gather, read_evidence
from core.records import LabelledCase


def answer_images(
    model: Model,
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: Mapping[int, Model],
    journal: Journal = NOTHING_KEPT,
) -> tuple[PixelEvidence, Counter[str]]:
    """Answer every image that may be counted.

    Args:
        model: The installed model.
        cases: With their label maps.
        excluded: Gets the number of images left out by reason.
        fold_models: The models of cross-validation by fold, where they are at hand; they overrule the committed answers.
        journal: Of the run.

    Returns:
        The evidence, and the number of images by the source of their answer.

    Raises:
        UsageError: No image was left.
    """
    manifest = model.manifest
    known, made = Known(model), manifest.provenance
    committed = None if made.is_brought else read_evidence(model.folder, made.held_out_sha256)
    rows, scored_by = [], Counter[str]()
    for case in cases:
        digest, fold = case.study.pixel_hash, known.folds.get(case.patient)
        places = np.flatnonzero(committed.pixel_hashes == digest) if committed else np.array([], int)
        by_fold = None if fold is None else fold_models.get(fold)
        if by_fold is not None and fold is not None:
            row, source = _answered(journal, by_fold, case, fold, excluded), BY_FOLD
        elif committed and places.size:
            row, source = committed.row(int(places[0])), OUT_OF_FOLD
        elif digest in known.pixels or fold is not None:
            excluded["seen in training"] += 1
            continue
        else:
            row, source = _answered(journal, model, case, -1, excluded), BY_MODEL
        if row is not None:
            rows.append(row)
            scored_by[source] += 1
    if not rows:
        raise UsageError(f"no image could be counted; left out: {dict(excluded)}")
    return gather(rows), scored_by


def _answered(
    journal: Journal, model: Model, case: LabelledCase, fold: int, excluded: Counter[str]
) -> dict[str, object] | None:
    """Evidence of one image, None where its gate refused or it could not be answered."""
    found: dict[str, object] | None = answer_once(journal, model, case, excluded, lambda: _evidence(model, case, fold))
    return found


def _evidence(model: Model, case: LabelledCase, fold: int) -> dict[str, object]:
    check_gate(model, case)
    parts = {
        name: registry.part(model.manifest.task, name) for name in ("locate", "prepare", "network", "data", "learn")
    }
    regions = case.regions or parts["locate"].locate(case.study)
    done = run(model, parts["prepare"].prepare(case.study, regions, model.manifest))
    truth, inside = parts["learn"].truth(parts["data"].training_map(case))
    evidence = evidence_of(
        ImageAnswer(
            case=case.case_id,
            patient=case.patient,
            pixel_hash=case.study.pixel_hash,
            fold=fold,
            scores=parts["network"].scores(torch.from_numpy(done.output))[0].numpy(),
            rule=parts["learn"].rule(parts["data"].training_array(case)),
            truth=truth,
            inside=inside,
        ),
        thresholds_of(model.manifest),
    )
    return {name: np.asarray(value).tolist() for name, value in evidence.items()}
