"""`train --fast`: the whole road of training in minutes, on little data, marked as what it is."""

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from core import registry
from core.errors import UsageError
from core.i18n import mark

EPOCHS, TRAINING, TEST = 3, 200, 80
NOTE = "Fast recipe, to try the road of training."
LIMITATION = mark(
    "Fast recipe: few epochs on few cases, to try the road of training. Its figures say nothing about the method."
)


@contextlib.contextmanager
def folder_of_runs(options: argparse.Namespace) -> Iterator[None]:
    """Change the options of `train` to the fast recipe, with checkpoints in a folder that is gone afterwards.

    Raises:
        UsageError: The weights would lie among the installed ones.
    """
    if options.auxiliary or options.packed:
        raise UsageError("--fast goes with --data or phantoms, and not with --auxiliary")
    options.epochs, options.fold, options.note = EPOCHS, options.fold or [0], NOTE
    options.phantoms, options.test_phantoms = min(options.phantoms, TRAINING), min(options.test_phantoms, TEST)
    architecture = options.architecture or registry.part(options.task, "network").ARCHITECTURES[0]
    options.out = (
        options.out or (options.data or Path()) / ("weights" if options.data else "fast_weights") / architecture
    )
    if options.out.resolve().is_relative_to(registry.WEIGHTS.resolve()):
        raise UsageError("--fast writes no installed weights: choose another --out")
    with TemporaryDirectory() as runs:
        options.runs = Path(runs)
        yield


def marked(template: Mapping[str, object]) -> dict[str, object]:
    """A task's part of the manifest with a first limitation that says what these weights are."""
    return {**template, "of_recipe": (LIMITATION,)}
