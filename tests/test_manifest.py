"""The manifest's closed schema, and a contract that every installed model keeps."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factory import make_manifest, manifest_facts
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from core import registry
from core.engine.explain import METHODS
from core.engine.loader import Model, load_model
from core.engine.runner import run
from core.errors import WeightsError
from core.io.pixel_evidence import FILE, read_evidence
from core.manifest import DEMO_STATEMENT, STATEMENTS, Manifest, dump_manifest, file_sha256, read_manifest
from core.training.card import model_card
from core.training.weights_folder import EVALUATIONS

WEIGHTS = registry.WEIGHTS
MODELS = sorted(
    path.parent
    for path in WEIGHTS.glob("*/*/manifest.json")
    if json.loads(path.read_text(encoding="utf-8"))["provenance"]["training_cases_sha256"]  # else brought by somebody
)
NAMES = [path.relative_to(WEIGHTS).as_posix() for path in MODELS]
MAX_FILE_BYTES, MAX_ALL_BYTES = 60 * 10**6, 150 * 10**6


# --- schema ----------------------------------------------------------------------------------------------------------


def written(folder: Path, facts: dict[str, Any]) -> Path:
    (folder / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def refuse(folder: Path, facts: dict[str, Any]) -> str:
    with pytest.raises(WeightsError) as caught:
        read_manifest(written(folder, facts))
    return caught.value.got


def test_round_trip_is_stable(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, manifest_facts()))
    text = dump_manifest(manifest)
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    again = read_manifest(tmp_path)
    assert again == manifest == make_manifest()
    assert dump_manifest(again) == text
    assert json.loads(text) == manifest_facts()
    assert text.endswith("}\n")


def places(facts: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all objects with fixed keys."""
    free = {"options", "parameters", "labels", "auxiliary"}
    if isinstance(facts, dict) and (not path or path[-1] not in free):
        return [path, *(place for key, value in facts.items() for place in places(value, (*path, key)))]
    if isinstance(facts, list):
        return [place for index, value in enumerate(facts) for place in places(value, (*path, index))]
    return []


def at(facts: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        facts = facts[step]
    return facts


ALL_PLACES = places(manifest_facts())


def test_every_kind_of_object_is_tried() -> None:
    assert len(ALL_PLACES) >= 13


@pytest.mark.parametrize("path", ALL_PLACES, ids=lambda path: ".".join(map(str, path)) or "top")
def test_unknown_key_is_refused_by_name_at_every_level(tmp_path: Path, path: tuple[Any, ...]) -> None:
    facts = manifest_facts()
    at(facts, path)["surprise"] = 1
    assert ": " + ".".join([*map(str, path), "surprise"]) + ": " in refuse(tmp_path, facts)


OPTIONAL = {"auxiliary", "eligible_age_years"}


@pytest.mark.parametrize("key", sorted(set(manifest_facts()) - OPTIONAL))
def test_missing_field_is_refused_by_name(tmp_path: Path, key: str) -> None:
    facts = manifest_facts()
    del facts[key]
    assert f": {key}: " in refuse(tmp_path, facts)


def set_at(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(facts: dict[str, Any]) -> None:
        at(facts, path[:-1])[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_at("version", to="2.0.0"), "changelog must end with this version"),
        (set_at("changelog", to=[]), "changelog"),
        (set_at("operating_points", 0, "label", to="fracture"), "operating point names an unknown label"),
        (set_at("operating_points", to=[]), "operating_points"),
        (set_at("provenance", "labels", to={}), "name each label once"),
        (set_at("provenance", "labels", to={"osteoporosis": "phantom", "more": "phantom"}), "name each label once"),
        (set_at("provenance", "labels", to={"osteoporosis": "real"}), "provenance.labels"),
        (set_at("provenance", "training_cases_sha256", to="abc"), "provenance.training_cases_sha256"),
        (set_at("weights", "sha256", to="G" * 64), "weights.sha256"),
        (set_at("weights", "dtype", to="bfloat16"), "weights.dtype"),
        (set_at("format", to="fivefold-manifest-2"), "format"),
        (set_at("metrics", 0, "value", to=None), "metrics.0.value"),
    ],
)
def test_contradiction_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str) -> None:
    facts = manifest_facts()
    change(facts)
    assert reason in refuse(tmp_path, facts)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"<html></html>"])
