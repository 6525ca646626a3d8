"""Measure the installed model of a task on labelled images that it never saw."""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core import registry
from core.errors import UsageError

if TYPE_CHECKING:  # loads torch
    from core.engine.loader import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="default: truth.csv or index.csv in DIR, or the labels in .mat files"
    )
    parser.add_argument("--model", help="installed model; default: the first")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help="checkpoints of all folds: each patient is answered by the fold without it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the statistics to FILE")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write cases.csv, a row a case, to DIR")


def run(options: argparse.Namespace) -> int:
    """Answer, measure, print."""
    from core.evaluation.evaluate import answer_cases, measure, write_cases
    from core.screening import load

    model = load(options.task, options.model)
    excluded: Counter[str] = Counter()
    cases = registry.part(options.task, "data").evaluation_cases(options.data, options.labels, excluded)
    answers = answer_cases(model, cases, excluded, _fold_models(model, options.runs) if options.runs else {})
    found = {**measure(model.manifest, answers, excluded), "command": options.command_line}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_cases(options.out / "cases.csv", model.manifest, answers)
    print(f"{found['n']} cases of {found['n_subjects']} subjects; left out: {found['excluded'] or 'none'}")
    print("scored by: " + ", ".join(f"{source} ({n})" for source, n in found["scored_by"].items()))
    for name, value in found["metrics"].items():
        if value is not None:
            print(f"{name}: {value['value']:.3f} ({value['ci'][0]:.3f}-{value['ci'][1]:.3f})")
    if model.manifest.statement:
        print(model.manifest.statement)
    return 0


def _fold_models(model: "Model", runs: Path) -> dict[int, "Model"]:
    """The model of every fold from the checkpoints that `train` left."""
    from core.screening import build
    from core.training.fit import kept_state

    manifest = model.manifest
    found = {}
    for folder in sorted((runs / manifest.task / manifest.architecture.name).glob("fold_*")):
        network = build(manifest)
        network.load_state_dict(kept_state(folder))
        network.requires_grad_(False).eval().to(model.device)
        found[int(folder.name.removeprefix("fold_"))] = replace(model, network=network)
    if not found:
        raise UsageError(f"{runs} holds no checkpoint of {manifest.task}/{manifest.architecture.name}")
    return found
