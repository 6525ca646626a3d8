"""From labelled cases to a Pack: prepared arrays and patient-grouped folds."""

import hashlib
import json
import sys
from collections.abc import Iterable

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from core.records import LabelledCase, Study
from core.registry import part
from core.training.pack import Pack

FOLDS = 5
HELD_OUT = -1


def pixel_hash(study: Study) -> str:
    """Salted hash of the pixels: tells whether an image was used, not what it shows."""
    return hashlib.sha256(b"fivefold-pixels" + np.ascontiguousarray(study.frame.pixels).tobytes()).hexdigest()[:32]


def patient_folds(targets: np.ndarray, patients: np.ndarray, seed: int) -> np.ndarray:
    """The fold in which each case is validation: 5 folds, no patient in two, classes balanced as far as that allows.

    Returns:
        int64 (N,).
    """
    folds = np.empty(len(targets), np.int64)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(targets, targets, patients)):
        folds[held] = fold
    return folds


def collect(
    task_id: str, training: Iterable[LabelledCase], test: Iterable[LabelledCase], facts: dict[str, object], seed: int
) -> Pack:
    """Prepare every case once.

    Args:
        task_id: Task whose data.training_array prepares.
        training: Cases for cross-validation.
        test: Held-out cases; a patient who is also in `training` is an error.
        facts: What to remember about the source (kind, licence, numbers).
        seed: Seed of the folds.

    Raises:
        ValueError: A patient stands in training and test.
    """
    to_array = part(task_id, "data").training_array
    rows, markers, images, held_out = [], [], [], []
    for held, cases in ((False, training), (True, test)):
        for case in cases:
            images.append(to_array(case.study))
            rows.append((case.case_id, case.patient, case.target, pixel_hash(case.study)))
            markers.append(case.markers)
            held_out.append(held)
            if len(rows) % 100 == 0:
                print(f"prepared {len(rows)} cases", file=sys.stderr, flush=True)
    names, patients, targets, hashes = (np.array(column) for column in zip(*rows, strict=True))
    is_test = np.array(held_out)
    if set(patients[is_test]) & set(patients[~is_test]):
        raise ValueError("a patient stands in training and in test")
    folds = np.full(len(rows), HELD_OUT, np.int64)
    folds[~is_test] = patient_folds(targets[~is_test], patients[~is_test], seed)
    return Pack(
        images=np.stack(images),
        targets=targets.astype(np.float32),
        cases=names,
        patients=patients,
        folds=folds,
        markers=np.array(markers, np.float32).reshape(len(rows), -1),
        pixel_hashes=hashes,
        facts=np.array([json.dumps({"task": task_id, "seed": seed, **facts}, sort_keys=True)]),
    )
