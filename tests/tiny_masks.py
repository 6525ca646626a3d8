"""A segmenter's held-out evidence that is small enough for tests: twelve pictures of two kinds of lesions."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
from factory import make_manifest, manifest_facts
from scipy.special import expit

from core.io.pixel_evidence import FILE, ImageAnswer, PixelEvidence, evidence_of, gather
from core.manifest import Manifest

N, SIDE, N_FOLDS, PUBLISHED = 12, 48, 4, 1
LABELS = ("haemorrhage", "exudate")
THRESHOLDS = {"haemorrhage": 0.5, "exudate": 0.25}
INSIDE = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < SIDE / 2 - 1


@cache
def answers() -> tuple[ImageAnswer, ...]:
    """The first eight pictures hold haemorrhages, the fifth to the ninth exudates, the last three neither."""
    rng = np.random.default_rng(4)
    found = []
    for number in range(N):
        truth = np.zeros((2, SIDE, SIDE), bool)
        for place, holds in enumerate((number < 8, 4 <= number < 9)):
            for x, y in rng.integers(10, 34, (3 * holds, 2)):
                truth[place, y : y + 4, x : x + 4] = True
        noise = rng.normal(size=(2, 2, SIDE, SIDE))
        found.append(
            ImageAnswer(
                case=f"eye_{number}",
                patient=f"eye_{number}",
                pixel_hash=f"{number:064x}",
                fold=number % N_FOLDS,
                scores=expit(noise[0] - 3 + 5 * truth).astype(np.float32),
                rule=expit(noise[1] + truth).astype(np.float32),
                truth=truth & INSIDE,
                inside=INSIDE,
            )
        )
    return tuple(found)


@cache
def evidence() -> PixelEvidence:
    return gather([evidence_of(answer, tuple(THRESHOLDS.values())) for answer in answers()])


def masks_manifest(evaluation_sha256: str = "0" * 64) -> Manifest:
    facts = manifest_facts()
    (point,) = facts["operating_points"]
    return make_manifest(
        task="retina_lesions",
        labels=list(LABELS),
        operating_points=[{**point, "id": name, "label": name, "threshold": THRESHOLDS[name]} for name in LABELS],
        provenance={
            **facts["provenance"],
            "labels": dict.fromkeys(LABELS, "real images, real labels"),
            "evaluation_sha256": evaluation_sha256,
        },
    )


def masks_folder(folder: Path) -> Manifest:
    """Write what a weights folder holds of the evaluation of a segmenter."""
    folder.mkdir(parents=True)
    content = evidence().to_bytes()
    (folder / FILE).write_bytes(content)
    history = {"fold": PUBLISHED, "folds": {str(PUBLISHED): {"kept_epoch": 0, "epochs": []}}}
    (folder / "history.json").write_text(json.dumps(history))
    return masks_manifest(hashlib.sha256(content).hexdigest())
