"""Foreign weights, from bytes to named tensors: what could run code is refused before anything is parsed.

To be called in a process of its own (core.cli.weights), with its memory and its time limited.
"""

import io
import json
import pickletools
import struct
import zipfile
from typing import TYPE_CHECKING, Any, Literal

from core.errors import WeightsError

if TYPE_CHECKING:
    import torch

MAX_BYTES = 1024 * 2**20
_MAX_HEADER_BYTES, _MAX_PICKLE_BYTES = 100 * 2**20, 64 * 2**20
_NESTS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_HARMLESS = frozenset(
    {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
    | {f"torch {kind}Storage" for kind in _STORAGES}
)
"""The only names that the pickle of a state dict needs. PyTorch's own list is much longer."""
_OTHER_CALLS = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
_ALONE = "save the state dict alone: torch.save(network.state_dict(), file), or better safetensors.torch.save_file"
Format = Literal["safetensors", "torch"]
Tensors = dict[str, "torch.Tensor"]


def looked_at(content: bytes) -> Format:
    """The format of a file, after everything in it was looked at that needs no parsing of tensors.

    Raises:
        WeightsError: Another kind of file, a damaged one, or one that would call code.
    """
    if len(content) > MAX_BYTES:
        raise WeightsError(f"{len(content) / 2**20:.0f} MiB, at most {MAX_BYTES / 2**20:.0f}")
    if content.startswith(b"PK\x03\x04"):
        _look_at_archive(content)
        return "torch"
    if content.startswith(b"\x80"):
        raise WeightsError(f"a bare pickle, which may call code; {_ALONE}")
    _look_at_header(content)
    return "safetensors"


def _look_at_header(content: bytes) -> None:
    """Of a safetensors file: its length, and that the tensors fill the rest."""
    n_header = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    if not 2 <= n_header <= _MAX_HEADER_BYTES or content[8:9] != b"{":
        raise WeightsError(f"neither safetensors nor a PyTorch file; {_ALONE}")
    if n_header + 8 > len(content):
        raise WeightsError("the file ends within its header: it was cut off")
    try:
        header = json.loads(content[8 : 8 + n_header])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        n_wanted = 8 + n_header + max(ends, default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise WeightsError("the header of the safetensors file is damaged") from error
    if n_wanted != len(content):
        raise WeightsError(f"{len(content)} bytes, its header says {n_wanted}: it was cut off or changed")


def _look_at_archive(content: bytes) -> None:
    """Of a PyTorch file: a stored zip file, every check sum right, and a pickle that only builds tensors."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise WeightsError(f"a compressed zip file, not one of torch.save; {_ALONE}")
            if len(pickles) != 1 or pickles[0].filename.rpartition("/")[2] != "data.pkl":
                raise WeightsError(f"a zip file, but no state dict (TorchScript, or something else); {_ALONE}")
            if archive.testzip() is not None:
                raise WeightsError("a check sum in the file is wrong: it was damaged")
            if pickles[0].file_size > _MAX_PICKLE_BYTES:
                raise WeightsError("far too many names for a network")
            _look_at_pickle(archive.read(pickles[0]))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise WeightsError("the file is damaged, or was cut off") from error


def _look_at_pickle(content: bytes) -> None:
    """Read it without running it.

    Raises:
        WeightsError: It names anything but what tensors are built with.
        ValueError: It is no pickle.
    """
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in _OTHER_CALLS or (operation.name == "GLOBAL" and argument not in _HARMLESS):
            raise WeightsError(
                f"its pickle asks for more than tensors and could call code, so it was not read; {_ALONE}"
            )


def parse(content: bytes, kind: Format) -> tuple[Tensors, str]:
    """Tensors of a file that was looked at.

    Args:
        content: The whole file.
        kind: From `looked_at`.

    Returns:
        Tensors by name, on the CPU; and the name of what they were nested in, "" where they were not.

    Raises:
        WeightsError: It cannot be parsed, or holds no tensors.
    """
    try:
        found = _loaded(content, kind)
    except Exception as error:  # of parsers that were not made for hostile files; their texts may quote the file
        raise WeightsError(f"cannot be parsed ({type(error).__name__}); {_ALONE}") from error
    import torch

    nest = next((name for name in _NESTS if isinstance(found, dict) and isinstance(found.get(name), dict)), "")
    inner = found[nest] if nest else found
    if not isinstance(inner, dict):
        raise WeightsError(f"no state dict; {_ALONE}")
    tensors = {name: value for name, value in inner.items() if isinstance(value, torch.Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise WeightsError(f"no named tensors; {_ALONE}")
    if len(tensors) < len(inner):
        raise WeightsError(f"{len(inner) - len(tensors)} entries beside the tensors; {_ALONE}")
    return tensors, nest


def _loaded(content: bytes, kind: Format) -> Any:
    import torch
    from safetensors.torch import load

    if kind == "safetensors":
        return load(content)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
