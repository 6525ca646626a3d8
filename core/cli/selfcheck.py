"""Check this installation: imports, weights, golden outputs, reader, port, write access; says what to fix."""

import argparse
import importlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from core import registry
from core.errors import ScreeningError

LIBRARIES = (
    "torch",
    "torchvision",
    "pydicom",
    "streamlit",
    "plotly",
    "pandas",
    "PIL",
    "pytorch_grad_cam",
    "safetensors",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--port", type=int, default=8501, help="port the app would use")


def run(options: argparse.Namespace) -> int:
    """Print one line a check; exit code 1 when one failed."""
    checks: list[tuple[str, Callable[[], Iterator[str]], str]] = [
        ("imports", _imports, "install requirements.txt again in a fresh environment"),
        ("reader", _reader, "see whether the machine lets a process start a child process"),
        ("weights", _weights, "restore the weights folder from the release"),
        ("port", lambda: _port(options.port), "stop the other program or choose another port: make run PORT=8600"),
        ("write access", _write_access, "give this user a temporary folder it may write to"),
    ]
    failed = False
    for name, check, advice in checks:
        try:
            for line in check():
                print(f"ok      {name}: {line}")
        except Exception as error:  # a self-check reports whatever is wrong
            failed = True
            print(f"FAILED  {name}: {error}\n        {advice}")
    return 1 if failed else 0


def _imports() -> Iterator[str]:
    for name in LIBRARIES:
        module = importlib.import_module(name)
        yield f"{name} {getattr(module, '__version__', '')}".strip()


def _reader() -> Iterator[str]:
    from core.io.reader import shared_reader

    try:
        shared_reader().read(b"not an image")
    except ScreeningError as error:
        if error.code != "E_NOT_IMAGE":
            raise
    yield "answers, and refuses what is no image"


def _weights() -> Iterator[str]:
    from core.screening import load
    from core.training.golden import TOLERANCE, largest_difference, read_golden

    for task_id in registry.tasks():
        for folder in registry.model_folders(task_id):
            model = load(task_id, folder.name)
            expected = read_golden(folder)
            if expected is None:
                raise RuntimeError(f"{task_id}/{folder.name}: golden.json is missing")
            difference = largest_difference(model, expected)
            if difference > TOLERANCE:
                raise RuntimeError(f"{task_id}/{folder.name}: golden outputs differ by {difference:.4f}")
            yield f"{task_id}/{folder.name} verified, golden outputs within {TOLERANCE}"


def _port(port: int) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
    yield f"{port} is free"


def _write_access() -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
        yield f"{Path(file.name).parent} is writable"
