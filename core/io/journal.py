"""Answers of a long run, one line each on disk as soon as they are given: a run that was killed goes on where it stopped."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import UsageError

FILE = "answers.jsonl"


class Journal:
    """Keeps what was computed for each key, in one file that only grows.

    A line is written and synchronised before its answer is used, so that a killed run loses at most the answer it was working on;
    half a line at the end is cut off. Values come back as JSON gives them, the first time too, so that a run in pieces ends like
    one that was never stopped.

    Args:
        path: The file, or None = nothing is kept.
        about: What the answers depend on beside their keys, as JSON values; the first line of the file.

    Raises:
        UsageError: The file is of another run, or holds a line that is none of this form.
    """

    def __init__(self, path: Path | None, about: Mapping[str, object]) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path is None:
            return
        first = json.dumps({"about": dict(about)}, sort_keys=True)
        if path.is_file():
            self._load(path, first)
        if not path.is_file() or not path.stat().st_size:
            append_line(path, first.encode())

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def _load(self, path: Path, first: str) -> None:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
        head, *lines = whole.splitlines() or [first.encode("utf-8")]
        if head != first.encode("utf-8"):
            raise UsageError(f"{path.name} is of another run: choose another folder, or delete the file")
        try:
            self._known = {key: value for line in lines for key, value in [json.loads(line)]}
        except ValueError as error:
            raise UsageError(f"{path.name} holds a line that cannot be read: delete the file") from error

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """The value of a key, computed unless it is known.

        Args:
            key: Of one answer.
            compute: Gives a JSON value.
        """
        if key in self._known:
            return self._known[key]
        line = json.dumps([key, compute()])
        value = json.loads(line)[1]
        if self._path is not None:
            append_line(self._path, line.encode())
            self._known[key] = value
        return value

    def finish(self) -> None:
        """The run has written its results: the file goes."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file; it is on the disk when this returns."""
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
