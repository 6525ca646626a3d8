"""The small network of the knee reference system: one to three convolutions and one linear layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError

CHANNELS = (16, 32, 64)


class SimpleCNN(SplitNetwork):
    """Blocks of convolution 3x3, batch norm, ReLU and max pooling 2x2 with 16, 32 and 64 channels, then one linear layer.

    The target layer is the output of the last pooling. The head is then linear, and HiResCAM summed over the places plus the bias
    is exactly the logit.

    Args:
        n_layers: Number of blocks, 1, 2 (the reference's baseline) or 3. Fewer blocks give *more* parameters, because the linear
            layer sees a larger map.
        n_outputs: Number of logits.
        size: Height and width of the input in pixels.
        final_relu: The reference's fault: a ReLU behind the linear layer. Negative logits are lost, and an image whose logits are
            all negative has the loss ln(n_outputs) and no gradient. Only to reproduce the reference.

    Raises:
        UsageError: Another number of blocks, or a size that the poolings do not divide.
    """

    def __init__(self, n_layers: int = 2, n_outputs: int = 5, *, size: int = 128, final_relu: bool = False) -> None:
        super().__init__()
        if n_layers not in range(1, len(CHANNELS) + 1):
            raise UsageError(f"{n_layers} convolution layers; known: 1, 2, 3")
        if size % 2**n_layers:
            raise UsageError(f"input of {size} pixels; wanted: a multiple of {2**n_layers}")
        blocks = [
            nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2))
            for c_in, c_out in zip((1, *CHANNELS), CHANNELS[:n_layers], strict=False)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(CHANNELS[n_layers - 1] * (size // 2**n_layers) ** 2, n_outputs)
        self.final_relu = final_relu

    def features(self, x: Tensor) -> Activations:
        """Target (N, 16 | 32 | 64, size/2 | size/4 | size/8, same). x: float32 (N, 1, size, size)."""
        return Activations(self.blocks(x))

    def head(self, activations: Activations) -> Tensor:
        """Logits, (N, n_outputs)."""
        logits: Tensor = self.linear(torch.flatten(activations.target, 1))
        return functional.relu(logits) if self.final_relu else logits

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy. targets: grades of any type, (N,)."""
        return {"loss": functional.cross_entropy(self(x).float(), targets.long())}
