"""Train a task's network: patient-grouped folds, resumable, then a weights folder with held-out results."""

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import fields
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import registry
from core.cli import fast
from core.errors import UsageError
from core.io.options import read_options
from core.io.progress import Progress
from core.records import LabelledCase

if TYPE_CHECKING:  # loads torch
    from core.training.fit import Fitted, Recipe
    from core.training.pack import Pack

IMAGE_KINDS = "image_kinds"
COMMANDS = "commands.txt"  # beside the folds: what made their weights
PACK, PLACES = "pack.npz", ("--job", "--runs", "--out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command; defaults are the reference recipe."""
    parser.add_argument("task", help=f"task id, or {IMAGE_KINDS} for the model the gates use (needs --data)")
    source = parser.add_argument_group("data")
    source.add_argument("--phantoms", type=int, default=1200, help="training phantoms (default 1200)")
    source.add_argument("--test-phantoms", type=int, default=600, help="held-out phantoms (default 600)")
    source.add_argument("--data", type=Path, help="folder of images instead of phantoms")
    source.add_argument(
        "--backgrounds", type=Path, metavar="DIR", help="real images whose finding is made beside the phantoms"
    )
    source.add_argument("--copies", type=int, default=12, help="findings made on each real image (CT; default 12)")
    source.add_argument(
        "--composites",
        type=int,
        nargs=2,
        metavar=("N", "N_TEST"),
        default=(1200, 300),
        help="real films with drawn findings, for training and held out (chest; default 1200 300)",
    )
    source.add_argument(
        "--labels",
        type=Path,
        help="CSV: file, patient, label, split (train or test), laterality (optional); default: labels.csv in the folder of "
        "--data, as curate writes it",
    )
    source.add_argument("--licence", default="not stated", help="terms of --data, for the card")
    source.add_argument("--data-seed", type=int, default=1, help="seed of phantoms and folds")
    source.add_argument(
        "--auxiliary",
        metavar="NAME",
        help="train this auxiliary network of the task instead (needs --data or --packed)",
    )
    source.add_argument("--pack", type=Path, metavar="FILE", help="write prepared arrays to FILE.npz and stop")
    source.add_argument("--packed", type=Path, metavar="FILE", help="train from prepared arrays")
    _add_recipe(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--fold", type=int, nargs="+", choices=range(5), help="train only these validation folds; default: all five"
    )
    output.add_argument(
        "--runs", type=Path, default=Path("runs"), help="checkpoints and logs; a stopped run resumes from here"
    )
    output.add_argument(
        "--job", type=Path, metavar="DIR", help="tell the progress in DIR and keep the prepared arrays there"
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
    recipe.add_argument("--lr", type=float, help="default: that of the task's reference system, else 0.001")
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
    recipe.add_argument(
        "--fast",
        action="store_true",
        help=f"{fast.EPOCHS} epochs on one fold of {fast.TRAINING} cases, tested on {fast.TEST}: minutes on one core, "
        "to try the road. Weights go to weights/ in the folder of --data, never to the installed ones; the card says so",
    )


def run(options: argparse.Namespace) -> int:
    """Collect, fit, publish the fold with the lowest validation loss."""
    if options.task == IMAGE_KINDS:
        from core.training.image_kinds import write_kinds

        print(write_kinds(options.data, "python -m core train image_kinds --data DIR"))
        return 0
    if options.job:
        options.command_line = _without_places(options.command_line)
    recipe = fast.folder_of_runs(options) if options.fast else contextlib.nullcontext()
    with Progress(options.job, "preparing") as progress, recipe:
        return _train(options, progress)


def _without_places(command: str) -> str:
    """A command as a card may show it: the folder of a job is its token, and what comes out lies elsewhere next time."""
    words = shlex.split(command)
    places = {place + step for place, word in enumerate(words) if word in PLACES for step in (0, 1)}
    return shlex.join(word for place, word in enumerate(words) if place not in places)


def _train(options: argparse.Namespace, progress: Progress) -> int:
    task = registry.task(options.task)
    network, learn = (registry.part(task.id, name, options.auxiliary) for name in ("network", "learn"))
    options.architecture = options.architecture or network.ARCHITECTURES[0]
    pack = _pack_of_job(options) if options.job else _pack(options)
    progress.step(0, phase="fitting")
    if options.pack:
        pack.save(options.pack)
        print(f"{len(pack.targets)} prepared cases in {options.pack}")
        return 0
    from core.training.fit import Fitted, Recipe, fit_fold

    options.options = read_options(options.options)
    options.lr = options.lr or getattr(learn, "LEARNING_RATE", Recipe.lr)
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    folds = options.fold or range(5)
    runs = options.runs / task.id / (options.auxiliary or options.architecture)
    runs.mkdir(parents=True, exist_ok=True)
    packing = json.loads(str(pack.facts[0])).get("pack_command", "")
    (runs / COMMANDS).write_text("\n".join(filter(None, (packing, options.command_line))) + "\n", encoding="utf-8")
    fitted: dict[int, Fitted] = {
        fold: fit_fold(network, learn, pack, fold, recipe, runs / f"fold_{fold}") for fold in folds
    }
    for fold, result in fitted.items():
        print(f"fold {fold}: validation loss {result.kept_loss:.4f} at epoch {result.kept_epoch + 1}", file=sys.stderr)
    if not options.fit_only:
        progress.step(0, phase="publishing")
        _publish(options, (registry.part(task.id, "data", options.auxiliary), network, learn), pack, fitted, recipe)
    return 0


def _publish(
    options: argparse.Namespace,
    parts: tuple[Any, Any, Any],
    pack: "Pack",
    fitted: "dict[int, Fitted]",
    recipe: "Recipe",
) -> None:
    """Write the weights folder and print the figures; an installed model gets its golden outputs too."""
    folder = options.out or registry.WEIGHTS / options.task / (options.auxiliary or options.architecture)
    command = "\n".join((*_earlier_commands(recipe.start), options.command_line))
    made = (pack, fitted, recipe, command, options.note, folder)
    if options.auxiliary:
        from core.training.auxiliary import publish_auxiliary

        metrics = publish_auxiliary(parts, *made).metrics
    else:
        from core.training.publish import publish

        data, network, learn = parts
        metrics = publish(network, learn, fast.marked(data.MANIFEST) if options.fast else data.MANIFEST, *made).metrics
        if folder == registry.WEIGHTS / options.task / folder.name:
            from core.screening import load
            from core.training.golden import write_golden

            write_golden(load(options.task, folder.name))
    for metric in metrics:
        interval = f" ({metric.low:.3f}-{metric.high:.3f})" if metric.low is not None else ""
        name = f"{metric.label} {metric.name}".strip()
        print(f"{name}: {metric.value:.4f}{interval}, n = {metric.n}, {metric.data}")


def _earlier_commands(start: str) -> list[str]:
    """What made the weights that training starts from, as far as it is known."""
    path = Path(start).parent / COMMANDS
    return path.read_text(encoding="utf-8").splitlines() if start and path.is_file() else []


def _pack_of_job(options: argparse.Namespace) -> "Pack":
    """Prepared arrays, made once: a job that was stopped takes them over."""
    from core.training.pack import Pack

    kept: Path = options.job / PACK
    if not kept.is_file():
        _pack(options).save(kept)
    return Pack.load(kept)


def _pack(options: argparse.Namespace) -> "Pack":
    """Prepared arrays from a file, a folder or phantoms.

    Raises:
        UsageError: An auxiliary network without images.
    """
    from core.training.pack import Pack

    if options.packed:
        return Pack.load(options.packed)
    from core.training.collect import collect, folder_facts, phantom_facts

    data = registry.part(options.task, "data", options.auxiliary)
    training: Iterable[LabelledCase]
    test: Iterable[LabelledCase]
    if options.auxiliary:
        if not options.data:
            raise UsageError("--auxiliary needs --data")
        training, test, facts = data.cases(options.data), (), dict(data.FACTS)
    elif options.data:
        training, test = (data.folder_cases(options.data, options.labels, split) for split in ("train", "test"))
        if options.fast:
            training, test = islice(training, fast.TRAINING), islice(test, fast.TEST)
        facts = folder_facts(options.licence)
    else:
        training = data.phantom_cases(options.data_seed, "training", options.phantoms)
        test = data.phantom_cases(options.data_seed, "test", options.test_phantoms)
        facts = phantom_facts(options.task, options.data_seed, options.phantoms, options.test_phantoms)
        if options.backgrounds:
            more_training, more_test = _on_backgrounds(options, data)
            training, test = chain(training, more_training), chain(test, more_test)
            facts |= data.background_facts(facts)
    if options.pack:
        facts["pack_command"] = options.command_line
    return collect(options.task, training, test, facts, options.data_seed, options.auxiliary)


def _on_backgrounds(options: argparse.Namespace, data: Any) -> tuple[Iterable[LabelledCase], Iterable[LabelledCase]]:
    """Real images with a finding made on them, for training and for the held-out cases."""
    folder, seed = options.backgrounds, options.data_seed
    if not hasattr(data, "composite_cases"):
        return data.background_cases(folder, seed, options.copies), ()
    from core.training.auxiliary import load_auxiliary

    network = load_auxiliary(options.task, data.COMPOSITES_NEED)
    find = partial(registry.part(options.task, "network", data.COMPOSITES_NEED).find, network)
    training, test = (
        chain(data.composite_cases(folder, find, seed, part, n), data.worded_cases(folder, seed, part))
        for part, n in zip(("training", "test"), options.composites, strict=True)
    )
    return training, test
