"""A network cut in two: `features` up to the layer that explanations use, `head` from there to the output."""

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


class SplitNetwork(nn.Module):
    """Base of every network. `forward(x) == head(features(x))`; `head` never changes its input in place."""

    def features(self, x: Tensor) -> Activations:
        """Run to the target layer. x: float32 (N, C, H, W)."""
        raise NotImplementedError

    def head(self, activations: Activations) -> Tensor:
        """Run from the target layer to the output."""
        raise NotImplementedError

    def last_layer(self) -> nn.Module:
        """The layer whose randomisation must change an explanation."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """The whole network."""
        return self.head(self.features(x))
