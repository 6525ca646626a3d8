"""A network cut in two: `features` up to the layer that explanations use, `head` from there to the output."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
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

    def facts(self, activations: Activations) -> Mapping[str, Tensor]:
        """Further numbers about each image by name, each (N,); most networks have none."""
        return {}

    def views(self) -> "Mapping[str, NetworkView]":
        """The network as seen from each of its branches, by name; most have none."""
        return {}

    def last_layer(self) -> nn.Module:
        """The layer whose randomisation must change an explanation (Adebayo et al. 2018): the last linear one."""
        return [module for module in self.modules() if isinstance(module, nn.Linear)][-1]

    def forward(self, x: Tensor) -> Tensor:
        """The whole network."""
        return self.head(self.features(x))


class NetworkView(SplitNetwork, ABC):
    """A network seen from one of its branches: only that branch's part of the target is explained, the rest is held fixed.

    `engine.explain` on a view gives the map of the branch: replace the model's network by the view and the activations of the
    run by `of(activations)`; nothing runs twice.
    """

    @abstractmethod
    def of(self, activations: Activations) -> Activations:
        """Activations of the whole network -> of this view."""
