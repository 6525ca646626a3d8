"""Segmentation networks by name, split behind the encoder. State names of library networks stay theirs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision.models.segmentation as tv
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.segnet import SegNet
from core.engine.networks.split import Activations, SplitNetwork
from core.engine.networks.unet import UNet
from core.engine.networks.unet_small import SmallUNet
from core.errors import UsageError

COLOURS = 3  # channels that every network here reads by itself


class _LibrarySegmenter(SplitNetwork):
    """A network of torchvision or of segmentation-models-pytorch (smp)."""

    net: Any  # the networks differ in their parts, which only the family below knows

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def last_layer(self) -> nn.Module:
        """The convolution that gives the logits."""
        return [module for module in self.net.modules() if isinstance(module, nn.Conv2d)][-1]


class _Torchvision(_LibrarySegmenter):
    """Target after layer4 of a ResNet at output stride 8, (N, 2048, h, w); bilinear to the input's size, whatever it is."""

    def features(self, x: Tensor) -> Activations:
        return Activations(self.net.backbone(x)["out"], context=tuple(x.shape[-2:]))

    def head(self, activations: Activations) -> Tensor:
        assert isinstance(activations.context, tuple)
        logits = self.net.classifier(activations.target)
        return functional.interpolate(logits, size=activations.context, mode="bilinear", align_corners=False)


class _Padded(_LibrarySegmenter):
    """A network of smp, for every input size: padded to a multiple of the encoder's stride, the output cropped again."""

    def _encoded(self, x: Tensor) -> list[Tensor]:
        """The encoder's maps, the input first and the target last."""
        stride = self.net.encoder.output_stride
        height, width = x.shape[-2:]
        # the border repeated, not zeros: black is no zero after the usual normalisation, so zeros would draw an edge
        maps: list[Tensor] = self.net.encoder(
            functional.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
        )
        return maps

    def _logits(self, decoded: Tensor, activations: Activations) -> Tensor:
        assert isinstance(activations.context, tuple)
        height, width = activations.context
        logits: Tensor = self.net.segmentation_head(decoded)
        return logits[..., :height, :width]


class _SmpUNet(_Padded):
    """Decoder of a U-Net on the five scales of a classifier. Rest: maps at strides 2, 4, 8 and 16."""

    def features(self, x: Tensor) -> Activations:
        _, *rest, target = self._encoded(x)
        return Activations(target, tuple(rest), tuple(x.shape[-2:]))

    def head(self, activations: Activations) -> Tensor:
        finest = activations.rest[0]
        # of the input, the decoder reads the size alone
        input_sized = finest.new_empty(0, 0, 2 * finest.shape[-2], 2 * finest.shape[-1])
        return self._logits(self.net.decoder([input_sized, *activations.rest, activations.target]), activations)


class _SmpDeepLabPlus(_Padded):
    """Chen et al. 2018, arXiv 1802.02611. Rest: the map at stride 4."""

    STRIDE_4, N_MAPS = 2, 6

    def features(self, x: Tensor) -> Activations:
        maps = self._encoded(x)
        return Activations(maps[-1], (maps[self.STRIDE_4],), tuple(x.shape[-2:]))

    def head(self, activations: Activations) -> Tensor:
        # the decoder reads the map at stride 4 and the last one alone; the others would only fill the memory
        maps = [*activations.rest] * (self.N_MAPS - 1) + [activations.target]
        return self._logits(self.net.decoder(maps), activations)


class _PooledNorm(nn.BatchNorm2d):
    """Batch norm of ASPP's branch that pools the whole image, with the same state.

    A single image leaves one value a channel here. That has no variance, and PyTorch refuses to train on it (pytorch/vision issue
    2151); such a batch is normalised by the running statistics, as in evaluation, and leaves them as they are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, 1, 1)."""
        if len(x) > 1:
            return super().forward(x)
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def _allow_single_images(aspp: Any) -> None:
    """Make a library's ASPP module trainable with a batch of one."""
    pooling = aspp.convs[-1]
    pooling[2] = _PooledNorm(pooling[2].num_features)


def _own(n_outputs: int, *, pretrained: bool, builder: Callable[[int], SplitNetwork], name: str) -> SplitNetwork:
    if pretrained:
        raise UsageError(f"ImageNet weights for {name}, which has none; wanted: pretrained=False, or unet_resnet18")
    return builder(n_outputs)


def _unet_resnet18(n_outputs: int, *, pretrained: bool) -> SplitNetwork:
    import segmentation_models_pytorch as smp  # here: half a second that few need

    return _SmpUNet(smp.Unet("resnet18", encoder_weights="imagenet" if pretrained else None, classes=n_outputs))


