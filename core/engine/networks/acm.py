"""Attend-and-Compare Module (Kim et al., ECCV 2020, arXiv 2007.07506), written from its formulae, and ResNet18 with it."""

from collections.abc import Mapping
from typing import Any

import torch
import torchvision.models as tv
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from core.engine.networks.classifiers import Classifier
from core.engine.networks.split import Activations
from core.errors import UsageError, WeightsError

GROUPS = 32


class AttendAndCompare(nn.Module):
    """Y = (X + K - Q) * P: adds what one attention map sees and another does not, and gates the channels.

    With the mean mu over all positions and X' = X - mu:
    K and Q: each group's mean of X' over the positions, weighted by softmax(1x1 convolution of the group) over the positions.
    P = sigmoid(conv(ReLU(conv(mu)))), grouped 1x1 convolutions C -> C/2 -> C.
    Nothing is kept between calls, so that threads may share a module.

    Args:
        channels: C; C and C/2 must be multiples of `groups`.
        groups: Heads that attend on their own.
    """

    def __init__(self, channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        if channels % (2 * groups):
            raise UsageError(f"{channels} channels in {groups} groups; wanted: a multiple of {2 * groups} channels")
        self.groups = groups
        # The published module has a bias in both attention convolutions. The softmax cancels it, so `attend` leaves it out.
        self.key = nn.Conv2d(channels, groups, 1, groups=groups)
        self.query = nn.Conv2d(channels, groups, 1, groups=groups)
        self.squeeze = nn.Conv2d(channels, channels // 2, 1, groups=groups)
        self.expand = nn.Conv2d(channels // 2, channels, 1, groups=groups)
        for layer in (self.key, self.query, self.squeeze, self.expand):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """K and Q, both (N, C, 1, 1). x: (N, C, H, W)."""
        return self._attend(x, x.mean(dim=(2, 3), keepdim=True))

    def gate(self, x: Tensor) -> Tensor:
        """P, (N, C, 1, 1) in (0, 1). x: (N, C, H, W)."""
        return self._gate(x.mean(dim=(2, 3), keepdim=True))

    def _attend(self, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        n, c = x.shape[:2]
        values = (x - mean).reshape(n, self.groups, c // self.groups, -1)  # (N, G, C/G, HW)
        # both convolutions as one product, twice as fast: (G, 2, C/G) @ (N, G, C/G, HW)
        maps = torch.stack([self.key.weight, self.query.weight], dim=1).flatten(2) @ values
        seen = torch.softmax(maps, dim=-1) @ values.transpose(2, 3)  # (N, G, 2, C/G)
        return seen[:, :, 0].reshape(n, c, 1, 1), seen[:, :, 1].reshape(n, c, 1, 1)

    def _gate(self, mean: Tensor) -> Tensor:
        return torch.sigmoid(self.expand(functional.relu(self.squeeze(mean))))

    def forward_with_overlap(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Y (N, C, H, W) and K.Q/C (N,), which the orthogonality loss drives to zero. x: (N, C, H, W)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        key, query = self._attend(x, mean)
        return (x + (key - query)) * self._gate(mean), overlap(key, query)

    def forward(self, x: Tensor) -> Tensor:
        """Y, (N, C, H, W). x: (N, C, H, W)."""
        return self.forward_with_overlap(x)[0]


def overlap(key: Tensor, query: Tensor) -> Tensor:
    """K.Q/C per image, (N,); 0 when both look at different things. key, query: (N, C, 1, 1)."""
    return (key * query).mean(dim=(1, 2, 3))


class ACMBlock(BasicBlock):  # type: ignore[misc]  # torchvision has no types
    """torchvision's BasicBlock with the module after the last batch norm, before the addition and the ReLU."""

    def __init__(self, inplanes: int, planes: int, *arguments: Any, **options: Any) -> None:
        super().__init__(inplanes, planes, *arguments, **options)
        self.acm = AttendAndCompare(planes)

    def _residual(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return out

    def _shortcut(self, x: Tensor) -> Tensor:
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        """Output of the block, a tensor as hooks expect. x: (N, C, H, W)."""
        return functional.relu(self.acm(self._residual(x)) + self._shortcut(x))

    def forward_with_overlap(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the block, and K.Q/C of its module (N,)."""
        out, shared = self.acm.forward_with_overlap(self._residual(x))
        return functional.relu(out + self._shortcut(x)), shared


class ResNet18ACM(Classifier):
    """ResNet18 with one module in each of its eight blocks: 28 992 parameters more. Target after layer4.

    Args:
        n_outputs: Number of logits.
        pretrained: Start from torchvision's ImageNet weights (downloads them); the modules start at random.
    """

    def __init__(self, n_outputs: int, *, pretrained: bool = False) -> None:
        super().__init__(ResNet(ACMBlock, [2, 2, 2, 2], num_classes=n_outputs))
        if pretrained:
            load_resnet18(self, tv.ResNet18_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True))

    def _stem(self, x: Tensor) -> Tensor:
        net = self.net
        out: Tensor = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return out

    def features(self, x: Tensor) -> Activations:
        """Target (N, 512, H/32, W/32). x: float32 (N, 3, H, W)."""
        net = self.net
        return Activations(net.layer4(net.layer3(net.layer2(net.layer1(self._stem(x))))))

    def features_with_overlap(self, x: Tensor) -> tuple[Activations, Tensor]:
        """The same, and K.Q/C summed over all modules, (N,): for the training loss."""
        net = self.net
        x = self._stem(x)
        total = x.new_zeros(len(x))
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in layer:
                x, shared = block.forward_with_overlap(x)
                total = total + shared
        return Activations(x), total

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, n_outputs)."""
        logits: Tensor = self.net.fc(torch.flatten(self.net.avgpool(activations.target), 1))
        return logits


def load_resnet18(network: ResNet18ACM, state: Mapping[str, Tensor]) -> list[str]:
    """Copy the tensors of a plain torchvision ResNet18. Its `fc` is left out when it has another number of rows.

    Args:
        network: Receives the tensors.
        state: State names as torchvision has them.

    Returns:
        Names that the state has no tensor for: all those of the modules and nothing else, `fc` apart.

    Raises:
        WeightsError: The state is not that of a ResNet18.
    """
    own = network.net.state_dict()
    left_out = {key for key in ("fc.weight", "fc.bias") if key in state and state[key].shape != own[key].shape}
    fitting = {key: value for key, value in state.items() if key not in left_out}
    try:
        result = network.net.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        raise WeightsError("the tensors do not fit a ResNet18") from error
    missing: list[str] = result.missing_keys
    foreign = [key for key in missing if ".acm." not in key and key not in left_out] + result.unexpected_keys
    if foreign:
        raise WeightsError(f"the state is not that of a ResNet18: {', '.join(foreign[:3])}")
    return missing
