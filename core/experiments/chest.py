"""Chest films: the four losses, average precision and recall of every epoch, a detector of one stage, and bones suppressed."""

from dataclasses import replace

from core.experiments.declaration import Arm, Experiment, Size
from core.i18n import mark

TASK = "chest_lesions"
NETWORK = "core.experiments.detectors"
ONE_STAGE = "retinanet_mobilenet_v3_large"
RECIPE = {
    "architecture": "fasterrcnn_mobilenet_v3_large_320_fpn",
    "optimizer": "sgd",
    "lr": 0.005,
    "momentum": 0.9,
    "batch": 4,
    "epochs": 30,
    "step": 20,
    "keep": "last",
}
SIZE = Size(n_training=1200, n_test=300)
FAST = Size(
    n_training=100,
    n_test=30,
    seeds=2,
    changes={"optimizer": "adam", "lr": 1e-3, "schedule": "cosine", "epochs": 10, "options": {"size": 128}},
    side=128,
)
NOTES = (
    mark("The reference gives no figures, and neither the length of its training nor its batch."),
    mark("The last epoch is kept: the loss of a detector of two stages is lowest before it finds anything."),
    mark("The fast size trains with Adam: from random weights SGD finds nothing in so few epochs."),
)

EXPERIMENTS = (
    Experiment(
        id="chest_detectors",
        task=TASK,
        title=mark("Chest: two detectors, and what they learn in every epoch"),
        question=mark("Does a detector of one stage find the seven findings as well as Faster R-CNN?"),
        metric="ap50",
        recipe=RECIPE,
        arms=(
            Arm("Faster R-CNN, MobileNetV3"),
            Arm("RetinaNet, MobileNetV3", {"architecture": ONE_STAGE}),
            Arm("Faster R-CNN, ResNet50", {"architecture": "fasterrcnn_resnet50_fpn"}, fast=None),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=replace(FAST, seeds=1, changes={**FAST.changes, "epochs": 8}),
        notes=NOTES,
        network=NETWORK,
    ),
    Experiment(
        id="chest_bones",
        task=TASK,
        title=mark("Chest: bones suppressed"),
        question=mark("Does a detector find more when the bones are taken out of the films first?"),
        metric="ap50",
        recipe={**RECIPE, "architecture": ONE_STAGE},
        arms=(Arm("plain films"), Arm("bones suppressed", cases="suppressed_cases")),
        protocols=("by_patient",),
        size=SIZE,
        fast=FAST,
        notes=(
            *NOTES,
            mark("The reference proposes to remove bones and vessels before training, and did not do so."),
            mark(
                "The same simulated films are drawn with and without ribs, collar bones and shoulders: an exact suppression, "
                "which no program reaches on a real film. Vessels stay, and so does the spine: two findings are its own."
            ),
        ),
        network=NETWORK,
    ),
)
