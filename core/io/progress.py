"""How far a long run is, told in a file, so that a page can show it, find it again after a reload, and stop it.

The file is written again and again while the run lives: an old one tells that the run was killed. A second file asks it to stop;
then the process ends at once, which a Journal outlives. Files are understood by every system and survive the server, which
process ids do not.
"""

import contextlib
import json
import os
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from core.errors import MESSAGES, ScreeningError
from core.io.weights_file import write_atomically

FILE, STOP = "progress.json", "stop"
BEAT_S, DEAD_AFTER_S = 0.5, 5.0
EXIT_STOPPED = 130

Outcome = Literal["running", "failed", "stopped"]


@dataclass(frozen=True)
class State:
    """What the file says.

    Attributes:
        phase: What is being done.
        done, total: Steps; a total of 0 is not known.
        first: Steps that were done when the phase began, by an earlier run.
        started: When the phase began, seconds since 1970.
        beat: When the file was written.
        outcome: "running", or how it ended other than well.
        code, got: Of the error, where it failed.
    """

    phase: str
    done: int
    total: int
    first: int
    started: float
    beat: float
    outcome: Outcome = "running"
    code: str = ""
    got: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the run still writes."""
        return self.outcome == "running" and time.time() - self.beat < DEAD_AFTER_S

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this phase and run; None before it can be told."""
        own = self.done - self.first
        if not self.total or own <= 0:
            return None
        return (self.total - self.done) * (self.beat - self.started) / own


class Progress:
    """Tells how far a run is while its `with` block lasts; ends the process when asked to stop.

    Args:
        folder: Where the file lies; None = nothing is told.
        phase: What is being done.
        total: Steps in all, 0 = not known.
        first: Steps that an earlier run had done.
    """

    def __init__(self, folder: Path | None, phase: str, total: int = 0, first: int = 0) -> None:
        now = time.time()
        self._folder = folder
        self._state = State(phase, first, total, first, now, now)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def step(self, done: int, total: int | None = None, phase: str | None = None) -> None:
        """So many steps are done; cheap, for the file is written by the clock. A named phase begins here."""
        with self._lock:
            own = self._state
            if phase is not None:
                own = replace(own, phase=phase, first=done, started=time.time())
            self._state = replace(own, done=done, total=own.total if total is None else total)

    def __enter__(self) -> Self:
        if self._folder is not None:
            (self._folder / STOP).unlink(missing_ok=True)
            self._write("running")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is None:
            return
        self._is_over.set()
        self._thread.join()
        if error is None:
            (self._folder / FILE).unlink(missing_ok=True)
        elif isinstance(error, ScreeningError):
            self._write("failed", error.code, error.got)
        else:
            self._write("failed")  # its words may hold anything

    def _beat(self) -> None:
        assert self._folder is not None
        while not self._is_over.wait(BEAT_S):
            is_stopped = (self._folder / STOP).exists() or not self._folder.is_dir()
            with contextlib.suppress(OSError):  # of a full disk, which must not silence a run that lives
                self._write("stopped" if is_stopped else "running")
            if is_stopped:
                os._exit(EXIT_STOPPED)  # the thread at work may be deep inside a network

    def _write(self, outcome: Outcome, code: str = "", got: str = "") -> None:
        assert self._folder is not None
        with self._lock:
            told = replace(self._state, beat=time.time(), outcome=outcome, code=code, got=got)
        write_atomically(self._folder / FILE, json.dumps(asdict(told)).encode())


def read_progress(folder: Path) -> State | None:
    """What a run in this folder tells; None where none does."""
    try:
        state = State(**json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return state if not state.code or state.code in MESSAGES else None


def ask_to_stop(folder: Path) -> None:
    """The run in this folder ends within a second."""
    (folder / STOP).touch()


def tell_killed(folder: Path) -> None:
    """The run in this folder was killed, and its file need not grow old before it is told."""
    state = read_progress(folder)
    if state is not None and state.outcome == "running":
        write_atomically(folder / FILE, json.dumps(asdict(replace(state, outcome="stopped"))).encode())
