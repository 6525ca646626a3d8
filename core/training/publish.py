"""From a fitted fold to a weights folder: held-out evaluation, operating points, manifest, card."""

import csv
import hashlib
import io
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.io.weights_file import write_atomically
from core.manifest import (
    Architecture,
    Calibration,
    Change,
    Dataset,
    Estimate,
    ExplanationSpec,
    Manifest,
    Metric,
    OperatingPoint,
    ProvenanceRecord,
    WeightsFile,
    dump_manifest,
)
from core.metrics.calibration import calibration_report
from core.metrics.operating_point import operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval
from core.metrics.roc import roc_curve
from core.metrics.thresholds import threshold_by_youden, threshold_for_sensitivity
from core.training.card import model_card
from core.training.fit import Fitted, Recipe, predict
from core.training.pack import Pack

Scores = NDArray[np.float64]
HALF_PRECISION_LIMIT = 0.001


def ideal_observer(pack: Pack) -> Scores | None:
    """Scores of a logistic regression on the phantoms' true markers, fitted on training cases, for every test case.

    The best that any reader of these pictures could do; None when the data are real.
    """
    if pack.markers.shape[1] == 0:
        return None
    train, test = pack.folds >= 0, pack.folds < 0
    observer = make_pipeline(StandardScaler(), LogisticRegression(C=10.0))
    observer.fit(pack.markers[train], pack.targets[train])
    return np.asarray(observer.predict_proba(pack.markers[test])[:, 1], np.float64)


def _threshold_interval(choose: Any, y_true: Scores, y_score: Scores, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of a chosen threshold."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(400):
        index = rng.integers(0, len(y_true), len(y_true))
        if 0 < y_true[index].sum() < len(index):
            drawn.append(choose(y_true[index], y_score[index]).threshold)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _estimate(interval: Interval) -> Estimate:
    return Estimate(value=round(interval.value, 4), low=round(interval.low, 4), high=round(interval.high, 4))


def operating_points(
    label: str, validation: tuple[Scores, Scores], test: tuple[Scores, Scores], data: str, seed: int
) -> list[OperatingPoint]:
    """Chosen on validation, measured once on the held-out cases: Youden first, then a sensitivity of 0.95."""
    choices = {
        "youden": (threshold_by_youden, "largest sum of sensitivity and specificity"),
        "sensitivity_95": (lambda y, s: threshold_for_sensitivity(y, s, 0.95), "sensitivity of at least 0.95"),
    }
    points = []
    for name, (choose, purpose) in choices.items():
        threshold = float(choose(*validation).threshold)
        measured = operating_point_metrics(*test, threshold)
        low, high = _threshold_interval(choose, *validation, seed)
        points.append(
            OperatingPoint(
                id=name,
                label=label,
                threshold=round(threshold, 6),
                threshold_low=round(low, 6),
                threshold_high=round(high, 6),
                chosen_for=purpose,
                chosen_on=f"validation fold, n = {len(validation[0])}",
                sensitivity=_estimate(measured.sensitivity),
                specificity=_estimate(measured.specificity),
                data=data,
                n=len(test[0]),
            )
        )
    return points


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _serialise(network: torch.nn.Module, learn: ModuleType, images: torch.Tensor, sigmoid: Any) -> tuple[bytes, str]:
    """The weights in half precision when no score moves by more than 0.001, else in single."""
    before = sigmoid(predict(network, learn, images))
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in half.items()}
    )
    moved = float((sigmoid(predict(network, learn, images)) - before).abs().max())
    if moved < HALF_PRECISION_LIMIT:
        return save({name: value.contiguous() for name, value in half.items()}), "float16"
    network.load_state_dict(state)
    return save({name: value.contiguous() for name, value in state.items()}), "float32"


