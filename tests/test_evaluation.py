"""Measuring an installed model: only answers that are held-out count, and the numbers are those of other libraries."""

import csv
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factory import make_manifest
from pairs import GRADES, pair_folder, pair_manifest, pair_model, shrink, tiny_pair
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, mean_absolute_error, recall_score, roc_auc_score

from core import screening
from core.engine.loader import Model
from core.errors import UsageError
from core.evaluation.evaluate import BY_FOLD, BY_MODEL, OUT_OF_FOLD, Answer, answer_cases, measure, write_cases
from core.manifest import read_manifest
from core.records import Check, Frame, LabelledCase, Region, Study
from core.tasks.ct_osteoporosis.phantom import make_phantom

MANIFEST = pair_manifest()


def tiny_study(number: int) -> Study:
    """No vertebra at all: only its pixels count."""
    frame = Frame(np.full((20, 20), number, np.float32), "HU", (2.0, 0.5))
    return Study((frame,), "0" * 64, "dicom", {"Modality": "CT"})


def case(study: Study, patient: str, **facts: Any) -> LabelledCase:
    return LabelledCase(f"case of {patient}", patient, study, 1.0, **facts)


@pytest.fixture(scope="module")
def phantom() -> Study:
    return make_phantom(np.random.default_rng(11)).study()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Any]:
    """Writes a weights folder of a tiny pair, with cases and their folds, and loads it."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)

        def loaded(
            training: list[tuple[LabelledCase, int]], out_of_fold: dict[str, tuple[float, ...]] | None = None
        ) -> Model:
            rows = [(own.study.pixel_hash, own.patient, fold) for own, fold in training]
            answers = None if out_of_fold is None else [(key, *row) for key, row in out_of_fold.items()]
            pair_folder(tmp_path / "ct_osteoporosis" / "pair", tiny_pair(5), rows, answers)
            return screening.load("ct_osteoporosis", root=tmp_path)

        yield loaded


# --- which answer counts ---------------------------------------------------------------------------------------------


def test_unseen_case_is_answered_like_on_a_page(load: Any, phantom: Study) -> None:
    model, excluded = load([(case(tiny_study(0), "somebody else"), 0)]), Counter[str]()
    (answer,) = answer_cases(model, [case(phantom, "unseen")], excluded, {})
    shown = screening.screen(phantom, model).prediction
    assert shown is not None
    assert answer.source == BY_MODEL
    assert list(answer.probabilities) == pytest.approx(list((shown.findings[0].probabilities or {}).values()))
    assert answer.region_error_mm is None
    assert not excluded


def test_case_with_an_out_of_fold_answer_gets_that_one(load: Any, phantom: Study) -> None:
    """Whatever the installed model would say: it saw the patient."""
    known = case(phantom, "seen")
    model, excluded = load([(known, 0)], {phantom.pixel_hash: (0.1, 0.2, 0.7)}), Counter[str]()
    (answer,) = answer_cases(model, [known], excluded, {})
    assert (answer.probabilities, answer.source) == ((0.1, 0.2, 0.7), OUT_OF_FOLD)
    assert (answer.case, answer.patient, answer.pixel_hash) == (known.case_id, known.patient, known.study.pixel_hash)
    assert not excluded


def test_what_was_seen_in_training_is_left_out(load: Any, phantom: Study) -> None:
    seen, other = case(phantom, "A"), case(tiny_study(1), "B")
    model, excluded = load([(seen, 0), (other, 1)]), Counter[str]()
    same_pixels, same_patient = case(phantom, "renamed"), case(tiny_study(2), "B")
    assert answer_cases(model, [same_pixels, same_patient], excluded, {}) == []
    assert excluded == {"seen in training": 2}


def test_new_slice_of_a_patient_with_out_of_fold_answers_is_left_out_too(load: Any, phantom: Study) -> None:
    """Its answer would come from a model that saw the patient."""
    model = load([(case(phantom, "A"), 0)], {phantom.pixel_hash: (0.1, 0.2, 0.7)})
    excluded = Counter[str]()
    assert answer_cases(model, [case(tiny_study(3), "A")], excluded, {}) == []
    assert excluded == {"seen in training": 1}


def test_training_patient_is_answered_by_the_fold_model_that_never_saw_him(load: Any, phantom: Study) -> None:
    """Also a new image of his, and rather than by the committed answer; without the model of his fold nothing changes."""
    new = replace(phantom, frames=(replace(phantom.frame, pixels=phantom.frame.pixels + 3),))
    known, of_other_fold, excluded = case(phantom, "A"), case(tiny_study(6), "B"), Counter[str]()
    model = load([(known, 3), (of_other_fold, 1)], {phantom.pixel_hash: (0.1, 0.2, 0.7)})
    fold_models = {fold: replace(model, network=tiny_pair(20 + fold)) for fold in (0, 3)}
    answers = answer_cases(model, [known, case(new, "A"), of_other_fold], excluded, fold_models)
    assert [answer.source for answer in answers] == [BY_FOLD, BY_FOLD]
    for answer, study in zip(answers, (phantom, new), strict=True):
        shown = screening.screen(study, fold_models[3]).prediction
        assert shown is not None
        assert answer.probabilities == pytest.approx(list((shown.findings[0].probabilities or {}).values()), abs=1e-6)
    assert excluded == {"seen in training": 1}


@pytest.mark.parametrize("name", ["training_cases.csv", "out_of_fold.csv"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_nothing_is_held_out_once_the_tables_were_touched(load: Any, phantom: Study, name: str, damage: str) -> None:
    model = load([(case(phantom, "A"), 0)], {phantom.pixel_hash: (0.1, 0.2, 0.7)})
    path = model.folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(path.read_text().replace(phantom.pixel_hash, "f" * 32))
    with pytest.raises(UsageError, match=name):
        answer_cases(model, [case(tiny_study(4), "B")], Counter(), {})


def test_table_that_the_manifest_does_not_name_counts_for_nothing(load: Any, phantom: Study) -> None:
    """A table of answers that somebody laid beside the weights."""
    model, excluded = load([(case(phantom, "A"), 0)]), Counter[str]()
    header = ",".join(["pixel_hash", *(f"p_{grade}" for grade in GRADES)])
    (model.folder / "out_of_fold.csv").write_text(f"{header}\n{phantom.pixel_hash},0,0,1\n")
    assert answer_cases(model, [case(phantom, "A")], excluded, {}) == []
    assert excluded == {"seen in training": 1}


def test_refused_case_is_counted_by_the_check_that_refused_it(load: Any, phantom: Study) -> None:
    model, excluded = load([]), Counter[str]()
    wrong = replace(phantom, tags={**phantom.tags, "Modality": "MR"})
    assert answer_cases(model, [case(wrong, "A"), case(tiny_study(5), "B")], excluded, {}) == []
    assert excluded == {"refused: modality": 1, "refused: blank": 1}


def test_question_of_the_gate_beside_its_refusal_is_not_the_reason(
    load: Any, phantom: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [Check("population", "confirm", ""), Check("no_vertebra", "refused", "")]
    monkeypatch.setattr("core.tasks.ct_osteoporosis.gate.check", lambda *arguments: checks)
    excluded = Counter[str]()
    assert answer_cases(load([]), [case(phantom, "A")], excluded, {}) == []
    assert excluded == {"refused: no_vertebra": 1}


def test_questions_of_the_gate_count_as_confirmed(load: Any, phantom: Study) -> None:
    (answer,) = answer_cases(load([]), [case(replace(phantom, age_years=None), "A")], Counter(), {})
    assert answer.source == BY_MODEL


def test_labelled_region_is_the_one_that_is_answered(load: Any, phantom: Study) -> None:
    model = load([])
    region = Region((150.0, 150.0, 260.0, 260.0))
    first, second = answer_cases(model, [case(phantom, "A"), case(phantom, "A", regions=(region,))], Counter(), {})
    shown = screening.screen(phantom, model, regions=(region,)).prediction
    assert shown is not None
    assert second.probabilities == pytest.approx(list((shown.findings[0].probabilities or {}).values()))
    assert second.probabilities != pytest.approx(first.probabilities, abs=1e-4)


def test_distance_of_the_region_is_in_millimetres(load: Any) -> None:
    """Rows are 2 mm and columns half a millimetre apart; the middle of the region lies on the middle of pixel (10, 10)."""
    region, boxes = Region((6.5, 4.5, 14.5, 16.5)), {"across": (18.0, 10.0), "down": (10.0, 13.0), "both": (16.0, 12.0)}
    marked = [
        case(tiny_study(number), name, regions=(region,), centre_xy=centre)
        for number, (name, centre) in enumerate(boxes.items())
    ]
    unmarked = case(tiny_study(7), "unmarked", regions=(region,))
    model = load([], {own.study.pixel_hash: (0.2, 0.3, 0.5) for own in (*marked, unmarked)})
    answers = answer_cases(model, [*marked, unmarked], Counter(), {})
    assert [answer.region_error_mm for answer in answers[:3]] == pytest.approx([4.0, 6.0, 5.0])
    assert answers[3].region_error_mm is None
    share = measure(MANIFEST, answers, {})["metrics"]["region_within_5_mm"]
    assert share["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0 < share["ci"][0] < share["value"] < share["ci"][1] < 1


# --- the numbers -----------------------------------------------------------------------------------------------------


def answered(n: int, copies: int = 1, patients: int | None = None, seed: int = 0, **facts: Any) -> list[Answer]:
    """`n` answers that are mostly right, each `copies` times."""
    rng = np.random.default_rng(seed)
    answers = []
    for index in range(n):
        target = index % 3
        row = rng.dirichlet(np.ones(3) + 2.5 * np.eye(3)[target])
        for copy in range(copies):
            name = f"patient {index if patients is None else index * copies + copy}"
            own = LabelledCase(f"{index}-{copy}", name, tiny_study(0), float(target), **facts)
            answers.append(Answer.to(own, tuple(float(value) for value in row.round(6)), BY_MODEL))
    return answers


def test_numbers_are_those_of_scikit_learn_and_scipy() -> None:
    answers = answered(60)
    rng = np.random.default_rng(1)
    answers = [replace(own, reference=200 - 50 * own.target + float(rng.normal(0, 30))) for own in answers]
    truth = np.array([int(own.target) for own in answers])
    rows = np.array([own.probabilities for own in answers])
    rows = rows / rows.sum(axis=1, keepdims=True)
    graded = rows.argmax(axis=1)
    found = measure(MANIFEST, answers, {})
    references = [own.reference for own in answers]
    wanted = {
        "accuracy": np.mean(truth == graded),
        "weighted_kappa": cohen_kappa_score(truth, graded, weights="quadratic"),
        "macro_auroc": roc_auc_score(truth, rows, multi_class="ovr"),
        "accuracy_within_one": np.mean(np.abs(truth - graded) <= 1),
        "mean_absolute_error": mean_absolute_error(truth, graded),
        "spearman": -spearmanr(rows @ [0, 1, 2], references).statistic,
    }
    assert {name: own["value"] for name, own in found["metrics"].items()} == pytest.approx(wanted, abs=1e-4)
    for name, own in found["metrics"].items():
        assert own["ci"][0] < own["value"] < own["ci"][1], name
    for point, cut in zip(MANIFEST.operating_points, (1, 2), strict=True):
        positive = rows[:, cut:].sum(axis=1) >= point.threshold
        own = found["operating_points"][point.id]
        assert own["sensitivity"]["value"] == pytest.approx(recall_score(truth >= cut, positive), abs=1e-4)
        assert own["specificity"]["value"] == pytest.approx(recall_score(truth < cut, ~positive), abs=1e-4)
        assert own["threshold"] == point.threshold
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (truth, graded), 1)
    assert found["confusion"] == counts.tolist()


def test_statistics_have_their_documented_keys() -> None:
    answers = answered(12)
    answers[0] = replace(answers[0], source=OUT_OF_FOLD)
    found = measure(MANIFEST, answers, Counter({"seen in training": 3}))
    assert {"n", "n_subjects", "held_out", "scored_by", "metrics", "excluded"} <= set(found)
    assert (found["n"], found["n_subjects"], found["held_out"]) == (12, 12, True)
    assert found["scored_by"] == {OUT_OF_FOLD: 1, BY_MODEL: 11}
    assert found["excluded"] == {"seen in training": 3}
    assert found["weights_sha256"] == MANIFEST.weights.sha256
    assert found["provenance"] == {"data": "phantom", "statement": MANIFEST.statement}
    for name in ("accuracy", "weighted_kappa", "macro_auroc", "accuracy_within_one", "mean_absolute_error"):
        assert set(found["metrics"][name]) == {"value", "ci"}
        assert len(found["metrics"][name]["ci"]) == 2


def test_copies_of_a_patient_tell_nothing_new() -> None:
    """Four equal slices of each patient: the numbers stay, and the intervals are those of the patients, not of the slices."""
    clustered = measure(MANIFEST, answered(60, copies=4), {})
    apart = measure(MANIFEST, answered(60, copies=4, patients=240), {})
    assert (clustered["n"], clustered["n_subjects"]) == (240, 60)
    assert (apart["n"], apart["n_subjects"]) == (240, 240)
    for name, own in clustered["metrics"].items():
        assert own["value"] == apart["metrics"][name]["value"]
        widths = [np.ptp(found["metrics"][name]["ci"]) for found in (clustered, apart)]
        if name != "accuracy_within_one":  # near 1, where Wilson's interval hardly moves
            assert widths[0] > 1.5 * widths[1], name


def test_reference_of_some_cases_only_gives_no_correlation() -> None:
    answers = answered(12, reference=100.0)
    answers[3] = replace(answers[3], reference=None)
    assert "spearman" not in measure(MANIFEST, answers, {})["metrics"]


def test_class_without_a_case_leaves_its_figures_empty() -> None:
    answers = [own for own in answered(30) if own.target < 2]
    found = measure(MANIFEST, answers, {})
    assert found["metrics"]["macro_auroc"] is None
    assert set(found["operating_points"]) == {"below_normal"}


def test_binary_model_is_measured_as_two_grades() -> None:
    manifest = make_manifest()
    rng = np.random.default_rng(2)
    scores = rng.uniform(0, 1, 40).round(6)
    truth = (rng.uniform(0, 1, 40) < scores).astype(int)
    answers = [
        Answer.to(LabelledCase(f"{k}", f"{k}", tiny_study(0), float(t)), (float(p),), BY_MODEL)
        for k, (p, t) in enumerate(zip(scores, truth, strict=True))
    ]
    found = measure(manifest, answers, {})
    assert found["metrics"]["macro_auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-4)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean((scores > 0.5) == truth), abs=1e-4)
    point = found["operating_points"]["balanced"]
    assert point["sensitivity"]["value"] == pytest.approx(recall_score(truth, scores >= 0.5), abs=1e-4)


def test_no_case_is_no_result() -> None:
    with pytest.raises(UsageError, match=r"no case .*seen in training"):
        measure(MANIFEST, [], Counter({"seen in training": 2}))


def test_table_of_cases_has_a_row_a_case(tmp_path: Path) -> None:
    answers = answered(3)
    answers[1] = replace(answers[1], source=OUT_OF_FOLD, region_error_mm=3.14159)
    answers[2] = replace(answers[2], reference=142.5)
    write_cases(tmp_path / "cases.csv", MANIFEST, answers)
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["0-0", "1-0", "2-0"]
    for row, own in zip(rows, answers, strict=True):
        assert [float(row[f"p_{grade}"]) for grade in GRADES] == pytest.approx(own.probabilities)
        assert row["statement"] == MANIFEST.statement
    assert [row["scored_by"] for row in rows] == [BY_MODEL, OUT_OF_FOLD, BY_MODEL]
    assert [row["region_error_mm"] for row in rows] == ["", "3.14", ""]
    assert [row["reference"] for row in rows] == ["", "", "142.5"]


def test_one_bad_case_does_not_end_the_evaluation(phantom: Study, tmp_path: Path) -> None:
    """Numbers that are not finite: counted by their code."""
    network = tiny_pair(5)
    network.fused.bias.fill_(float("nan"))
    folder = pair_folder(tmp_path / "pair", tiny_pair(5))
    model, excluded = replace(pair_model(network, folder), manifest=read_manifest(folder)), Counter[str]()
    assert answer_cases(model, [case(phantom, "A")], excluded, {}) == []
    assert excluded == {"E_NONFINITE": 1}


def test_images_are_let_go_once_they_are_answered(load: Any) -> None:
    """Ten thousand of them would not fit into memory."""
    studies = [tiny_study(20 + index) for index in range(6)]
    row = (0.2, 0.3, 0.5)
    training = [(case(own, f"patient {index}"), 0) for index, own in enumerate(studies)]
    model = load(training, {own.pixel_hash: row for own in studies})
    del studies, training
    born: list[weakref.ref[Study]] = []

    def cases() -> Iterator[LabelledCase]:
        for index in range(6):
            own = case(tiny_study(20 + index), f"patient {index}")
            born.append(weakref.ref(own.study))
            yield own
            del own
            assert sum(ref() is not None for ref in born) <= 1

    assert len(answer_cases(model, cases(), Counter(), {})) == 6
    assert all(ref() is None for ref in born)