def test_text_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(WeightsError, match=tmp_path.name):
        read_manifest(tmp_path)


def test_number_that_is_not_finite_is_never_written() -> None:
    facts = manifest_facts()
    facts["metrics"][0]["value"] = float("nan")
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_manifest(Manifest.model_validate(facts))


def test_least_real_label_decides_the_statement() -> None:
    def statement(*kinds: str) -> str:
        labels = [f"label-{index}" for index in range(len(kinds))]
        facts = manifest_facts()
        facts["labels"] = labels
        facts["operating_points"][0]["label"] = labels[0]
        facts["provenance"]["labels"] = dict(zip(labels, kinds, strict=True))
        return Manifest.model_validate(facts).statement

    real, synthetic = "real images, real labels", "real images, synthetic findings"
    assert statement("phantom") == DEMO_STATEMENT == "Simulated data only: numbers carry no clinical meaning"
    assert statement(real, "phantom", synthetic) == DEMO_STATEMENT
    assert statement(real, synthetic) == STATEMENTS[synthetic]
    assert "synthetic findings" in statement(synthetic)
    assert statement(real, real) == ""


def test_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_manifest().version = "9"


# --- every installed model -------------------------------------------------------------------------------------------


def test_at_least_one_model_is_installed() -> None:
    assert MODELS, "weights/ holds no model: the contract below was tested on nothing"


def test_all_weights_together_are_small_enough() -> None:
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(sizes) <= MAX_ALL_BYTES


pytestmark_models = pytest.mark.parametrize("folder", MODELS, ids=NAMES)
IN_ROWS = [folder for folder in MODELS if (folder / "evaluation.csv").is_file()]  # the others keep histograms or boxes
pytestmark_rows = pytest.mark.parametrize("folder", IN_ROWS, ids=[f"{f.parent.name}/{f.name}" for f in IN_ROWS])
IN_PIXELS = [folder for folder in MODELS if (folder / FILE).is_file()]
pytestmark_pixels = pytest.mark.parametrize("folder", IN_PIXELS, ids=[f"{f.parent.name}/{f.name}" for f in IN_PIXELS])


def build(manifest: Manifest) -> Any:
    network = registry.part(manifest.task, "network").Network
    return network(manifest.architecture.name, **manifest.architecture.options)


def loaded(folder: Path) -> Model:
    return load_model(folder, build, torch.device("cpu"))


@pytestmark_models
def test_manifest_names_its_own_place(folder: Path) -> None:
    manifest = read_manifest(folder)
    declared = registry.task(manifest.task)
    assert (folder.parent.name, folder.name) == (manifest.task, manifest.model)
    assert manifest.labels == tuple(label.id for label in declared.labels)
    assert manifest.architecture.name in declared.architectures
    assert manifest.explanation.default_method in METHODS
    assert manifest.provenance.command.startswith("python -m core train ")


@pytestmark_models
def test_weights_file_is_what_the_manifest_declares(folder: Path) -> None:
    weights = read_manifest(folder).weights
    path = folder / weights.file
    assert path.stat().st_size == weights.bytes <= MAX_FILE_BYTES
    assert file_sha256(path) == weights.sha256


@pytestmark_models
def test_network_has_the_declared_parameters_and_one_score_a_label(folder: Path) -> None:
    model = loaded(folder)
    manifest = model.manifest
    assert sum(p.numel() for p in model.network.parameters()) == manifest.weights.parameters
    batch = np.zeros((2, manifest.input.channels, *manifest.input.size), np.float32)
    scores = registry.part(manifest.task, "network").scores(torch.from_numpy(run(model, batch).output)).numpy()
    assert scores.shape[:2] == (2, len(manifest.labels))
    assert ((scores >= 0) & (scores <= 1)).all()
    if registry.task(manifest.task).kind == "grader":
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytestmark_models
def test_stored_tensors_have_the_declared_precision(folder: Path) -> None:
    from safetensors import safe_open

    weights = read_manifest(folder).weights
    names = {"float16": "F16", "float32": "F32"}
    with safe_open(folder / weights.file, "pt") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert kinds - {"I64"} == {names[weights.dtype]}


