"""Train a task's network: patient-grouped folds, resumable, then a weights folder with held-out results."""

import argparse
import sys
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

from core import registry
from core.cli.options import read_options

IMAGE_KINDS = "image_kinds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command; defaults are the reference recipe."""
    parser.add_argument("task", help=f"task id, or {IMAGE_KINDS} for the model the gates use (needs --data)")
    source = parser.add_argument_group("data")
    source.add_argument("--phantoms", type=int, default=1200, help="training phantoms (default 1200)")
    source.add_argument("--test-phantoms", type=int, default=600, help="held-out phantoms (default 600)")
    source.add_argument("--data", type=Path, help="folder of images instead of phantoms")
    source.add_argument(
        "--backgrounds", type=Path, metavar="DIR", help="real images whose finding is made beside the phantoms (CT)"
    )
    source.add_argument("--copies", type=int, default=12, help="findings made on each real image (default 12)")
    source.add_argument(
        "--labels", type=Path, help="CSV: file, patient, label, split (train or test), laterality (optional)"
    )
    source.add_argument("--licence", default="not stated", help="terms of --data, for the card")
    source.add_argument("--data-seed", type=int, default=1, help="seed of phantoms and folds")
    source.add_argument("--pack", type=Path, metavar="FILE", help="write prepared arrays to FILE.npz and stop")
    source.add_argument("--packed", type=Path, metavar="FILE", help="train from prepared arrays")
    _add_recipe(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--fold", type=int, choices=range(5), help="train only this validation fold; default: all five")
    output.add_argument(
        "--runs", type=Path, default=Path("runs"), help="checkpoints and logs; a stopped run resumes from here"
    )
    output.add_argument("--out", type=Path, help="weights folder; default: weights/TASK/ARCHITECTURE")
    output.add_argument("--note", default="First weights.", help="what the changelog of the weights says")
    output.add_argument(
        "--fit-only", action="store_true", help="stop after fitting; run again without it to evaluate and publish"
    )


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """Options that `Recipe` holds."""
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--architecture", help="default: the task's first")
    recipe.add_argument("--epochs", type=int, default=50)
    recipe.add_argument("--batch", type=int, default=5)
    recipe.add_argument("--optimizer", choices=("sgd", "adam", "adagrad", "rmsprop"), default="sgd")
    recipe.add_argument("--lr", type=float, default=1e-3)
    recipe.add_argument("--momentum", type=float, default=0.9)
    recipe.add_argument("--weight-decay", type=float, default=0.0)
    recipe.add_argument("--schedule", choices=("step", "cosine"), default="step")
    recipe.add_argument("--step", type=int, default=15, help="epochs between steps of the learning rate")
    recipe.add_argument("--sampler", choices=("none", "under", "weighted", "positives"), default="none")
    recipe.add_argument("--passes", type=int, default=1, help="times that an epoch goes through the cases")
    recipe.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    recipe.add_argument(
        "--average",
        type=float,
        default=0.0,
        help="what a step keeps of the running average of the weights (default 0: none)",
    )
    recipe.add_argument("--keep", choices=("best", "last"), default="best", help="epoch to keep (default best)")
    recipe.add_argument(
        "--options",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="of the network, e.g. dissimilarity=0 final_relu=true",
    )
    recipe.add_argument("--pretrained", action="store_true", help="start from ImageNet weights (downloads them)")
    recipe.add_argument(
        "--start",
        default="",
        metavar="DIR",
        help="start from the weights kept in a fold's checkpoint, e.g. runs/.../fold_0",
    )
    recipe.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """Collect, fit, publish the fold with the lowest validation loss."""
    if options.task == IMAGE_KINDS:
        from core.training.image_kinds import write_kinds

        print(write_kinds(options.data, "python -m core train image_kinds --data DIR"))
        return 0
    task = registry.task(options.task)
    options.architecture = options.architecture or task.architectures[0]
    pack = _pack(options)
    if options.pack:
        pack.save(options.pack)
        print(f"{len(pack.targets)} prepared cases in {options.pack}")
        return 0
    from core.training.fit import Fitted, Recipe, fit_fold

    options.options = read_options(options.options)
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    network, learn = registry.part(task.id, "network"), registry.part(task.id, "learn")
    folds = range(5) if options.fold is None else [options.fold]
    runs = options.runs / task.id / options.architecture
    fitted: dict[int, Fitted] = {
        fold: fit_fold(network, learn, pack, fold, recipe, runs / f"fold_{fold}") for fold in folds
    }
    for fold, result in fitted.items():
        print(f"fold {fold}: validation loss {result.kept_loss:.4f} at epoch {result.kept_epoch + 1}", file=sys.stderr)
    if options.fit_only:
        return 0
    from core.training.publish import publish

    folder = options.out or registry.WEIGHTS / task.id / options.architecture
    manifest = publish(
        network,
        learn,
        registry.part(task.id, "data").MANIFEST,
        pack,
        fitted,
        recipe,
        options.command_line,
        options.note,
        folder,
    )
    if folder == registry.WEIGHTS / task.id / folder.name:
        from core.screening import load
        from core.training.golden import write_golden

        write_golden(load(task.id, folder.name))
    for metric in manifest.metrics:
        interval = f" ({metric.low:.3f}-{metric.high:.3f})" if metric.low is not None else ""
        print(f"{metric.name}: {metric.value:.4f}{interval}, n = {metric.n}, {metric.data}")
    return 0


def _pack(options: argparse.Namespace) -> Any:
    """Prepared arrays from a file, a folder or phantoms."""
    from core.training.pack import Pack

    if options.packed:
        return Pack.load(options.packed)
    from core.training.collect import collect, folder_facts, phantom_facts

    data = registry.part(options.task, "data")
    if options.data:
        training, test = (data.folder_cases(options.data, options.labels, split) for split in ("train", "test"))
        facts = folder_facts(options.licence)
    else:
        training = data.phantom_cases(options.data_seed, "training", options.phantoms)
        test = data.phantom_cases(options.data_seed, "test", options.test_phantoms)
        facts = phantom_facts(options.task, options.data_seed, options.phantoms)
        if options.backgrounds:
            training = chain(training, data.background_cases(options.backgrounds, options.data_seed, options.copies))
            facts |= data.background_facts(facts)
    if options.pack:
        facts["pack_command"] = options.command_line
    return collect(options.task, training, test, facts, options.data_seed)
