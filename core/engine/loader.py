"""Models in memory: verified, strict, frozen, loaded once however many threads ask."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from core.engine.device import choose_device
from core.engine.networks.split import SplitNetwork
from core.errors import WeightsError
from core.io.weights_file import load_tensors
from core.manifest import Architecture, Manifest, WeightsFile, read_manifest

Builder = Callable[[Manifest], SplitNetwork]
AuxiliaryBuilder = Callable[[Manifest, str], SplitNetwork]


@dataclass(frozen=True)
class Model:
    """A frozen network in evaluation mode with its manifest. Nothing may change it: all sessions share it."""

    manifest: Manifest
    network: SplitNetwork = field(repr=False)
    device: torch.device
    folder: Path


def load_model(folder: Path, build: Builder, device: torch.device) -> Model:
    """Read, verify and freeze one model.

    Args:
        folder: Holds manifest.json and the weights file it names.
        build: Makes the network a manifest declares, with random weights.
        device: Where it runs.

    Raises:
        WeightsError: Hash, size, tensor names, shapes or parameter count differ from the manifest, or a value is not finite.
    """
    manifest = read_manifest(folder)
    network = _loaded(folder, manifest.weights, manifest.architecture, build(manifest), device)
    return Model(manifest, network, device, folder)


def load_auxiliary(model: Model, name: str, build: AuxiliaryBuilder) -> Model:
    """Read, verify and freeze a second network that the manifest of `model` names; it lies in a folder beside the model's.

    Args:
        model: Declares it.
        name: Key of `Manifest.auxiliary`, and the name of its folder.
        build: Makes the network, with random weights.

    Raises:
        WeightsError: See `load_model`.
    """
    folder = auxiliary_folder(model, name)
    declared = model.manifest.auxiliary[name]
    network = _loaded(folder, declared.weights, declared.architecture, build(model.manifest, name), model.device)
    return replace(model, network=network, folder=folder)


def auxiliary_folder(model: Model, name: str) -> Path:
    """Where the weights of a second network lie."""
    return model.folder.parent / name


def _loaded(
    folder: Path, declared: WeightsFile, architecture: Architecture, network: SplitNetwork, device: torch.device
) -> SplitNetwork:
    """The network with the tensors of `declared`, verified and frozen."""
    tensors = load_tensors(folder / declared.file, declared.sha256, declared.bytes)
    try:
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        )
    except RuntimeError as error:
        raise WeightsError(f"{folder.name}: the tensors do not fit the architecture {architecture.name}") from error
    if sum(p.numel() for p in network.parameters()) != declared.parameters:
        raise WeightsError(f"{folder.name}: the number of parameters differs from the manifest")
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):  # running statistics too
        raise WeightsError(f"{folder.name}: a weight is not a finite number")
    # channels last: convolutions run about a tenth faster on a CPU
    convert_conv2d_weight_memory_format(network.requires_grad_(False).eval().to(device), torch.channels_last)
    return network


class ModelCache:
    """At most `size` models; one load per folder and weights hash under any number of cold threads.

    A replaced weights folder has another hash and is loaded anew.
    """

    def __init__(self, size: int = 6) -> None:
        self._size = size
        self._models: OrderedDict[tuple[Path, str], Model] = OrderedDict()
        self._locks: dict[tuple[Path, str], threading.Lock] = {}
        self._guard = threading.Lock()
        self.loads = 0

    def get(self, folder: Path, build: Builder) -> Model:
        """The model of `folder`, loaded when needed."""
        manifest = read_manifest(folder)
        key = (folder.resolve(), manifest.weights.sha256)
        model = self._once(key, lambda: load_model(folder, build, choose_device()))
        # an operating point may have been adopted meanwhile
        return model if model.manifest == manifest else replace(model, manifest=manifest)

    def auxiliary(self, model: Model, name: str, build: AuxiliaryBuilder) -> Model:
        """A second network of `model`, loaded when needed; it carries the manifest of that model."""
        key = (auxiliary_folder(model, name).resolve(), model.manifest.auxiliary[name].weights.sha256)
        return self._once(key, lambda: load_auxiliary(model, name, build))

    def _once(self, key: tuple[Path, str], load: Callable[[], Model]) -> Model:
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with self._guard:
                if key in self._models:
                    self._models.move_to_end(key)
                    return self._models[key]
            model = load()
            with self._guard:
                self.loads += 1
                self._models[key] = model
                while len(self._models) > self._size:
                    self._models.popitem(last=False)
            return model
