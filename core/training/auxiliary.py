"""An auxiliary network from its fitted folds to its folder, and from there into memory: what `locate` and composites build on."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import registry
from core.engine.device import choose_device
from core.io.tables import csv_bytes
from core.io.weights_file import load_tensors
from core.manifest import (
    AUXILIARY,
    Architecture,
    Auxiliary,
    AuxiliaryManifest,
    Metric,
    dump_manifest,
    read_auxiliary,
)
from core.metrics.bootstrap import intervals_or_none
from core.training.answers import Answers
from core.training.card import auxiliary_card
from core.training.fit import Fitted, Recipe
from core.training.pack import Pack
from core.training.weights_folder import (
    changelog,
    history,
    provenance,
    serialise,
    training_cases,
    weights_file,
    write_folder,
)

FOLD_DATA = "every image by the fold that never saw it"
TABLE = "evaluation.csv"
DIGITS = 4


def publish_auxiliary(
    parts: tuple[Any, Any, Any],
    pack: Pack,
    fitted: dict[int, Fitted],
    recipe: Recipe,
    command: str,
    note: str,
    folder: Path,
) -> AuxiliaryManifest:
    """Measure every fold on its own images and write the folder of the fold with the lowest validation loss, declaration last.

    Args:
        parts: What data.py, network.py and learn.py of the task say of the network.
        pack: Images with label maps.
        fitted: Results of fit_fold by validation fold; figures are of these folds' images.
        recipe: How they were trained.
        command: Command line to print.
        note: What the changelog says.
        folder: weights/<task>/<name>.
    """
    data, task_network, learn = parts
    fold = min(fitted, key=lambda fold: fitted[fold].kept_loss)
    answers = Answers(task_network, learn, pack, recipe)
    network = answers.network(fitted[fold])

    def figures(own: torch.nn.Module) -> NDArray[np.float64]:
        return np.nan_to_num([list(row.values()) for _, row in _each(data, answers, pack, own, fold)])

    content, dtype = serialise(network, figures)
    networks = {own: network if own == fold else answers.network(fitted[own]) for own in fitted}
    rows = [row for own, trained in networks.items() for row in _each(data, answers, pack, trained, own)]
    files = {TABLE: _table(pack, rows), "training_cases.csv": training_cases(pack)}
    changes = changelog(read_auxiliary(folder).changelog if (folder / AUXILIARY).is_file() else (), note)
    manifest = AuxiliaryManifest(
        format="fivefold-auxiliary-1",
        task=json.loads(str(pack.facts[0]))["task"],
        name=folder.name,
        version=changes[-1].version,
        changelog=changes,
        auxiliary=Auxiliary(
            architecture=Architecture(name=recipe.architecture, options=recipe.options),
            weights=weights_file(content, dtype, network),
        ),
        metrics=tuple(_metrics(pack, rows, data.REFERENCE)),
        provenance=provenance(data.LABELS, pack, fitted, fold, recipe, command, files),
        intended_use=data.INTENDED_USE,
        limitations=data.LIMITATIONS,
    )
    files |= {
        "model.safetensors": content,
        "history.json": history(recipe, fold, fitted),
        "MODEL_CARD.md": auxiliary_card(manifest).encode(),
        AUXILIARY: dump_manifest(manifest).encode(),
    }
    write_folder(folder, files)
    return manifest


Rows = Sequence[tuple[int, dict[str, float]]]


def _each(
    data: Any, answers: Answers, pack: Pack, network: torch.nn.Module, fold: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """Place in the pack and figures of every image of a fold; NaN where an image cannot give one."""
    for place, scores in answers.each(network, pack.folds == fold):
        yield place, data.figures(scores, pack.label_maps[place])


def _table(pack: Pack, rows: Rows) -> bytes:
    """evaluation.csv: a row an image, in the order of the pack."""
    names = list(rows[0][1])
    lines = [
        (pack.cases[place], pack.patients[place], pack.folds[place], _text(pack.references[place]))
        + tuple(_text(value) for value in row.values())
        for place, row in sorted(rows, key=lambda row: row[0])
    ]
    return csv_bytes(("case", "patient", "fold", "reference", *names), lines)


def _text(value: float) -> str:
    return f"{value:.{DIGITS}f}" if np.isfinite(value) else ""


def _metrics(pack: Pack, rows: Rows, measured: str) -> Iterator[Metric]:
    """Mean of every figure over the images that give it; of `measured` the mean absolute error against the reference."""
    places = np.array([place for place, _ in rows])
    for name in rows[0][1]:
        values = np.array([row[name] for _, row in rows])
        note = "mean over images, bootstrap by patient"
        if name == measured:
            values = np.abs(values - pack.references[places])
            missing = int((np.isnan(values) & np.isfinite(pack.references[places])).sum())
            name, note = (
                f"{name}_error",
                f"mean absolute error against the reference; {missing} images without an answer",
            )
        known = np.isfinite(values)
        if len(set(pack.patients[places][known])) > 1:
            means = intervals_or_none(_mean_of(values[known]), pack.patients[places][known])[0]
            assert means is not None
            low, high, value = round(means.low, 6), round(means.high, 6), round(means.value, 6)
            yield Metric(name=name, value=value, low=low, high=high, n=int(known.sum()), data=FOLD_DATA, note=note)


def _mean_of(values: NDArray[np.float64]) -> Any:
    return lambda copies: (copies @ values / copies.sum(axis=1))[:, None]


def load_auxiliary(task_id: str, name: str, root: Path = registry.WEIGHTS) -> torch.nn.Module:
    """An installed auxiliary network, frozen and in evaluation mode.

    Raises:
        WeightsError: None is installed, or its files were refused.
    """
    folder = root / task_id / name
    declared = read_auxiliary(folder).auxiliary
    weights = declared.weights
    tensors = load_tensors(folder / weights.file, weights.sha256, weights.bytes)
    network: torch.nn.Module = registry.part(task_id, "network", name).Network(
        declared.architecture.name, **declared.architecture.options
    )
    network.load_state_dict({key: t.float() if t.is_floating_point() else t for key, t in tensors.items()})
    return network.requires_grad_(False).eval().to(choose_device())
