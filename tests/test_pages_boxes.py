"""The chest page without a browser, with a detector of random weights."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from app_pages import SLOW_S, open_page, says, words
from streamlit.testing.v1 import AppTest
from tiny_detector import CALLED, LABELS, NEARLY, TASK_ID, THRESHOLDS, chest_manifest, chest_model, with_auxiliary

from core import registry, screening
from core.engine.explain_boxes import BOX_METHODS
from core.engine.loader import Model
from core.evaluation.boxes import held_out_boxes
from core.i18n import LANGUAGES, Translator
from core.imaging.views import VIEWS
from core.io.box_evidence import FILE, BoxEvidence, ImageAnswer, evidence_of, mean_boxes
from core.manifest import Manifest, dump_manifest, read_manifest
from core.records import Prediction, ScreeningResult
from core.screening import screen
from core.tasks.chest_lesions import phantom
from pages.parts.boxes import first_point, is_tested_on_patients
from pages.parts.chest import tell_measures
from pages.parts.picture import sheet_bytes
from pages.parts.viewer import read_look

TASK = registry.task(TASK_ID)


def install(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    """As if these weights lay in the folder of the chest task."""
    read = registry.manifest_of
    monkeypatch.setattr(
        registry,
        "manifest_of",
        lambda task_id, name=None: model.manifest if task_id == TASK_ID else read(task_id, name),
    )
    monkeypatch.setattr(screening, "load", lambda task_id, model_id=None: model)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    torch.set_num_threads(1)
    st.cache_resource.clear()
    installed = chest_model()
    install(monkeypatch, installed)
    yield installed
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def result() -> ScreeningResult:
    return screen(phantom.make_sample("normal").study(), chest_model())


def open_chest(**state: Any) -> AppTest:
    return open_page(TASK_ID, **{f"{TASK_ID}__{key}": value for key, value in state.items()})


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_weights(language: str) -> None:
    app = open_page(TASK_ID, language=language)
    assert says(app, TASK.title, language)
    if registry.manifest_of(TASK_ID) is None:
        assert says(app, "No weights are installed for this task", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_sample_is_answered_without_a_click(model: Model, language: str) -> None:
    app = open_page(TASK_ID, language=language)
    said = words(app)
    assert says(app, model.manifest.statement, language)
    assert says(app, "Checks before the score", language)
    assert says(
        app, "Cardiothoracic ratio: not measured, the network that finds heart and lungs is not installed.", language
    )
    assert not set("{}") & set(said)
    called = app.dataframe[0].value
    assert len(called) > 0
    if language == "en":
        assert set(called["Finding"]) == {"Cardiomegaly"}
        assert "Boxes called: " in said
        assert "Not drawn, below their thresholds: " in said


def test_a_box_can_be_chosen_to_be_explained(model: Model) -> None:
    app = open_chest()
    box = next(box for box in app.selectbox if ".box." in box.key)
    nearly = next(place for place, name in enumerate(box.options[1:]) if "Scoliosis" in name)
    box.set_value(nearly).run()
    assert not app.exception
    (kept,) = list(app.session_state[f"{TASK_ID}.results"].values())[-1:]
    assert kept.explanation.finding == nearly
    assert kept.operating_point == NEARLY
    assert "for Scoliosis, whole films" in words(app)


def test_only_methods_for_boxes_are_offered_with_their_limit(model: Model) -> None:
    app = open_chest()
    method = app.selectbox(key=f"{TASK_ID}.method")
    assert len(method.options) == len(BOX_METHODS)
    for name, limit in BOX_METHODS.items():
        app.selectbox(key=f"{TASK_ID}.method").set_value(name).run()
        assert not app.exception
        assert limit in words(app)


def test_no_box_is_called_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = chest_manifest()
    points = tuple(point.model_copy(update={"threshold": 0.95}) for point in manifest.operating_points)
    install(monkeypatch, chest_model(manifest.model_copy(update={"operating_points": points})))
    app = open_chest(tab=1)
    assert says(app, "No box: called normal")
    assert "No finding reached its threshold. Nearest: " in words(app)
    assert says(app, "No box is called, so none is explained. A box below its threshold can be chosen above.")
    assert says(app, "This check needs an image with a score.")


@pytest.mark.parametrize("view", VIEWS)
def test_the_film_can_be_seen_otherwise(model: Model, result: ScreeningResult, view: str) -> None:
    app = open_chest(view=view)
    assert not app.exception
    look = read_look(TASK_ID, result.study)
    assert sheet_bytes(result, replace(look, view=view)) != sheet_bytes(result, look)


def test_a_moved_threshold_judges_anew_until_it_is_taken_back(model: Model) -> None:
    app = open_chest()
    assert "Boxes called: " in words(app)
    moved = next(slider for slider in app.slider if slider.key.endswith(CALLED))
    assert moved.value == THRESHOLDS[CALLED]
    moved.set_value(0.95).run()
    assert not app.exception
    assert "No box: called normal" in words(app)
    (kept,) = list(app.session_state[f"{TASK_ID}.results"].values())[-1:]
    assert {finding.threshold for finding in kept.prediction.findings if finding.label == CALLED} == {0.95}
    next(button for button in app.button if button.label == "Back to the published thresholds").click().run()
    assert "Boxes called: " in words(app)
    assert model.manifest.operating_points == chest_manifest().operating_points


@pytest.mark.parametrize(
    ("tab", "said"),
    [
        (1, "Three tests on this image"),
        (2, "Findings and their thresholds"),
        (3, "Intended use"),
        (4, "What was not built"),
    ],
)
def test_tabs(model: Model, tab: int, said: str) -> None:
    assert said in words(open_chest(tab=tab))


def test_all_boxes_and_their_maps(model: Model) -> None:
    app = open_chest(tab=2, all_boxes=True)
    said = words(app)
    listed = app.dataframe[-1].value
    assert {"Cardiomegaly", "Scoliosis"} == set(listed["Finding"])
    assert {"yes", "no"} == set(listed["Called"])
    assert "stretched to the whole range of colours" in said
    thresholds = app.table[0].value
    assert len(thresholds) == len(LABELS)


def test_panel_shows_every_finding_and_a_normal_film(
    model: Model, monkeypatch: pytest.MonkeyPatch, result: ScreeningResult
) -> None:
    made: list[str | None] = []
    monkeypatch.setattr(phantom, "make_single", lambda label: made.append(label) or phantom.make_sample("normal"))
    app = open_chest(tab=2)
    monkeypatch.setattr(screening, "screen", lambda study, model, method: result)
    app.button(key=f"{TASK_ID}.panel.start").click().run()
    assert not app.exception
    assert made == [*LABELS, None]
    assert words(app).count("Called: Cardiomegaly") == len(LABELS) + 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn"])
def test_method(language: str, name: str) -> None:
    def show(name: str) -> None:
        from tiny_detector import chest_manifest

        from core import registry
        from pages.parts.chest_method import show_method

        manifest = chest_manifest()
        network = manifest.architecture.model_copy(update={"name": name})
        show_method(registry.task("chest_lesions"), manifest.model_copy(update={"architecture": network}))

    app = AppTest.from_function(show, default_timeout=SLOW_S, args=(name,))
    app.session_state["language"] = language
    app.run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    said = words(app)
    assert "64 × 64 × 64" in said
    assert not set("{}") & set(said)


# --- what is said of the heart ---------------------------------------------------------------------------------------


def measured(result: ScreeningResult, ratio: float, view: str) -> str:
    assert result.prediction is not None
    prediction: Prediction = replace(result.prediction, measures={"cardiothoracic_ratio": (ratio,)})
    study = replace(result.study, tags={**result.study.tags, "ViewPosition": view})
    return tell_measures(TASK, replace(result, prediction=prediction, study=study), 0)


def test_ratio_is_judged_on_pa_films_only(result: ScreeningResult) -> None:
    assert "the heart is enlarged on a PA film" in measured(result, 0.56, "PA")
    assert "**0.45**: not above 0.50" in measured(result, 0.45, "PA")
    assert "magnified, so it is not judged" in measured(result, 0.56, "AP")
    assert "no heart between two lungs" in measured(result, float("nan"), "PA")


def test_an_installed_auxiliary_network_is_measured_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / TASK_ID / "detector"
    install(monkeypatch, chest_model(with_auxiliary(folder), folder))
    app = open_chest()
    assert "Cardiothoracic ratio" in words(app)
    assert "is not installed" not in words(app)


# --- which findings real films tested --------------------------------------------------------------------------------


def test_only_figures_of_patients_count_as_a_test_on_real_films() -> None:
    manifest = chest_manifest()

    def with_metric(data: str) -> Manifest:
        return manifest.model_copy(
            update={"metrics": (manifest.metrics[0].model_copy(update={"label": CALLED, "data": data}),)}
        )

    assert is_tested_on_patients(with_metric("films of a hospital"), CALLED)
    assert not is_tested_on_patients(with_metric("films of a hospital"), NEARLY)
    assert not is_tested_on_patients(with_metric("test phantoms"), CALLED)
    assert not is_tested_on_patients(with_metric("real films with drawn findings"), CALLED)
    assert first_point(manifest, NEARLY).label == NEARLY


def test_home_shows_the_card(model: Model) -> None:
    app = open_page()
    assert says(app, TASK.question)


# --- performance -----------------------------------------------------------------------------------------------------

N_FILMS = 24


def held_out_films() -> BoxEvidence:
    """Every third film has a box of each finding, found a little shifted; scoliosis is on no film."""
    rng = np.random.default_rng(1)
    images = []
    for number in range(N_FILMS):
        boxes = [(20.0 * place, 40.0, 20.0 * place + 100, 200.0, place + 1.0) for place in range(6) if number % 3 == 0]
        reference = np.array(boxes, np.float64).reshape(-1, 5)
        shifted = np.hstack([reference + np.array([5, 5, 5, 5, 0.0]), rng.uniform(0.5, 1, (len(boxes), 1))])
        false = np.array([[300.0, 300, 400, 400, 1 + number % 7, rng.uniform(0.1, 0.6)]])
        detected = np.vstack([shifted, false])
        images.append(ImageAnswer(f"film_{number}", f"patient_{number}", f"{number:064x}", -1, detected, reference))
    return evidence_of(LABELS, images, mean_boxes([image.reference for image in images], len(LABELS)))


@pytest.fixture
def measured_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    st.cache_resource.clear()
    folder = tmp_path / TASK_ID / "tiny"
    folder.mkdir(parents=True)
    content = held_out_films().to_bytes()
    (folder / FILE).write_bytes(content)
    provenance = chest_manifest().provenance.model_copy(
        update={"evaluation_sha256": hashlib.sha256(content).hexdigest()}
    )
    manifest = chest_manifest().model_copy(update={"provenance": provenance})
    (folder / "manifest.json").write_text(dump_manifest(manifest), encoding="utf-8")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    yield folder
    st.cache_resource.clear()


def _performance() -> None:
    from core import registry
    from core.manifest import read_manifest
    from pages.parts.detecting import show_detecting

    show_detecting(registry.task("chest_lesions"), read_manifest(registry.WEIGHTS / "chest_lesions" / "tiny"))


def performance(language: str = "en") -> AppTest:
    app = AppTest.from_function(_performance, default_timeout=SLOW_S)
    app.session_state["language"] = language
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize("language", LANGUAGES)
def test_performance(measured_weights: Path, language: str) -> None:
    app = performance(language)
    assert len(app.get("plotly_chart")) == 2
    assert len(app.metric) == 4
    said = words(app)
    assert f"n = {N_FILMS}" in said
    assert not set("{}") & set(said)
    assert says(app, "Never tested on a real film: {findings}.", language, findings=", ".join(names(language)))


def names(language: str) -> list[str]:
    return [Translator(language)(label.name) for label in TASK.labels]


def test_the_table_holds_every_finding_beside_its_mean_box(measured_weights: Path) -> None:
    (table,) = performance().table
    rows = {row[0]: row[1:] for row in table.value.itertuples(index=False, name=None)}
    reports = held_out_boxes(measured_weights, read_manifest(measured_weights))
    for name, own in zip(names("en"), reports.labels, strict=True):
        ap = own.boxes.average_precision_50
        assert rows[name][0] == str(own.boxes.n_reference)
        assert rows[name][2].startswith(f"{ap.value:.2f} (95 % CI" if ap else "–")
    assert rows["Scoliosis"][2:6] == ("–", "–", "–", "0.90")


def test_a_finding_on_no_film_has_no_curve(measured_weights: Path) -> None:
    app = performance()
    app.selectbox(key=f"{TASK_ID}.performance.label").set_value(6).run()
    assert not app.exception
    assert says(app, "No held-out film has this finding.")
    assert len(app.get("plotly_chart")) == 1


def test_changed_evidence_is_said_and_nothing_is_shown(measured_weights: Path) -> None:
    (measured_weights / FILE).write_bytes(b"another")
    app = performance()
    assert "missing or was changed" in words(app)
    assert not app.get("plotly_chart")


def test_performance_tab_shows_what_is_missing(model: Model) -> None:
    assert "missing or was changed" in words(open_chest(tab=0))
