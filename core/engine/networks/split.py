"""A network cut in two: `features` up to the layer that explanations use, `head` from there to the output."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Activations:
    """Result of `features`.

    Attributes:
        target: Layer that explanations use, (N, K, h, w).
        rest: Further tensors the head needs (skips, other pyramid levels); explanations hold them fixed.
        context: Anything else the head needs (image sizes).
    """

    target: Tensor
    rest: tuple[Tensor, ...] = ()
    context: object = None


class SplitNetwork(nn.Module, ABC):
    """Base of every network. `forward(x) == head(features(x))`; `head` never changes its input in place."""

    @abstractmethod
    def features(self, x: Tensor) -> Activations:
        """Run to the target layer. x: float32 (N, C, H, W)."""

    @abstractmethod
    def head(self, activations: Activations) -> Tensor:
        """Run from the target layer to the output."""

    def last_layer(self) -> nn.Module:
        """The layer whose randomisation must change an explanation (Adebayo et al. 2018): the last linear one."""
        return [module for module in self.modules() if isinstance(module, nn.Linear)][-1]

    def forward(self, x: Tensor) -> Tensor:
        """The whole network."""
        return self.head(self.features(x))
