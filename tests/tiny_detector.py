"""A chest detector with random weights that answers: a few boxes, of which some lie above their thresholds."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from factory import tensor_facts
from safetensors.torch import save
from task_manifests import manifest_of
from torch import nn

from core.engine.loader import Model
from core.manifest import Manifest, dump_manifest
from core.phantom import Phantom
from core.provenance import DataKind
from core.tasks.chest_lesions import lungs
from core.tasks.chest_lesions.network import HeartLungNetwork, Network
from core.tasks.chest_lesions.phantom import SAMPLES, make_sample
from core.tasks.chest_lesions.task import SIDE, TASK

TASK_ID = TASK.id
LABELS = tuple(label.id for label in TASK.labels)
N_BOXES = 12
CALLED, NEARLY = "cardiac_hypertrophy", "scoliosis"  # found with scores near 0.4; their thresholds are 0.2 and 0.9
THRESHOLDS = dict.fromkeys(LABELS, 0.5) | {CALLED: 0.2, NEARLY: 0.9}


@cache
def sample(name: str = next(iter(SAMPLES))) -> Phantom:
    return make_sample(name)


@cache
def network() -> Network:
    """Batch norm warmed up on noise, the last layer biased, at most N_BOXES boxes."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Network(TASK.architectures[0])
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            made.features(torch.rand(2, 3, SIDE, SIDE))
            predictor = made.detector.net.roi_heads.box_predictor
            predictor.cls_score.bias[:] = -3
            for label, bias in ((CALLED, 0.06), (NEARLY, 0.0)):
                predictor.cls_score.bias[1 + LABELS.index(label)] = bias
    heads = made.detector.net.roi_heads
    heads.detections_per_img, heads.score_thresh, heads.nms_thresh = N_BOXES, 0.2, 0.05  # few of each label
    return made.requires_grad_(False).eval()


@cache
def heart_lung() -> HeartLungNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HeartLungNetwork().requires_grad_(False).eval()


def chest_manifest(kind: DataKind = "phantom") -> Manifest:
    manifest = manifest_of(TASK_ID, kind)
    points = [
        point.model_copy(update={"threshold": THRESHOLDS[point.label], "threshold_low": 0.1, "threshold_high": 0.95})
        for point in manifest.operating_points
    ]
    metrics = tuple(metric.model_copy(update={"label": CALLED}) for metric in manifest.metrics)
    return manifest.model_copy(update={"operating_points": tuple(points), "metrics": metrics})


def chest_model(manifest: Manifest | None = None, folder: Path = Path("nowhere")) -> Model:
    """A frozen model in memory; nowhere, its auxiliary network is not installed."""
    return Model(manifest or chest_manifest(), network(), torch.device("cpu"), folder)


def with_auxiliary(folder: Path, kind: DataKind = "phantom") -> Manifest:
    """A manifest that names the heart-lung network, whose weights are written beside `folder`."""
    content = save(heart_lung().state_dict())
    parameters = sum(p.numel() for p in heart_lung().parameters())
    (folder.parent / "heart_lung").mkdir(parents=True)
    (folder.parent / "heart_lung" / "model.safetensors").write_bytes(content)
    auxiliary: dict[str, Any] = {
        "architecture": {"name": lungs.ARCHITECTURE, "options": {}},
        "weights": tensor_facts(content, parameters),
    }
    facts = chest_manifest(kind).model_dump(mode="json") | {"auxiliary": {"heart_lung": auxiliary}}
    return Manifest.model_validate(facts)


def chest_folder(root: Path) -> Path:
    """weights/chest_lesions/<model> with manifest and weights, and its auxiliary network beside it."""
    folder = root / TASK_ID / TASK.architectures[0]
    folder.mkdir(parents=True)
    content = save(
        {name: value.half() if value.is_floating_point() else value for name, value in network().state_dict().items()}
    )
    (folder / "model.safetensors").write_bytes(content)
    facts = with_auxiliary(folder).model_dump(mode="json")
    weights = tensor_facts(content, sum(p.numel() for p in network().parameters()))
    facts |= {"model": folder.name, "architecture": {"name": folder.name, "options": {}}, "weights": weights}
    (folder / "manifest.json").write_text(dump_manifest(Manifest.model_validate(facts)), encoding="utf-8")
    return folder


def truth_masks(phantom: Phantom) -> np.ndarray:
    """What a perfect heart-lung network would say: logits (1, 3, SIDE, SIDE)."""
    from core.imaging.resample import crop_resize

    masks = [np.asarray(phantom.truth[name], np.float32) for name in ("heart", "right_lung", "left_lung")]
    side = float(masks[0].shape[0])
    small = [crop_resize(mask, (0.0, 0.0, side, side), (lungs.SIDE, lungs.SIDE)) for mask in masks]
    return 10 * (np.stack(small)[None] - 0.5).astype(np.float32)
