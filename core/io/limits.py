"""Limits of a process that parses what strangers made."""

import signal
from pathlib import Path

_STATM = Path("/proc/self/statm")


def limit_memory(memory_bytes: int) -> None:
    """Let the process grow until its resident memory is `memory_bytes`; only Linux has the means."""
    if not _STATM.exists():
        return
    import resource

    page = resource.getpagesize()
    n_mapped, n_resident = (int(word) * page for word in _STATM.read_text().split()[:2])
    # Libraries map more than they touch: what counts is how much may be added.
    limit = n_mapped + memory_bytes - n_resident
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def set_alarm(seconds: int) -> None:
    """Die after twice the limit, should the server be gone that would have ended this process; 0 = no limit."""
    if hasattr(signal, "alarm"):
        signal.alarm(2 * seconds)
