"""The training loop: one fold, resumable after every epoch, the same on CPU and CUDA."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.engine.device import choose_device
from core.training.pack import Pack


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the reference system's: SGD 1e-3, batch 5, 50 epochs, StepLR 15, no pretrained weights.

    Momentum 0.9 and gamma 0.1 are not stated there; they are our reading.
    """

    architecture: str = "resnet18"
    epochs: int = 50
    batch: int = 5
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    step: int = 15
    sampler: Literal["none", "under", "weighted"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    pretrained: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """Result of one fold: the weights of the best epoch (lowest validation loss) and the history."""

    state: dict[str, Tensor]
    best_epoch: int
    history: list[dict[str, float]]

    @property
    def best_loss(self) -> float:
        """Validation loss of the best epoch."""
        return self.history[self.best_epoch]["validation_loss"]


def epoch_order(targets: NDArray[np.float32], sampler: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of one epoch.

    Args:
        targets: 0/1, (N,).
        sampler: "none" = every case once; "under" = as many of the larger class as of the smaller; "weighted" = N draws with
            equal chance for both classes.
        rng: Source of the order.
    """
    positive, negative = np.flatnonzero(targets == 1), np.flatnonzero(targets == 0)
    if sampler == "under":
        n = min(len(positive), len(negative))
        chosen = np.concatenate([rng.choice(positive, n, replace=False), rng.choice(negative, n, replace=False)])
    elif sampler == "weighted":
        take = rng.random(len(targets)) < 0.5
        chosen = np.where(take, rng.choice(positive, len(targets)), rng.choice(negative, len(targets)))
    else:
        chosen = np.arange(len(targets))
    return rng.permutation(chosen)


def predict(network: torch.nn.Module, learn: ModuleType, images: Tensor, batch: int = 64) -> Tensor:
    """Outputs of a network in evaluation mode for stored images, float32 on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        parts = [network(learn.plain(part.to(device))).float().cpu() for part in torch.split(images, batch)]
    return torch.cat(parts)


class _Checkpoint:
    """State of a fold on disk: safetensors + JSON, replaced together by renaming."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.tensors, self.facts = folder / "checkpoint.safetensors", folder / "checkpoint.json"
        self.recipe = asdict(recipe)

    def load(self) -> tuple[dict[str, Tensor], list[dict[str, float]], int] | None:
        if not self.facts.is_file():
            return None
        facts = json.loads(self.facts.read_text())
        if facts["recipe"] != self.recipe:
            raise SystemExit(f"{self.facts} was made with another recipe: choose another --runs folder or delete it")
        tensors = self.tensors.with_name(facts["tensors"])
        return load_file(tensors), facts["history"], facts["best_epoch"]

    def save(self, tensors: dict[str, Tensor], history: list[dict[str, float]], best_epoch: int) -> None:
        name = f"checkpoint-{len(history):03d}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.tensors.with_name(name))
        partial = self.facts.with_suffix(".part")
        partial.write_text(
            json.dumps({"recipe": self.recipe, "history": history, "best_epoch": best_epoch, "tensors": name}, indent=1)
        )
        partial.replace(self.facts)
        for old in self.tensors.parent.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": value.detach().cpu().clone() for key, value in tensors.items()}


def _stripped(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}


def _momentum(optimizer: torch.optim.SGD, network: torch.nn.Module) -> dict[str, Tensor]:
    """Momentum buffers by parameter name; empty before the first step."""
    named = network.named_parameters()
    return {name: optimizer.state[p]["momentum_buffer"] for name, p in named if "momentum_buffer" in optimizer.state[p]}


def _learning_rate(recipe: Recipe, epoch: int, share: float) -> float:
    """StepLR with gamma 0.1, or a cosine to zero with one epoch of warm-up."""
    if recipe.schedule == "step":
        return recipe.lr * 0.1 ** (epoch // recipe.step)
    position = epoch + share
    return recipe.lr * min(1.0, position + 0.02) * 0.5 * (1 + float(np.cos(np.pi * position / recipe.epochs)))


def _train_epoch(
    network: Any,
    optimizer: torch.optim.SGD,
    learn: ModuleType,
    images: Tensor,
    targets: Tensor,
    recipe: Recipe,
    epoch: int,
) -> float:
    """One pass over the training fold; returns the mean loss."""
    network.train()
    device = next(network.parameters()).device
    rng = np.random.default_rng([recipe.seed, epoch])
    order = torch.from_numpy(epoch_order(targets.numpy(), recipe.sampler, rng))
    # batch norm cannot train on a single case: a last batch of one is left out
    batches = [part for part in torch.split(order, recipe.batch) if len(part) > 1]
    total, seen, started = 0.0, 0, time.monotonic()
    for index, part in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, epoch, index / len(batches))
        x = learn.augment(images[part].to(device), rng).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = network.loss(x, targets[part].to(device))["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, seen = total + loss.item() * len(part), seen + len(part)
        if sys.stderr.isatty():
            rate = seen / (time.monotonic() - started)
            print(
                f"\repoch {epoch + 1:3d}/{recipe.epochs}  {seen:5d}/{len(order)}  loss {total / seen:.4f}  {rate:.0f}/s",
                end="",
                file=sys.stderr,
            )
    return total / seen


def fit_fold(
    task_network: ModuleType, learn: ModuleType, pack: Pack, fold: int, recipe: Recipe, folder: Path
) -> Fitted:
    """Train on every fold but `fold`, choose the epoch by the loss on `fold`. Starts again where a stopped run left off.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        pack: Prepared arrays.
        fold: Validation fold.
        recipe: How to train.
        folder: Where the checkpoint lives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    device = choose_device()
    network = task_network.Network(recipe.architecture, pretrained=recipe.pretrained)
    network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    checkpoint = _Checkpoint(folder, recipe)
    history: list[dict[str, float]] = []
    best, best_epoch = _prefixed("best", network.state_dict()), -1
    if (saved := checkpoint.load()) is not None:
        tensors, history, best_epoch = saved
        network.load_state_dict(_stripped("model", tensors))
        for name, buffer in _stripped("momentum", tensors).items():
            optimizer.state[network.get_parameter(name)]["momentum_buffer"] = buffer.to(device)
        best = _prefixed("best", _stripped("best", tensors))
    train = (pack.folds != fold) & (pack.folds >= 0)
    images, targets = torch.from_numpy(pack.images), torch.from_numpy(pack.targets)
    held = torch.from_numpy(pack.folds == fold)
    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        loss = _train_epoch(network, optimizer, learn, images[train], targets[train], recipe, epoch)
        logits = predict(network, learn, images[held])[:, 0]
        validation = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[held]).item()
        history.append(
            {"train_loss": loss, "validation_loss": validation, "seconds": round(time.monotonic() - started, 1)}
        )
        if best_epoch < 0 or validation < history[best_epoch]["validation_loss"]:
            best, best_epoch = _prefixed("best", network.state_dict()), epoch
        model, momentum = _prefixed("model", network.state_dict()), _prefixed("momentum", _momentum(optimizer, network))
        checkpoint.save(model | best | momentum, history, best_epoch)
        print(
            f"\nfold {fold} epoch {epoch + 1}/{recipe.epochs}: train {loss:.4f}, validation {validation:.4f}"
            f" (best {history[best_epoch]['validation_loss']:.4f}), {history[-1]['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return Fitted(_stripped("best", best), best_epoch, history)
