"""Image classifiers of torchvision, and Xception of timm, split at the layer that explanations use. State names stay theirs."""

from collections.abc import Callable
from typing import Any

import torch
import torchvision.models as tv
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import interpolate_embeddings

from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError

PATCH = 16  # of ViT-B/16, pixels


class Classifier(SplitNetwork):
    """A network of torchvision or timm with `n_outputs` logits."""

    net: Any  # the networks differ in their parts, which only the family below knows

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class _ResNet(Classifier):
    """He et al. 2016; target after layer4."""

    def features(self, x: Tensor) -> Activations:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return Activations(net.layer4(net.layer3(net.layer2(net.layer1(x)))))

    def head(self, activations: Activations) -> Tensor:
        logits: Tensor = self.net.fc(torch.flatten(self.net.avgpool(activations.target), 1))
        return logits


class _GoogLeNet(Classifier):
    """Szegedy et al. 2015 without auxiliary classifiers; target after inception5b."""

    STAGES: tuple[str, ...] = (
        *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
        *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
        *("inception5a", "inception5b"),
    )

    def features(self, x: Tensor) -> Activations:
        for stage in self.STAGES:
            x = getattr(self.net, stage)(x)
        return Activations(x)

    def head(self, activations: Activations) -> Tensor:
        logits: Tensor = self.net.fc(self.net.dropout(torch.flatten(self.net.avgpool(activations.target), 1)))
        return logits


class _DenseNet(Classifier):
    """Huang et al. 2017; target after the last norm and ReLU (not torchvision's in-place one)."""

    def features(self, x: Tensor) -> Activations:
        return Activations(functional.relu(self.net.features(x)))

    def head(self, activations: Activations) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(activations.target, 1)
        logits: Tensor = self.net.classifier(torch.flatten(pooled, 1))
        return logits


class _VGG(Classifier):
    """Simonyan and Zisserman 2015; target after the last pooling."""

    def features(self, x: Tensor) -> Activations:
        return Activations(self.net.features(x))

    def head(self, activations: Activations) -> Tensor:
        logits: Tensor = self.net.classifier(torch.flatten(self.net.avgpool(activations.target), 1))
        return logits


class _EfficientNet(_VGG):
    """Tan and Le 2019; target after the last SiLU, so a little below zero in places."""


class _InceptionV3(_GoogLeNet):
    """Szegedy et al. 2016 without auxiliary classifier, for 75 pixels and more; target after Mixed_7c."""

    STAGES = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
        *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    )


class _Xception(Classifier):
    """Chollet 2017, by timm; target after the last ReLU."""

    def features(self, x: Tensor) -> Activations:
        return Activations(self.net.forward_features(x))

    def head(self, activations: Activations) -> Tensor:
        logits: Tensor = self.net.forward_head(activations.target)
        return logits


class _ViT(Classifier):
    """Dosovitskiy et al. 2021; target before the last block: the patch tokens as a map. The class token is the `rest`."""

    def features(self, x: Tensor) -> Activations:
        net, size = self.net, self.net.image_size
        if x.shape[-2:] != (size, size):
            raise UsageError(f"input of {x.shape[-2]} x {x.shape[-1]} pixels; this ViT-B/16 wants {size} x {size}")
        patches = net.conv_proj(x)  # (N, K, h, w)
        tokens = torch.cat([net.class_token.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = net.encoder.layers[:-1](net.encoder.dropout(tokens + net.encoder.pos_embedding))
        return Activations(tokens[:, 1:].transpose(1, 2).unflatten(2, patches.shape[-2:]), (tokens[:, :1],))

    def head(self, activations: Activations) -> Tensor:
        net = self.net
        tokens = torch.cat([*activations.rest, activations.target.flatten(2).transpose(1, 2)], dim=1)
        logits: Tensor = net.heads(net.encoder.ln(net.encoder.layers[-1](tokens))[:, 0])
        return logits


# `transform_input` stays off: the state does not hold it, and a network is rebuilt from its state alone.


def _googlenet(weights: str | None) -> nn.Module:
    # with weights, torchvision itself drops the auxiliary classifiers
    extra = {} if weights else {"aux_logits": False, "init_weights": True}
    return tv.googlenet(weights=weights, transform_input=False, **extra)


def _inception_v3(weights: str | None) -> nn.Module:
    # with weights, torchvision insists on the auxiliary classifier
    net = tv.inception_v3(weights=weights, transform_input=False, init_weights=weights is None)
    net.aux_logits, net.AuxLogits = False, None
    return net


def _xception(weights: str | None) -> nn.Module:
    import timm  # here: half a second that no other network needs

    return timm.create_model("legacy_xception", pretrained=weights is not None)


def _vit_b_16(weights: str | None, size: int) -> nn.Module:
    if size % PATCH:
        raise UsageError(f"ViT-B/16 for an input of {size} pixels; wanted: a multiple of {PATCH}")
    net = tv.vit_b_16(image_size=size)
    if weights:
        state = tv.ViT_B_16_Weights[weights].get_state_dict(progress=False, check_hash=True)
        net.load_state_dict(interpolate_embeddings(size, PATCH, state))
    return net


def _replace_last(net: nn.Module, path: str, n_outputs: int) -> None:
    """Give the last linear layer `n_outputs` rows."""
    parent_path, _, name = path.rpartition(".")
    parent = net.get_submodule(parent_path)
    layer = net.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    setattr(parent, name, nn.Linear(layer.in_features, n_outputs))


_FAMILIES: dict[str, tuple[type[Classifier], Callable[..., nn.Module], str]] = {
    "resnet18": (_ResNet, tv.resnet18, "fc"),
    "resnet34": (_ResNet, tv.resnet34, "fc"),
    "googlenet": (_GoogLeNet, _googlenet, "fc"),
    "densenet121": (_DenseNet, tv.densenet121, "classifier"),
    "vgg16": (_VGG, tv.vgg16, "classifier.6"),
    "xception": (_Xception, _xception, "fc"),
    "inception_v3": (_InceptionV3, _inception_v3, "fc"),
    "efficientnet_b0": (_EfficientNet, tv.efficientnet_b0, "classifier.1"),
    "vit_b_16": (_ViT, _vit_b_16, "heads.head"),
}
CLASSIFIERS = tuple(_FAMILIES)


def build_classifier(name: str, n_outputs: int, *, pretrained: bool = False, size: int = 224) -> Classifier:
    """Build a classifier by name.

    Args:
        name: One of CLASSIFIERS.
        n_outputs: Number of logits.
        pretrained: Start from the ImageNet weights of torchvision or timm (downloads them).
        size: Height and width of the input in pixels. Only ViT-B/16 is built for it: one position embedding a patch, with
            `pretrained` interpolated from those of 224 pixels.

    Raises:
        UsageError: A size that the patches of ViT-B/16 do not divide.
    """
    family, builder, last = _FAMILIES[name]
    extra = {"size": size} if family is _ViT else {}
    net = builder(weights="DEFAULT" if pretrained else None, **extra)
    _replace_last(net, last, n_outputs)
    return family(net)
