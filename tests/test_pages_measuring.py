"""The page "Evaluation" with labelled images, without a browser: form, columns, every step, results, and bundles."""

import csv
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from app_pages import ROOT, SLOW_S, says, words
from sklearn.metrics import roc_auc_score
from streamlit.testing.v1 import AppTest

from core import registry
from core.cli.main import main
from core.errors import MESSAGES, ScreeningError
from core.evaluation.bundle import write_bundle
from core.i18n import LANGUAGES, Translator
from core.io.archive import read_archive, write_archive
from core.io.phantom_file import write_dicom
from core.io.progress import FILE as PROGRESS
from core.io.progress import Progress, State
from core.manifest import LOCAL
from core.services.evaluations import CHECK, MAPPING, METRICS, NOTES, STEP, Evaluation, Evaluations, Step
from core.tasks.knee_djd.phantom import make_phantom
from pages.parts.measuring import evaluations
from pages.parts.settings import settings
from tests.bundles import bundle, sources

N_SCANS = 16
KNEE, KNEE_MODEL, HIP, HIP_MODEL = "knee_djd", "simple_cnn_3", "hip_osteoporosis", "resnet18"
NAME = "Doe_John_19500101"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evaluations]:
    """Evaluations in a folder of their own, for the page as well."""
    monkeypatch.setenv("FIVEFOLD_EVALUATIONS", str(tmp_path / "evaluations"))
    settings.cache_clear()
    evaluations.clear()
    yield evaluations()
    settings.cache_clear()
    evaluations.clear()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps that a page started; none of them runs."""
    steps: list[Step] = []
    monkeypatch.setattr(Evaluations, "start", lambda _self, _evaluation, step: steps.append(step))
    return steps


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished evaluation of bone scans, as the commands write it."""
    folder = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(5)
    archive, table = io.BytesIO(), io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["file", "patient", "grade_right", "grade_left", "site"])
    with zipfile.ZipFile(archive, "w") as images:
        for place in range(N_SCANS):
            phantom = make_phantom(rng)
            images.writestr(f"{NAME}_{place}.dcm", write_dicom(phantom))
            grades = [phantom.truth[f"grade_{side}"] for side in ("right", "left")]
            rows.writerow([f"{NAME}_{place}.dcm", f"{NAME}_{place}", *grades, f"site {'AB'[place % 2]}"])
    store = Evaluations(folder)
    evaluation = store.create(KNEE, KNEE_MODEL, (".csv", table.getvalue().encode()), archive.getvalue())
    common = ["evaluate", KNEE, "--out", str(evaluation.folder)]
    assert main([*common, "--data", str(evaluation.images), "--labels", str(evaluation.labels), "--check"]) == 0
    evaluation.write(STEP, "check")  # as the service does
    assert store.stage(evaluation) == "checked"
    truth, found = evaluation.folder / "truth.csv", evaluation.folder / METRICS
    assert main([*common, "--data", str(evaluation.data), "--labels", str(truth), "--json", str(found)]) == 0
    evaluation.write(STEP, "run")
    assert store.stage(evaluation) == "done"
    return evaluation.folder


def placed(store: Evaluations, finished: Path, *without: str, step: Step = "run") -> Evaluation:
    """The finished evaluation where the page looks, without some of its files; in this step."""
    folder = settings().evaluation.store / finished.name
    shutil.copytree(finished, folder, copy_function=os.link, ignore=shutil.ignore_patterns(*without))
    found = store.find(folder.name)
    assert found
    (found.folder / STEP).unlink()  # a link
    found.write(STEP, "check" if CHECK in without else step)
    return found


def planned(store: Evaluations, table: str | bytes, task: str = HIP, model: str = HIP_MODEL) -> Evaluation:
    data = table.encode() if isinstance(table, str) else table
    return store.create(task, model, (".csv", data), b"no archive yet")


def page() -> None:
    """Without the menu: a rerun of the router would take the click on a button away."""
    from pages.parts.evaluation import show_evaluation
    from pages.parts.words import settle_language

    settle_language()
    show_evaluation()


