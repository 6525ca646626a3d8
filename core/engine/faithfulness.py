"""Does a map show what the network used? Three tests beside every picture.

Deletion (Petsiuk et al. 2018): blank the places the map calls most important first; the score must fall faster than for places in
random order. Insertion (the same): start from the blanked picture and show these places first; the score must rise faster. Weight
randomisation (Adebayo et al. 2018): with a random last layer the map must become another map.
"""

import copy
from collections.abc import Sequence
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
    """Result of the three tests for one map.

    Attributes:
        shares: Share of the picture that is blanked (shown, for insertion) at each step, (STEPS + 1,), from 0.
        by_map: Probability after blanking in the order of the map.
        by_chance: Mean probability over random orders.
        chance_low, chance_high: Range over the random orders.
        inserted: Probability after showing in the order of the map what was blanked.
        inserted_by_chance: Mean over the same random orders, read backwards.
        random_weights_correlation: Median Spearman correlation with maps of a random last layer; near 0 is good.
    """

    shares: NDArray[np.float64]
    by_map: NDArray[np.float64]
    by_chance: NDArray[np.float64]
    chance_low: NDArray[np.float64]
    chance_high: NDArray[np.float64]
    inserted: NDArray[np.float64]
    inserted_by_chance: NDArray[np.float64]
    random_weights_correlation: float

    @property
    def gain(self) -> float:
        """How much lower the mean of the deletion curve lies than that of random orders; above 0 = better than chance."""
        return float((self.by_chance - self.by_map).mean())

    @property
    def insertion_gain(self) -> float:
        """How much higher the mean of the insertion curve lies than that of random orders; above 0 = better than chance."""
        return float((self.inserted - self.inserted_by_chance).mean())

    @property
    def is_better_than_chance(self) -> bool:
        """The map's curve lies below every random order on average."""
        return self.gain > 0 and bool(self.by_map.mean() < self.chance_low.mean())

    @property
    def is_inserted_faster_than_chance(self) -> bool:
        """The map's insertion curve lies above every random order on average."""
        return self.insertion_gain > 0 and bool(self.inserted.mean() > self.chance_high.mean())


def _blanked(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Copies of x (1, C, H, W) in which the first 0, 1/STEPS, ... of the cells in `order` are replaced by a strong blur."""
    blurred = functional.interpolate(
        functional.adaptive_avg_pool2d(x, 4), x.shape[-2:], mode="bilinear", align_corners=False
    )
    masks = []
    for step in range(STEPS + 1):
        cells = torch.zeros(CELLS * CELLS, device=x.device)
        cells[torch.from_numpy(order[: round(step / STEPS * CELLS * CELLS)].copy())] = 1
        masks.append(functional.interpolate(cells.reshape(1, 1, CELLS, CELLS), x.shape[-2:], mode="nearest"))
    mask = torch.cat(masks)
    return x * (1 - mask) + blurred * mask


def deletion(model: Model, x: Tensor, order: NDArray[np.int64], target: Target) -> NDArray[np.float64]:
    """Probability while the cells of one picture are blanked.

    Args:
        model: Has the network that is asked.
        x: Network input, (1, C, H, W).
        order: Places of all CELLS x CELLS cells, the first to go first.
        target: From one row of the output to the score.

    Returns:
        (STEPS + 1,): sigmoid of the score with 0, 1/STEPS, ... of the cells blanked.
    """
    with place_in_queue(), torch.no_grad():
        # one by one: all at once are no faster, and of a fine network they fill gigabytes
        rows = [model.network(picture[None])[0] for picture in _blanked(x, order)]
    return np.array([float(torch.sigmoid(target(row))) for row in rows])


def insertion(model: Model, x: Tensor, order: NDArray[np.int64], target: Target) -> NDArray[np.float64]:
    """Probability while the cells of a blanked picture are shown again, the first of `order` first; see `deletion`.

    The picture that shows the first k cells is the one that blanks all the others.
    """
    return deletion(model, x, order[::-1], target)[::-1]


def order_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Cells of a map (H, W), the brightest first."""
    cells = functional.adaptive_avg_pool2d(torch.from_numpy(values)[None, None], CELLS)[0, 0].numpy().ravel()
    return np.argsort(-cells, kind="stable")


def chance(model: Model, x: Tensor, target: Target, seed: int | Sequence[int]) -> NDArray[np.float64]:
    """`deletion` in RANDOM_ORDERS random orders, (RANDOM_ORDERS, STEPS + 1); backwards they are insertions in random order."""
    rng = np.random.default_rng(seed)
    return np.stack([deletion(model, x, rng.permutation(CELLS * CELLS), target) for _ in range(RANDOM_ORDERS)])


def _with_random_last_layer(model: Model, seed: int) -> Model:
    """A copy of the model whose last layer holds random weights of the same spread; the shared model is untouched."""
    network = copy.deepcopy(model.network)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.last_layer().parameters():
        spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
        parameter.copy_((spread * torch.randn(parameter.shape, generator=generator)).to(parameter.device))
    return replace(model, network=network)


def random_weights_correlation(
    model: Model, done: Run, index: int, method: str, target: Target, values: NDArray[np.float32], seed: int
) -> float:
    """Median Spearman correlation of a map with those of RANDOM_WEIGHTS random last layers; 0 for a map without contrast.

    Args:
        model, done, index, method, target: What `values` explains, see `explain`.
        values: The map, float32 (H, W).
        seed: Of the random weights.
    """
    correlations = []
    for draw in range(RANDOM_WEIGHTS):
        other = explain(_with_random_last_layer(model, seed + draw), done, index, method, target).values
        constant = np.ptp(values) == 0 or np.ptp(other) == 0
        correlations.append(0.0 if constant else float(spearmanr(values.ravel(), other.ravel()).statistic))
    return float(np.median(correlations))


def check_map(model: Model, done: Run, index: int, method: str, target: Target, seed: int = 0) -> ExplanationCheck:
    """Run the tests on the map of one image of a run.

    Args:
        model: The model of the run; its network has `last_layer()`.
        done: Result of `runner.run`.
        index: Image of the batch.
        method: Key of explain.METHODS.
        target: From one row of the output to the score.
        seed: Of the random orders and weights.
    """
    values = explain(model, done, index, method, target).values
    x, order = done.x[index : index + 1], order_of(values)
    by_chance = chance(model, x, target, seed)
    return ExplanationCheck(
        shares=np.linspace(0, 1, STEPS + 1),
        by_map=deletion(model, x, order, target),
        by_chance=by_chance.mean(axis=0),
        chance_low=by_chance.min(axis=0),
        chance_high=by_chance.max(axis=0),
        inserted=insertion(model, x, order, target),
        inserted_by_chance=by_chance.mean(axis=0)[::-1],
        random_weights_correlation=random_weights_correlation(model, done, index, method, target, values, seed),
    )
