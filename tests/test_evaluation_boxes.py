"""A detector measured on films with boxes, and on films with words alone: who may answer, and figures by other means."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from test_metrics_detection import _coco_numbers
from test_training_detected import films, published
from tiny_boxes import LABELS

from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.evaluation.box_answers import answer_boxes
from core.evaluation.boxes import held_out_boxes, measure_boxes
from core.evaluation.known import BY_FOLD, BY_MODEL
from core.evaluation.presence import PREVALENCE, RULE_OUT_SENSITIVITY, answer_words, chooses, measure_words, write_words
from core.io.box_evidence import read_evidence
from core.records import Frame, LabelledBoxes, LabelledCase, Measured, Regions, Study
from core.tasks.chest_lesions import data, nih
from core.tasks.chest_lesions.prepare import picture

HEART, AORTA = LABELS
PLACE = (62.5, 62.5, 187.5, 187.5)  # of 320 pixels
TAGS = {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA"}


class Split(SplitNetwork):
    """A box at PLACE, the brighter the film the surer; a box of the second label, surer the darker it is, but never sure."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def features(self, x: torch.Tensor) -> Activations:
        return Activations(x)

    def head(self, activations: Activations) -> torch.Tensor:
        mean = activations.target.mean(dim=(1, 2, 3))
        rows = torch.tensor([[*PLACE, 1.0, 0.0], [0.0, 0.0, 50.0, 60.0, 2.0, 0.0], [0.0] * 6])
        found = rows.expand(len(mean), 3, 6).clone()
        found[:, 0, 5], found[:, 1, 5] = self.factor * mean, (1 - mean) / 4
        return found


