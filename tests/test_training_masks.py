"""Publishing a segmenter: every image by the fold that never saw it, the threshold of the best Dice, figures from the file."""

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny_grader import graded_pack
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UsageError
from core.io.pixel_evidence import FILE, read_evidence
from core.manifest import Manifest, file_sha256, read_manifest
from core.metrics.lesions import LESION_THRESHOLDS
from core.tasks.retina_lesions import learn
from core.tasks.retina_lesions.data import MANIFEST
from core.tasks.retina_lesions.task import EXUDATE, FINER, HAEMORRHAGE, OUTSIDE, STORED_STEP, STORED_ZERO
from core.training.fit import Fitted, Recipe
from core.training.pack import Pack
from core.training.publish import publish

N, SIDE = 20, 24
LABELS = ("haemorrhage", "exudate")
STEEPNESS = (0.5, 1.0, 2.0, 0.75, 1.5)  # of each fold's model, exact in half precision
LOSSES = (0.9, 0.8, 0.7, 0.4, 0.6)  # fold 3 is published
PUBLISHED = 3
TEMPLATE: dict[str, Any] = {**MANIFEST, "explanation_layer": {"tiny": "body"}}


class OfFold(nn.Module):
    """Logits in closed form: how dark and how bright green is, times what names the fold the weights come from."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        green = self.steepness * functional.avg_pool2d(x[:, 1], FINER)
        return torch.stack([-green - 1, green - 1], dim=1)


SEGMENTER = SimpleNamespace(Network=OfFold, scores=torch.sigmoid)


@cache
def eyes() -> Pack:
    """Twenty noisy squares: fifteen with dark blood, eight with bright exudates, four without; the corners are outside."""
    rng = np.random.default_rng(3)
    maps = np.zeros((N, SIDE, SIDE), np.uint8)
    green = rng.normal(0, 1.2, (N, SIDE, SIDE))
    for index, own in enumerate(maps):
        for kind, is_there in ((HAEMORRHAGE, index < 15), (EXUDATE, index % 5 in (1, 3) or index == 15)):
            for row, column in rng.integers(3, SIDE - 7, (2 * is_there, 2)):
                own[row : row + 4, column : column + 3] = kind
        green[index] += 3.0 * (own == EXUDATE) - 2.5 * (own == HAEMORRHAGE)
        own[:3, :3] = own[-3:, -3:] = OUTSIDE
    stored = np.clip(np.rint(green / STORED_STEP + STORED_ZERO), 0, 255).astype(np.uint8)
    facts = {
        "task": "retina_lesions",
        "kind": "real images, real labels",
        "training_name": "made-up eyes",
        "test_name": "the same eyes",
        "licence": "none",
    }
    return replace(
        graded_pack(N),
        images=np.repeat(stored.repeat(FINER, axis=1).repeat(FINER, axis=2)[..., None], 3, axis=3),
        label_maps=maps,
        targets=np.isin(maps, (HAEMORRHAGE, EXUDATE)).any(axis=(1, 2)).astype(np.float32),
        facts=np.array([json.dumps(facts)]),
    )


def published(folder: Path, pack: Pack, folds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Manifest:
    results = {
        fold: Fitted(
            {"steepness": torch.tensor(STEEPNESS[fold])}, 0, [{"validation_loss": LOSSES[fold], "train_loss": 1.0}]
        )
        for fold in folds
    }
    return publish(SEGMENTER, learn, TEMPLATE, pack, results, Recipe("tiny"), "python -m core train", "Note.", folder)


def answered(index: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of an image by a fold's model, inside the field: (2, n) each, by hand."""
    pack = eyes()
    inside = pack.label_maps[index] != OUTSIDE
    green = (pack.images[index, ::FINER, ::FINER, 1].astype(float) - STORED_ZERO) * STORED_STEP * STEEPNESS[fold]
    truth = np.stack([pack.label_maps[index] == kind for kind in (HAEMORRHAGE, EXUDATE)])
    return expit(np.stack([-green - 1, green - 1]))[:, inside], truth[:, inside]


