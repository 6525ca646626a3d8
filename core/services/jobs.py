"""Commands that run in processes of their own, started and watched by a page: each has a folder, and the folder is all.

The server may be restarted meanwhile: the folder tells how far the command is (core.io.progress), and the same command goes on
where one stopped. Who knows the token in the address of a job may see it, nobody else.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.errors import BusyError
from core.io.progress import ask_to_stop, read_progress, tell_killed
from core.io.weights_file import write_atomically

_ROOT = Path(__file__).resolve().parents[2]
PLAN, LOG = "plan.json", "log.txt"
STOP_LIMIT_S, _LOOK_S = 2.0, 0.1
Plan = TypeVar("Plan")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True)
class Job:
    """One job on disk.

    Attributes:
        folder: Its name is the token.
    """

    folder: Path

    @property
    def token(self) -> str:
        """Who knows it may see the job."""
        return self.folder.name


class Jobs:
    """All jobs of one kind on this installation; one of them runs at a time, for each would take as much longer.

    Args:
        root: Where their folders lie; made when the first one is.
        keep_hours: After which a folder that nobody used is deleted; None = never.
    """

    def __init__(self, root: Path, keep_hours: float | None) -> None:
        self._root, self._keep_hours = root.resolve(), keep_hours
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.forget_old()

    def create(self, plan: Any, files: Mapping[str, bytes]) -> Path:
        """A new folder; nothing runs yet.

        Args:
            plan: A dataclass of JSON values: what is to be done.
            files: By name.

        Raises:
            OSError: The disk is full, or the folder cannot be written to; nothing is left behind.
        """
        self.forget_old()
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)  # names of folders are tokens
        folder = self._root / secrets.token_urlsafe(18)
        folder.mkdir(mode=0o700)
        try:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            write_json(folder / PLAN, asdict(plan))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def find(self, token: str, kind: Callable[..., Plan]) -> tuple[Path, Plan] | None:
        """Folder and plan of a token, None where there is none. It counts as used now.

        Args:
            token: Of the job.
            kind: Dataclass of its plan.
        """
        folder = self._root / token
        if not _TOKEN.fullmatch(token) or not (folder / PLAN).is_file():
            return None
        with contextlib.suppress(OSError):  # it is deleted at this moment: whoever reads it will see
            os.utime(folder / PLAN)
        try:
            return folder, kind(**read_json(folder / PLAN))
        except (OSError, ValueError, TypeError):  # of another version of this program
            return None

    def folders(self) -> list[Path]:
        """Of all jobs, those included whose server ended before they were whole."""
        return [path for path in self._root.glob("*/") if _TOKEN.fullmatch(path.name)]

    def launch(
        self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str], prepare: Callable[[], None]
    ) -> None:
        """Run `python -m core` with arguments; nothing happens while this job runs.

        Args:
            folder: Of the job; its log grows there.
            arguments: Of the command, which tells its progress in `folder`.
            environment: Variables beside those of the server.
            prepare: Called before the process is started, when it is sure to be.

        Raises:
            BusyError: Another job runs.
        """
        with self._lock:
            if self.is_alive(folder):
                return
            if any(map(self.is_alive, self.folders())):
                raise BusyError("another job of this kind is running")
            prepare()
            cores = str(max(1, (os.cpu_count() or 2) - 1))
            with (folder / LOG).open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "core", *arguments],
                    cwd=_ROOT,
                    env={**os.environ, "OMP_NUM_THREADS": cores, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
                )
            self._running = {folder.name: process}

    def is_alive(self, folder: Path) -> bool:
        """Whether the command of a job runs; one that an earlier server started tells it itself."""
        process, told = self._running.get(folder.name), read_progress(folder)
        return (process is not None and process.poll() is None) or (told is not None and told.is_alive)

    def stop(self, folder: Path) -> None:
        """End the command that runs. Returns once it has ended, or after two seconds."""
        if not self.is_alive(folder):
            return
        ask_to_stop(folder)
        process, limit = self._running.get(folder.name), time.monotonic() + STOP_LIMIT_S
        if process is not None and process.poll() is None:
            try:
                process.wait(STOP_LIMIT_S / 2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                tell_killed(folder)
        while self.is_alive(folder) and time.monotonic() < limit:  # started by an earlier server
            time.sleep(_LOOK_S)

    def delete(self, folder: Path) -> None:
        """Stop it and remove everything."""
        self.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def forget_old(self) -> None:
        """Delete folders that were not used for so long, but for one whose command runs."""
        if self._keep_hours is None:
            return
        for folder in self.folders():
            with contextlib.suppress(OSError):  # another session deletes it too
                is_old = time.time() - _touched(folder) >= 3600 * self._keep_hours
                if is_old and not self.is_alive(folder):
                    shutil.rmtree(folder)


def read_json(path: Path) -> Any:
    """A JSON file, None where it is not there."""
    return json.loads(path.read_bytes()) if path.is_file() else None


def write_json(path: Path, values: object) -> None:
    """Write a JSON file at once."""
    write_atomically(path, json.dumps(values, ensure_ascii=False, indent=1).encode())


def _touched(folder: Path) -> float:
    """When the youngest file of a folder was written, seconds since 1970."""
    times = [folder.stat().st_mtime]
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # a temporary file that was there a moment ago
            times.append(path.stat().st_mtime)
    return max(times)
