"""What the fitted folds answer on the cases of a pack."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.io.box_evidence import BoxEvidence, ImageAnswer, evidence_of, mean_boxes
from core.training.fit import Fitted, Recipe, predict
from core.training.held_out import Scored
from core.training.pack import Pack


class Answers:
    """Scores of the fitted folds on the cases of a pack."""

    def __init__(self, task_network: Any, learn: Any, pack: Pack, recipe: Recipe) -> None:
        self._task, self._learn, self._pack, self._recipe = task_network, learn, pack, recipe

    def network(self, fitted: Fitted) -> torch.nn.Module:
        """The network with the weights of a fold."""
        network: torch.nn.Module = self._task.Network(self._recipe.architecture, **self._recipe.options)
        network.load_state_dict(fitted.state)
        return network

    def images(self, mask: NDArray[np.bool_] | np.int64) -> torch.Tensor:
        """Stored images of some cases, or of one."""
        return torch.from_numpy(self._pack.images[mask])

    def each(self, network: torch.nn.Module, mask: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Place in the pack and scores of one case after another: maps of all of them would not fit into memory."""
        for place in np.flatnonzero(mask):
            yield int(place), self._task.scores(predict(network, self._learn, self.images(place)[None]))[0].numpy()

    def scored(self, network: torch.nn.Module, mask: NDArray[np.bool_]) -> Scored:
        """Some cases with the answers of a network."""
        outputs = self._task.scores(predict(network, self._learn, self.images(mask)))
        probabilities = outputs.numpy().astype(np.float64).round(6)
        return Scored(self._pack.targets[mask].astype(np.float64), probabilities, self._pack.patients[mask])

    def boxes(
        self, network: torch.nn.Module, labels: Sequence[str], mask: NDArray[np.bool_], training: NDArray[np.bool_]
    ) -> BoxEvidence:
        """Some cases with the boxes that a network finds, beside the mean boxes of the training cases."""
        found = predict(network, self._learn, self.images(mask)).numpy().astype(np.float64)
        pack = self._pack
        images = [
            ImageAnswer(
                case=str(pack.cases[place]),
                patient=str(pack.patients[place]),
                pixel_hash=str(pack.pixel_hashes[place]),
                fold=int(pack.folds[place]),
                detected=detected,
                reference=reference.astype(np.float64),
            )
            for place, detected, reference in zip(np.flatnonzero(mask), found, pack.boxes_of(mask), strict=True)
        ]
        return evidence_of(labels, images, mean_boxes(pack.boxes_of(training), len(labels)))

    def out_of_fold(self, fitted: dict[int, Fitted], mask: NDArray[np.bool_]) -> Scored:
        """Some training cases, each answered by the fold that never saw its patient; needs every fold."""
        targets, probabilities = self._pack.targets[mask].astype(np.float64), np.empty(0)
        for fold, own in fitted.items():
            scored = self.scored(self.network(own), mask & (self._pack.folds == fold))
            if probabilities.size == 0:
                probabilities = np.full((len(targets), scored.probabilities.shape[1]), np.nan)
            probabilities[self._pack.folds[mask] == fold] = scored.probabilities
        return Scored(targets, probabilities, self._pack.patients[mask])