def _revision() -> str:
    """Commit of the code, with a plus when the tree holds more than it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "core") else "")


def publish(
    task_network: ModuleType,
    learn: ModuleType,
    template: dict[str, Any],
    pack: Pack,
    fitted: Fitted,
    fold: int,
    recipe: Recipe,
    command: str,
    folder: Path,
) -> Manifest:
    """Evaluate a fitted fold on the held-out cases and write its weights folder; the manifest is written last.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        template: The task's part of the manifest (`data.MANIFEST`): input, transforms, labels, words.
        pack: Arrays with held-out cases (fold -1).
        fitted: Result of fit_fold.
        fold: Its validation fold.
        recipe: How it was trained.
        command: Command line to print in card and manifest.
        folder: weights/<task>/<model>.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = json.loads(str(pack.facts[0]))
    network = task_network.Network(recipe.architecture)
    network.load_state_dict(fitted.state)
    test, validation, train = pack.folds < 0, pack.folds == fold, (pack.folds >= 0) & (pack.folds != fold)
    images = torch.from_numpy(pack.images)
    weights, dtype = _serialise(network, learn, images[torch.from_numpy(validation)], task_network.scores)

    def score(mask: NDArray[np.bool_]) -> tuple[Scores, Scores]:
        outputs = task_network.scores(predict(network, learn, images[torch.from_numpy(mask)]))
        return pack.targets[mask].astype(np.float64), outputs.numpy().astype(np.float64).round(6)

    label, data_name = template["labels"][0], facts["test_name"]
    held_out, ideal = score(test), ideal_observer(pack)
    points = operating_points(label, score(validation), held_out, data_name, recipe.seed)
    columns = ["case", "patient", "label", f"p_{label}"] + (["p_ideal_observer"] if ideal is not None else [])
    values = [pack.cases[test], pack.patients[test], pack.targets[test].astype(int), held_out[1]]
    values += [ideal.round(6)] if ideal is not None else []
    evaluation = _csv(columns, list(zip(*values, strict=True)))
    training = _csv(
        ["pixel_hash", "patient", "fold"],
        list(zip(pack.pixel_hashes[~test], pack.patients[~test], pack.folds[~test], strict=True)),
    )
    manifest = Manifest(
        format="fivefold-manifest-1",
        task=facts["task"],
        model=folder.name,
        version="1.0.0",
        changelog=(Change(version="1.0.0", date=f"{datetime.now(UTC):%Y-%m-%d}", text="First weights."),),
        architecture=Architecture(name=recipe.architecture),
        weights=WeightsFile(
            file="model.safetensors",
            format="safetensors",
            sha256=hashlib.sha256(weights).hexdigest(),
            bytes=len(weights),
            parameters=sum(p.numel() for p in network.parameters()),
            dtype=dtype,  # type: ignore[arg-type]
        ),
        operating_points=tuple(points),
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][recipe.architecture], default_method="grad_cam"
        ),
        metrics=tuple(_metrics(label, held_out, ideal, data_name)),
        provenance=ProvenanceRecord(
            labels=dict.fromkeys(template["labels"], facts["kind"]),
            datasets=(
                _dataset("training", facts["training_name"], facts["licence"], pack, train),
                _dataset("validation", facts["training_name"], facts["licence"], pack, validation),
                _dataset("test", facts["test_name"], facts["licence"], pack, test),
            ),
            command="\n".join(filter(None, (facts.get("pack_command"), command))),
            seed=recipe.seed,
            code_revision=_revision(),
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            training_cases_sha256=hashlib.sha256(training).hexdigest(),
            evaluation_sha256=hashlib.sha256(evaluation).hexdigest(),
        ),
        **{key: value for key, value in template.items() if key != "explanation_layer"},
    )
    history = {"recipe": asdict(recipe), "fold": fold, "best_epoch": fitted.best_epoch, "epochs": fitted.history}
    write_atomically(folder / "model.safetensors", weights)
    write_atomically(folder / "evaluation.csv", evaluation)
    write_atomically(folder / "training_cases.csv", training)
    write_atomically(folder / "history.json", (json.dumps(history, indent=1) + "\n").encode())
    write_atomically(folder / "MODEL_CARD.md", model_card(manifest).encode())
    write_atomically(folder / "manifest.json", dump_manifest(manifest).encode())
    return manifest


def _dataset(
    role: Literal["training", "validation", "test"], name: str, licence: str, pack: Pack, mask: NDArray[np.bool_]
) -> Dataset:
    return Dataset(name=name, role=role, n=int(mask.sum()), patients=len(set(pack.patients[mask])), licence=licence)


def _metrics(label: str, held_out: tuple[Scores, Scores], ideal: Scores | None, data: str) -> list[Metric]:
    """Held-out figures with intervals."""
    n = len(held_out[0])

    def metric(name: str, interval: Interval, note: str = "") -> Metric:
        return Metric(
            name=name,
            label=label,
            value=round(interval.value, 4),
            low=round(interval.low, 4),
            high=round(interval.high, 4),
            n=n,
            data=data,
            note=note,
        )

    found = [
        metric("auroc", roc_curve(*held_out).auroc, "95 % interval after DeLong"),
        metric("auprc", precision_recall_curve(*held_out).average_precision, "average precision"),
    ]
    if ideal is not None:
        found.append(
            metric(
                "auroc_ideal_observer", roc_curve(held_out[0], ideal).auroc, "logistic regression on the true markers"
            )
        )
    calibration = calibration_report(*held_out)
    found.append(Metric(name="brier", label=label, value=round(calibration.brier_score, 4), n=n, data=data))
    found.append(
        Metric(
            name="expected_calibration_error",
            label=label,
            value=round(calibration.expected_calibration_error, 4),
            n=n,
            data=data,
        )
    )
    return found
