"""Image classifiers of torchvision, split behind their last convolution. State names stay torchvision's."""

from collections.abc import Callable
from typing import Any

import torch
import torchvision.models as tv
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.split import Activations, SplitNetwork


class Classifier(SplitNetwork):
    """A torchvision classifier with `n_outputs` logits."""

    net: Any  # torchvision's networks differ in their parts, which only the family below knows

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

    STAGES = (
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
    "googlenet": (_GoogLeNet, tv.googlenet, "fc"),
    "densenet121": (_DenseNet, tv.densenet121, "classifier"),
    "vgg16": (_VGG, tv.vgg16, "classifier.6"),
}
CLASSIFIERS = tuple(_FAMILIES)


def build_classifier(name: str, n_outputs: int, *, pretrained: bool = False) -> Classifier:
    """Build a classifier by name.

    Args:
        name: One of CLASSIFIERS.
        n_outputs: Number of logits.
        pretrained: Start from torchvision's ImageNet weights (downloads them).
    """
    family, builder, last = _FAMILIES[name]
    if name == "googlenet":
        # transform_input would undo the ImageNet normalisation that `prepare` has done
        extra = {"transform_input": False} if pretrained else {"aux_logits": False, "init_weights": True}
    else:
        extra = {}
    net = builder(weights="DEFAULT" if pretrained else None, **extra)
    _replace_last(net, last, n_outputs)
    return family(net)