def at(evaluation: Evaluation | str, language: str = "en", **state: str) -> AppTest:
    """The page at the address of an evaluation."""
    app = AppTest.from_function(page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    for key, value in state.items():
        app.session_state[key.replace("__", ".")] = value
    app.query_params["evaluation"] = evaluation if isinstance(evaluation, str) else evaluation.token
    app.run()
    assert not app.exception
    return app


def first_threshold() -> float:
    """Of the installed model of the knees."""
    manifest = registry.manifest_of(KNEE)
    assert manifest is not None
    return manifest.default_point.threshold


def widget(app: AppTest, kind: str, label: str) -> Any:
    return next(own for own in app.get(kind) if own.label == label)


def select(app: AppTest, kind: str, label: str, value: object) -> None:
    widget(app, kind, label).set_value(value).run()
    assert not app.exception


def labels(app: AppTest, kind: str = "button") -> list[str]:
    return [own.label for own in app.get(kind)]


# --- the form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_asks_for_task_images_and_labels(store: Evaluations, language: str) -> None:
    app = at("", language)
    t = Translator(language)
    for sentence in ("1. What is measured", "2. Images", "3. Labels"):
        assert says(app, sentence, language)
    assert labels(app, "file_uploader") == [
        t("Zip archive of images, at most {n} MB; names, ids and dates are not kept", n=1024),
        t("Labels: CSV or XLSX, one row an image; which column is which is asked next"),
    ]
    assert app.button(key="measuring.create").disabled


def test_what_was_filled_in_becomes_an_evaluation_with_an_address(store: Evaluations) -> None:
    app = at("")
    app.get("pills")[0].set_value(KNEE).run()
    app.file_uploader(key="measuring.archive").set_value((f"{NAME}.zip", b"PK", "application/zip")).run()
    assert app.button(key="measuring.create").disabled
    table = b"file,label\na.dcm,1\n"
    app.file_uploader(key="measuring.labels").set_value((f"{NAME}.csv", table, "text/csv")).run()
    app.button(key="measuring.create").click().run()
    assert not app.exception
    token = app.query_params["evaluation"]
    evaluation = store.find(token)
    assert evaluation
    assert (evaluation.plan.task, evaluation.plan.labels) == (KNEE, "labels.csv")
    assert evaluation.labels.read_bytes() == table
    assert evaluation.images.read_bytes() == b"PK"
    assert says(app, "Columns of the table")
    assert not list(evaluation.folder.glob(f"*{NAME}*"))


@pytest.mark.parametrize("token", ["x" * 24, "../../../../etc", ""])
def test_an_unknown_token_opens_the_form(store: Evaluations, token: str) -> None:
    assert says(at(token), "1. What is measured")


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\x00\xff\xfe\x81" * 50, b"PK\x03\x04 no workbook", b"file,label\n"])
def test_a_refused_table_gets_its_reason_and_a_way_out(store: Evaluations, data: bytes) -> None:
    app = at(planned(store, data))
    message = MESSAGES["E_LABEL_TABLE"]
    for sentence in (message.what, message.wanted, message.next_step):
        assert sentence in words(app)
    assert "Traceback" not in words(app)
    assert labels(app) == ["New evaluation", "Delete it"]


def test_t_scores_are_cut_where_the_reader_says(store: Evaluations, started: list[Step]) -> None:
    evaluation = planned(store, "file,patient,t_score\na.dcm,1,-2.7\nb.dcm,2,-0.4\n")
    app = at(evaluation)
    assert widget(app, "toggle", "The label is a T-score").value is True
    select(app, "number_input", "Osteoporosis up to", -2.0)
    app.button(key="measuring.check").click().run()
    assert started == ["check"]
    kept = evaluation.read(MAPPING)
    assert (kept["cuts"], kept["vocabulary"]) == ([-2.0], {})
    assert (kept["key_columns"], kept["label_columns"], kept["patient"]) == (["file"], ["t_score"], "patient")


def test_labels_that_are_no_t_scores_after_all(store: Evaluations, started: list[Step]) -> None:
    evaluation = planned(store, "file,t_score\na.dcm,1\nb.dcm,0\n")
    app = at(evaluation)
    select(app, "toggle", "The label is a T-score", False)
    app.button(key="measuring.check").click().run()
    assert evaluation.read(MAPPING)["vocabulary"] == {"0": 0, "1": 1}


def test_several_readers_with_the_highest_grade(store: Evaluations, started: list[Step]) -> None:
    evaluation = planned(store, "file,lin,kim\na.dcm,0,2\nb.dcm,4,Severe\n", KNEE, KNEE_MODEL)
    app = at(evaluation)
    assert says(app, "No column has a usual name: please tell which is which.")
    assert "measuring.check" not in {button.key for button in app.button}
    select(app, "selectbox", "File", "file")
    select(app, "segmented_control", "Label columns", "readers")
    select(app, "multiselect", "Columns of the readers", ["kim", "lin"])
    select(app, "selectbox", "Which label counts", "highest")
    app.button(key="measuring.check").click().run()
    kept = evaluation.read(MAPPING)
    assert (kept["layout"], kept["rule"], kept["label_columns"]) == ("readers", "highest", ["kim", "lin"])
    assert kept["vocabulary"] == {"0": 0, "2": 2, "4": 4, "Severe": 4}


def test_a_column_of_free_text_is_no_label(store: Evaluations) -> None:
    table = "file,label\n" + "".join(f"{n}.dcm,report {n}\n" for n in range(60))
    app = at(planned(store, table))
    assert says(app, "This column holds {n} different texts: it is no label.", n=60)
    assert "measuring.check" not in {button.key for button in app.button}


def test_columns_saved_earlier_replace_the_guess(store: Evaluations, started: list[Step]) -> None:
    evaluation = planned(store, "file,label,other,site\na.dcm,0,1,x\nb.dcm,1,0,y\n")
    app = at(evaluation)
    app.button(key="measuring.check").click().run()
    saved = evaluation.read(MAPPING)
    assert (saved["label_columns"], saved["group"]) == (["label"], "site")
    saved |= {"label_columns": ["other"], "group": None, "several": "all"}
    data = json.dumps(saved).encode()
    app.file_uploader(key="measuring.load").set_value(("columns.json", data, "application/json")).run()
    assert not app.exception
    app.button(key="measuring.check").click().run()
    assert evaluation.read(MAPPING) == saved


@pytest.mark.parametrize("data", [b"{}", b"no json", b'{"task": "knee_djd"}'])
def test_other_files_are_no_saved_columns(store: Evaluations, data: bytes) -> None:
    app = at(planned(store, "file,label\na.dcm,0\nb.dcm,1\n"))
    app.file_uploader(key="measuring.load").set_value(("columns.json", data, "application/json")).run()
    assert not app.exception
    assert MESSAGES["E_MAPPING"].what in words(app)


def test_columns_of_another_task_are_refused(store: Evaluations, started: list[Step]) -> None:
    knee = planned(store, "file,label\na.dcm,3\nb.dcm,4\n", KNEE, KNEE_MODEL)
    at(knee).button(key="measuring.check").click().run()
    app = at(planned(store, "file,label\na.dcm,0\nb.dcm,1\n"))
    data = (knee.folder / MAPPING).read_bytes()
    app.file_uploader(key="measuring.load").set_value(("columns.json", data, "application/json")).run()
    assert not app.exception
    assert "of another task" in words(app)


# --- check, run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_check_shows_counts_and_what_a_person_should_know(
    store: Evaluations, finished: Path, started: list[Step], language: str
) -> None:
    evaluation = placed(store, finished, METRICS, "cases.csv", step="check")
    app = at(evaluation, language)
    t = Translator(language)
    shown = {metric.label: metric.value for metric in app.metric}
    assert [shown[t(name)] for name in ("Files", "Rows", "Cases", "Patients")] == ["16", "16", "32", "16"]
    assert says(app, "The model was trained on none of these images and patients.", language)
    assert NAME not in words(app)
    button = app.button(key="measuring.run")
    assert button.label == t("Run the model on {n} cases", n="32")
    button.click().run()
    assert started == ["run"]


