"""Evaluations to bundle: the cases of a hospital that nobody may recognise in the archive."""

from typing import Any

import numpy as np

from core.evaluation.bundle import Bundle, describe
from core.evaluation.bundle_cases import SourceCase
from core.evaluation.bundle_report import make_bundle
from core.manifest import DEMO_STATEMENT

PATIENT, FOLDER = "MRN-0042-{k}", "/srv/radiology7/export"
QUESTIONS = ("moderate", "severe")


def sources(n: int = 120, seed: int = 0) -> list[SourceCase]:
    """Two photographs a patient, two questions a photograph, three sites."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        grade = rng.normal()
        for question, cut in zip(QUESTIONS, (0.2, 0.9), strict=True):
            score = float(1 / (1 + np.exp(-2 * (grade - cut) - rng.normal())))
            file = f"{FOLDER}/Doe_Jane_{k:03d}.dcm"
            note = "=1+1" if k == 3 else ""
            found.append(
                SourceCase(question, grade > cut, score, file, PATIENT.format(k=k // 2), f"site {k % 3}", note)
            )
    return found


def about(**changed: Any) -> dict[str, Any]:
    found = describe(
        None,
        operating_points={
            "moderate": {"origin": "model", "threshold": 0.5, "prevalence": 0.1},
            "severe": {"origin": "youden"},
        },
        configuration={"mapping": {"3": "severe"}, "laterality": ["L", "R"]},
        excluded={"seen in training": 3, "E_TRUNCATED": 1},
        command=["python", "-m", "core", "evaluate", "knee_djd", "--data", FOLDER, f"--json={FOLDER}/x.json"],
        date="2026-11-29T08:15Z",
        data_sha256="cd" * 32,
    )
    known = {"task": "knee_djd", "model": "simple_cnn_2", "model_version": "1.2.0", "weights_sha256": "ab" * 32}
    return found | known | {"statement": DEMO_STATEMENT} | changed


def bundle(n: int = 120, **changed: Any) -> Bundle:
    return make_bundle(about(**changed), sources(n))