def pooled(place: int, folds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of all images of some folds, each by its own fold's model."""
    own = [answered(index, fold) for index, fold in enumerate(eyes().folds) if fold in folds]
    return np.concatenate([scores[place] for scores, _ in own]), np.concatenate([truth[place] for _, truth in own])


def dice(scores: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    called = scores >= threshold
    return float(2 * (called & truth).sum() / max(1, called.sum() + truth.sum()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights") / "tiny"
    published(place, eyes())
    return place


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder)


def values(manifest: Manifest, label: str) -> dict[str, float]:
    return {metric.name: metric.value for metric in manifest.metrics if metric.label == label}


# --- the folder ------------------------------------------------------------------------------------------------------


def test_folder_holds_evidence_instead_of_a_table(folder: Path, manifest: Manifest) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "manifest.json", "MODEL_CARD.md", "history.json", "training_cases.csv", FILE)
    }
    assert manifest.provenance.evaluation_sha256 == file_sha256(folder / FILE)
    assert manifest.provenance.out_of_fold_sha256 is None
    assert manifest.weights.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert manifest.labels == LABELS
    assert json.loads((folder / "history.json").read_text())["fold"] == PUBLISHED


def test_data_sets_are_named_with_their_numbers(manifest: Manifest) -> None:
    """All images are tested, each by a model that never saw it."""
    found = [(own.role, own.name, own.n) for own in manifest.provenance.datasets]
    assert found == [("training", "made-up eyes", 16), ("validation", "made-up eyes", 4), ("test", "the same eyes", N)]
    assert manifest.provenance.labels == dict.fromkeys(LABELS, "real images, real labels")


def test_of_some_folds_only_their_images_are_tested(tmp_path: Path) -> None:
    manifest = published(tmp_path / "tiny", eyes(), (PUBLISHED, 3 if PUBLISHED != 3 else 1))
    tested = next(own for own in manifest.provenance.datasets if own.role == "test")
    assert tested.n == len(read_evidence(tmp_path / "tiny", manifest.provenance.evaluation_sha256).cases) == 2 * N // 5


def test_card_tells_thresholds_and_figures_of_both_labels(folder: Path, manifest: Manifest) -> None:
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name in (*LABELS, "pixel_auroc", "dice", "rule_pixel_auroc", "made-up eyes"):
        assert name in card
    for point in manifest.operating_points:
        assert f"{point.threshold:.3f}" in card


# --- evidence --------------------------------------------------------------------------------------------------------


def test_every_image_is_answered_by_the_fold_that_never_saw_it(folder: Path, manifest: Manifest) -> None:
    found, pack = read_evidence(folder, manifest.provenance.evaluation_sha256), eyes()
    assert sorted(found.cases) == sorted(pack.cases)
    for row, case in enumerate(found.cases):
        index = pack.cases.tolist().index(case)
        assert found.folds[row] == pack.folds[index]
        assert (found.patients[row], found.pixel_hashes[row]) == (pack.patients[index], pack.pixel_hashes[index])
        assert found.field_px[row] == SIDE**2 - 18
        moved = []
        for fold in range(5):
            scores, truth = answered(index, fold)
            wanted = [
                [np.histogram(own[kind], 1024, (0, 1))[0] for kind in (~marked, marked)]
                for own, marked in zip(scores, truth, strict=True)
            ]
            moved.append(int(np.abs(found.histograms[row] - wanted).sum()))
        assert moved[pack.folds[index]] <= 8  # of 1116: rounding at the edge of a bin
        assert min(count for fold, count in enumerate(moved) if fold != pack.folds[index]) > 200


def test_rule_needs_no_fold(folder: Path, manifest: Manifest) -> None:
    found, pack = read_evidence(folder, manifest.provenance.evaluation_sha256), eyes()
    for row, case in enumerate(found.cases):
        index = pack.cases.tolist().index(case)
        green = pack.images[index, ::FINER, ::FINER, 1][pack.label_maps[index] != OUTSIDE].astype(int)
        above = found.rule_histograms[row, :, :, 512:].sum(axis=(1, 2)).tolist()
        assert above == [(green <= STORED_ZERO).sum(), (green >= STORED_ZERO).sum()]


# --- operating points ------------------------------------------------------------------------------------------------


def test_threshold_has_the_best_dice_on_the_published_fold(manifest: Manifest) -> None:
    for place, point in enumerate(manifest.operating_points):
        assert (point.id, point.label) == (LABELS[place], LABELS[place])
        chosen_on = pooled(place, (PUBLISHED,))
        found = [dice(*chosen_on, step / 1024) for step in range(1024)]
        assert dice(*chosen_on, point.threshold) == pytest.approx(max(found), abs=1e-9)
        assert max(found) > 1.2 * dice(*chosen_on, 0.0) > 0  # there was something to choose
        assert point.threshold_low is not None
        assert point.threshold_high is not None
        assert 0 < point.threshold_low <= point.threshold_high < 1
        assert point.chosen_on == "validation fold, n = 4"


def test_threshold_is_measured_on_the_other_folds(manifest: Manifest) -> None:
    others = tuple({0, 1, 2, 3, 4} - {PUBLISHED})
    for place, point in enumerate(manifest.operating_points):
        scores, truth = pooled(place, others)
        called = scores >= point.threshold
        found = values(manifest, point.label)
        assert point.n == 16
        assert point.sensitivity.value == pytest.approx(called[truth].mean(), abs=1e-3)
        assert point.specificity.value == pytest.approx((~called[~truth]).mean(), abs=1e-3)
        assert found["dice"] == pytest.approx(dice(scores, truth, point.threshold), abs=1e-3)
        assert found["iou"] == pytest.approx((called & truth).sum() / (called | truth).sum(), abs=1e-3)
        assert found["pixel_accuracy"] == pytest.approx((called == truth).mean(), abs=1e-3)
        assert found["accuracy_all_background"] == pytest.approx((~truth).mean(), abs=1e-6)


def test_fold_without_a_lesion_chooses_no_threshold(tmp_path: Path) -> None:
    """Every threshold would be as good as 0, at which everything is called."""
    pack = eyes()
    maps = pack.label_maps.copy()
    maps[(pack.folds == PUBLISHED)[:, None, None] & (maps == EXUDATE)] = 0
    with pytest.raises(UsageError, match="fold 3 hold no exudate"):
        published(tmp_path, replace(pack, label_maps=maps))
    assert not list(tmp_path.iterdir())


def test_interval_of_a_threshold_leaves_out_resamples_without_a_lesion(tmp_path: Path) -> None:
    """One of the fold's four images has exudates: a third of the resamples has none."""
    pack = eyes()
    maps = pack.label_maps.copy()
    for index in np.flatnonzero(pack.folds == PUBLISHED)[1:]:
        maps[index][maps[index] == EXUDATE] = 0
    point = published(tmp_path, replace(pack, label_maps=maps)).operating_points[1]
    assert point.threshold_low is not None
    assert point.threshold_low > 0.3


# --- figures ---------------------------------------------------------------------------------------------------------


def test_areas_are_those_of_the_pixels_and_of_the_file(folder: Path, manifest: Manifest) -> None:
    with np.load(folder / FILE, allow_pickle=False) as archive:
        histograms, rules = archive["histograms"].sum(axis=0), archive["rule_histograms"].sum(axis=0)
    for place, label in enumerate(LABELS):
        found = values(manifest, label)
        scores, truth = pooled(place, (0, 1, 2, 3, 4))
        assert found["pixel_auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=2e-3)
        assert found["average_precision"] == pytest.approx(average_precision_score(truth, scores), abs=2e-2)
        for prefix, counts in (("", histograms[place]), ("rule_", rules[place])):
            marked, binned = np.repeat([0, 1], 1024), np.tile(np.arange(1024), 2)
            area, precision = (
                measure(marked, binned, sample_weight=counts.ravel())
                for measure in (roc_auc_score, average_precision_score)
            )
            assert found[f"{prefix}pixel_auroc"] == pytest.approx(area, abs=1e-6)
            assert found[f"{prefix}average_precision"] == pytest.approx(precision, abs=1e-6)


def test_image_areas_leave_out_images_without_the_lesion(manifest: Manifest) -> None:
    for place, label in enumerate(LABELS):
        areas = []
        for index, fold in enumerate(eyes().folds):
            scores, truth = answered(index, fold)
            if truth[place].any():
                areas.append(roc_auc_score(truth[place], scores[place]))
        (metric,) = [own for own in manifest.metrics if (own.name, own.label) == ("image_auroc_mean", label)]
        assert metric.n == len(areas) < N
        assert metric.value == pytest.approx(np.mean(areas), abs=2e-3)


def test_false_alarms_are_of_the_images_without_the_lesion(folder: Path, manifest: Manifest) -> None:
    found = read_evidence(folder, manifest.provenance.evaluation_sha256)
    for place, label in enumerate(LABELS):
        (metric,) = [own for own in manifest.metrics if (own.name, own.label) == ("false_alarm_share", label)]
        at = np.abs(LESION_THRESHOLDS - manifest.operating_points[place].threshold).argmin()
        healthy = found.n_lesions[:, place] == 0
        shares = found.false_positive_px[healthy, place, at] / found.field_px[healthy]
        assert metric.n == healthy.sum() > 0
        assert metric.value == pytest.approx(shares.mean())
        assert f"{LESION_THRESHOLDS[at]:.3f}" in metric.note


def test_lesion_sensitivity_rises_with_the_false_positives_allowed(folder: Path, manifest: Manifest) -> None:
    """And is that of the pooled counts of the file, at the last threshold before too many false ones."""
    found = read_evidence(folder, manifest.provenance.evaluation_sha256)
    for place, label in enumerate(LABELS):
        per_image = np.maximum.accumulate(found.n_false_positive[:, place].sum(axis=0)) / N
        shares = found.n_found[:, place].sum(axis=0) / found.n_lesions[:, place].sum()
        shown = values(manifest, label)
        for allowed in (0.25, 0.5, 1.0, 2.0):
            reached = shares[per_image <= allowed]
            wanted = reached[-1] if reached.size else 0.0
            assert shown[f"lesion_sensitivity_{allowed:g}"] == pytest.approx(wanted)
        assert shown["lesion_sensitivity_2"] > shown["lesion_sensitivity_0.25"]


def test_intervals_hold_their_values(manifest: Manifest) -> None:
    assert len(manifest.metrics) == 2 * 14
    for metric in manifest.metrics:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high
        assert metric.data == "every image by the fold that never saw it"


def test_one_fold_alone_is_measured_on_its_own_images(tmp_path: Path) -> None:
    manifest = published(tmp_path, eyes(), folds=(1,))
    found = read_evidence(tmp_path, manifest.provenance.evaluation_sha256)
    assert set(found.folds) == {1}
    assert {metric.n for metric in manifest.metrics if metric.name in ("dice", "pixel_auroc")} == {4}
    assert {point.n for point in manifest.operating_points} == {4}
