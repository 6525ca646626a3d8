"""From labelled cases to a Pack: prepared arrays and patient-grouped folds."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from core.records import LabelledCase
from core.registry import part
from core.training.pack import Pack

FOLDS = 5
HELD_OUT = -1
REAL, PHANTOM = "real images, real labels", "phantom"


def folder_facts(licence: str) -> dict[str, object]:
    """What a manifest says about a hospital's own data; `collect` puts it right where they are phantoms."""
    return {
        "kind": REAL,
        "is_local": True,
        "training_name": "local images, training split",
        "test_name": "local images, test split",
        "licence": licence,
    }


def phantom_facts(task_id: str, seed: int, n_training: int, n_test: int) -> dict[str, object]:
    """What a manifest says about phantoms; no name where there are none."""
    return {
        "kind": PHANTOM,
        "training_name": f"Fivefold {task_id} phantoms, training stream, seed {seed} ({n_training} cases)"
        * (n_training > 0),
        "test_name": f"held-out phantoms, seed {seed}" * (n_test > 0),
        "licence": "Apache-2.0 (simulated)",
    }


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


def _table(rows: list[tuple[float, ...]]) -> NDArray[np.float32]:
    """One row a case; NaN for cases without markers, or without known presence."""
    width = max(len(row) for row in rows)
    return np.array([row or (np.nan,) * width for row in rows], np.float32).reshape(len(rows), width)


def _joined(rows: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Boxes of all images one after another, and where those of each start; nothing without any image that could have some."""
    if not rows:
        return {}
    return {"boxes": np.concatenate(rows), "box_offsets": np.cumsum([0, *map(len, rows)], dtype=np.int64)}


def collect(
    task_id: str,
    training: Iterable[LabelledCase],
    test: Iterable[LabelledCase],
    facts: dict[str, object],
    seed: int,
    auxiliary: str | None = None,
) -> Pack:
    """Prepare every case once.

    Args:
        task_id: Task whose data.training_array prepares, and where it has them data.training_map and data.training_boxes.
        training: Cases for cross-validation.
        test: Held-out cases; a patient who is also in `training` is an error.
        facts: What to remember about the source (kind, licence, numbers). No model that saw a phantom among a hospital's images
            says that they were real.
        seed: Seed of the folds.
        auxiliary: Name of the auxiliary network that is to be trained instead.

    Raises:
        ValueError: A patient stands in training and test.
    """
    data = part(task_id, "data", auxiliary)
    rows, markers, references, images, maps, boxes, presence, held_out = [], [], [], [], [], [], [], []
    is_phantom = False
    for held, cases in ((False, training), (True, test)):
        for case in cases:
            images.append(data.training_array(case))
            if case.label_map is not None:
                maps.append(data.training_map(case))
            if hasattr(data, "training_boxes"):
                boxes.append(data.training_boxes(case))
            rows.append((case.case_id, case.patient, case.target, case.study.pixel_hash))
            markers.append(case.markers)
            presence.append(case.presence)
            references.append(np.nan if case.reference is None else case.reference)
            held_out.append(held)
            is_phantom |= case.study.is_phantom
            if len(rows) % 100 == 0:
                print(f"prepared {len(rows)} cases", file=sys.stderr, flush=True)
    if is_phantom and facts.get("kind") == REAL:
        facts = facts | {"kind": PHANTOM}
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
        markers=_table(markers),
        references=np.array(references, np.float32),
        pixel_hashes=hashes,
        label_maps=np.stack(maps) if maps else np.empty(0, np.uint8),
        facts=np.array([json.dumps({"task": task_id, "seed": seed, **facts}, sort_keys=True)]),
        **_joined(boxes),
        presence=_table(presence) if any(presence) else np.empty((0, 0), np.float32),
    )
