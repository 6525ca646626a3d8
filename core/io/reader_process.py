"""One process of the reader (core.io.worker), as the server sees it: started, asked, stopped when its time is up."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from core.io import wire

_ROOT = Path(__file__).resolve().parents[2]
KEY = "FIVEFOLD_PSEUDONYM_KEY"
"""Of the environment: the secret of keyed hashes; without it every process makes its own."""
_START_LIMIT_S = 60.0


class Gone(Exception):
    """The process ended or spoke nonsense; `is_late` when its time was up."""

    def __init__(self, is_late: bool) -> None:
        super().__init__()
        self.is_late = is_late


class ReaderProcess:
    """One reader process. Used by one thread at a time.

    Args:
        memory_bytes, seconds: See `core.io.reader.Reader`.
        key: Secret of the pseudonyms.
    """

    def __init__(self, memory_bytes: int, seconds: int, key: str) -> None:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Threads of the linear algebra library would take memory and cores that no decoder needs.
        settings = {
            KEY: key,
            "PYTHONPATH": os.pathsep.join(paths),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.io.worker", str(memory_bytes), str(seconds)],
            cwd=_ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._seconds = seconds
        self._is_ready = False

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, header: wire.Header, data: bytes, max_reply_bytes: int) -> tuple[wire.Header, bytes]:
        """Send one request and wait for its reply.

        Raises:
            Gone: No reply came; the process is dead or must be closed.
        """
        if not self._is_ready:
            with self._limit(_START_LIMIT_S):
                wire.receive(self._replies, 0)
            self._is_ready = True
        with self._limit(self._seconds * wire.patience(header)):
            wire.send(self._requests, header, data)
            return wire.receive(self._replies, max_reply_bytes)

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        # Killing the process ends a blocked read or write on every system; select() knows no pipes on Windows.
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
        except (OSError, EOFError, wire.WireError) as error:
            raise Gone(is_late.is_set()) from error
        finally:
            timer.cancel()
            timer.join()
            if is_late.is_set():
                self._process.wait()  # the alarm may go off just after the reply: is_alive must know

    def close(self) -> None:
        """End the process and free its pipes."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                stream.close()
