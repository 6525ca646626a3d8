"""Does a map show what the network used? Two tests beside every picture.

Deletion (Petsiuk et al. 2018): blank the places the map calls most important first; the score must fall faster than for places in
random order. Weight randomisation (Adebayo et al. 2018): with a random last layer the map must become another map.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from core.engine.explain import Target, explain
from core.engine.loader import Model
from core.engine.runner import Run, place_in_queue

CELLS = 14
STEPS = 8
RANDOM_ORDERS = 5
RANDOM_WEIGHTS = 3


@dataclass(frozen=True)
class ExplanationCheck:
    """Result of both tests for one map.

    Attributes:
        shares: Share of the picture that is blanked at each step, (STEPS + 1,), from 0.
        by_map: Probability after blanking in the order of the map.
        by_chance: Mean probability over random orders.
        chance_low, chance_high: Range over the random orders.
        gain: Mean of by_chance - by_map; above 0 = better than chance.
        random_weights_correlation: Median Spearman correlation with maps of a random last layer; near 0 is good.
    """

    shares: NDArray[np.float64]
    by_map: NDArray[np.float64]
    by_chance: NDArray[np.float64]
    chance_low: NDArray[np.float64]
    chance_high: NDArray[np.float64]
    gain: float
    random_weights_correlation: float

    @property
    def is_better_than_chance(self) -> bool:
        """The map's curve lies below every random order on average."""
        return self.gain > 0 and bool(self.by_map.mean() < self.chance_low.mean())


def _blanked(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Copies of x (1, C, H, W) in which the first 0, 1/STEPS, ... of the cells in `order` are replaced by a strong blur."""
    blurred = functional.interpolate(
        functional.adaptive_avg_pool2d(x, 4), x.shape[-2:], mode="bilinear", align_corners=False
    )
    masks = []
    for step in range(STEPS + 1):
        cells = torch.zeros(CELLS * CELLS, device=x.device)
        cells[torch.from_numpy(order[: round(step / STEPS * CELLS * CELLS)])] = 1
        masks.append(functional.interpolate(cells.reshape(1, 1, CELLS, CELLS), x.shape[-2:], mode="nearest"))
    mask = torch.cat(masks)
    return x * (1 - mask) + blurred * mask


def _deletion(model: Model, x: Tensor, order: NDArray[np.int64], target: Target) -> NDArray[np.float64]:
    """Sigmoid of the score at every step."""
    with place_in_queue(), torch.no_grad():
        outputs = model.network(_blanked(x, order))
    return np.array([float(torch.sigmoid(target(row))) for row in outputs])


def _with_random_last_layer(model: Model, seed: int) -> Model:
    """A copy of the model whose last layer holds random weights of the same spread; the shared model is untouched."""
    network = copy.deepcopy(model.network)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.last_layer().parameters():
        spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
        parameter.copy_((spread * torch.randn(parameter.shape, generator=generator)).to(parameter.device))
    return replace(model, network=network)


def check_map(model: Model, done: Run, index: int, method: str, target: Target, seed: int = 0) -> ExplanationCheck:
    """Run both tests on the map of one image of a run.

    Args:
        model: The model of the run; its network has `last_layer()`.
        done: Result of `runner.run`.
        index: Image of the batch.
        method: Key of explain.METHODS.
        target: From one row of the output to the score.
        seed: Of the random orders and weights.
    """
    rng = np.random.default_rng(seed)
    values = explain(model, done, index, method, target).values
    cells = functional.adaptive_avg_pool2d(torch.from_numpy(values)[None, None], CELLS)[0, 0].numpy().ravel()
    x = done.x[index : index + 1]
    by_map = _deletion(model, x, np.argsort(-cells, kind="stable"), target)
    chance = np.stack([_deletion(model, x, rng.permutation(CELLS * CELLS), target) for _ in range(RANDOM_ORDERS)])
    correlations = []
    for draw in range(RANDOM_WEIGHTS):
        other = explain(_with_random_last_layer(model, seed + draw), done, index, method, target).values
        constant = np.ptp(values) == 0 or np.ptp(other) == 0
        correlations.append(0.0 if constant else float(spearmanr(values.ravel(), other.ravel()).statistic))
    return ExplanationCheck(
        shares=np.linspace(0, 1, STEPS + 1),
        by_map=by_map,
        by_chance=chance.mean(axis=0),
        chance_low=chance.min(axis=0),
        chance_high=chance.max(axis=0),
        gain=float((chance.mean(axis=0) - by_map).mean()),
        random_weights_correlation=float(np.median(correlations)),
    )
