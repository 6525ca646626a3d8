"""SegNet (Badrinarayanan et al. 2017, arXiv 1511.00561), written from the paper on torchvision's VGG16 with batch norms."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VGG16_BN_Weights
from torchvision.models.vgg import cfgs, make_layers

from core.engine.networks.split import Activations, SplitNetwork
from core.engine.networks.unet import convolution

# channels through each stage of the decoder, coarsest first: the encoder's in reverse; the last convolution gives the logits
DECODER = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))


def _encoder(pretrained: bool) -> nn.Sequential:
    """The 13 convolutions of torchvision's VGG16 with batch norms and its five poolings; state names as in its `features`."""
    encoder: nn.Sequential = make_layers(
        cfgs["D"], batch_norm=True
    )  # not the whole VGG: 124 million weights never used
    if pretrained:
        state = VGG16_BN_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)
        prefix = "features."
        encoder.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
        return encoder
    for layer in encoder:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # as in the paper
            nn.init.zeros_(layer.bias)
    return encoder


class SegNet(SplitNetwork):
    """The decoder puts every value back to the place of the maximum that the encoder's pooling took; no map is concatenated.

    Target: map after the fifth pooling, (N, 512, H // 32, W // 32). Rest: where each pooling found its maxima, int64, finest
    first. Sizes of 32 pixels and more.

    Args:
        n_outputs: Number of output maps.
        pretrained: Start the encoder from torchvision's ImageNet weights (downloads them).
    """

    def __init__(self, n_outputs: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = _encoder(pretrained)
        self.decoder = nn.ModuleList(
            nn.Sequential(*(convolution(n_in, n_out) for n_in, n_out in pairwise(stage))) for stage in DECODER
        )
        self.last = nn.Conv2d(DECODER[-1][-1], n_outputs, 3, padding=1)

    def features(self, x: Tensor) -> Activations:
        """x: float32 (N, 3, H, W)."""
        size = tuple(x.shape[-2:])
        places = []
        for layer in self.encoder:
            if isinstance(layer, nn.MaxPool2d):
                x, place = functional.max_pool2d(x, 2, return_indices=True)
                places.append(place)
            else:
                x = layer(x)
        return Activations(x, tuple(places), size)

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, n_outputs, H, W)."""
        assert isinstance(activations.context, tuple)
        height, width = activations.context
        x = activations.target
        for scale, stage in zip(reversed(range(len(DECODER))), self.decoder, strict=True):
            size = (height >> scale, width >> scale)  # that pooling halved and rounded down
            x = stage(functional.max_unpool2d(x, activations.rest[scale], (2, 2), output_size=size))
        logits: Tensor = self.last(x)
        return logits

    def last_layer(self) -> nn.Module:
        """The convolution that gives the logits."""
        return self.last
