"""A detector seen through one fixed box, as what is to be explained."""

from math import isfinite

from torch import Tensor, nn

from core.engine.networks.detector import Box, Detector
from core.engine.networks.split import Activations, NetworkView
from core.errors import UsageError


class BoxView(NetworkView):
    """A detector seen through one fixed box; the target layer is the detector's own.

    Output: log odds of each label in the box, (N, n_findings + 1); `row[label]` is what an explanation explains.

    Raises:
        UsageError: A box without height or width.
    """

    def __init__(self, detector: Detector, box: Box) -> None:
        super().__init__()
        if not (all(map(isfinite, box)) and box[0] < box[2] and box[1] < box[3]):
            raise UsageError(f"box {box}; wanted: x0 < x1 and y0 < y1")
        self.detector = detector
        self.box = box

    def of(self, activations: Activations) -> Activations:
        """The detector's activations as they are."""
        return activations

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, size, size)."""
        return self.of(self.detector.features(x))

    def head(self, activations: Activations) -> Tensor:
        """Log odds in the box, (N, n_findings + 1)."""
        return self.detector.box_scores(activations, activations.target.new_tensor([self.box]))[:, 0]

    def last_layer(self) -> nn.Module:
        """The detector's."""
        return self.detector.last_layer()


class PyramidView(BoxView):
    """The same box, with the pyramid map that it is pooled from as target layer, (N, 256, h, w).

    A box is pooled from one map alone, so that a channel of the other maps cannot change its score.
    """

    def of(self, activations: Activations) -> Activations:
        """Runs the pyramid and keeps the map of the box."""
        maps = self.detector.pyramid(activations)
        own = list(maps.values())[self.detector.level_of(self.box)]
        return Activations(own.contiguous())  # else the pooling would copy every batch of them

    def head(self, activations: Activations) -> Tensor:
        """Log odds in the box, (N, n_findings + 1)."""
        level = self.detector.level_of(self.box)
        return self.detector.pooled_scores(self.detector.pool_level(level, activations.target, self.box))
