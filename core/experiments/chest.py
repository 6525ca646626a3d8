"""Chest films: the four losses, average precision and recall of every epoch, and a detector of one stage beside Faster R-CNN."""

from core.experiments.declaration import Arm, Experiment, Size
from core.i18n import mark

EXPERIMENTS = (
    Experiment(
        id="chest_detectors",
        task="chest_lesions",
        title=mark("Chest: two detectors, and what they learn in every epoch"),
        question=mark("Does a detector of one stage find the seven findings as well as Faster R-CNN?"),
        metric="ap50",
        recipe={
            "architecture": "fasterrcnn_mobilenet_v3_large_320_fpn",
            "optimizer": "sgd",
            "lr": 0.005,
            "momentum": 0.9,
            "batch": 4,
            "epochs": 30,
            "step": 20,
        },
        arms=(
            Arm("Faster R-CNN, MobileNetV3", fast={"options": {"size": 160}}),
            Arm(
                "RetinaNet, MobileNetV3",
                {"architecture": "retinanet_mobilenet_v3_large"},
                fast={"options": {"size": 160}},
            ),
            Arm("Faster R-CNN, ResNet50", {"architecture": "fasterrcnn_resnet50_fpn"}, fast=None),
        ),
        protocols=("by_patient",),
        size=Size(n_training=1200, n_test=300),
        fast=Size(n_training=60, n_test=30, seeds=2, changes={"epochs": 4}, side=160),
        notes=(mark("The reference gives no figures, and neither the length of its training nor its batch."),),
        network="core.experiments.detectors",
    ),
)
