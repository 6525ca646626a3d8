"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597) with batch norms and same padding, written from the paper."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.split import Activations, SplitNetwork

CHANNELS = (64, 128, 256, 512, 1024)


def convolution(n_in: int, n_out: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU; starts at the weights of He et al. 2015, as in the paper."""
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)  # the batch norm has the bias
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _double_convolution(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(convolution(n_in, n_out), convolution(n_out, n_out))


class UNet(SplitNetwork):
    """Two convolutions at each of five scales down and four up; transposed convolutions double the size.

    The paper's unpadded convolutions need skips cropped to the smaller map. Here the sizes agree, but that an odd size is one
    pixel short after halving and doubling: that pixel is padded.

    Target: map of the coarsest scale, (N, 1024, H // 16, W // 16). Rest: the four finer maps, finest first. Sizes of 16 pixels
    and more.

    Args:
        n_outputs: Number of output maps.
    """

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_double_convolution(n_in, n_out) for n_in, n_out in pairwise((3, *CHANNELS)))
        upwards = list(pairwise(reversed(CHANNELS)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(n_in, n_out, 2, stride=2) for n_in, n_out in upwards)
        self.merge = nn.ModuleList(_double_convolution(2 * n_out, n_out) for _, n_out in upwards)
        self.last = nn.Conv2d(CHANNELS[0], n_outputs, 1)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, H, W)."""
        maps = [self.down[0](x)]
        for stage in self.down[1:]:
            maps.append(stage(functional.max_pool2d(maps[-1], 2)))
        return Activations(maps[-1], tuple(maps[:-1]), tuple(x.shape[-2:]))

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, n_outputs, H, W)."""
        x = activations.target
        for up, merge, skip in zip(self.up, self.merge, reversed(activations.rest), strict=True):
            x = up(x)
            short_h, short_w = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
            x = merge(torch.cat([skip, functional.pad(x, (0, short_w, 0, short_h))], dim=1))
        logits: Tensor = self.last(x)
        return logits

    def last_layer(self) -> nn.Module:
        """The 1x1 convolution that gives the logits."""
        return self.last
