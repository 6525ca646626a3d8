"""Explanations on cached activations. No hook, gradient or flag ever touches a shared network.

A class-activation map is computed on a throw-away module around the frozen head, fed with a detached copy of the
activations: this equals the method on the whole network, because everything before the target layer only produced
those activations.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM
from torch import Tensor, nn
from torch.nn import functional

from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.engine.runner import Run, place_in_queue
from core.errors import ScreeningError, UsageError
from core.i18n import mark

Target = Callable[[Tensor], Tensor]
ABLATION_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Method:
    """An explanation method, in words.

    Attributes:
        name: Display name (a proper name, not translated).
        sentence: Message id: what it shows, for a reader.
        is_class_specific: Whether it depends on the finding.
    """

    name: str
    sentence: str
    is_class_specific: bool = True


METHODS: dict[str, Method] = {
    "grad_cam": Method(
        "Grad-CAM",
        mark("Regions of the last convolution layer that raised the score, weighted by their mean gradient."),
    ),
    "hires_cam": Method(
        "HiResCAM", mark("Like Grad-CAM, but every position keeps its own gradient: shows only what the network used.")
    ),
    "grad_cam_pp": Method("Grad-CAM++", mark("Like Grad-CAM, with weights that favour several separate regions.")),
    "eigen_cam": Method(
        "EigenCAM",
        mark("The strongest common pattern of the layer. Not specific to the finding: it cannot tell why this score."),
        is_class_specific=False,
    ),
    "ablation_cam": Method("Ablation-CAM", mark("Regions whose channels lower the score when they are switched off.")),
    "saliency": Method("Saliency", mark("Pixels where a small change of brightness changes the score most.")),
}
SEGMENTER_METHODS = tuple(name for name in METHODS if name != "ablation_cam")
"""Methods offered for segmenters: Ablation-CAM would run their decoder once for each of hundreds of channels."""
CHECKED_METHODS = ("grad_cam", "hires_cam", "grad_cam_pp", "ablation_cam", "saliency")


@dataclass(frozen=True)
class RawMap:
    """A map before display.

    Attributes:
        values: float32 (H, W) at the network's input size, in [0, 1]; zeros without positive evidence.
        raw_max: Largest value of the signed map; 0 or less means no positive evidence.
    """

    values: NDArray[np.float32]
    raw_max: float


class _Head(nn.Module):
    """Throw-away module: the frozen head behind one layer that hooks may hold."""

    def __init__(self, network: SplitNetwork, activations: Activations) -> None:
        super().__init__()
        self._network = (
            network,
        )  # in a tuple, so that the shared network is not a child that grad-cam could switch or zero
        self._activations = activations
        self.layer = nn.Identity()
        self.device_anchor = nn.Parameter(
            activations.target.new_empty(0), requires_grad=False
        )  # grad-cam asks for a device

    def forward(self, target: Tensor) -> Tensor:
        return self._network[0].head(replace(self._activations, target=self.layer(target)))


_LIBRARY = {"grad_cam": GradCAM, "hires_cam": HiResCAM, "grad_cam_pp": GradCAMPlusPlus, "eigen_cam": EigenCAM}


def _one(activations: Activations, index: int) -> Activations:
    """The activations of one image of the batch, as a copy that owns its memory."""
    return Activations(
        activations.target[index : index + 1].detach().clone(),
        tuple(tensor[index : index + 1].detach() for tensor in activations.rest),
        activations.context,
    )


def _library_map(network: SplitNetwork, activations: Activations, method: str, target: Target) -> NDArray[np.float32]:
    """Signed map (h, w) of a grad-cam method on the throw-away head."""
    head = _Head(network, activations)
    cam = _LIBRARY[method](model=head, target_layers=[head.layer])
    compute, maps = cam.get_cam_image, []

    def keep(*arguments: Any, **options: Any) -> Any:
        """The map before the library clips and scales it."""
        maps.append(compute(*arguments, **options))
        return maps[0]

    cam.get_cam_image = keep
    try:
        cam(activations.target.requires_grad_(), targets=[target])
        signed = np.asarray(maps[0][0], np.float32)
    finally:  # not `with cam`: its exit swallows IndexError
        cam.activations_and_grads.release()
    if method == "eigen_cam":  # the sign of a singular vector is arbitrary
        mean = activations.target.detach()[0].mean(dim=0).cpu().numpy()
        if np.sum((signed - signed.mean()) * (mean - mean.mean())) < 0:
            signed = -signed
    return signed


def _ablation_map(network: SplitNetwork, activations: Activations, target: Target) -> NDArray[np.float32]:
    """Ablation-CAM (Desai and Ramaswamy 2020): weight of a channel = relative drop of the score when it is set to zero.

    All channels in a few batches over the head instead of the library's loop over the whole network.
    """
    maps = activations.target
    channels = maps.shape[1]
    step = max(1, ABLATION_BYTES // (maps[0].numel() * maps.element_size()))
    with torch.no_grad():
        score = target(network.head(activations)[0])
        weights = []
        for start in range(0, channels, step):
            index = torch.arange(start, min(start + step, channels), device=maps.device)
            ablated = maps.expand(len(index), -1, -1, -1).clone()
            ablated[torch.arange(len(index), device=maps.device), index] = 0
            rest = tuple(tensor.expand(len(index), *tensor.shape[1:]) for tensor in activations.rest)
            outputs = network.head(Activations(ablated, rest, activations.context))
            weights.append((score - torch.stack([target(row) for row in outputs])) / score.abs().clamp_min(1e-12))
        signed = (torch.cat(weights)[:, None, None] * maps[0]).sum(dim=0)
    return signed.cpu().numpy()


def _saliency(network: SplitNetwork, x: Tensor, target: Target) -> NDArray[np.float32]:
    """|d score / d pixel|, largest over the channels (Simonyan et al. 2014)."""
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(target(network(leaf)[0]), leaf)
    return gradient[0].abs().amax(dim=0).cpu().numpy()


def explain(model: Model, done: Run, index: int, method: str, target: Target) -> RawMap:
    """One map for one image of a run.

    Args:
        model: The model of the run.
        done: Result of `runner.run`.
        index: Image of the batch.
        method: Key of METHODS.
        target: From one row of the output to the score that is explained.

    Raises:
        UsageError: Unknown method.
        ScreeningError: E_NONFINITE when the map is not finite.
    """
    if method not in METHODS:
        raise UsageError(f"explanation method {method!r}; known: {', '.join(METHODS)}")
    with place_in_queue():
        if method == "saliency":
            signed = _saliency(model.network, done.x[index : index + 1], target)
        elif method == "ablation_cam":
            signed = _ablation_map(model.network, _one(done.activations, index), target)
        else:
            signed = _library_map(model.network, _one(done.activations, index), method, target)
    if not np.isfinite(signed).all():
        raise ScreeningError("E_NONFINITE", f"explanation {method}")
    raw_max = float(signed.max())
    positive = np.maximum(signed, 0) / raw_max if raw_max > 0 else np.zeros_like(signed)
    resized = functional.interpolate(
        torch.from_numpy(positive.astype(np.float32))[None, None],
        done.x.shape[-2:],
        mode="bilinear",
        align_corners=False,
    )
    return RawMap(resized[0, 0].numpy(), raw_max)
