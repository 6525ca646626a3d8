"""Ablation-CAM of one detected box: here against the library on torchvision's network. `python -m tests.bench.detector`.

The library ablates a share of the channels of all pyramid maps and runs proposals and heads again for each; here all 256 channels
of the map that the box is pooled from are ablated and the ROI head alone runs, so that the ratio of times is on the safe side.
"""

import contextlib
import copy
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_grad_cam import AblationCAM
from pytorch_grad_cam.ablation_layer import AblationLayerFasterRCNN
from pytorch_grad_cam.utils.model_targets import FasterRCNNBoxScoreTarget
from pytorch_grad_cam.utils.reshape_transforms import fasterrcnn_reshape_transform
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from factory import images, model_of

from core.engine.explain_boxes import explain_box
from core.engine.loader import Model
from core.engine.networks.detector import Box, build_detector
from core.engine.runner import Run, run

SHARE, N_LIBRARY = 0.02, 50  # the library takes this share of 1280 channels from either end: 25 + 25
GAIN, LIMIT_S = 20.0, 5.0
THREADS = 2


def detector(name: str, size: int) -> tuple[Model, Run, np.ndarray]:
    """Random weights with batch norm warmed up, and one picture."""
    torch.manual_seed(0)
    made = build_detector(name, 7, size=size)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    x = 1 / (1 + np.exp(-images(2, size)))
    with torch.no_grad():
        made.features(torch.from_numpy(x))
    model = model_of(made)
    return model, run(model, x[:1]), x[:1]


def seconds(contestant: Callable[[], object]) -> float:
    began = time.perf_counter()
    contestant()
    return time.perf_counter() - began


def against_library() -> float:
    """Time of the library for N_LIBRARY channels / time here for 256, ResNet50 at 256 pixels."""
    model, done, x = detector("fasterrcnn_resnet50_fpn", 256)
    *box, label, _ = done.output[0, 0].tolist()
    plain = copy.deepcopy(model.network.net)

    def library() -> None:
        target = FasterRCNNBoxScoreTarget([int(label)], [np.array(box, np.float32)])
        cam = AblationCAM(
            plain,
            [plain.backbone],
            fasterrcnn_reshape_transform,
            ablation_layer=AblationLayerFasterRCNN(),
            ratio_channels_to_ablate=SHARE,
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            cam(torch.from_numpy(x), [target])
        cam.activations_and_grads.release()

    theirs = seconds(library)
    ours = seconds(lambda: explain_box(model, done, 0, "ablation_cam", tuple(box), int(label)))
    print(f"ResNet50-FPN, 256 pixels: library {theirs:.1f} s for {N_LIBRARY} channels, here {ours:.2f} s for 256")
    return theirs / ours


def default_network() -> float:
    """Seconds for all 256 channels of the default network at 512 pixels."""
    model, done, _ = detector("fasterrcnn_mobilenet_v3_large_320_fpn", 512)
    box: Box = (100.0, 120.0, 300.0, 400.0)
    return min(seconds(lambda: explain_box(model, done, 0, "ablation_cam", box, 1)) for _ in range(3))


def main() -> int:
    torch.set_num_threads(THREADS)
    ratio, own = against_library(), default_network()
    print(f"library / here {ratio:.1f}, wanted >= {GAIN:g}")
    print(f"MobileNet-FPN, 512 pixels, 256 channels: {own:.2f} s, wanted <= {LIMIT_S:g}")
    return 0 if ratio >= GAIN and own <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
