"""Golden outputs: what a model must answer for the task's sample phantoms on any machine."""

import json
from pathlib import Path

from core import registry
from core.engine.loader import Model
from core.io.weights_file import write_atomically
from core.screening import screen

FILE = "golden.json"
TOLERANCE = 1e-3


def golden_outputs(model: Model) -> dict[str, list[float]]:
    """Probabilities of every sample, by sample id."""
    phantom = registry.part(model.manifest.task, "phantom")
    outputs = {}
    for sample in phantom.SAMPLES:
        result = screen(phantom.make_sample(sample).study(), model, confirmed=True)
        outputs[sample] = (
            [round(finding.probability, 6) for finding in result.prediction.findings] if result.prediction else []
        )
    return outputs


def write_golden(model: Model) -> None:
    """Write the file that the self-check compares with."""
    text = json.dumps(golden_outputs(model), indent=1) + "\n"
    write_atomically(model.folder / FILE, text.encode())


def largest_difference(model: Model, expected: dict[str, list[float]]) -> float:
    """Largest difference between expected and present probabilities; infinite when samples or findings differ."""
    found = golden_outputs(model)
    if {name: len(values) for name, values in found.items()} != {
        name: len(values) for name, values in expected.items()
    }:
        return float("inf")
    return max((abs(a - b) for name in found for a, b in zip(found[name], expected[name], strict=True)), default=0.0)


def read_golden(folder: Path) -> dict[str, list[float]] | None:
    """The expected outputs of a weights folder, or None."""
    path = folder / FILE
    return json.loads(path.read_text()) if path.is_file() else None
