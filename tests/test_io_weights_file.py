"""Weights are refused before they are parsed, and written whole or not at all."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from core.errors import WeightsError
from core.io.weights_file import load_tensors, verify, write_atomically

TENSORS = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.tensor([1.0, -1.0]).half()}
CONTENT = save(TENSORS)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["BOMB_FOLDER"],)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(CONTENT)
    return file


def refuse(path: Path, sha256: str = SHA256, n_bytes: int = len(CONTENT)) -> str:
    with pytest.raises(WeightsError) as caught:
        load_tensors(path, sha256, n_bytes)
    assert caught.value.code == "E_WEIGHTS"
    return caught.value.got


def test_round_trip(path: Path) -> None:
    assert verify(path, SHA256, len(CONTENT)) == CONTENT
    loaded = load_tensors(path, SHA256.upper(), len(CONTENT))
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


@pytest.mark.parametrize("position", [0, 40, -1])
def test_one_flipped_bit(path: Path, position: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[position] ^= 1
    path.write_bytes(damaged)
    assert "SHA-256" in refuse(path)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"\0", b"<html>not found</html>"])
def test_another_length(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert f"{len(content)} bytes" in refuse(path)


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    assert "FileNotFoundError" in refuse(tmp_path / "none.safetensors")
    size = tmp_path.stat().st_size
    assert "IsADirectoryError" in refuse(tmp_path, n_bytes=size)


@pytest.mark.parametrize("expected_by_manifest", [False, True])
def test_pickle_is_never_executed(path: Path, monkeypatch: pytest.MonkeyPatch, expected_by_manifest: bool) -> None:
    folder = path.parent / "executed"
    monkeypatch.setenv("BOMB_FOLDER", str(folder))
    payload = pickle.dumps(Bomb())
    path.write_bytes(payload)
    if expected_by_manifest:
        assert "safetensors" in refuse(path, hashlib.sha256(payload).hexdigest(), len(payload))
    else:
        refuse(path, n_bytes=len(payload))
    assert not folder.exists()


def test_atomic_write(path: Path) -> None:
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]