@pytestmark_models
def test_explanation_layer_is_the_end_of_the_features(folder: Path) -> None:
    manifest = read_manifest(folder)
    layer = manifest.explanation.layer
    assert any(f".{name}".endswith(f".{layer}") for name, _ in build(manifest).named_modules())


@pytestmark_models
def test_result_files_are_those_of_the_manifest(folder: Path) -> None:
    provenance = read_manifest(folder).provenance
    assert provenance.evaluation_sha256 in {
        file_sha256(folder / name) for name in EVALUATIONS if (folder / name).is_file()
    }
    assert file_sha256(folder / "training_cases.csv") == provenance.training_cases_sha256
    assert (folder / "out_of_fold.csv").is_file() == (provenance.out_of_fold_sha256 is not None)
    if provenance.out_of_fold_sha256:
        assert file_sha256(folder / "out_of_fold.csv") == provenance.out_of_fold_sha256
    assert (folder / "MODEL_CARD.md").read_text(encoding="utf-8") == model_card(read_manifest(folder))


@pytestmark_rows
def test_no_held_out_patient_was_trained_on(folder: Path) -> None:
    with (folder / "training_cases.csv").open(encoding="utf-8", newline="") as file:
        training = list(csv.DictReader(file))
    rows = rows_of(folder)[2]
    assert len(training) > 0
    assert {row["patient"] for row in training}.isdisjoint(row["patient"] for row in rows)
    folds: dict[str, set[str]] = {}
    for row in training:
        folds.setdefault(row["patient"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
    sizes = {data.role: data.n for data in read_manifest(folder).provenance.datasets}
    assert sizes["test"] == len(rows)
    assert sizes["training"] + sizes["validation"] == len(training)


def rows_of(folder: Path, name: str = "evaluation.csv") -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    """Reference class (N,), one column of probabilities a label (N, C), and the rows themselves."""
    labels = read_manifest(folder).labels
    with (folder / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"case", "patient", "label"} <= rows[0].keys()
    assert len({row["case"] for row in rows}) == len(rows)
    targets = np.array([int(row["label"]) for row in rows])
    return targets, np.array([[float(row[f"p_{label}"]) for label in labels] for row in rows]), rows


def scores_of(folder: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether it is positive, and the score: of one label, or of a grade or a worse one."""
    labels = read_manifest(folder).labels
    targets, p, _ = rows_of(folder)
    place = labels.index(label)
    return targets >= max(place, 1), p[:, place:].sum(axis=1)


RECOUNTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auroc": roc_auc_score,
    "auprc": average_precision_score,
    "brier": brier_score_loss,
}


def kappa(targets: np.ndarray, p: np.ndarray) -> float:
    return float(cohen_kappa_score(targets, p.argmax(axis=1), weights="quadratic", labels=range(p.shape[1])))


GRADER_RECOUNTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda targets, p: float((p.argmax(axis=1) == targets).mean()),
    "accuracy_within_one": lambda targets, p: float((np.abs(p.argmax(axis=1) - targets) <= 1).mean()),
    "mean_absolute_error": lambda targets, p: float(np.abs(p.argmax(axis=1) - targets).mean()),
    "weighted_kappa": kappa,
    "macro_auroc": lambda targets, p: float(
        roc_auc_score(targets, p / p.sum(axis=1, keepdims=True), multi_class="ovr")
    ),
}


@pytestmark_rows
def test_metrics_come_back_from_the_held_out_results(folder: Path) -> None:
    """Every figure that has an independent recount in scikit-learn; figures about real cases come from their own file."""
    manifest = read_manifest(folder)
    held_out = {data.name for data in manifest.provenance.datasets if data.role == "test"}
    checked = set()
    for metric in manifest.metrics:
        file = "evaluation.csv" if metric.data in held_out else "out_of_fold.csv"
        targets, p, rows = rows_of(folder, file)
        assert metric.n == len(targets)
        if metric.name in GRADER_RECOUNTS and len(manifest.labels) > 1:
            expected = GRADER_RECOUNTS[metric.name](targets, p)
        elif metric.name in RECOUNTS:
            expected = float(RECOUNTS[metric.name](*scores_of(folder, metric.label)))
        elif metric.name == "recall":
            grade = manifest.labels.index(metric.label)
            expected = float((p.argmax(axis=1) == grade)[targets == grade].mean())
        elif metric.name == "spearman":
            falling = [-float(row["reference"]) for row in rows]
            expected = float(spearmanr(p @ np.arange(p.shape[1]), falling).statistic)
        else:
            continue
        checked.add(metric.name)
        assert metric.value == pytest.approx(expected, abs=2e-4)
        assert metric.low is None or metric.low <= metric.value <= metric.high
    assert checked >= ({"auroc", "auprc"} if len(manifest.labels) == 1 else {"weighted_kappa", "macro_auroc", "recall"})


@pytestmark_rows
def test_operating_points_come_back_from_the_held_out_results(folder: Path) -> None:
    for point in read_manifest(folder).operating_points:
        y_true, y_score = scores_of(folder, point.label)
        called = y_score >= point.threshold
        assert point.n == len(y_true)
        assert point.sensitivity.value == pytest.approx(float(called[y_true].mean()), abs=6e-5)
        assert point.specificity.value == pytest.approx(float((~called[~y_true]).mean()), abs=6e-5)
        assert point.sensitivity.low <= point.sensitivity.value <= point.sensitivity.high
        assert point.threshold_low <= point.threshold_high
        assert "test" not in point.chosen_on


# --- a segmenter's histograms ----------------------------------------------------------------------------------------


def pixels_of(
    folder: Path, label: str, of: slice | np.ndarray = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle of each bin of scores, whether its pixels are positive, and how many there are; of some images."""
    manifest = read_manifest(folder)
    found = read_evidence(folder, manifest.provenance.evaluation_sha256)
    pooled = found.histograms[of, manifest.labels.index(label)].sum(axis=0)
    bins = (np.arange(pooled.shape[1]) + 0.5) / pooled.shape[1]
    return np.concatenate([bins, bins]), np.repeat([False, True], len(bins)), pooled.ravel()


@pytestmark_pixels
def test_areas_come_back_from_the_histograms(folder: Path) -> None:
    for metric in read_manifest(folder).metrics:
        recount = {"pixel_auroc": roc_auc_score, "average_precision": average_precision_score}.get(metric.name)
        if recount is not None:
            score, is_positive, count = pixels_of(folder, metric.label)
            assert metric.value == pytest.approx(recount(is_positive, score, sample_weight=count), abs=2e-4)
            assert metric.low is not None
            assert metric.low <= metric.value <= metric.high


@pytestmark_pixels
def test_points_of_a_segmenter_are_measured_on_the_other_folds(folder: Path) -> None:
    manifest = read_manifest(folder)
    found = read_evidence(folder, manifest.provenance.evaluation_sha256)
    published = json.loads((folder / "history.json").read_text())["fold"]
    others = found.folds != published
    for point in manifest.operating_points:
        score, is_positive, count = pixels_of(folder, point.label, others)
        called = score >= point.threshold
        assert point.n == int(others.sum())
        for estimate, of in ((point.sensitivity, is_positive), (point.specificity, ~is_positive)):
            share = count[of & (called == is_positive)].sum() / count[of].sum()
            assert estimate.value == pytest.approx(share, abs=6e-5)


@pytestmark_pixels
def test_every_image_was_answered_by_the_fold_that_never_saw_it(folder: Path) -> None:
    manifest = read_manifest(folder)
    found = read_evidence(folder, manifest.provenance.evaluation_sha256)
    with (folder / "training_cases.csv").open(encoding="utf-8", newline="") as file:
        folds = {row["pixel_hash"]: int(row["fold"]) for row in csv.DictReader(file)}
    assert [folds[digest] for digest in found.pixel_hashes] == found.folds.tolist()
    sizes = {data.role: data.n for data in manifest.provenance.datasets}
    assert sizes["test"] == len(found.cases) == len(set(found.cases))
    assert sizes["training"] + sizes["validation"] == len(folds)
