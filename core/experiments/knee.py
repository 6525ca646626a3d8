"""Knee bone scans: layers, optimizers, batch, epochs and learning rate, and the ReLU behind the last layer."""

from dataclasses import replace

from core.experiments.declaration import Arm, Experiment, Size
from core.i18n import mark

TASK = "knee_djd"
RECIPE = {
    "architecture": "simple_cnn_2",
    "optimizer": "sgd",
    "momentum": 0.0,
    "lr": 1e-3,
    "batch": 32,
    "epochs": 100,
    "step": 10**6,
    "keep": "last",
}
SIZE = Size(n_training=402, n_test=200)
FAST = Size(n_training=120, n_test=100, changes={"epochs": 8})
PROTOCOLS = ("inside", "by_patient")
NOTES = (
    mark("The reference reports training figures only; it tested on knees that it had trained on."),
    mark("Knees enter as uptake ratios; the reference fed raw counts."),
)
LOG_LOSS = (
    *(1.6243, 1.6026, 1.5917, 1.5786, 1.5630, 1.5580, 1.5540, 1.5557, 1.5393, 1.5460),
    *(1.5173, 1.5182, 1.4916, 1.4957, 1.4827, 1.4760, 1.4536, 1.4447, 1.4421, 1.4307),
)
LOG_ACCURACY = (
    *(18.9055, 22.8856, 23.1343, 23.1343, 23.3831, 23.6318, 23.3831, 23.8806, 23.8806, 24.1294),
    *(25.6219, 23.8806, 27.1144, 27.6119, 26.8657, 26.1194, 27.3632, 28.3582, 30.0995, 28.3582),
)
MOMENTUM = {"momentum": 0.9}
ADAM = {"optimizer": "adam"}


def _experiment(
    name: str,
    title: str,
    question: str,
    arms: tuple[Arm, ...],
    protocols: tuple[str, ...] = PROTOCOLS,
    n_seeds: int = 3,
) -> Experiment:
    return Experiment(
        id=f"knee_{name}",
        task=TASK,
        title=title,
        question=question,
        metric="accuracy",
        recipe=RECIPE,
        arms=arms,
        protocols=protocols,
        size=SIZE,
        fast=replace(FAST, seeds=n_seeds),
        notes=NOTES,
        measures_training=True,
        curve={"train_loss": LOG_LOSS, "training_accuracy": LOG_ACCURACY} if name == "final_relu" else {},
    )


EXPERIMENTS = (
    _experiment(
        "layers",
        mark("Knee: one, two or three convolution layers"),
        mark("Does a deeper network grade knees better?"),
        tuple(
            Arm(f"{n} layer{'s' * (n > 1)}", {"architecture": f"simple_cnn_{n}", **MOMENTUM}, augmented=False)
            for n in (1, 2, 3)
        ),
    ),
    _experiment(
        "optimizers",
        mark("Knee: four optimizers"),
        mark("Which optimizer learns to grade knees in the same number of epochs?"),
        (
            Arm("SGD", augmented=False),
            Arm("SGD with momentum", MOMENTUM, augmented=False),
            Arm("Adagrad", {"optimizer": "adagrad"}, augmented=False),
            Arm("Adam", ADAM, augmented=False),
        ),
    ),
    _experiment(
        "training",
        mark("Knee: batch size, epochs, learning rate and augmentation"),
        mark("What do batch size, length of training, learning rate and augmentation change?"),
        (
            Arm("reference: batch 32, lr 0.001", MOMENTUM, augmented=False),
            Arm("batch 8", {"batch": 8, **MOMENTUM}, augmented=False),
            Arm("batch 128", {"batch": 128, **MOMENTUM}, augmented=False),
            Arm("lr 0.0001", {"lr": 1e-4, **MOMENTUM}, augmented=False),
            Arm("lr 0.01", {"lr": 1e-2, **MOMENTUM}, augmented=False),
            Arm("half the epochs", {"epochs": 50, **MOMENTUM}, fast={"epochs": 4}, augmented=False),
            Arm("twice the epochs", {"epochs": 200, **MOMENTUM}, fast={"epochs": 16}, augmented=False),
            Arm("augmentation on the fly", MOMENTUM),
        ),
        ("by_patient",),
        n_seeds=2,
    ),
    _experiment(
        "final_relu",
        mark("Knee: a ReLU behind the last layer"),
        mark("Does the ReLU behind the last layer explain why the published loss hardly falls in 20 epochs?"),
        (
            Arm("SGD, final ReLU (reference)", {"epochs": 20, "options": {"final_relu": True}}, augmented=False),
            Arm("SGD, no final ReLU", {"epochs": 20}, augmented=False),
            Arm("Adam, final ReLU", {"epochs": 20, "options": {"final_relu": True}, **ADAM}, augmented=False),
            Arm("Adam, no final ReLU", {"epochs": 20, **ADAM}, augmented=False),
        ),
        ("by_patient",),
    ),
)
