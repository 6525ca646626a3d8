"""Publishing a grader: held-out answers, thresholds on cumulative scores, and out-of-fold answers by the right fold."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from tiny_grader import LEARN, graded_pack
from torch import Tensor, nn

from core import registry
from core.manifest import Manifest, file_sha256, read_manifest, read_shipped_manifest
from core.tasks.ct_osteoporosis.data import MANIFEST as CT
from core.tasks.hip_osteoporosis.data import MANIFEST as HIP
from core.training.fit import Fitted, Recipe
from core.training.held_out import ideal_observer
from core.training.pack import Pack
from core.training.publish import ONE_INSTALLATION, PHANTOMS_AMONG, limitations, publish

LABELS = ("normal", "osteopenia", "osteoporosis")
N, N_REAL, N_HELD_OUT = 100, 40, 60
OFFSETS = (0.0, 0.4, -0.3, 0.9, -0.6)  # what makes the fold models different
LOSSES = (0.9, 0.8, 0.4, 0.7, 0.6)  # fold 2 is published


class OfFold(nn.Module):
    """Logits in closed form: brightness for the grades, and an offset that names the fold the weights come from."""

    def __init__(self, name: str, *, pretrained: bool = False, steepness: float = 8.0) -> None:
        super().__init__()
        self.steepness = steepness
        self.offset = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        grade = self.steepness * x.mean(dim=(1, 2, 3))
        return torch.stack([-grade, self.offset.expand_as(grade), grade], dim=1)


class OneLogit(OfFold):
    def forward(self, x: Tensor) -> Tensor:
        return (self.steepness * x.mean(dim=(1, 2, 3)) + self.offset)[:, None]


GRADER = SimpleNamespace(Network=OfFold, scores=lambda output: torch.softmax(output, dim=1))
BINARY = SimpleNamespace(Network=OneLogit, scores=torch.sigmoid)
TEMPLATE: dict[str, Any] = {**CT, "explanation_layer": {"tiny": "body"}}


def offset(fold: int) -> float:
    """Exact in half precision."""
    return float(np.float16(OFFSETS[fold]))


def fitted(fold: int) -> Fitted:
    state = {"offset": torch.tensor(offset(fold))}
    return Fitted(state, 0, [{"train_loss": 1.0, "validation_loss": LOSSES[fold], "seconds": 0.0}])


def cases(**columns: Any) -> Pack:
    """The first N_REAL training cases are real ones of 20 subjects, with a reference that falls as the grade rises."""
    total = N + N_HELD_OUT
    targets = np.arange(total) % 3
    rng = np.random.default_rng(5)
    markers = np.column_stack([targets + rng.normal(0, 0.8, total), rng.normal(0, 1, total)]).astype(np.float32)
    markers[:N_REAL] = np.nan
    references = np.full(total, np.nan, np.float32)
    references[:N_REAL] = 200 - 50 * targets[:N_REAL] + rng.normal(0, 20, N_REAL)
    pack = graded_pack(N, N_HELD_OUT, seed=5)
    subjects = [f"subject-{index // 10}-{index % 5}" if index < N_REAL else f"p{index}" for index in range(total)]
    made = {"markers": markers, "references": references, "patients": np.array(subjects)}
    return replace(pack, **(made | columns))


def published(folder: Path, pack: Pack, folds: tuple[int, ...] = (0, 1, 2, 3, 4), **options: float) -> Manifest:
    results = {fold: fitted(fold) for fold in folds}
    recipe = Recipe("tiny", options=dict(options))
    return publish(GRADER, LEARN, TEMPLATE, pack, results, recipe, "python -m core train", "Note.", folder)


def expected(pack: Pack, fold: int, mask: np.ndarray, steepness: float = 8.0) -> np.ndarray:
    """Answers of a fold model by hand."""
    grade = steepness * (pack.images[mask].astype(np.float64).mean(axis=(1, 2)) / 255 - 0.5)
    return softmax(np.column_stack([-grade, np.full_like(grade, offset(fold)), grade]), axis=1)


def table(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def answers(columns: dict[str, np.ndarray], prefix: str = "p_") -> np.ndarray:
    return np.column_stack([columns[prefix + label] for label in LABELS]).astype(float)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return cases()


@pytest.fixture(scope="module")
def folder(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights") / "tiny"
    published(place, pack)
    return place


def test_new_weights_continue_the_changelog(pack: Pack, tmp_path: Path) -> None:
    first, second = (published(tmp_path / "tiny", pack, (0,)) for _ in range(2))
    assert [change.version for change in second.changelog] == ["1.0.0", "1.1.0"]
    assert (first.version, second.version) == ("1.0.0", "1.1.0")


# --- out of fold -----------------------------------------------------------------------------------------------------


def test_real_case_is_answered_by_the_fold_that_never_saw_its_patient(pack: Pack, folder: Path) -> None:
    rows = table(folder / "out_of_fold.csv")
    assert rows["case"].tolist() == pack.cases[:N_REAL].tolist()
    assert rows["pixel_hash"].tolist() == pack.pixel_hashes[:N_REAL].tolist()
    found = answers(rows)
    for index, (patient, fold) in enumerate(zip(rows["patient"], rows["fold"].astype(int), strict=True)):
        assert patient not in pack.patients[(pack.folds >= 0) & (pack.folds != fold)]
        mask = np.arange(len(pack.cases)) == index
        assert found[index] == pytest.approx(expected(pack, fold, mask)[0], abs=2e-6)
        for other in set(range(5)) - {fold}:
            assert np.abs(found[index] - expected(pack, other, mask)[0]).max() > 1e-3
    assert rows["label"].astype(float).tolist() == pack.targets[:N_REAL].tolist()
    assert rows["reference"].astype(float) == pytest.approx(pack.references[:N_REAL], abs=0.051)


def test_manifest_holds_hash_and_figures_of_the_out_of_fold_answers(pack: Pack, folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.provenance.out_of_fold_sha256 == file_sha256(folder / "out_of_fold.csv")
    figures = {metric.name: metric for metric in manifest.metrics if metric.data == "real slices, out of fold"}
    assert set(figures) == {"spearman", "weighted_kappa", "accuracy"}
    found = answers(table(folder / "out_of_fold.csv"))
    kappa = cohen_kappa_score(pack.targets[:N_REAL], found.argmax(axis=1), weights="quadratic")
    assert figures["weighted_kappa"].value == pytest.approx(kappa, abs=1e-5)
    assert figures["accuracy"].value == pytest.approx(np.mean(pack.targets[:N_REAL] == found.argmax(axis=1)), abs=1e-5)
    ranks = [np.argsort(np.argsort(values)) for values in (found @ [0, 1, 2], -pack.references[:N_REAL])]
    assert figures["spearman"].value == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-5)
    assert figures["spearman"].value > 0.5
    assert {metric.n for metric in figures.values()} == {N_REAL}


def test_one_fold_alone_gives_no_out_of_fold_answers(pack: Pack, tmp_path: Path) -> None:
    """Of the fold that was fitted most real cases are training cases."""
    manifest = published(tmp_path, pack, folds=(3,))
    assert not (tmp_path / "out_of_fold.csv").exists()
    assert manifest.provenance.out_of_fold_sha256 is None
    assert {metric.data for metric in manifest.metrics} == {"held-out slices"}
    assert manifest.provenance.datasets[1].n == 20


def test_no_reference_gives_no_out_of_fold_answers(tmp_path: Path) -> None:
    pack = cases(references=np.full(N + N_HELD_OUT, np.nan, np.float32))
    assert published(tmp_path, pack).provenance.out_of_fold_sha256 is None
    assert not (tmp_path / "out_of_fold.csv").exists()


# --- held-out answers ------------------------------------------------------------------------------------------------


def test_fold_with_the_lowest_validation_loss_is_published(pack: Pack, folder: Path) -> None:
    rows = table(folder / "evaluation.csv")
    held_out = pack.folds < 0
    assert rows["case"].tolist() == pack.cases[held_out].tolist()
    assert answers(rows) == pytest.approx(expected(pack, 2, held_out), abs=2e-6)
    history = json.loads((folder / "history.json").read_text())
    assert history["fold"] == 2
    assert {fold: own["epochs"][0]["validation_loss"] for fold, own in history["folds"].items()} == dict(
        zip("01234", LOSSES, strict=True)
    )


def test_folder_is_complete_and_true_to_its_manifest(pack: Pack, folder: Path) -> None:
    manifest = read_manifest(folder)
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "manifest.json", "MODEL_CARD.md", "history.json"),
        *("evaluation.csv", "training_cases.csv", "out_of_fold.csv"),
    }
    assert manifest.weights.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert manifest.provenance.evaluation_sha256 == file_sha256(folder / "evaluation.csv")
    assert manifest.provenance.training_cases_sha256 == file_sha256(folder / "training_cases.csv")
    training = table(folder / "training_cases.csv")
    assert training["pixel_hash"].tolist() == pack.pixel_hashes[:N].tolist()
    assert training["fold"].astype(int).tolist() == pack.folds[:N].tolist()
    assert [(own.role, own.n) for own in manifest.provenance.datasets] == [
        ("training", 80),
        ("validation", 20),
        ("test", N_HELD_OUT),
    ]


def test_options_reach_the_network_and_the_manifest(pack: Pack, tmp_path: Path) -> None:
    manifest = published(tmp_path, pack, steepness=3.0)
    assert manifest.architecture.options == {"steepness": 3.0}
    assert json.loads((tmp_path / "history.json").read_text())["recipe"]["options"] == {"steepness": 3.0}
    held_out = pack.folds < 0
    assert answers(table(tmp_path / "evaluation.csv")) == pytest.approx(expected(pack, 2, held_out, 3.0), abs=2e-6)


def test_figures_are_those_of_scikit_learn(pack: Pack, folder: Path) -> None:
    held_out = pack.folds < 0
    truth, found = pack.targets[held_out].astype(int), answers(table(folder / "evaluation.csv"))
    found = found / found.sum(axis=1, keepdims=True)
    graded = found.argmax(axis=1)
    metrics = [metric for metric in read_manifest(folder).metrics if metric.data == "held-out slices"]
    values = {metric.name: metric.value for metric in metrics if not metric.label}
    wanted = {
        "accuracy": np.mean(truth == graded),
        "macro_auroc": roc_auc_score(truth, found, multi_class="ovr"),
        "weighted_kappa": cohen_kappa_score(truth, graded, weights="quadratic"),
        "accuracy_within_one": np.mean(np.abs(truth - graded) <= 1),
        "mean_absolute_error": np.abs(truth - graded).mean(),
    }
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)
    recalls = {metric.label: metric.value for metric in metrics if metric.name == "recall"}
    assert list(recalls) == list(LABELS)
    assert list(recalls.values()) == pytest.approx(recall_score(truth, graded, average=None), abs=1e-5)
    assert {metric.n for metric in metrics} == {N_HELD_OUT}


# --- operating points ------------------------------------------------------------------------------------------------


def test_thresholds_are_chosen_on_cumulative_scores_of_the_validation_fold(pack: Pack, folder: Path) -> None:
    manifest, validation, held_out = read_manifest(folder), pack.folds == 2, pack.folds < 0
    points = manifest.operating_points
    assert [(point.id, point.label) for point in points] == [
        ("below_normal", "osteopenia"),
        ("osteoporosis", "osteoporosis"),
    ]
    for point, cut in zip(points, (1, 2), strict=True):
        truth = pack.targets[validation] >= cut
        score = expected(pack, 2, validation)[:, cut:].sum(axis=1)

        def youden(threshold: float, truth: np.ndarray = truth, score: np.ndarray = score) -> float:
            return float(np.mean(score[truth] >= threshold) + np.mean(score[~truth] < threshold) - 1)

        assert youden(point.threshold) == pytest.approx(max(map(youden, score)), abs=1e-9)
        truth = pack.targets[held_out] >= cut
        positive = answers(table(folder / "evaluation.csv"))[:, cut:].sum(axis=1) >= point.threshold
        assert point.sensitivity.value == pytest.approx(np.mean(positive[truth]), abs=1e-5)
        assert point.specificity.value == pytest.approx(np.mean(~positive[~truth]), abs=1e-5)
        assert point.threshold_low is not None
        assert point.threshold_high is not None
        assert point.threshold_low <= point.threshold_high
        assert (point.n, point.chosen_on) == (N_HELD_OUT, "validation fold, n = 20")


# --- the ideal observer ----------------------------------------------------------------------------------------------


def test_ideal_observer_of_grades_has_a_column_a_grade(pack: Pack, folder: Path) -> None:
    """Fitted on the phantoms among the training cases alone: the real ones have no markers."""
    known, held_out = np.isfinite(pack.markers).all(axis=1) & (pack.folds >= 0), pack.folds < 0
    scaler = StandardScaler().fit(pack.markers[known])
    model = LogisticRegression(C=10.0).fit(scaler.transform(pack.markers[known]), pack.targets[known])
    wanted = model.predict_proba(scaler.transform(pack.markers[held_out]))
    ideal = ideal_observer(pack)
    assert ideal is not None
    assert ideal.shape == (N_HELD_OUT, 3)
    assert ideal == pytest.approx(wanted, abs=1e-6)
    assert answers(table(folder / "evaluation.csv"), "ideal_") == pytest.approx(wanted, abs=1e-6)
    observed = {metric.name: metric.value for metric in read_manifest(folder).metrics if "ideal" in metric.name}
    assert set(observed) == {f"{name}_ideal_observer" for name in ("accuracy", "macro_auroc", "weighted_kappa")}
    auroc = roc_auc_score(pack.targets[held_out], wanted, multi_class="ovr")
    assert observed["macro_auroc_ideal_observer"] == pytest.approx(auroc, abs=1e-5)


def test_real_test_cases_have_no_ideal_observer(pack: Pack, tmp_path: Path) -> None:
    markers = pack.markers.copy()
    markers[-1] = np.nan
    real = replace(pack, markers=markers)
    assert ideal_observer(real) is None
    assert ideal_observer(replace(pack, markers=np.zeros((N + N_HELD_OUT, 0), np.float32))) is None
    published(tmp_path, real)
    assert list(table(tmp_path / "evaluation.csv")) == ["case", "patient", "label", *(f"p_{name}" for name in LABELS)]


def test_binary_task_keeps_its_columns_and_figures(pack: Pack, tmp_path: Path) -> None:
    two = replace(pack, targets=(pack.targets > 0).astype(np.float32), references=np.full_like(pack.references, np.nan))
    ideal = ideal_observer(two)
    assert ideal is not None
    assert ideal.shape == (N_HELD_OUT, 1)
    template: dict[str, Any] = {**HIP, "explanation_layer": {"tiny": "body"}}
    manifest = publish(BINARY, LEARN, template, two, {1: fitted(1)}, Recipe("tiny"), "train", "Note.", tmp_path)
    rows = table(tmp_path / "evaluation.csv")
    assert list(rows) == ["case", "patient", "label", "p_osteoporosis", "p_ideal_observer"]
    held_out = two.folds < 0
    logit = 8 * (two.images[held_out].astype(np.float64).mean(axis=(1, 2)) / 255 - 0.5) + offset(1)
    assert rows["p_osteoporosis"].astype(float) == pytest.approx(1 / (1 + np.exp(-logit)), abs=2e-6)
    assert rows["p_ideal_observer"].astype(float) == pytest.approx(ideal[:, 0], abs=1e-6)
    assert [point.id for point in manifest.operating_points] == ["youden", "sensitivity_95"]
    values = {metric.name: metric.value for metric in manifest.metrics}
    assert list(values) == ["auroc", "auprc", "auroc_ideal_observer", "brier", "expected_calibration_error"]
    truth = two.targets[held_out]
    assert values["auroc"] == pytest.approx(roc_auc_score(truth, logit), abs=1e-5)
    assert values["auroc_ideal_observer"] == pytest.approx(roc_auc_score(truth, ideal[:, 0]), abs=1e-5)
    assert {metric.label for metric in manifest.metrics} == {"osteoporosis"}


@pytest.mark.parametrize("task_id", sorted(registry.tasks()))
def test_a_card_says_what_it_was_trained_on(task_id: str) -> None:
    """Nobody's films are called simulated, and phantoms are never passed off as patients."""
    template = registry.part(task_id, "data").MANIFEST
    phantoms = limitations(template, {"kind": "phantom"})
    assert any("simulated" in line and "never saw a patient" in line for line in phantoms)
    shipped = read_shipped_manifest(registry.model_folders(task_id)[0])
    (kind,) = set(shipped.provenance.labels.values())
    assert sorted(limitations(template, {"kind": kind})) == sorted(shipped.limitations)
    local = limitations(template, {"kind": "real images, real labels", "is_local": True})
    assert local == (ONE_INSTALLATION, *template["limitations"])
    assert not any("simulated" in line.lower() for line in local)
    mixed = limitations(template, {"kind": "phantom", "is_local": True})
    assert PHANTOMS_AMONG in mixed
