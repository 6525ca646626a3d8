"""Faster R-CNN of torchvision as a network of the house. State names stay torchvision's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from typing import Any, Self

import torch
import torchvision.models.detection as tv
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the network's input

ASPECT_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 6.0)  # height / width; the boxes of a spine are tall
ANCHORS_PER_SIDE = (16, 8, 4, 2, 1)  # at 512 pixels torchvision's own anchors, 32 to 512
STRIDE = 32  # of the coarsest map of both backbones, pixels
COLUMNS = ("x0", "y0", "x1", "y1", "label", "score")
REGIONS = 64  # of an image, that its words are learnt in
SAMPLING = {"rpn_pre_nms_top_n_train": 400, "rpn_post_nms_top_n_train": 200, "box_batch_size_per_image": 64}
"""What training looks at: films hold a few boxes, and of torchvision's 512 regions an image nearly all would be background."""


def _log_odds(logits: Tensor) -> Tensor:
    """Of each class against all others together, (..., C) -> (..., C); the sigmoid is the softmax."""
    same = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits - logits[..., None, :].masked_fill(same, -torch.inf).logsumexp(dim=-1)


class Detector(SplitNetwork):
    """Faster R-CNN with a feature pyramid (Ren et al. 2015, Lin et al. 2017).

    Input: float32 (N, 3, size, size) in [0, 1], grey in all three channels; normalised once, in `features`, and never resized.
    Target layer: the last and coarsest map of the backbone, (N, K, size/32, size/32), before the feature pyramid; the other maps
    that the pyramid reads are the `rest`, finest first.
    Output: one tensor like every network, (N, max_detections, 6), columns COLUMNS: box in input pixels, label 1 to n_findings,
    and score; the highest score first. An image with fewer detections is filled up with rows of zeros: score 0 = no detection.

    `head` works in evaluation mode, `loss` in both modes.

    Args:
        net: torchvision's FasterRCNN for inputs of `size`.
        strides: Input pixels per pixel of each pyramid map that boxes are pooled from, finest first.
        size: Height and width of the input in pixels.

    Attributes:
        frozen_batch_norm: `train()` leaves batch norm in evaluation mode: its statistics stay. For weights that have seen more
            images than a small batch shows; random ones cannot learn so.
    """

    net: Any
    frozen_batch_norm: bool

    def __init__(self, net: nn.Module, strides: Sequence[int], size: int) -> None:
        super().__init__()
        self.net = net
        self.size = size
        self.frozen_batch_norm = False
        self._names = tuple(self.net.backbone.body.return_layers.values())
        # torchvision finds out the scales when it first pools: here, before threads share the network
        blank = {str(i): torch.zeros(1, 1, size // stride, size // stride) for i, stride in enumerate(strides)}
        self._pool(blank, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))

    @property
    def n_findings(self) -> int:
        """Number of labels without the background."""
        return int(self.net.roi_heads.box_predictor.cls_score.out_features) - 1

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; see `frozen_batch_norm`."""
        super().train(mode)
        if self.frozen_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def features(self, x: Tensor) -> Activations:
        """Normalise and run the backbone.

        Raises:
            UsageError: An input of another size.
        """
        self._check(x)
        *finer, coarsest = self.net.backbone.body(self.net.transform.normalize(x)).values()
        return Activations(coarsest, tuple(finer))

    def head(self, activations: Activations) -> Tensor:
        """Pyramid, proposals, ROI heads, suppression per class; (N, max_detections, 6)."""
        maps = self.pyramid(activations)
        sizes = self._sizes(activations.target)
        found, _ = self.net.roi_heads(maps, self._proposals(maps, sizes), sizes)
        limit = self.net.roi_heads.detections_per_img
        rows = [
            torch.cat([one["boxes"], one["labels"][:, None].to(one["boxes"].dtype), one["scores"][:, None]], dim=1)
            for one in found
        ]
        return torch.stack([functional.pad(row, (0, 0, 0, limit - len(row))) for row in rows])

    def loss(self, x: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The four losses under torchvision's names, each a scalar, and `loss`, their sum.

        In evaluation mode (validation) batch norm keeps its statistics, and the random choice of anchors and proposals is the
        same each time and takes nothing from the random numbers of the training.

        Args:
            x: float32 (N, 3, size, size).
            targets: One a image: `boxes` float32 (n, 4) in input pixels with x0 < x1 and y0 < y1, `labels` int64 (n,) from 1. An
                image without findings has boxes (0, 4) and labels (0,). One that nobody drew boxes on has `presence`
                (n_findings,), 1, 0 or NaN for not known: then it adds `loss_presence` and nothing else.

        Raises:
            UsageError: An input of another size.
            AssertionError: A box without height or width (torchvision).
        """
        self._check(x)
        truth = [{name: value.to(x.device) for name, value in target.items()} for target in targets]
        boxed, worded = (
            [i for i, own in enumerate(truth) if ("presence" in own) == is_worded] for is_worded in (False, True)
        )
        losses: dict[str, Tensor] = {}
        if boxed:
            with self._giving_losses(x.device):
                losses |= self.net(list(x[boxed]), [truth[i] for i in boxed])
        if worded:
            losses["loss_presence"] = self._presence_loss(
                x[worded], torch.stack([truth[i]["presence"] for i in worded])
            )
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _presence_loss(self, x: Tensor, presence: Tensor) -> Tensor:
        """Cross-entropy of the mean odds of each label over the proposals; an image without a proposal adds nothing.

        Multiple-instance learning: the logarithm of a mean of exponentials is a smooth maximum, which is what an image is told
        by, and teaches every proposal by its share in it (Pinheiro and Collobert, CVPR 2015).
        """
        activations = self.features(x)
        maps, sizes = self.pyramid(activations), self._sizes(x)
        proposals = [own[:REGIONS] for own in self._proposals(maps, sizes)]
        found = self.pooled_scores(self.net.roi_heads.box_roi_pool(maps, proposals, sizes))[:, 1:]
        rows = torch.split(found, [len(own) for own in proposals])
        together = [own.logsumexp(dim=0) - log(len(own)) if len(own) else own.sum(dim=0) for own in rows]
        known = ~presence.isnan() & torch.tensor([len(own) > 0 for own in rows], device=x.device)[:, None]
        losses = functional.binary_cross_entropy_with_logits(
            torch.stack(together), presence.nan_to_num(), reduction="none"
        )
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _proposals(self, maps: dict[str, Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Proposals as in evaluation mode, the likeliest first, one (R, 4) an image."""
        # they read the shape of the images, not their pixels
        images = ImageList(next(iter(maps.values())).new_empty(0, 3, self.size, self.size), sizes)
        rpn = self.net.rpn
        training, rpn.training = rpn.training, False
        try:
            with torch.no_grad():
                proposals, _ = rpn(images, maps)
        finally:
            rpn.training = training
        return list(proposals)

    def last_layer(self) -> nn.Module:
        """The linear layer that names the finding; the box regression beside it is not explained."""
        layer: nn.Module = self.net.roi_heads.box_predictor.cls_score
        return layer

    def pyramid(self, activations: Activations) -> dict[str, Tensor]:
        """Maps of the feature pyramid by torchvision's names, finest first, each (N, 256, h, w)."""
        maps: dict[str, Tensor] = self.net.backbone.fpn(
            dict(zip(self._names, (*activations.rest, activations.target), strict=True))
        )
        return maps

    def box_scores(self, activations: Activations, boxes: Tensor) -> Tensor:
        """What the ROI head says of fixed boxes: no proposals, no shift of the box, no suppression.

        A detection's own score was given to the proposal before its box was shifted; at the shifted box it differs a little.

        Args:
            activations: Result of `features`.
            boxes: float32 (B, 4) in input pixels, the same in every image.

        Returns:
            Log odds of each label against all others together, (N, B, n_findings + 1), background first; differentiable.
        """
        pooled = self._pool(self.pyramid(activations), boxes)
        return self.pooled_scores(pooled).reshape(len(activations.target), len(boxes), -1)

    def pooled_scores(self, pooled: Tensor) -> Tensor:
        """Log odds from pooled regions, (R, 256, 7, 7) -> (R, n_findings + 1)."""
        logits, _ = self.net.roi_heads.box_predictor(self.net.roi_heads.box_head(pooled))
        return _log_odds(logits)

    def level_of(self, box: Box) -> int:
        """Index of the one pyramid map that a box is pooled from, by its size (Lin et al. 2017, equation 1)."""
        return int(self.net.roi_heads.box_roi_pool.map_levels([torch.tensor([box])]))

    def pool_level(self, level: int, maps: Tensor, box: Box) -> Tensor:
        """Pool one box from its map alone, (N, 256, h, w) -> (N, 256, 7, 7)."""
        pool = self.net.roi_heads.box_roi_pool
        regions = [maps.new_tensor([box])] * len(maps)
        pooled: Tensor = roi_align(maps, regions, pool.output_size, pool.scales[level], pool.sampling_ratio)
        return pooled

    def _pool(self, maps: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        """Every box from its map, image after image, (N * B, 256, 7, 7)."""
        sizes = self._sizes(next(iter(maps.values())))
        pooled: Tensor = self.net.roi_heads.box_roi_pool(maps, [boxes] * len(sizes), sizes)
        return pooled

    def _sizes(self, batch: Tensor) -> list[tuple[int, int]]:
        return [(self.size, self.size)] * len(batch)

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != (3, self.size, self.size):
            got = " x ".join(map(str, x.shape[1:]))
            raise UsageError(f"input of {got}; this detector wants 3 x {self.size} x {self.size}")

    @contextmanager
    def _giving_losses(self, device: torch.device) -> Iterator[None]:
        """In evaluation mode, the parts that compute losses as in training, and the backbone as it is."""
        if self.training:
            yield
            return
        parts = (self.net, self.net.rpn, self.net.roi_heads)  # their own flags: no norm or dropout depends on them
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            try:
                for part in parts:
                    part.training = True
                yield
            finally:
                for part in parts:
                    part.training = False


# Always nn.BatchNorm2d, where torchvision's builders take another kind for pretrained weights: a state alone rebuilds a network.


def _mobilenet() -> nn.Module:
    return mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=nn.BatchNorm2d, trainable_layers=6
    )


def _resnet50() -> nn.Module:
    return resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5)


@dataclass(frozen=True)
class _Family:
    """Backbone with pyramid, strides of the maps that boxes are pooled from, anchor sizes a map, torchvision's options."""

    backbone: Callable[[], nn.Module]
    strides: tuple[int, ...]
    anchor_sizes: Callable[[tuple[int, ...]], tuple[tuple[int, ...], ...]]
    options: Mapping[str, float]


_FAMILIES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": _Family(
        _mobilenet,
        (32, 32),
        lambda sizes: (sizes,) * 3,
        {"rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150, "rpn_score_thresh": 0.05},
    ),
    "fasterrcnn_resnet50_fpn": _Family(_resnet50, (4, 8, 16, 32), lambda sizes: tuple((s,) for s in sizes), {}),
}
DETECTORS = tuple(_FAMILIES)


def _load_coco(net: nn.Module, name: str) -> None:
    """Take over torchvision's COCO weights wherever the shape is the same: all but anchors and labels."""
    own, coco = net.state_dict(), getattr(tv, name)(weights="DEFAULT", progress=False).state_dict()
    net.load_state_dict(own | {key: value for key, value in coco.items() if value.shape == own[key].shape})


def build_detector(
    name: str,
    n_findings: int,
    *,
    size: int,
    pretrained: bool = False,
    aspect_ratios: Sequence[float] = ASPECT_RATIOS,
    max_detections: int = 100,
) -> Detector:
    """Build a detector by name.

    Args:
        name: One of DETECTORS.
        n_findings: Number of labels without the background.
        size: Height and width of the input in pixels, a multiple of 32. Anchors are size/16 to size pixels large.
        pretrained: Start from torchvision's COCO weights (downloads them), with batch norm frozen.
        aspect_ratios: Of the anchors, height / width.
        max_detections: Rows of the output for each image.

    Raises:
        UsageError: Unknown name; a size that 32 does not divide.
    """
    if name not in DETECTORS:
        raise UsageError(f"detector {name!r}; known: {', '.join(DETECTORS)}")
    if size <= 0 or size % STRIDE:
        raise UsageError(f"input of {size} pixels; wanted: a multiple of {STRIDE}")
    family = _FAMILIES[name]
    anchor_sizes = family.anchor_sizes(tuple(size // part for part in ANCHORS_PER_SIDE))
    net = tv.FasterRCNN(
        family.backbone(),
        n_findings + 1,
        min_size=size,
        max_size=size,
        rpn_anchor_generator=AnchorGenerator(anchor_sizes, (tuple(aspect_ratios),) * len(anchor_sizes)),
        box_detections_per_img=max_detections,
        **SAMPLING,
        **family.options,
    )
    if pretrained:
        _load_coco(net, name)
    detector = Detector(net, family.strides, size)
    detector.frozen_batch_norm = pretrained
    return detector.train()
