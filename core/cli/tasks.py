"""List the tasks and their installed models."""

import argparse
import json

from core import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Print one line a task."""
    for task in registry.tasks().values():
        models = [folder.name for folder in registry.model_folders(task.id)]
        if options.json:
            print(json.dumps({"task": task.id, "labels": [label.id for label in task.labels], "models": models}))
        else:
            print(f"{task.id:20} {task.image_kind:28} models: {', '.join(models) or 'none installed'}")
    return 0