def told(evaluation: Evaluation, **values: object) -> None:
    now = time.time()
    state = State("answering", 12, 32, 0, now - 10, now)
    evaluation.write(PROGRESS, asdict(state) | values)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_is_seen_and_can_be_cancelled(store: Evaluations, finished: Path, language: str) -> None:
    evaluation = placed(store, finished, METRICS, "cases.csv")
    told(evaluation)
    app = at(evaluation, language)
    assert says(
        app,
        "It goes on when this page is reloaded or closed. Keep its address to come back: who has it, sees it.",
        language,
    )
    app.button(key="measuring.cancel").click().run()
    assert (evaluation.folder / "stop").is_file()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_checked", [False, True])
def test_a_stopped_run_goes_on_from_its_step(
    store: Evaluations, finished: Path, started: list[Step], is_checked: bool, language: str
) -> None:
    evaluation = placed(store, finished, METRICS, "cases.csv", *([] if is_checked else [CHECK]))
    told(evaluation, beat=time.time() - 60)  # killed
    app = at(evaluation, language)
    assert says(app, "What was read and answered is kept: going on takes it over.", language)
    app.button(key="measuring.resume").click().run()
    assert started == ["run" if is_checked else "check"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failed_run_says_why(store: Evaluations, finished: Path, started: list[Step], language: str) -> None:
    evaluation = placed(store, finished, METRICS, "cases.csv")
    with pytest.raises(ScreeningError), Progress(evaluation.folder, "answering"):
        raise ScreeningError("E_LABEL_TABLE", "no label")
    app = at(evaluation, language)
    assert says(app, MESSAGES["E_LABEL_TABLE"].what, language)
    app.button(key="measuring.again").click().run()
    assert started == ["run"]


def test_an_unknown_failure_shows_no_trace(store: Evaluations, finished: Path) -> None:
    evaluation = placed(store, finished, METRICS, CHECK)
    with pytest.raises(ValueError, match=NAME), Progress(evaluation.folder, "reading"):
        raise ValueError(f"/data/{NAME}.dcm")
    app = at(evaluation)
    assert says(app, "The evaluation ended unexpectedly.")
    assert says(app, "Columns of the table")
    assert NAME not in words(app).replace(f"{NAME}_", "")


# --- results ---------------------------------------------------------------------------------------------------------


def truth(folder: Path, cut: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Reference and score of "minimal or worse", from the table of cases."""
    table = pd.read_csv(folder / "cases.csv")
    given = table.filter(like="p_").to_numpy()
    return (table.label >= cut).to_numpy(), given[:, cut:].sum(axis=1) / given.sum(axis=1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_results_are_those_of_the_cases(store: Evaluations, finished: Path, language: str) -> None:
    app = at(placed(store, finished), language)
    is_positive, score = truth(finished)
    t = Translator(language)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["AUROC"] == f"{roc_auc_score(is_positive, score):.3f}"
    assert (shown["n"], shown[t("Patients")]) == ("32", "16")
    assert says(app, "Results: {task}", language, task=t(registry.task(KNEE).title))
    assert NAME not in words(app)
    (chosen,) = (own for own in app.segmented_control if own.label == t("Cell of the confusion matrix"))
    threshold = first_threshold()
    called = score >= threshold
    expected = {
        "False negative": (is_positive & ~called).sum(),
        "False positive": (~is_positive & called).sum(),
        "True positive": (is_positive & called).sum(),
        "True negative": (~is_positive & ~called).sum(),
    }
    assert chosen.options[1:] == [f"{t(name)} ({n})" for name, n in expected.items()]


def test_cells_scores_and_groups_choose_the_listed_cases(store: Evaluations, finished: Path) -> None:
    evaluation = placed(store, finished)
    app = at(evaluation)
    is_positive, score = truth(finished)

    def listed() -> pd.DataFrame:
        return next(own.value for own in app.dataframe if "Cell" in own.value.columns)

    assert len(listed()) == len(score)
    select(app, "slider", "Scores from and to", (0.25, 0.75))
    assert len(listed()) == ((score >= 0.25) & (score <= 0.75)).sum()
    select(app, "slider", "Scores from and to", (0.0, 1.0))
    select(app, "segmented_control", "Cell of the confusion matrix", "false_negative")
    n = (is_positive & (score < first_threshold())).sum()
    assert len(listed()) == n
    select(app, "segmented_control", "Cell of the confusion matrix", "all")
    select(app, "selectbox", "Group", "site B")
    assert len(listed()) == N_SCANS


def test_notes_are_seen_in_the_list(store: Evaluations, finished: Path) -> None:
    evaluation = placed(store, finished)
    case = pd.read_csv(finished / "cases.csv").case[0]
    evaluation.write(NOTES, [{"case": case, "label": "minimal", "opinion": "label looks wrong", "words": "=1+1"}])
    app = at(evaluation)
    (table,) = (own.value for own in app.dataframe if "Note" in own.value.columns)
    assert table.set_index("Case").Note.to_dict().pop(case) == "Label looks wrong"
    assert (table.Note != "").sum() == 1


def test_a_point_is_adopted_by_somebody_for_these_weights(
    store: Evaluations, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "weights"
    shutil.copytree(ROOT / "weights" / KNEE, own / KNEE, copy_function=os.symlink, ignore=shutil.ignore_patterns(LOCAL))
    monkeypatch.setattr(registry, "WEIGHTS", own)
    app = at(placed(store, finished))
    adopt = next(button for button in app.button if button.label == "Adopt")
    adopt.click().run()
    assert says(app, "Somebody answers for an operating point: please say who adopts it.")
    assert not list(own.rglob(LOCAL))
    app.text_input[0].set_value("QA **lead**")
    next(button for button in app.button if button.label == "Adopt").click().run()
    assert not app.exception
    assert [element.value for element in app.success] == ["Adopted: version 1.0.0+local.1"]
    (file,) = own.rglob(LOCAL)
    (point,) = json.loads(file.read_text())["operating_points"]
    assert (point["label"], point["n"]) == ("minimal", 2 * N_SCANS)


def test_an_evaluation_is_deleted_with_its_images(store: Evaluations, finished: Path) -> None:
    evaluation = placed(store, finished, METRICS, "cases.csv", step="check")
    app = at(evaluation)
    app.button(key="measuring.delete").click().run()
    assert not app.exception
    assert not evaluation.folder.exists()
    assert says(app, "1. What is measured")


# --- bundles ---------------------------------------------------------------------------------------------------------


@cache
def whole() -> bytes:
    return write_bundle(bundle(), {f"summary_{language}.pdf": b"%PDF-1.4" for language in LANGUAGES})


def with_bundle(data: bytes, language: str = "en") -> AppTest:
    app = at("", language, evaluation__mode="bundle")
    app.file_uploader(key="evaluation.bundle").set_value((f"{NAME}.zip", data, "application/zip")).run()
    assert not app.exception
    return app


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_bundle_shows_the_numbers_it_was_made_of(language: str) -> None:
    app = with_bundle(whole(), language)
    rows = [own for own in sources() if own.question == "moderate"]
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["AUROC"] == f"{roc_auc_score([own.is_positive for own in rows], [own.score for own in rows]):.3f}"
    assert (shown["n"], shown[Translator(language)("Patients")]) == ("120", "60")
    assert Translator(language)("What this bundle is of") in labels(app, "expander")
    assert app.slider[0].value == 0.5
    (question,) = (own for own in app.segmented_control if own.label == Translator(language)("What is asked"))
    question.set_value("severe").run()
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}["AUROC"] != shown["AUROC"]


def test_a_bundle_that_was_changed_is_refused() -> None:
    files = read_archive(whole())
    metrics = json.loads(files["metrics.json"])
    metrics["case"][0]["label"] ^= 1
    data = write_archive(files | {"metrics.json": json.dumps(metrics).encode()})  # with sums that fit
    for changed in (data, whole()[:-200], b"no archive"):
        app = with_bundle(changed)
        assert MESSAGES["E_BUNDLE"].what in words(app)
        assert NAME not in words(app)
        assert not app.metric
