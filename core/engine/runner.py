"""One forward pass that gives output and activations together; a short queue in front of it."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.loader import Model
from core.engine.networks.split import Activations
from core.errors import BusyError, ScreeningError

_PLACES = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // 2))
WAIT_SECONDS = 60.0


@contextmanager
def place_in_queue() -> Iterator[None]:
    """Wait for one of the few places at the network.

    Raises:
        BusyError: No place became free in time.
    """
    if not _PLACES.acquire(timeout=WAIT_SECONDS):
        raise BusyError(f"no place became free in {WAIT_SECONDS:.0f} s")
    try:
        yield
    finally:
        _PLACES.release()


@dataclass(frozen=True)
class Run:
    """One forward pass.

    Attributes:
        x: Network input on the model's device, (N, C, H, W).
        activations: At the split, for explanations.
        output: Network output as float32 numpy, (N, ...).
        facts: Further numbers about each image by name, each (N,).
    """

    x: Tensor
    activations: Activations
    output: NDArray[np.float32]
    facts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def run(model: Model, batch: NDArray[np.float32]) -> Run:
    """Run a batch.

    Args:
        model: Frozen model.
        batch: float32 (N, C, H, W) as prepare made it.

    Raises:
        ScreeningError: E_NONFINITE when input or output is not finite; E_BUSY.
    """
    if not np.isfinite(batch).all():
        raise ScreeningError("E_NONFINITE", "network input")
    # no_grad, not inference_mode: tensors of inference mode cannot enter autograd, and explanations start from these
    with place_in_queue(), torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(batch)).to(model.device)
        activations = model.network.features(x)
        output = model.network.head(activations).float().cpu().numpy()
        facts = {name: value.float().cpu().numpy() for name, value in model.network.facts(activations).items()}
    if not np.isfinite(output).all():
        raise ScreeningError("E_NONFINITE", "network output")
    return Run(x, activations, output, facts)
