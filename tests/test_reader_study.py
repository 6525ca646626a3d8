"""Reader studies: what is kept, what is computed from it, and the page from the first case to the files."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from app_pages import SLOW_S, says, words
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score
from streamlit.testing.v1 import AppTest

from core import registry
from core.errors import UsageError
from core.evaluation.reading import Reading, readings_csv, study_json, summarise
from core.manifest import DEMO_STATEMENT, Manifest
from core.services.evaluations import FILES, Evaluations
from core.services.reader_study import ReaderStudies, ReaderStudy, questions_of
from pages.parts import reading as page

TASK = "hip_osteoporosis"


def manifest_of(task: str = TASK) -> Manifest:
    found = registry.manifest_of(task)
    assert found is not None
    return found


def readings(rows: list[tuple[int, int, int, int]]) -> list[Reading]:
    """Of (reference, blind, model, aided)."""
    return [
        Reading(case, bool(r), bool(b), 2.0 * case, bool(m), 0.5, bool(a), 1.0)
        for case, (r, b, m, a) in enumerate(rows, 1)
    ]


# --- what is computed ------------------------------------------------------------------------------------------------


def test_a_summary_agrees_with_other_libraries() -> None:
    rng = np.random.default_rng(3)
    reference = rng.integers(0, 2, 60)
    blind, model, aided = (np.where(rng.random(60) < right, reference, 1 - reference) for right in (0.7, 0.9, 0.85))
    rows = list(zip(reference, blind, model, aided, strict=True))
    summary = summarise(readings(rows))
    for answers, given in ((summary.blind, blind), (summary.aided, aided), (summary.model, model)):
        assert answers is not None
        assert answers.accuracy.value == np.mean(given == reference)
        assert answers.sensitivity is not None
        assert answers.sensitivity.value == np.mean(given[reference == 1])
        assert answers.specificity is not None
        assert answers.specificity.value == np.mean(given[reference == 0] == 0)
        assert answers.kappa is not None
        assert answers.kappa.value == pytest.approx(cohen_kappa_score(reference, given))
        assert answers.kappa.low < answers.kappa.value < answers.kappa.high
    to_right = int(np.sum((blind != reference) & (aided == reference)))
    to_wrong = int(np.sum((blind == reference) & (aided != reference)))
    assert (summary.n_to_right, summary.n_to_wrong) == (to_right, to_wrong)
    if to_right + to_wrong < 25:
        assert summary.test.p_value == pytest.approx(binomtest(to_right, to_right + to_wrong).pvalue)
    assert summary.blind_s == np.median(2.0 * np.arange(1, 61))


def test_cases_of_one_class_have_no_kappa_and_no_other_rate() -> None:
    summary = summarise(readings([(1, 1, 1, 1), (1, 0, 1, 1)]))
    assert summary.blind.kappa is None
    assert summary.blind.specificity is None
    assert summary.aided.accuracy.value == 1


def test_a_case_without_its_second_half_does_not_count() -> None:
    half = Reading(2, True, False, 3.0)
    assert summarise([*readings([(1, 1, 1, 1)]), half]).blind.n == 1
    with pytest.raises(UsageError):
        summarise([half])


def test_a_model_without_an_answer_is_left_out_of_its_own_row_only() -> None:
    silent = Reading(2, True, True, 1.0, None, None, True, 1.0)
    summary = summarise([*readings([(0, 0, 1, 0)]), silent])
    assert summary.model is not None
    assert (summary.model.n, summary.blind.n) == (1, 2)


def test_files_carry_the_statement() -> None:
    done = readings([(1, 0, 1, 1), (0, 0, 0, 0)])
    rows = list(csv.DictReader(io.StringIO(readings_csv(done, "AB", DEMO_STATEMENT))))
    assert [(row["case"], row["blind"], row["aided"], row["changed"]) for row in rows] == [
        ("1", "0", "1", "1"),
        ("2", "0", "0", "0"),
    ]
    assert {row["statement"] for row in rows} == {DEMO_STATEMENT}
    values = json.loads(json.dumps(study_json(done, {"reader": "AB"}, DEMO_STATEMENT), allow_nan=False))
    assert values["statement"] == DEMO_STATEMENT
    assert values["summary"]["changed_to_right"] == 1


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    made = ReaderStudies(tmp_path).create(manifest_of(), "osteoporosis", "ab", 2)
    made.answer_blind(True, False, 4.26)
    made.answer_blind(True, True, 9.0)  # pressed twice
    found = ReaderStudies(tmp_path).find(made.token)  # after a restart
    assert found is not None
    assert found.plan.reader == "AB"
    assert found.readings() == [Reading(1, True, False, 4.3)]
    found.answer_aided(True, 0.91, True, 1.0)
    found.answer_aided(False, 0.1, False, 1.0)
    assert found.readings()[0].aided is True
    found.answer_blind(False, False, 1.0)
    found.answer_aided(False, 0.2, False, 1.0)
    found.answer_blind(False, False, 1.0)  # there is no third case
    assert len(found.readings()) == 2


def test_cases_of_phantoms_are_the_same_at_every_look(tmp_path: Path) -> None:
    made = ReaderStudies(tmp_path).create(manifest_of(), "osteoporosis", "AB", 5)
    assert made.case(3) == made.case(3)
    assert made.case(3)[0] != made.case(4)[0]


@pytest.mark.parametrize("task", list(registry.tasks()))
def test_every_task_has_a_question_with_both_answers(task: str, tmp_path: Path) -> None:
    manifest = manifest_of(task)
    for label in list(questions_of(manifest))[:1]:
        made = ReaderStudies(tmp_path).create(manifest, label, "A", 24)
        answers: set[bool] = set()
        for place in range(made.plan.n):
            answers.add(made.case(place)[1])
            if len(answers) == 2:
                break
        assert answers == {True, False}


@pytest.mark.parametrize("reader", ["", "Doe J", "ABCDE", "=1+1", "A1"])
def test_a_reader_is_known_by_initials_alone(reader: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ReaderStudies(tmp_path).create(manifest_of(), "osteoporosis", reader, 2)


def test_images_of_an_evaluation_are_read(tmp_path: Path) -> None:
    """Two hips of one film are one image: positive where either is."""
    store = Evaluations(tmp_path / "evaluations")
    evaluation = store.create(TASK, manifest_of().model, (".csv", b"file,label\n"), b"zip")
    evaluation.data.mkdir()
    files = {}
    lines = ["case,patient,label,p_osteoporosis,pixel_hash"]
    for place, labels in enumerate(((0, 1), (0, 0), (1, 1))):
        (evaluation.data / f"{place}.dcm").write_bytes(b"image %d" % place)
        files[f"hash{place}"] = {"file": f"{place}.dcm", "name": "x", "group": ""}
        lines += [f"{place}{side},P{place},{label},0.5,hash{place}" for side, label in zip("LR", labels, strict=True)]
    evaluation.write(FILES, files)
    (evaluation.folder / "cases.csv").write_text("\n".join(lines))
    made = ReaderStudies(tmp_path / "studies").create(manifest_of(), "osteoporosis", "AB", 10, evaluation)
    assert made.plan.n == 3
    assert {made.case(place) for place in range(3)} == {(b"image 0", True), (b"image 1", False), (b"image 2", True)}
    for path in evaluation.data.iterdir():
        path.unlink()
    with pytest.raises(UsageError):
        ReaderStudies(tmp_path / "studies").create(manifest_of(), "osteoporosis", "AB", 10, evaluation)


# --- the page --------------------------------------------------------------------------------------------------------


def reading_page() -> None:
    from pages.parts.reading import show_reading

    show_reading()


def answer(app: AppTest, key: str) -> None:
    app.button(key=f"reading.answer.{key}").click().run()
    assert not app.exception


def test_a_study_from_the_form_to_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ReaderStudies(tmp_path)
    monkeypatch.setattr(page, "reader_studies", lambda: store)
    app = AppTest.from_function(reading_page, default_timeout=SLOW_S).run()
    app.number_input(key="reading.n").set_value(2)
    app.text_input(key="reading.reader").set_value("qa").run()
    app.button(key="reading.begin").click().run()
    assert not app.exception
    study = _only(store, tmp_path)
    references = [study.case(place)[1] for place in range(2)]
    for place, reference in enumerate(references):
        assert says(app, "First without the model.")
        assert not says(app, "What the model changed")
        assert "The model: score" not in words(app)
        assert says(app, "Case {n} of {total}", n=place + 1, total=2)
        answer(app, "N")  # blind: no
        assert "The model: score" in words(app)
        answer(app, "Y" if reference else "N")  # with the model: right
    assert says(app, "What the model changed")
    assert study.plan.statement == DEMO_STATEMENT
    kept = study.readings()
    assert [reading.aided for reading in kept] == references
    assert all(reading.score is not None and math.isfinite(reading.score) for reading in kept)
    assert len(app.get("download_button")) == 2


def test_a_blind_answer_cannot_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reloads after the blind answer goes on with the model."""
    store = ReaderStudies(tmp_path)
    monkeypatch.setattr(page, "reader_studies", lambda: store)
    made = store.create(manifest_of(), "osteoporosis", "AB", 3)
    made.answer_blind(True, False, 2.0)
    app = AppTest.from_function(reading_page, default_timeout=SLOW_S)
    app.query_params["study"] = made.token
    app.run()
    assert not app.exception
    assert "Your answer without the model" in words(app)
    assert says(app, DEMO_STATEMENT)


def _only(store: ReaderStudies, root: Path) -> ReaderStudy:
    (folder,) = root.iterdir()
    found = store.find(folder.name)
    assert found is not None
    return found
