"""The training loop: one fold, resumable after every epoch, the same on CPU and CUDA."""

import json
import sys
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.engine.device import choose_device
from core.errors import UsageError
from core.metrics.coco import average_precision_and_recall, by_label
from core.training.examples import Examples, Means, parts
from core.training.pack import Pack

POSITIVE_SHARE = 0.8  # of the draws of the sampler "positives"


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are those of the hip reference system: SGD 1e-3, batch 5, 50 epochs, StepLR 15.

    Momentum 0.9 and gamma 0.1 are not stated there; they are our reading.

    Attributes:
        average: What a step keeps of the running average of the weights, which is what is validated and kept (Polyak and Juditsky
            1992); 0 = the weights as they are.
        keep: "best" = the epoch with the lowest validation loss; "last" = no choice, so that the validation fold is also unseen.
        passes: Times that an epoch goes through the training cases, each time augmented anew.
        start: Folder of a fold's checkpoint whose kept weights are where training starts, "" for random ones.
        options: Further arguments of the task's network.
    """

    architecture: str = "resnet18"
    epochs: int = 50
    batch: int = 5
    optimizer: Literal["sgd", "adam", "adagrad", "rmsprop"] = "sgd"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    step: int = 15
    sampler: Literal["none", "under", "weighted", "positives"] = "none"
    passes: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    average: float = 0.0
    keep: Literal["best", "last"] = "best"
    pretrained: bool = False
    start: str = ""
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """Result of one fold: the weights of the kept epoch and the history."""

    state: dict[str, Tensor]
    kept_epoch: int
    history: list[dict[str, float]]

    @property
    def kept_loss(self) -> float:
        """Validation loss of the kept epoch."""
        return self.history[self.kept_epoch]["validation_loss"]


def epoch_order(targets: NDArray[np.float32], sampler: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of one epoch.

    Args:
        targets: Class of each case, (N,).
        sampler: "none" = every case once; "under" = as many of each class as of the smallest; "weighted" = N draws with equal
            chance for every class; "positives" = N draws, POSITIVE_SHARE of them from the cases that are not of class 0.
        rng: Source of the order.
    """
    if sampler == "none":
        return rng.permutation(len(targets))
    classes = [np.flatnonzero(targets == value) for value in np.unique(targets)]
    if sampler == "under":
        n = min(len(members) for members in classes)
        return rng.permutation(np.concatenate([rng.choice(members, n, replace=False) for members in classes]))
    drawn = rng.integers(0, len(classes), len(targets))
    if sampler == "positives" and len(classes) > 1:
        classes = [np.flatnonzero(targets == 0), np.flatnonzero(targets != 0)]
        drawn = (rng.random(len(targets)) < POSITIVE_SHARE).astype(np.int64)
    candidates = np.stack([rng.choice(members, len(targets)) for members in classes])
    return candidates[drawn, np.arange(len(targets))]