def _torchvision(n_outputs: int, *, pretrained: bool, builder: Callable[..., Any]) -> _Torchvision:
    return _Torchvision(builder(weights_backbone="DEFAULT" if pretrained else None, num_classes=n_outputs))


def _deeplabv3(n_outputs: int, *, pretrained: bool) -> SplitNetwork:
    network = _torchvision(n_outputs, pretrained=pretrained, builder=tv.deeplabv3_resnet50)
    _allow_single_images(network.net.classifier[0])
    return network


def _deeplabv3plus(
    n_outputs: int, *, pretrained: bool, encoder: str, stride: int = 16, rates: tuple[int, int, int] = (6, 12, 18)
) -> SplitNetwork:
    import segmentation_models_pytorch as smp

    weights = True if encoder.startswith("tu-") else "imagenet"  # smp's two ways to say the same
    net = smp.DeepLabV3Plus(
        encoder,
        encoder_weights=weights if pretrained else None,
        encoder_output_stride=stride,
        decoder_atrous_rates=rates,
        classes=n_outputs,
    )
    _allow_single_images(net.decoder.aspp[0])
    return _SmpDeepLabPlus(net)


_BUILDERS: dict[str, Callable[..., SplitNetwork]] = {
    "unet_small": partial(_own, builder=SmallUNet, name="unet_small"),
    "unet": partial(_own, builder=UNet, name="unet"),
    "unet_resnet18": _unet_resnet18,
    "fcn_resnet101": partial(_torchvision, builder=tv.fcn_resnet101),
    "segnet": SegNet,
    "deeplabv3": _deeplabv3,
    "deeplabv3plus_resnet50": partial(_deeplabv3plus, encoder="resnet50"),
    "deeplabv3plus_xception": partial(_deeplabv3plus, encoder="tu-xception41"),
    "deeplabv3plus_drn": partial(_deeplabv3plus, encoder="resnet50", stride=8, rates=(12, 24, 36)),
}
SEGMENTERS = tuple(_BUILDERS)


def _widen(network: nn.Module, copies: int) -> None:
    """Let the first convolution read several pictures of the same colours: it starts as it would on their mean."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        first.weight = nn.Parameter(first.weight.repeat(1, copies, 1, 1) / copies)
    first.in_channels *= copies


def build_segmenter(name: str, n_outputs: int, *, n_inputs: int = 3, pretrained: bool = False) -> SplitNetwork:
    """Build a segmentation network by name.

    Input: float32 (N, n_inputs, H, W). Output: logits (N, n_outputs, H, W). Target: the encoder's last map; context: (H, W).
    All of them train with a batch of one image.

    - unet_small, unet, segnet: see those classes.
    - unet_resnet18: U-Net decoder of smp on a ResNet18.
    - fcn_resnet101: Long et al. 2015 on a ResNet101 at output stride 8, without auxiliary classifier.
    - deeplabv3: Chen et al. 2017, arXiv 1706.05587, on a ResNet50 at output stride 8, rates 12, 24, 36.
    - deeplabv3plus_resnet50, deeplabv3plus_xception (timm's Aligned Xception-41): output stride 16, rates 6, 12, 18.
    - deeplabv3plus_drn: ResNet50 at output stride 8, rates 12, 24, 36. A stand-in: no maintained library has the dilated residual
      networks (DRN, Yu et al. 2017), whose idea, dilation in place of the last two strides, this encoder has; DRN's further
      layers against gridding are missing.

    Args:
        name: One of SEGMENTERS.
        n_outputs: Number of output maps.
        n_inputs: Channels of the input, a multiple of three: pictures of the same colours.
        pretrained: Start the encoder from ImageNet weights (downloads them). Those of the Xception want a mean and a standard
            deviation of 0.5 in every channel, all others the usual ones of ImageNet.

    Raises:
        UsageError: Unknown name; another number of channels; `pretrained` for a U-Net of ours, for which no such weights exist.
    """
    if name not in _BUILDERS:
        raise UsageError(f"segmentation network {name!r}; known: {', '.join(SEGMENTERS)}")
    if n_inputs <= 0 or n_inputs % COLOURS:
        raise UsageError(f"{n_inputs} input channels; wanted: a multiple of {COLOURS}")
    network = _BUILDERS[name](n_outputs, pretrained=pretrained)
    if n_inputs > COLOURS:
        _widen(network, n_inputs // COLOURS)
    return network
