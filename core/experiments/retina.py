"""Retina: networks, backbones, splits, epochs, learning rate, batch, optimizer, loss and augmentation."""

from dataclasses import replace

from core.experiments.declaration import Arm, Experiment, Published, Size
from core.i18n import mark

TASK = "retina_lesions"
ALL_FOLDS = (0, 1, 2, 3, 4)
FAST_SHARE = 5  # of the epochs of an arm, one in so many is trained at the fast size
FOREVER = 10**6  # epochs between steps: the learning rate stays as it is
RECIPE = {
    "architecture": "unet_small",
    "optimizer": "rmsprop",
    "lr": 1e-3,
    "momentum": 0.9,
    "batch": 2,
    "epochs": 50,
    "step": FOREVER,
    "options": {"loss": "entropy"},
}
SOFTMAX = {"loss": "softmax"}
SIZE = Size(n_training=40, n_test=20)
SMALL = Size(n_training=8, n_test=4, seeds=2, changes={"epochs": 8}, side=96)
NOTES = (
    mark(
        "The reference names neither its lesions nor which AUROC is its best one; all pixels together are measured here."
    ),
    mark("AUROC is near 1 where lesions are rare, even for a simple rule: average precision and Dice say more."),
)


def _auroc(value: float) -> Published:
    return Published(value, "", "Table 4.2.1")


def _network(title: str, architecture: str, auroc: float) -> Arm:
    changes = {"architecture": architecture, "optimizer": "sgd", "options": SOFTMAX}
    return Arm(title, changes, _auroc(auroc))


EXPERIMENTS = (
    Experiment(
        id="retina_training",
        task=TASK,
        title=mark("Retina: learning rate, batch, optimizer, loss and augmentation"),
        question=mark("Which choices leave masks empty, make training diverge, or help?"),
        metric="average_precision",
        recipe=RECIPE,
        arms=(
            Arm("reference: RMSprop, batch 2, BCE, constant lr"),
            Arm("scheduled lr", {"schedule": "cosine"}),
            Arm("lr 0.0002", {"lr": 2e-4}),
            Arm("batch 1", {"batch": 1}),
            Arm("batch 5", {"batch": 5}),
            Arm("SGD", {"optimizer": "sgd"}),
            Arm("Adam", {"optimizer": "adam"}),
            Arm("cross-entropy over kinds and background", {"options": SOFTMAX}),
            Arm("BCE and Dice", {"options": {"loss": "entropy_dice"}}),
            Arm("no augmentation", augmented=False),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=replace(SMALL, changes={"epochs": 24}),
        notes=(
            *NOTES,
            mark("The scheduled rate is a cosine; the reference lowered it when its validation did not improve."),
        ),
        cases="time_point_cases",
    ),
    Experiment(
        id="retina_splits",
        task=TASK,
        title=mark("Retina: four ways to split"),
        question=mark("How much better does a network look when the same eyes are on both sides?"),
        metric="auroc",
        recipe=RECIPE | {"optimizer": "adam", "options": {"loss": "entropy_dice"}},
        arms=(Arm("small U-Net"),),
        protocols=("random_90_10", "random_55_45", "time_point", "by_patient"),
        size=replace(SIZE, folds=ALL_FOLDS),
        fast=replace(SMALL, folds=(0, 1)),
        notes=NOTES,
        cases="time_point_cases",
    ),
    Experiment(
        id="retina_networks",
        task=TASK,
        title=mark("Retina: five networks"),
        question=mark("Do the networks keep the published order when no eye is on both sides?"),
        metric="auroc",
        recipe=RECIPE | {"batch": 5},
        arms=(
            Arm("U-Net", {"architecture": "unet", "batch": 1}, _auroc(0.6051)),
            _network("FCN-ResNet101", "fcn_resnet101", 0.9681),
            _network("SegNet", "segnet", 0.73),
            _network("DeepLabv3", "deeplabv3", 0.9398),
            _network("DeepLabv3+", "deeplabv3plus_resnet50", 0.95),
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=Size(n_training=8, n_test=4, seeds=2, changes={"epochs": 3}, side=64),
        notes=NOTES,
        cases="time_point_cases",
        explains=True,
    ),
    Experiment(
        id="retina_backbones",
        task=TASK,
        title=mark("Retina: three backbones of DeepLabv3+ by time point"),
        question=mark("Which backbone is best, and how much of it is the same eyes on both sides?"),
        metric="auroc",
        recipe=RECIPE | {"optimizer": "sgd", "batch": 5, "options": SOFTMAX},
        arms=(
            Arm("ResNet50", {"architecture": "deeplabv3plus_resnet50"}),
            Arm("ResNet50, dilated (for DRN)", {"architecture": "deeplabv3plus_drn"}),
            Arm("Xception-41", {"architecture": "deeplabv3plus_xception"}),
        ),
        protocols=("time_point", "by_patient"),
        size=replace(SIZE, folds=ALL_FOLDS),
        fast=Size(
            n_training=8, n_test=4, seeds=1, changes={"optimizer": "adam", "epochs": 4}, side=64, folds=ALL_FOLDS
        ),
        notes=(
            *NOTES,
            mark(
                "The reference trained these 15 networks, calls the ResNet the best backbone, and prints no figure of each."
            ),
            mark(
                "No maintained library has the DRN: a ResNet50 with dilation in place of its last two strides stands for it."
            ),
            mark("The fast size trains with Adam: from random weights SGD finds nothing in so few epochs."),
            mark(
                "The fast size has 8 eyes to train on, 64 pixels a side and 4 epochs: small lesions vanish, and it ranks nothing."
            ),
        ),
        cases="time_point_cases",
    ),
    Experiment(
        id="retina_epochs",
        task=TASK,
        title=mark("Retina: number of epochs"),
        question=mark("Does longer training help on eyes that the network has not seen?"),
        metric="average_precision",
        recipe=RECIPE | {"keep": "last"},
        arms=tuple(
            Arm(f"{n} epochs", {"epochs": n}, fast={"epochs": n // FAST_SHARE}) for n in (10, 50, 70, 100, 120, 150)
        ),
        protocols=("by_patient",),
        size=SIZE,
        fast=SMALL,
        notes=(
            *NOTES,
            mark(
                "The reference tried these lengths on its networks, chose by eye and by the loss, and prints no figure of each."
            ),
            mark(
                "The learning rate is constant and the last epoch is kept: a long training begins as the shorter ones do."
            ),
            mark("The fast size trains a fifth of the epochs that an arm names, on 8 eyes of 96 pixels a side."),
        ),
        cases="time_point_cases",
        measures_training=True,
    ),
)
