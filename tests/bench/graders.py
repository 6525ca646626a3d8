"""The graders in the same contest: an explained answer against the bare forward pass of the same network."""

from collections.abc import Callable
from typing import Any

import torch

from core import registry, screening
from core.engine.loader import Model
from core.engine.runner import run
from core.records import Explanation, Prediction


def contestants(task_id: str) -> dict[str, Callable[[], Any]]:
    """Bare forward and explained answer of the shipped model on the task's first sample, maps of its branches included."""
    model: Model = screening.load(task_id)
    parts = {name: registry.part(task_id, name) for name in ("locate", "prepare", "decode", "phantom")}
    study = parts["phantom"].make_sample(next(iter(parts["phantom"].SAMPLES))).study()
    regions, manifest = parts["locate"].locate(study), model.manifest
    x = torch.from_numpy(parts["prepare"].prepare(study, regions, manifest))

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model.network(x)

    def answer() -> tuple[Prediction, Explanation]:
        done = run(model, parts["prepare"].prepare(study, regions, manifest))
        point = manifest.default_point
        prediction = parts["decode"].decode(done.output, study, regions, manifest, point)
        method = manifest.explanation.default_method
        return prediction, screening.explain_regions(model, done, regions, method, point)

    return {
        "forward": forward,
        "answer": answer,
        "locate": lambda: parts["locate"].locate(study),
        "gate": lambda: registry.part(task_id, "gate").check(study, manifest, None),
    }
