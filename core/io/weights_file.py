"""Weights on disk: checked before they are parsed, written so that no half file is ever seen. No pickle."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import WeightsError

if TYPE_CHECKING:
    import torch


def verify(path: Path, sha256: str, n_bytes: int) -> bytes:
    """Read a file and compare it with its manifest entry.

    Args:
        path: The weights file.
        sha256: Expected hash, hexadecimal.
        n_bytes: Expected length.

    Returns:
        The content that was verified: parse this, not the file, which may change.

    Raises:
        WeightsError: Missing, unreadable, another length or another hash.
    """
    try:
        n_there = path.stat().st_size
        if n_there != n_bytes:
            raise WeightsError(f"{n_there} bytes, expected {n_bytes}")
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"file cannot be read: {type(error).__name__}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise WeightsError(f"SHA-256 {found[:12]}, expected {sha256[:12]}")
    return content


def load_tensors(path: Path, sha256: str, n_bytes: int) -> "dict[str, torch.Tensor]":
    """Verify, then parse a safetensors file.

    Returns:
        Tensors by parameter name, on the CPU, in the precision of the file.

    Raises:
        WeightsError: What `verify` raises, or the content is no safetensors.
    """
    content = verify(path, sha256, n_bytes)
    # Floors above list tasks without paying for torch.
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError("not a safetensors file") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, so that a reader sees the old file or the whole new one.

    Raises:
        OSError: Disk full, folder missing or not writable; the old file is untouched.
    """
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            os.chmod(name, 0o644)  # temporary files are private, results are not
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
