"""CT slices: Tables 2 to 5 of the reference, slices split at random beside split by patient."""

from dataclasses import replace
from typing import Any

from core.experiments.declaration import Arm, Experiment, Published, Size
from core.i18n import mark

TASK = "ct_osteoporosis"
RECIPE = {
    "architecture": "resnet18_acm",
    "optimizer": "adam",
    "lr": 1e-3,
    "batch": 128,
    "epochs": 60,
    "schedule": "cosine",
}
SIZE = Size(n_training=4500, n_test=900, changes={"pretrained": True})
FAST = Size(n_training=180, n_test=120, seeds=2, changes={"epochs": 8, "batch": 16}, side=32)
FAST_NETWORKS = Size(n_training=180, n_test=120, seeds=1, changes={"epochs": 4, "batch": 16}, side=80)
FAST_MAPS = Size(n_training=180, n_test=120, seeds=2, changes={"epochs": 5, "batch": 16})
NOTES = (
    mark(
        "The reference measured once on 900 slices, which also may have chosen the epoch; patients are not mentioned."
    ),
    mark("The classes are ranges of trabecular HU; how the reference made its labels is not said."),
    mark("The loss of a pair is the sum of three losses: it does not compare with that of one network."),
    mark("The fast size starts from random weights, the reference started from ImageNet weights."),
)


def _percent(value: float, table: int) -> Published:
    return Published(value, "%", f"Table {table}")


def _options(**options: Any) -> dict[str, Any]:
    return {"options": options}


EXPERIMENTS = (
    Experiment(
        id="ct_ablation",
        task=TASK,
        title=mark("CT: two windows, two networks, and the dissimilarity loss"),
        question=mark("Is a pair on two windows better than one network, and does the dissimilarity loss add to it?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(
            Arm("one network, window s", _options(branches="s"), _percent(64.00, 2)),
            Arm("one network, window t", _options(branches="t"), _percent(68.44, 2)),
            Arm("pair, windows s and t, no L_dis", _options(dissimilarity=0.0), _percent(74.00, 2)),
            Arm("pair, windows s and t", _options(dissimilarity=0.1), _percent(77.11, 2)),
            Arm("pair, both window s, no L_dis", _options(branches="ss", dissimilarity=0.0), _percent(63.89, 3)),
            Arm("pair, both window t, no L_dis", _options(branches="tt", dissimilarity=0.0), _percent(66.67, 3)),
        ),
        protocols=("random", "by_patient"),
        size=SIZE,
        fast=FAST,
        notes=NOTES,
    ),
    Experiment(
        id="ct_maps",
        task=TASK,
        title=mark("CT: what one network and the pair look at"),
        question=mark("Does the pair look at the vertebra where one network does not?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(
            Arm("one network, window t", _options(branches="t"), _percent(68.44, 2)),
            Arm("pair, windows s and t", _options(dissimilarity=0.1), _percent(77.11, 2)),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=FAST_MAPS,
        notes=(
            *NOTES,
            mark("Grad-CAM of the true class at the last convolution layer; the input is the cut around the vertebra."),
            mark("The reference shows three pictures and no number: the share inside the vertebral body is ours."),
        ),
        explains=True,
    ),
    Experiment(
        id="ct_alpha",
        task=TASK,
        title=mark("CT: the weight of the two windows"),
        question=mark("Is a learned weight better than a fixed one?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(
            Arm("alpha 0.1", _options(alpha=0.1), _percent(74.00, 4)),
            Arm("alpha 0.3", _options(alpha=0.3), _percent(73.00, 4)),
            Arm("alpha 0.5", _options(alpha=0.5), _percent(74.22, 4)),
            Arm("alpha 0.7", _options(alpha=0.7), _percent(73.56, 4)),
            Arm("alpha 0.9", _options(alpha=0.9), _percent(71.22, 4)),
            Arm("alpha learned", published=_percent(77.11, 4)),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=replace(FAST, changes={"epochs": 6, "batch": 32}),
        notes=(
            *NOTES,
            mark("Whether the fixed weights were trained with the dissimilarity loss is not said: all are, here."),
        ),
    ),
    Experiment(
        id="ct_networks",
        task=TASK,
        title=mark("CT: other networks on window t"),
        question=mark("Does the pair do better than other networks?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(
            Arm("ResNet18", {"architecture": "resnet18", **_options(branches="t")}, _percent(66.67, 5)),
            Arm("ResNet18 with ACM", _options(branches="t"), _percent(68.44, 5)),
            Arm("Xception", {"architecture": "xception", **_options(branches="t")}, _percent(69.22, 5)),
            Arm("Inception-v3", {"architecture": "inception_v3", **_options(branches="t")}, _percent(68.77, 5)),
            Arm("EfficientNet-B0", {"architecture": "efficientnet_b0", **_options(branches="t")}, _percent(72.11, 5)),
            Arm(
                "ViT-B/16",
                {"architecture": "vit_b_16", "epochs": 500, **_options(branches="t")},
                _percent(55.67, 5),
                fast=None,
            ),
            Arm("pair of ResNet18 with ACM", published=_percent(77.11, 5)),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=FAST_NETWORKS,
        notes=NOTES,
    ),
)
