"""Parses the command line and hands over to one command.

Exit codes: 0 every file was answered (gate outcomes included), 1 at least one error, 2 usage, 3 weights refused.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from core import __version__
from core.cli import (
    audit,
    batch,
    curate,
    deidentify,
    evaluate,
    experiment,
    explanations,
    pacs,
    phantom,
    screen,
    selfcheck,
    tasks,
    train,
    weights,
)
from core.errors import ScreeningError, UsageError, WeightsError

COMMANDS = (
    tasks,
    screen,
    batch,
    evaluate,
    explanations,
    train,
    experiment,
    curate,
    deidentify,
    pacs,
    phantom,
    weights,
    audit,
    selfcheck,
)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m core", description="Screen medical images, train and measure models.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        words = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=words, description=module.__doc__))
        commands.choices[name].set_defaults(run=module.run)
    return top


def _command_line(arguments: Sequence[str]) -> str:
    """The command as cards and result files print it: the folder of real data by its variable, not by its place here."""
    words = "python -m core " + shlex.join(arguments)
    data = os.environ.get("FIVEFOLD_DATA")
    return words.replace(data.rstrip("/"), "$FIVEFOLD_DATA") if data else words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    options.command_line = _command_line(arguments if arguments is not None else sys.argv[1:])
    try:
        code: int = options.run(options)
    except ScreeningError as error:
        print(
            f"{error.code}: {error.message.what} {error.got}\nWanted: {error.message.wanted} {error.message.next_step}",
            file=sys.stderr,
        )
        return 3 if isinstance(error, WeightsError) else 2 if isinstance(error, UsageError) else 1
    return code
