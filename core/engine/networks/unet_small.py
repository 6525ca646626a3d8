"""A small U-Net that runs most of its layers at a quarter of the resolution: for photographs that are screened on a CPU."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.split import Activations, SplitNetwork
from core.engine.networks.unet import convolution

FINE = 16  # channels at half of the resolution
CHANNELS = (48, 96, 160, 192)  # from a quarter of the resolution down
STRIDE = 32  # of the coarsest map, pixels
RARE = -4.0  # first bias of the logits: lesions are rare, and a network that starts at one half first unlearns that


class _Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        first, (second, norm, _) = convolution(n_in, n_out), convolution(n_out, n_out)
        self.inner = nn.Sequential(first, second, norm)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.inner(x) + self.shortcut(x))


class SmallUNet(SplitNetwork):
    """Residual blocks at four scales down and up, between two folds of 2 x 2 pixels into channels (Shi et al. 2016, 1609.05158).

    A 3 x 3 convolution at full resolution costs sixteen times one at a quarter of it; folding keeps every pixel all the same.
    Maps of the way down are added to those of the way up, not stacked.

    Target: map of the coarsest scale, (N, 192, H // 32, W // 32) of the input padded to a multiple of 32. Rest: the finer maps,
    finest first.

    Args:
        n_outputs: Number of output maps.
    """

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        steps = list(pairwise(CHANNELS))
        self.stem = convolution(4 * 3, FINE)
        self.fold = convolution(4 * FINE, CHANNELS[0])
        self.down = nn.ModuleList(
            [_Block(CHANNELS[0], CHANNELS[0]), *(_Block(finer, coarser) for finer, coarser in steps)]
        )
        self.middle = _Block(CHANNELS[-1], CHANNELS[-1])
        self.narrow = nn.ModuleList(nn.Conv2d(coarser, finer, 1) for finer, coarser in reversed(steps))
        self.up = nn.ModuleList(_Block(finer, finer) for finer, _ in reversed(steps))
        self.unfold = nn.Conv2d(CHANNELS[0], 4 * FINE, 1)
        self.finish = convolution(FINE, FINE)
        self.last = nn.Conv2d(FINE, 4 * n_outputs, 1)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, RARE)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, H, W)."""
        height, width = x.shape[-2:]
        # the border repeated, not zeros: they would draw an edge
        padded = functional.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        fine = self.stem(functional.pixel_unshuffle(padded, 2))
        maps = [self.down[0](self.fold(functional.pixel_unshuffle(fine, 2)))]
        for block in self.down[1:]:
            maps.append(block(functional.max_pool2d(maps[-1], 2)))
        return Activations(self.middle(maps[-1]), (fine, *maps[:-1]), (height, width))

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, n_outputs, H, W)."""
        assert isinstance(activations.context, tuple)
        height, width = activations.context
        x, (fine, *maps) = activations.target, activations.rest
        for narrow, block, skip in zip(self.narrow, self.up, reversed(maps), strict=True):
            x = block(functional.interpolate(narrow(x), scale_factor=2.0) + skip)
        x = self.finish(functional.pixel_shuffle(self.unfold(x), 2) + fine)
        logits: Tensor = functional.pixel_shuffle(self.last(x), 2)
        return logits[..., :height, :width]

    def last_layer(self) -> nn.Module:
        """The 1x1 convolution that gives the logits."""
        return self.last
