"""Measure the explanations of an installed model on phantoms, whose truth is known."""

import argparse
import json
from pathlib import Path

from core.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task", help="task id")
    parser.add_argument("--model", help="installed model; default: the first")
    parser.add_argument(
        "--phantoms",
        type=int,
        default=40,
        metavar="N",
        help="phantoms with something to explain, for energy inside the truth and the pointing game (default 40)",
    )
    parser.add_argument(
        "--blanked",
        type=int,
        default=20,
        metavar="K",
        help="the first so many of them for deletion, insertion and random weights, which take longer (default 20)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the table to FILE; the app shows explanations.json beside weights",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, write, print."""
    if options.phantoms < 2 or options.blanked < 0:
        raise UsageError("--phantoms must be 2 or more, and --blanked 0 or more")
    from core.evaluation.faithfulness import measure_explanations
    from core.io.weights_file import write_atomically
    from core.screening import load

    model = load(options.task, options.model)
    found = measure_explanations(model, options.phantoms, options.blanked, options.seed, options.command_line)
    if options.json:
        text = json.dumps(found.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
        write_atomically(options.json, text.encode())
    print(f"{found.n_phantoms} phantoms")
    for row in found.rows:
        line = (
            f"{row.method}: energy {row.energy.value:.3f} on {row.area:.3f} of the area ({row.enrichment:.1f} times), "
        )
        line += f"pointing {row.pointing.value:.2f}, n = {row.n}"
        for name, gain in (("deletion", row.deletion), ("insertion", row.insertion)):
            line += f", {name} {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else ""
        line += "" if row.random_weights is None else f", random weights {row.random_weights:.2f}"
        print(line + (f", n = {row.n_blanked}" if row.n_blanked else ""))
    print(found.statement)
    return 0
