"""Run an experiment of the reference systems again: its arms by seeds, and a table with what was published beside it."""

import argparse
import json
from pathlib import Path

from core.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("name", nargs="?", help="of the experiment; --list shows all")
    parser.add_argument("--list", action="store_true", help="show the experiments and stop")
    parser.add_argument("--seeds", type=int, help="repetitions; default: as declared")
    parser.add_argument(
        "--fast", action="store_true", help="few and small images: minutes on two cores, marked as such"
    )
    parser.add_argument("--data", type=Path, help="folder of real labelled images instead of phantoms")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of results")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs/experiments"),
        help="checkpoints and prepared arrays; a stopped experiment resumes from here",
    )


def run(options: argparse.Namespace) -> int:
    """Run, write the results and print the table.

    Raises:
        UsageError: No name, or one that no experiment has.
    """
    from core.experiments.catalogue import EXPERIMENTS, experiment

    if options.list:
        for one in EXPERIMENTS.values():
            print(f"{one.id:24} {len(one.arms):2} arms  {one.title}")
        return 0
    if options.name is None:
        raise UsageError(f"no experiment named; known: {', '.join(EXPERIMENTS)}")
    declared = experiment(options.name)
    from core.experiments.run import Plan, run_experiment

    plan = Plan(
        experiment=declared,
        is_fast=options.fast,
        n_seeds=options.seeds or declared.sized(is_fast=options.fast).seeds,
        command=options.command_line,
        out=options.out,
        work=options.runs / ("fast" if options.fast else "full"),
        data=options.data,
    )
    folder = run_experiment(plan)
    _print_table(json.loads((folder / "summary.json").read_text()))
    print(folder)
    return 0


def _print_table(summary: dict[str, object]) -> None:
    """One line an arm and protocol."""
    metric, arms = summary["metric"], summary["arms"]
    assert isinstance(arms, list)
    for entry in arms:
        told = [_told(entry["metrics"].get(f"{part}_{metric}")) for part in ("validation", "unseen")]
        published = entry["published"]
        beside = f"  published {published['value']}{published['unit']}" if published else ""
        failed = f"  {entry['n_diverged']} of {entry['n_runs']} diverged" if entry["n_diverged"] else ""
        print(f"{entry['arm']:32} {entry['protocol']:12} measured {told[0]}  unseen {told[1]}{beside}{failed}")


def _told(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:.3f}" + (f" +- {figure['sd']:.3f}" if figure["sd"] is not None else "")