def film(number: int, brightness: float, boxes: LabelledBoxes = (), view: str = "PA") -> LabelledCase:
    """A blotchy film of 64 x 64 pixels, shown as it is."""
    rng = np.random.default_rng(number)
    grey = np.kron(np.clip(rng.normal(brightness, 0.1, (8, 8)), 0, 1), np.ones((8, 8)))
    tags = {**TAGS, "ViewPosition": view}
    study = Study((Frame(grey.astype(np.float32), "relative", window=(0.5, 1.0)),), "0" * 64, "dicom", tags, 50.0)
    return LabelledCase(f"film-{number}", f"own-{number}", study, float(bool(boxes)), boxes=boxes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    manifest = published(folder, films())
    return Model(manifest, Split(), torch.device("cpu"), folder)


def known(case: LabelledCase) -> LabelledCase:
    """A film of a patient who was trained on, in the fold of the same number."""
    return replace(case, patient=str(films().patients[3]))


# --- boxes -----------------------------------------------------------------------------------------------------------


def test_new_film_is_answered_by_the_model_on_the_pixels_of_the_network(model: Model) -> None:
    case = film(0, 0.6, ((HEART, (12.5, 12.5, 37.5, 37.5)),))
    found, scored_by = answer_boxes(model, [case], Counter(), {})
    assert scored_by == {BY_MODEL: 1}
    (image,) = found.images
    assert image.reference.tolist() == [[*PLACE, 1]]
    score = picture(case.study, (0, 0, 64, 64)).mean()
    assert image.detected[0] == pytest.approx([*PLACE, 1, score], abs=1e-5)
    assert (len(image.detected), image.fold, image.patient) == (2, -1, "own-0")
    committed = read_evidence(model.folder, model.manifest.provenance.evaluation_sha256, LABELS)
    assert np.array_equal(found.mean_boxes, committed.mean_boxes)


def test_film_of_a_trained_patient_needs_a_model_that_never_saw_it(model: Model) -> None:
    excluded: Counter[str] = Counter()
    _, scored_by = answer_boxes(model, [known(film(1, 0.5)), film(2, 0.5)], excluded, {})
    assert (excluded, scored_by) == ({"seen in training": 1}, {BY_MODEL: 1})
    others = {3: replace(model, network=Split(0.5))}
    found, scored_by = answer_boxes(model, [known(film(1, 0.5))], Counter(), others)
    assert scored_by == {BY_FOLD: 1}
    assert found.images[0].fold == 3
    assert found.images[0].detected[0, 5] == pytest.approx(
        picture(film(1, 0.5).study, (0, 0, 64, 64)).mean() / 2, abs=1e-5
    )


def test_pixels_that_were_trained_on_are_left_out(model: Model, tmp_path: Path) -> None:
    """Also where the patient has another name."""
    case = film(3, 0.5)
    hashes = films().pixel_hashes.astype("<U32")
    hashes[0] = case.study.pixel_hash
    manifest = published(tmp_path / "tiny", replace(films(), pixel_hashes=hashes))
    excluded: Counter[str] = Counter()
    with pytest.raises(UsageError, match="no image could be counted"):
        answer_boxes(replace(model, manifest=manifest, folder=tmp_path / "tiny"), [case], excluded, {})
    assert excluded == {"seen in training": 1}


def test_refused_film_is_counted_with_its_reason(model: Model) -> None:
    excluded: Counter[str] = Counter()
    knee = film(4, 0.5)
    knee = replace(knee, study=replace(knee.study, tags={**TAGS, "BodyPartExamined": "KNEE"}))
    answer_boxes(model, [knee, film(5, 0.5)], excluded, {})
    assert excluded == {"refused: body_part": 1}


def test_statistics_are_those_of_coco_and_scikit_learn(model: Model) -> None:
    boxes = ((HEART, (12.5, 12.5, 37.5, 37.5)),)
    cases = [film(10 + n, 0.3 + 0.02 * n + 0.1 * (n % 3 == 0), boxes if n % 3 == 0 else ()) for n in range(18)]
    evidence, scored_by = answer_boxes(model, cases, Counter(), {})
    found = measure_boxes(model.manifest, evidence, {"E_TAG": 2}, scored_by)
    assert (found["n"], found["n_subjects"], found["excluded"]) == (18, 18, {"E_TAG": 2})
    numbers = _coco_numbers(evidence.by_label())[0]
    own = found["metrics"][HEART]
    for name, value in zip(("average_precision", "average_precision_50", "average_recall"), numbers, strict=True):
        assert own[name]["value"] == pytest.approx(value, abs=1e-4)
    y_true, y_score = evidence.presence(0)
    assert own["presence_auroc"]["value"] == pytest.approx(roc_auc_score(y_true, y_score), abs=1e-4)
    assert own["mean_box_presence_auroc"]["value"] == 0.5
    assert found["metrics"][AORTA]["average_precision"] is None
    assert set(found["operating_points"]) == {HEART}  # no film has the other finding
    at = found["operating_points"][HEART]
    assert at["sensitivity"]["value"] == pytest.approx((y_score >= at["threshold"])[y_true].mean(), abs=1e-4)
    json.dumps(found, allow_nan=False)


def test_committed_evidence_gives_the_figures_of_the_manifest(model: Model) -> None:
    reports = held_out_boxes(model.folder, model.manifest)
    figures = {(metric.label, metric.name): metric.value for metric in model.manifest.metrics}
    for own in reports.labels:
        assert own.boxes.average_precision_50 is not None
        assert own.boxes.average_precision_50.value == pytest.approx(
            figures[own.label, "average_precision_50"], abs=1e-6
        )
        assert own.presence is not None
        assert own.presence.auroc.value == pytest.approx(figures[own.label, "presence_auroc"], abs=1e-6)
        assert own.at_point is not None
        assert own.at_point.sensitivity.value == pytest.approx(own.point.sensitivity.value, abs=1e-6)


# --- words -----------------------------------------------------------------------------------------------------------


def worded(n: int) -> Iterator[tuple[LabelledCase, frozenset[str]]]:
    """Films of which two in five are large hearts, one in five another abnormality; brighter ones are more often abnormal."""
    rng = np.random.default_rng(1)
    for number in range(n):
        words = (["No Finding"], ["Cardiomegaly"], ["No Finding"], ["Effusion"], ["Cardiomegaly", "Effusion"])[
            number % 5
        ]
        brightness = 0.35 + 0.15 * (words != ["No Finding"]) + rng.normal(0, 0.1)
        case = film(100 + number, brightness, view="PA" if number % 2 else "AP")
        yield replace(case, target=float(words != ["No Finding"])), frozenset(words)


def test_words_are_measured_against_all_other_films(model: Model) -> None:
    excluded: Counter[str] = Counter()
    case, words = next(worded(1))
    answers = answer_words(model, [*worded(60), (known(case), words)], excluded, {})
    assert (excluded, answers.scored_by) == ({"seen in training": 1}, {BY_MODEL: 60})
    found = measure_words(model.manifest, answers, excluded)
    has = np.array(["Cardiomegaly" in words for _, words in worded(60)])
    score = np.array([picture(case.study, (0, 0, 64, 64)).mean() for case, _ in worded(60)])
    own = found["metrics"][HEART]
    assert own["presence_auroc"]["value"] == pytest.approx(roc_auc_score(has, score), abs=1e-4)
    for view, members in (("AP", np.arange(60) % 2 == 0), ("PA", np.arange(60) % 2 == 1)):
        expected = roc_auc_score(has[members], score[members])
        assert own[f"presence_auroc_{view}"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found["n_images"] == {HEART: 24}  # the model knows no other finding that has a word
    json.dumps(found, allow_nan=False)


def test_rule_out_is_chosen_on_some_patients_and_measured_on_the_others(model: Model) -> None:
    answers = answer_words(model, worded(60), Counter(), {})
    found = measure_words(model.manifest, answers, {})["abnormality"]
    score = answers.presence.max(axis=1)
    y_true = np.array([words != {"No Finding"} for _, words in worded(60)])
    own = np.array([chooses(patient) for patient in answers.patients])
    at = found["rule_out"]
    assert (at["n_chosen_on"], at["n_measured_on"]) == (own.sum(), (~own).sum())
    called = score >= at["threshold"]
    assert called[own & y_true].mean() >= RULE_OUT_SENSITIVITY
    higher = np.min(score[own & y_true & called])  # the next threshold up loses too many
    assert (score > higher)[own & y_true].mean() < RULE_OUT_SENSITIVITY
    sensitivity, specificity = called[~own & y_true].mean(), (~called)[~own & ~y_true].mean()
    assert at["sensitivity"]["value"] == pytest.approx(sensitivity, abs=1e-4)
    assert at["specificity"]["value"] == pytest.approx(specificity, abs=1e-4)
    right, wrong = specificity * (1 - PREVALENCE), (1 - sensitivity) * PREVALENCE
    assert at["prevalence"] == PREVALENCE
    if at["npv"] is not None:
        assert at["npv"]["value"] == pytest.approx(right / (right + wrong), abs=1e-4)
    area = np.trapezoid(found["roc"]["tpr"], found["roc"]["fpr"])
    assert area == pytest.approx(roc_auc_score(y_true, score), abs=2e-3)


def test_a_measured_finding_is_judged_too_where_it_was_measured(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(worded(40))
    ratios = np.random.default_rng(3).normal(0.5, 0.1, 40)
    ratios[::7] = np.nan
    known = {case.study.pixel_hash: ratio for (case, _), ratio in zip(cases, ratios, strict=True)}

    def measure(study: Study, regions: Regions, own: Model) -> Measured:
        assert own is model
        return Measured({"cardiothoracic_ratio": (known[study.pixel_hash],)})

    monkeypatch.setattr("core.evaluation.presence.measure", measure)
    answers = answer_words(model, cases, Counter(), {})
    found = measure_words(model.manifest, answers, {})["metrics"]
    is_there, there = answers.has("Cardiomegaly"), np.isfinite(ratios)
    expected = roc_auc_score(is_there[there], ratios[there])
    assert found[HEART]["cardiothoracic_ratio_auroc"]["value"] == pytest.approx(expected, abs=1e-4)
    assert "cardiothoracic_ratio_auroc" not in found["abnormal"]


def test_prevalence_is_a_share(model: Model) -> None:
    answers = answer_words(model, worded(4), Counter(), {})
    with pytest.raises(UsageError, match="prevalence of 1"):
        measure_words(model.manifest, answers, {}, prevalence=1.0)


def test_answers_to_words_are_written_row_by_row(model: Model, tmp_path: Path) -> None:
    write_words(tmp_path / "cases.csv", model.manifest, answer_words(model, worded(5), Counter(), {}))
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    assert lines[0] == f"case,patient,view,words,presence_{HEART},presence_{AORTA}"
    assert [line.split(",")[3] for line in lines[1:]] == [
        *("No Finding", "Cardiomegaly", "No Finding", "Effusion", "Cardiomegaly|Effusion")
    ]


def test_index_gives_films_with_words_and_the_patients_of_composites(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in ("1", "2", "3"):
        Image.fromarray(rng.integers(0, 255, (40, 40)).astype(np.uint8)).save(tmp_path / f"images/{name}.png")
    rows = ["1.png,7,44,PA,Cardiomegaly|Effusion", "2.png,8,12,PA,No Finding", "3.png,9,60,AP,No Finding"]
    (tmp_path / "index.csv").write_text("\n".join(["image,patient,age,view,labels", *rows]) + "\n")
    excluded: Counter[str] = Counter()
    assert data.has_words(tmp_path)
    (ill, words), (well, no_words) = nih.labelled_films(tmp_path, excluded)
    assert (ill.patient, ill.target, words) == ("nih-7", 1.0, {"Cardiomegaly", "Effusion"})
    assert (well.target, no_words, well.study.tags["ViewPosition"]) == (0.0, {"No Finding"}, "AP")
    assert excluded == {"below 18 years or of unknown age": 1}
    (tmp_path / "boxes.csv").write_text("file,label\n")
    assert not data.has_words(tmp_path)
