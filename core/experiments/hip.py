"""Hip radiographs: four stages, five networks in five folds, stored copies beside patients kept apart, and three classes."""

from dataclasses import replace

from core.experiments.declaration import Arm, Experiment, Published, Size
from core.i18n import mark

TASK = "hip_osteoporosis"
RECIPE = {
    "architecture": "resnet18",
    "optimizer": "sgd",
    "lr": 1e-3,
    "momentum": 0.9,
    "batch": 5,
    "epochs": 50,
    "step": 7,
}
SIZE = Size(n_training=609, n_test=84)
NOTES = (
    mark("Momentum, the factor of StepLR and the first weights are not stated in the reference; they are our reading."),
    mark("Right hips are mirrored to left ones, and both hips of a patient may be there."),
)
FINAL = Published(0.9167, "", "Figure 4-8")


def _accuracy(n_right: int) -> Published:
    """Of the 84 test hips, from the one confusion matrix that fits the printed figures."""
    return Published(round(n_right / 84, 4), "", "Tables 4.1 and 4.2")


NETWORKS = (
    Arm("ResNet18", published=_accuracy(70)),
    Arm("ResNet34", {"architecture": "resnet34"}, _accuracy(70)),
    Arm("GoogLeNet", {"architecture": "googlenet"}, _accuracy(70)),
    Arm("DenseNet121", {"architecture": "densenet121"}, _accuracy(68)),
    Arm("VGG16", {"architecture": "vgg16"}, _accuracy(65), fast=None),
)
EXPERIMENTS = (
    Experiment(
        id="hip_stages",
        task=TASK,
        title=mark("Hip: augmentation, undersampling and the step of the learning rate"),
        question=mark("Which of the four stages improved the result, and how much of it was a leak between the folds?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(
            Arm(
                "1: no augmentation",
                published=Published(73, "%", "Figure 4.1"),
                augmented=False,
                protocols=("random", "by_patient"),
            ),
            Arm("2: augmentation"),
            Arm("4: undersampling", {"sampler": "under"}),
            Arm("4: StepLR 15", {"step": 15}, FINAL, fast={"step": 4}),
        ),
        protocols=("copies", "by_patient"),
        size=SIZE,
        fast=Size(n_training=100, n_test=84, seeds=2, changes={"epochs": 5, "step": 2}, side=64),
        notes=NOTES,
    ),
    Experiment(
        id="hip_networks",
        task=TASK,
        title=mark("Hip: five networks in five folds"),
        question=mark("Which network has the lowest validation loss, and can the best ones be told apart?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=NETWORKS,
        protocols=("by_patient",),
        size=replace(SIZE, folds=(0, 1, 2, 3, 4)),
        fast=Size(n_training=100, n_test=84, seeds=1, changes={"epochs": 3, "step": 2}, side=64, folds=(0, 1, 2, 3, 4)),
        notes=NOTES,
    ),
    Experiment(
        id="hip_copies",
        task=TASK,
        title=mark("Hip: five networks, stored copies beside patients kept apart"),
        question=mark("How much better does each network look when copies and both hips stand on both sides?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=NETWORKS,
        protocols=("copies", "by_patient"),
        size=replace(SIZE, folds=(0, 1, 2, 3, 4)),
        fast=Size(
            n_training=100,
            n_test=84,
            seeds=1,
            changes={"epochs": 3, "step": 2, "batch": 10},
            side=64,
            folds=(0,),
        ),
        notes=NOTES,
    ),
    Experiment(
        id="hip_three_classes",
        task=TASK,
        title=mark("Hip: three classes"),
        question=mark("Can normal, osteopenia and osteoporosis be told apart, which the reference left to later work?"),
        metric="accuracy",
        recipe=RECIPE,
        arms=(Arm("ResNet18, three classes"),),
        protocols=("by_patient",),
        size=SIZE,
        fast=Size(n_training=100, n_test=84, changes={"epochs": 6, "step": 4}, side=64),
        notes=NOTES,
        cases="three_class_cases",
        network="core.experiments.three_classes",
    ),
)
