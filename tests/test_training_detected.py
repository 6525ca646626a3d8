"""Publishing a detector: evidence box by box, figures that the file gives again, thresholds chosen on the validation fold."""

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_metrics_detection import _coco_numbers
from tiny_boxes import LABELS, PLACES, boxed_pack
from torch import Tensor, nn

from core.errors import UsageError
from core.io.box_evidence import FILE, BoxEvidence, read_evidence
from core.manifest import Manifest, file_sha256, read_manifest
from core.metrics.boxes import box_iou
from core.metrics.thresholds import threshold_by_youden
from core.tasks.chest_lesions import learn
from core.tasks.chest_lesions.data import MANIFEST
from core.training.fit import Fitted, Recipe
from core.training.publish import publish

N, N_TEST = 40, 30
LOSSES = (0.9, 0.8, 0.7, 0.4, 0.6)  # fold 3 is published
PUBLISHED = 3
TEMPLATE: dict[str, Any] = {**MANIFEST, "labels": LABELS, "explanation_layer": {"tiny": "body"}}


class OfFold(nn.Module):
    """In closed form: the usual place of each label, moved a little, scored by how bright it is there; a false box beside it."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for film in x[:, 0]:
            own = []
            for number, (x0, y0, x1, y1) in enumerate(PLACES, start=1):
                bright = film[int(y0) : int(y1), int(x0) : int(x1)].mean()
                own.append(
                    torch.stack(
                        [x0 + self.shift, *map(torch.tensor, (y0, x1, y1)), torch.tensor(float(number)), bright]
                    )
                )
                own.append(torch.tensor([0.0, 0.0, 9.0, 9.0, number, float(bright) / 3]))
            rows.append(torch.stack([*own, torch.zeros(6)]))
        return torch.stack(rows)


def presence(output: Tensor) -> Tensor:
    """Each row of a film is the first of a label, its false box, and zeros."""
    return output[:, [0, 2], 5]


DETECTOR = SimpleNamespace(Network=OfFold, scores=presence)


def published(folder: Path, pack: Any, folds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Manifest:
    results = {
        fold: Fitted({"shift": torch.tensor(float(fold))}, 0, [{"validation_loss": LOSSES[fold], "train_loss": 1.0}])
        for fold in folds
    }
    return publish(DETECTOR, learn, TEMPLATE, pack, results, Recipe("tiny"), "python -m core train", "Note.", folder)


@cache
def films() -> Any:
    """Some films are brighter than others, so that brightness tells findings only mostly."""
    pack = boxed_pack(N, N_TEST, seed=2)
    shifts = np.random.default_rng(0).integers(-45, 46, (N + N_TEST, 1, 1))
    return replace(pack, images=np.clip(pack.images + shifts, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights") / "tiny"
    published(place, films())
    return place


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder)


@pytest.fixture(scope="module")
def found(folder: Path, manifest: Manifest) -> BoxEvidence:
    return read_evidence(folder, manifest.provenance.evaluation_sha256, manifest.labels)


def values(manifest: Manifest, label: str) -> dict[str, float]:
    return {metric.name: metric.value for metric in manifest.metrics if metric.label == label}


def test_words_give_the_auroc_of_presence_and_no_box(tmp_path: Path) -> None:
    """Some of the held-out films lose their boxes; the first label of those is known by words, against scikit-learn."""
    pack = films()
    worded = (pack.folds < 0) & (np.arange(N + N_TEST) % 5 < 2)
    rows = pack.boxes_of(np.ones(N + N_TEST, bool))
    known = np.full((N + N_TEST, len(LABELS)), np.nan, np.float32)
    known[worded, 0] = [(own[:, 4] == 1).any() for own, is_worded in zip(rows, worded, strict=True) if is_worded]
    left = [own[:0] if is_worded else own for own, is_worded in zip(rows, worded, strict=True)]
    facts = {**json.loads(str(pack.facts[0])), "worded_name": "films with words"}
    made = replace(
        pack,
        presence=known,
        boxes=np.concatenate(left),
        box_offsets=np.cumsum([0, *map(len, left)]),
        facts=np.array([json.dumps(facts)]),
    )
    manifest = published(tmp_path / "tiny", made)
    (own,) = [metric for metric in manifest.metrics if metric.data == "films with words"]
    x0, y0, x1, y1 = map(int, PLACES[0])
    bright = made.images[worded][:, y0:y1, x0:x1].mean(axis=(1, 2))
    assert (own.name, own.label, own.n) == ("presence_auroc", LABELS[0], worded.sum())
    assert own.value == pytest.approx(roc_auc_score(known[worded, 0], bright), abs=1e-6)
    evidence = read_evidence(tmp_path / "tiny", manifest.provenance.evaluation_sha256, manifest.labels)
    assert [image.case for image in evidence.images] == made.cases[(made.folds < 0) & ~worded].tolist()


# --- the file --------------------------------------------------------------------------------------------------------


def test_folder_holds_boxes_instead_of_a_table(folder: Path, manifest: Manifest) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "manifest.json", "MODEL_CARD.md", "history.json", "training_cases.csv", FILE)
    }
    assert manifest.provenance.evaluation_sha256 == file_sha256(folder / FILE)
    assert json.loads((folder / "history.json").read_text())["fold"] == PUBLISHED
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name in (*LABELS, "average_precision_50", "mean_box_average_precision_50", "box_sensitivity_0.5"):
        assert name in card


def test_file_holds_every_held_out_film_and_box(folder: Path, found: BoxEvidence) -> None:
    pack = films()
    held_out = pack.folds < 0
    assert [image.case for image in found.images] == pack.cases[held_out].tolist()
    assert [image.pixel_hash for image in found.images] == pack.pixel_hashes[held_out].tolist()
    for image, own in zip(found.images, pack.boxes_of(held_out), strict=True):
        assert sorted(map(tuple, image.reference)) == sorted(map(tuple, own.astype(float)))
        assert (len(image.detected), image.fold) == (4, -1)  # the row of zeros is no detection
    with (folder / FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows].count("image") == N_TEST
    for row in rows:
        if row["kind"] == "detection":
            is_first = float(row["x1"]) > 9
            image = next(one for one in found.images if one.case == row["case"])
            own = image.reference[image.reference[:, 4] == LABELS.index(row["label"]) + 1, :4]
            place = np.array([[float(row[name]) for name in ("x0", "y0", "x1", "y1")]])
            is_near = bool(len(own)) and float(box_iou(place, own).max()) >= 0.5
            assert row["matched"] == str(int(is_first and is_near))


def test_file_gives_back_what_was_written(folder: Path, found: BoxEvidence) -> None:
    assert found.to_bytes() == (folder / FILE).read_bytes()


def test_changed_file_is_refused(folder: Path, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes() + b"\n")
    with pytest.raises(UsageError, match="missing or was changed"):
        read_evidence(tmp_path, manifest.provenance.evaluation_sha256, manifest.labels)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_coco_on_the_file(manifest: Manifest, found: BoxEvidence) -> None:
    """Of the detector and of the mean boxes, label by label and together."""
    for prefix, images in (("", found.by_label()), ("mean_box_", found.mean_boxes_by_label())):
        numbers = _coco_numbers(images)
        for label, expected in zip((*LABELS, ""), numbers, strict=True):
            own, mean = values(manifest, label), "" if label else "mean_"
            names = ("average_precision", "average_precision_50", "average_recall")
            assert [own[f"{prefix}{mean}{name}"] for name in names] == pytest.approx(expected, abs=1e-6)
    assert values(manifest, LABELS[0])["average_precision_50"] > 0.5


def test_mean_boxes_are_those_of_the_training_films(found: BoxEvidence) -> None:
    pack = films()
    training = pack.boxes_of((pack.folds >= 0) & (pack.folds != PUBLISHED))
    for row, number in zip(found.mean_boxes, (1, 2), strict=True):
        own = np.concatenate([boxes[boxes[:, 4] == number] for boxes in training])
        assert row[:4] == pytest.approx(own[:, :4].mean(axis=0), abs=0.006)
        assert row[4:].tolist() == pytest.approx([number, len(own) / len(training)], abs=1e-6)


def test_presence_is_the_highest_score(manifest: Manifest, found: BoxEvidence) -> None:
    for place, label in enumerate(LABELS):
        is_there, score = found.presence(place)
        assert values(manifest, label)["presence_auroc"] == pytest.approx(roc_auc_score(is_there, score), abs=1e-6)
        assert values(manifest, label)["mean_box_presence_auroc"] == 0.5


def test_sensitivity_at_false_positives_is_counted_by_hand(manifest: Manifest, found: BoxEvidence) -> None:
    """The lowest score at which at most so many detections an image match nothing."""
    for place, label in enumerate(LABELS):
        hits = []
        for image in (one[place] for one in found.by_label()):
            near = box_iou(image.detected, image.reference) >= 0.5
            hits += list(
                zip(image.scores, near.any(axis=1), strict=True)
            )  # a reference box is near one detection alone
        scores, is_hit = (np.array(column) for column in zip(*sorted(hits, reverse=True), strict=True))
        false = np.cumsum(~is_hit) / N_TEST
        n_boxes = sum(len(one[place].reference) for one in found.by_label())
        for allowed in (0.25, 0.5, 1.0, 2.0):
            last = np.flatnonzero((false <= allowed) & (np.diff(scores, append=-1) < 0))
            expected = is_hit[: last[-1] + 1].sum() / n_boxes if last.size else 0.0
            assert values(manifest, label)[f"box_sensitivity_{allowed:g}"] == pytest.approx(expected, abs=1e-6)


def test_threshold_is_chosen_on_validation_and_measured_on_held_out_films(
    manifest: Manifest, found: BoxEvidence
) -> None:
    pack = films()
    held = pack.folds == PUBLISHED
    network = OfFold("tiny")
    rows = network(learn.plain(torch.from_numpy(pack.images[held]))).detach().numpy()
    for place, point in enumerate(manifest.operating_points):
        assert (point.id, point.label, point.n) == (LABELS[place], LABELS[place], N_TEST)
        own = rows[:, :, 5] * (rows[:, :, 4] == place + 1)
        truth = np.array([(boxes[:, 4] == place + 1).any() for boxes in pack.boxes_of(held)])
        chosen = threshold_by_youden(truth, own.max(axis=1)).threshold
        assert point.threshold == pytest.approx(chosen, abs=1e-4)
        is_there, score = found.presence(place)
        assert point.sensitivity.value == pytest.approx((score >= point.threshold)[is_there].mean(), abs=1e-6)
        assert point.specificity.value == pytest.approx((score < point.threshold)[~is_there].mean(), abs=1e-6)


def test_a_finding_that_validation_cannot_tell_from_chance_is_never_called(tmp_path: Path) -> None:
    """The second label's rectangle is as bright as the rest of its film, so that nothing tells who has it."""
    pack = films()
    x0, y0, x1, y1 = map(int, PLACES[1])
    images = pack.images.copy()
    noise = np.random.default_rng(5).integers(60, 120, images.shape).astype(np.uint8)
    images[:, y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = noise[:, y0 - 4 : y1 + 4, x0 - 4 : x1 + 4]
    first, second = published(tmp_path / "tiny", replace(pack, images=images)).operating_points
    assert first.threshold < 1
    assert "sum of sensitivity" in first.chosen_for
    assert (second.threshold, second.sensitivity.value, second.specificity.value) == (1.0, 0.0, 1.0)
    assert "no better than chance" in second.chosen_for


def test_films_without_a_label_choose_no_threshold(tmp_path: Path) -> None:
    pack = films()
    boxes = [
        own[own[:, 4] != 2] if fold == PUBLISHED else own
        for own, fold in zip(pack.boxes_of(pack.folds >= -1), pack.folds, strict=True)
    ]
    pack = replace(pack, boxes=np.concatenate(boxes), box_offsets=np.cumsum([0, *map(len, boxes)]))
    with pytest.raises(UsageError, match="0 of 8 validation images hold aortic"):
        published(tmp_path, pack)
    with pytest.raises(UsageError, match="no held-out image"):
        published(tmp_path, boxed_pack(N))
