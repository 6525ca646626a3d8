"""Weights that were trained elsewhere, from a foreign file to a weights folder: checked line by line, written only when all hold.

Called in a process of its own (core.cli.weights), because the file is foreign.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from core import registry
from core.engine.loader import Model
from core.engine.runner import run
from core.errors import ScreeningError, UsageError, WeightsError
from core.i18n import mark
from core.io import tensor_file
from core.manifest import (
    SHIPPED,
    Architecture,
    Calibration,
    Change,
    ExplanationSpec,
    Manifest,
    OperatingPoint,
    dump_manifest,
)
from core.provenance import Dataset, ProvenanceRecord
from core.training.card import model_card
from core.training.golden import FILE as GOLDEN
from core.training.golden import golden_outputs
from core.training.parameter_names import mapped_names
from core.training.publish import auxiliaries
from core.training.stated import UNKNOWN_CASES, Line, Stated
from core.training.weights_folder import Dtype, weights_file, write_folder

VERSION = "1.0.0"
NOT_MEASURED = mark("not measured yet")
STATED_THRESHOLD = mark("stated by its maker")
LIMITATIONS = (
    mark(
        "Brought from outside: its data, licence and training are as stated by those who added it; nothing of that was checked."
    ),
    UNKNOWN_CASES,
)
Tell = Callable[[Line], None]


@dataclass(frozen=True)
class _Fitted:
    """A network with the weights of the file."""

    network: Any
    content: bytes
    dtype: Dtype


def bring(content: bytes, stated: Stated, root: Path, tell: Tell) -> Manifest:
    """Check foreign weights and install them.

    Args:
        content: The file.
        stated: What is not in it.
        root: Of all weights.
        tell: Gets every finding as it is made; the last one is "failed" where an error is raised.

    Raises:
        ScreeningError: What does not hold; nothing is written then.
    """
    stated.check()
    folder = root / stated.task / stated.model
    if folder.exists():
        raise UsageError(f"a model of the name {stated.model} is installed")
    with _step(tell, mark("The file was refused before it was read: {got}")):
        _compare_sha256(content, stated.sha256)
        kind = tensor_file.looked_at(content)
    tell(Line("passed", mark("{format} file, {size} MB, that can hold nothing but tensors"), _about(content, kind)))
    if not stated.sha256:
        tell(
            Line(
                "note", mark("No SHA-256 of its maker was given: a file changed on its way here would not be noticed.")
            )
        )
    with _step(tell, mark("The tensors do not fit: {got}")):
        fitted = _fit(*tensor_file.parse(content, kind), stated, tell)
    manifest = _manifest(stated, fitted, root)
    model = Model(manifest, fitted.network, torch.device("cpu"), folder)
    with _step(tell, mark("The network does not run as the task needs it: {got}")):
        expected = _run(model, tell)
    _write(folder, manifest, fitted.content, expected)
    tell(Line("passed", mark("Installed as {model}"), {"model": stated.model}))
    return manifest


@contextmanager
def _step(tell: Tell, message: str) -> Iterator[None]:
    """Tell the line that fails, whatever is raised."""
    try:
        yield
    except ScreeningError as error:
        tell(Line("failed", message, {"got": error.got}))
        raise


def _compare_sha256(content: bytes, stated: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if stated and found != stated.strip().lower():
        raise WeightsError(f"its SHA-256 begins with {found[:12]}, not as stated: it was changed or is another file")


def _about(content: bytes, kind: str) -> dict[str, str | int]:
    return {"format": {"torch": "PyTorch"}.get(kind, kind), "size": f"{len(content) / 1e6:.1f}"}


def _fit(tensors: tensor_file.Tensors, nest: str, stated: Stated, tell: Tell) -> _Fitted:
    """The declared network with these tensors, frozen.

    Raises:
        ScreeningError: Names, shapes or kinds of numbers differ, or a number is not finite.
    """
    try:
        network = registry.part(stated.task, "network").Network(stated.architecture, **stated.options)
    except TypeError as error:
        raise UsageError(f"options that {stated.architecture} does not have") from error
    own = network.state_dict()
    names, taken, added = mapped_names(list(tensors), list(own))
    if nest:
        tell(Line("note", mark("The tensors were taken from the entry {name}"), {"name": nest}))
    if taken:
        tell(Line("note", mark("Taken off the beginning of every parameter name: {text}"), {"text": taken}))
    if added:
        tell(Line("note", mark("Put before every parameter name: {text}"), {"text": added}))
    given = {names[name]: value for name, value in tensors.items()}
    shapes = [
        f"{name} is {tuple(given[name].shape)}, wanted {tuple(value.shape)}"
        for name, value in own.items()
        if given[name].shape != value.shape
    ]
    if shapes:
        raise WeightsError(
            f"{len(shapes)} of another shape ({'; '.join(shapes[:3])}); are labels and options the same?"
        )
    wrong = [name for name, value in own.items() if given[name].is_floating_point() != value.is_floating_point()]
    if wrong:
        raise WeightsError(f"{len(wrong)} of another kind of numbers ({', '.join(wrong[:3])})")
    bad = [name for name, value in given.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise WeightsError(f"{len(bad)} hold a number that is not finite ({', '.join(bad[:3])}): the training diverged")
    is_half = all(value.dtype == torch.float16 for value in given.values() if value.is_floating_point())
    dtype: Dtype = "float16" if is_half else "float32"
    kept = {
        name: (value.to(getattr(torch, dtype)) if value.is_floating_point() else value).contiguous()
        for name, value in given.items()
    }
    network.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in kept.items()})
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    facts: dict[str, str | int] = {
        "tensors": len(kept),
        "parameters": f"{n_parameters:,}",
        "network": stated.architecture,
    }
    tell(Line("passed", mark("{tensors} tensors fit {network}, {parameters} parameters, every number finite"), facts))
    return _Fitted(network.requires_grad_(False).eval(), save(kept), dtype)


def _manifest(stated: Stated, fitted: _Fitted, root: Path) -> Manifest:
    """As `core.training.publish` writes it, with what only a training here could know left open."""
    template = registry.part(stated.task, "data").MANIFEST
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    own = {key: value for key, value in template.items() if key in Manifest.model_fields}
    if stated.size is not None:
        own["input"] = own["input"] | {"size": (stated.size, stated.size)}
    if stated.ages is not None:
        own["eligible_age_years"] = stated.ages
    own["limitations"] = LIMITATIONS
    change = Change(version=VERSION, date=today, text=f"Brought from outside by {stated.by}.")
    data = Dataset(name=stated.data, role="training", n=stated.n, patients=stated.patients, licence=stated.licence)
    return Manifest(
        format="fivefold-manifest-1",
        task=stated.task,
        model=stated.model,
        version=VERSION,
        changelog=(change,),
        architecture=Architecture(name=stated.architecture, options=dict(stated.options)),
        auxiliary=auxiliaries(root / stated.task),
        weights=weights_file(fitted.content, fitted.dtype, fitted.network),
        operating_points=_points(stated, template),
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][stated.architecture],
            default_method=template.get("explanation_method", "grad_cam"),
        ),
        metrics=(),
        provenance=ProvenanceRecord(
            labels=dict.fromkeys(template["labels"], stated.kind),
            datasets=(data,),
            command=f"python -m core weights add {stated.task} --model {stated.model} --architecture {stated.architecture}",
            seed=None,
            code_revision=None,
            date=today,
            training_cases_sha256=None,
            evaluation_sha256=None,
        ),
        **own,
    )


def _points(stated: Stated, template: dict[str, Any]) -> tuple[OperatingPoint, ...]:
    """A question a label that the task asks for; with a threshold only where places cannot be drawn without one."""
    labels = dict.fromkeys(label for _, label, _ in template["cuts"]) if "cuts" in template else template["labels"]
    return tuple(
        OperatingPoint(
            id=label,
            label=label,
            threshold=stated.thresholds.get(label),
            threshold_low=None,
            threshold_high=None,
            chosen_for=STATED_THRESHOLD if stated.thresholds else NOT_MEASURED,
            chosen_on="not stated",
            sensitivity=None,
            specificity=None,
            data="not measured",
            n=0,
        )
        for label in labels
    )


def _run(model: Model, tell: Tell) -> dict[str, list[float]]:
    """Run the network on an empty image, then the whole road on every sample phantom of the task.

    Raises:
        ScreeningError: Another number of labels, another size of the input than the task prepares, or no finite answer.
    """
    manifest = model.manifest
    shape = (manifest.input.channels, *manifest.input.size)
    try:
        output = run(model, np.zeros((1, *shape), np.float32)).output
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"it does not take an input of {shape}") from error
    network, phantom = (registry.part(manifest.task, name) for name in ("network", "phantom"))
    n_outputs = network.scores(torch.from_numpy(output)).shape[1]
    if n_outputs != len(manifest.labels):
        raise WeightsError(f"{n_outputs} outputs for {len(manifest.labels)} labels")
    labels = {"labels": ", ".join(manifest.labels)}
    tell(Line("passed", mark("An empty image gives finite scores, one a label: {labels}"), labels))
    study = phantom.make_sample(next(iter(phantom.SAMPLES))).study()
    regions = registry.part(manifest.task, "locate").locate(study, None)
    prepared = registry.part(manifest.task, "prepare").prepare(study, regions, manifest).shape[1:]
    if prepared != shape:
        raise WeightsError(f"the task prepares images of {prepared}, not {shape}")
    answers = golden_outputs(model)
    if not any(answers.values()):
        raise WeightsError("no sample phantom was answered")
    tell(Line("passed", mark("All {n} sample phantoms of the task are answered and explained"), {"n": len(answers)}))
    return answers


def _write(folder: Path, manifest: Manifest, content: bytes, expected: dict[str, list[float]]) -> None:
    """The folder, manifest last; nothing is left of it when that fails.

    Raises:
        UsageError: It cannot be written, or somebody made it at the same moment.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError("the weights folder cannot be made") from error
    try:
        write_folder(
            folder,
            {
                manifest.weights.file: content,
                GOLDEN: (json.dumps(expected, indent=1) + "\n").encode(),
                "MODEL_CARD.md": model_card(manifest).encode(),
                SHIPPED: dump_manifest(manifest).encode(),
            },
        )
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError("the weights folder cannot be written to") from error
