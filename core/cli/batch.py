"""Screen every image of a folder or zip archive into one table; the same command goes on where it was stopped."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.io.progress import Progress

if TYPE_CHECKING:  # load torch and SQLAlchemy
    from core.records import ScreeningResult
    from core.services.batch import Keep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task")
    parser.add_argument("data", type=Path, metavar="FOLDER|ZIP")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets results.csv and results.json")
    parser.add_argument("--model", help="installed model; default: the first")
    parser.add_argument(
        "--confirm",
        action="store_true",
        help="record that a person wants the scores of images that raise questions; without it their rows have none",
    )
    parser.add_argument("--operating-point", help="id from the manifest")
    parser.add_argument("--history", action="store_true", help="keep every result in the history, as numbers")
    parser.add_argument("--by", default="command line", metavar="NAME", help="who asks, for the audit log")


def run(options: argparse.Namespace) -> int:
    """Exit code 1 when at least one file could not be answered; its row says why."""
    options.out.mkdir(parents=True, exist_ok=True)
    with Progress(options.out, "loading") as progress:
        from core.errors import FileError
        from core.screening import load
        from core.services.batch import Options, screen_files

        if not options.data.exists():
            raise FileError("E_ARCHIVE", "no such folder or file")
        model = load(options.task, options.model)
        chosen = Options(options.confirm, options.operating_point)
        counts = screen_files(model, options.data, options.out, chosen, progress, _keep(options))
    print(
        f"{counts.total()} files: " + (", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())) or "none")
    )
    if model.manifest.statement:
        print(model.manifest.statement)
    return 1 if counts["error"] else 0


def _keep(options: argparse.Namespace) -> "Keep | None":
    if not options.history:
        return None
    from core.services.history import open_history

    history, by = open_history(), str(options.by)

    def keep(token: str, result: "ScreeningResult") -> None:
        history.add(result, by, "batch", token)

    return keep