def predict(network: torch.nn.Module, learn: Any, images: Tensor) -> Tensor:
    """Outputs of a network in evaluation mode for stored images, float32 on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        outputs = [network(learn.plain(images[part].to(device))).float().cpu() for part in parts(images)]
    return torch.cat(outputs)


def _validate(network: Any, learn: Any, examples: Examples) -> dict[str, float]:
    """Mean losses in evaluation mode; of a detector also AP50 and AR."""
    network.eval()
    means = Means()
    with torch.no_grad():
        for x, truth in examples.plain(learn, next(network.parameters()).device):
            means.add(network.loss(x, truth), len(x))
    return means("validation") | _found_boxes(network, learn, examples)


def _found_boxes(network: Any, learn: Any, examples: Examples) -> dict[str, float]:
    """AP50 and AR of a detector, nothing of other networks or where no image has a box."""
    n_labels = max((int(own[:, 4].max(initial=0)) for own in examples.boxes or ()), default=0)
    if not examples.boxes or not n_labels:
        return {}
    detected = predict(network, learn, examples.images).numpy()
    images = [
        by_label(found, own, n_labels)
        for found, own, is_boxed in zip(detected, examples.boxes, examples.is_boxed, strict=True)
        if is_boxed
    ]
    numbers = average_precision_and_recall(images)
    return {} if numbers is None else {"validation_ap50": numbers[0], "validation_ar": numbers[1]}


class _Checkpoint:
    """State of a fold on disk: safetensors + JSON, replaced together by renaming."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tensors, self.facts = folder / "checkpoint.safetensors", folder / "checkpoint.json"
        self.recipe = asdict(recipe)

    def load(self) -> tuple[dict[str, Tensor], list[dict[str, float]], int] | None:
        if not self.facts.is_file():
            return None
        facts = json.loads(self.facts.read_text())
        if facts["recipe"] != self.recipe:
            raise SystemExit(f"{self.facts} was made with another recipe: choose another --runs folder or delete it")
        tensors = self.tensors.with_name(facts["tensors"])
        return load_file(tensors), facts["history"], facts["kept_epoch"]

    def save(self, tensors: dict[str, Tensor], history: list[dict[str, float]], kept_epoch: int) -> None:
        name = f"checkpoint-{len(history):03d}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.tensors.with_name(name))
        partial = self.facts.with_suffix(".part")
        partial.write_text(
            json.dumps({"recipe": self.recipe, "history": history, "kept_epoch": kept_epoch, "tensors": name}, indent=1)
        )
        partial.replace(self.facts)
        for old in self.tensors.parent.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()


def kept_state(folder: Path) -> dict[str, Tensor]:
    """Weights of the kept epoch of the fold whose checkpoint lies in `folder`.

    Raises:
        UsageError: There is none.
    """
    facts = folder / "checkpoint.json"
    if not facts.is_file():
        raise UsageError(f"{folder} holds no checkpoint")
    return _stripped("kept", load_file(folder / json.loads(facts.read_text())["tensors"]))


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": value.detach().cpu().clone() for key, value in tensors.items()}


def _stripped(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}


def _build_optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe. A scalar such as the alpha of a pair is not decayed: zero is no neutral value for it."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if not p.ndim], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, recipe.lr)
    if recipe.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, recipe.lr)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, recipe.lr, momentum=recipe.momentum)
    return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum)


def _state_of(optimizer: torch.optim.Optimizer, network: torch.nn.Module) -> dict[str, Tensor]:
    """What the optimizer remembers, by parameter name and its own key; little or nothing before the first step."""
    return {
        f"{name}.{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    }


def _restore(optimizer: torch.optim.Optimizer, network: torch.nn.Module, state: dict[str, Tensor]) -> None:
    for path, value in state.items():
        name, _, key = path.rpartition(".")
        parameter = network.get_parameter(name)
        optimizer.state[parameter][key] = value.to("cpu" if key == "step" else parameter.device)


def _learning_rate(recipe: Recipe, epoch: int, share: float) -> float:
    """StepLR with gamma 0.1, or a cosine to zero with one epoch of warm-up."""
    if recipe.schedule == "step":
        return recipe.lr * 0.1 ** (epoch // recipe.step)
    position = epoch + share
    return recipe.lr * min(1.0, position + 0.02) * 0.5 * (1 + float(np.cos(np.pi * position / recipe.epochs)))


def _follow(average: torch.nn.Module, network: torch.nn.Module, keeps: float) -> None:
    """One step of a running average of weights and statistics that keeps a share of itself."""
    with torch.no_grad():
        for own, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(new, 1 - keeps)
            else:
                own.copy_(new)


def _train_epoch(
    network: Any,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    learn: Any,
    examples: Examples,
    recipe: Recipe,
    epoch: int,
) -> dict[str, float]:
    """One pass over the training fold; returns the mean losses."""
    network.train()
    device = next(network.parameters()).device
    torch.manual_seed(recipe.seed + epoch)  # dropout of a resumed run is that of an uninterrupted one
    rng = np.random.default_rng([recipe.seed, epoch])
    rounds = [epoch_order(examples.targets.numpy(), recipe.sampler, rng) for _ in range(recipe.passes)]
    order = torch.from_numpy(np.concatenate(rounds))
    # batch norm cannot train on a single value a channel: a last batch of one is left out, unless all are of one
    batches = [part for part in torch.split(order, recipe.batch) if len(part) > 1 or recipe.batch == 1]
    means, started = Means(), time.monotonic()
    for index, part in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, epoch, index / len(batches))
        x, truth = examples.augmented(learn, part, device, rng)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            losses = network.loss(x, truth)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        optimizer.step()
        if recipe.average:
            step = epoch * len(batches) + index
            _follow(average, network, min(recipe.average, (step + 1) / (step + 10)))  # the first steps forget the start
        means.add(losses, len(part))
        if sys.stderr.isatty():
            rate = means.n / (time.monotonic() - started)
            loss = means("train")["train_loss"]
            print(
                f"\repoch {epoch + 1:3d}/{recipe.epochs}  {means.n:5d}/{len(order)}  loss {loss:.4f}  {rate:.0f}/s",
                end="",
                file=sys.stderr,
            )
    return means("train")


def fit_fold(task_network: Any, learn: Any, pack: Pack, fold: int, recipe: Recipe, folder: Path | None) -> Fitted:
    """Train on every fold but `fold`; its loss chooses the epoch unless the recipe keeps the last.

    Starts again where a stopped run left off. The history holds, for every epoch, each loss of the network on both sides, and
    of a detector AP50 and AR on the validation fold.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        pack: Prepared arrays.
        fold: Validation fold.
        recipe: How to train.
        folder: Where the checkpoint lives; None = none is kept, for a training of seconds.
    """
    torch.manual_seed(recipe.seed)
    device = choose_device()
    network = task_network.Network(recipe.architecture, pretrained=recipe.pretrained, **recipe.options)
    if recipe.start:
        network.load_state_dict(kept_state(Path(recipe.start)))
    network.to(device, memory_format=torch.channels_last)
    average = deepcopy(network) if recipe.average else network
    optimizer = _build_optimizer(network, recipe)
    checkpoint = _Checkpoint(folder, recipe) if folder else None
    history: list[dict[str, float]] = []
    kept, kept_epoch = _prefixed("kept", network.state_dict()), -1
    if checkpoint and (saved := checkpoint.load()) is not None:
        tensors, history, kept_epoch = saved
        network.load_state_dict(_stripped("model", tensors))
        if recipe.average:
            average.load_state_dict(_stripped("average", tensors))
        _restore(optimizer, network, _stripped("optimizer", tensors))
        kept = _prefixed("kept", _stripped("kept", tensors))
    training = Examples.of(pack, (pack.folds != fold) & (pack.folds >= 0))
    held = Examples.of(pack, pack.folds == fold)
    for epoch in range(len(history), recipe.epochs):
        started = time.monotonic()
        losses = _train_epoch(network, average, optimizer, learn, training, recipe, epoch)
        row = losses | _validate(average, learn, held)
        history.append({**row, "seconds": round(time.monotonic() - started, 1)})
        validation = row["validation_loss"]
        if recipe.keep == "last" or kept_epoch < 0 or validation < history[kept_epoch]["validation_loss"]:
            kept, kept_epoch = _prefixed("kept", average.state_dict()), epoch
        if checkpoint:
            model, state = (
                _prefixed("model", network.state_dict()),
                _prefixed("optimizer", _state_of(optimizer, network)),
            )
            follower = _prefixed("average", average.state_dict()) if recipe.average else {}
            checkpoint.save(model | follower | kept | state, history, kept_epoch)
        print(
            f"\nfold {fold} epoch {epoch + 1}/{recipe.epochs}: train {row['train_loss']:.4f}, validation {validation:.4f}"
            f" (kept {history[kept_epoch]['validation_loss']:.4f}), {history[-1]['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return Fitted(_stripped("kept", kept), kept_epoch, history)
