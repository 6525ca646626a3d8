"""The road of the chest task: boxes, what is explained, the width of the heart, the saved answer and the command line."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_detector import (
    CALLED,
    LABELS,
    NEARLY,
    THRESHOLDS,
    chest_folder,
    chest_manifest,
    chest_model,
    heart_lung,
    sample,
    truth_masks,
    with_auxiliary,
)

from core import registry
from core.cli.main import main
from core.clinical.heart import is_enlarged
from core.engine.explain_boxes import BOX_METHODS, choose_box, explain_box
from core.engine.loader import Model, ModelCache
from core.engine.runner import run
from core.errors import UsageError, WeightsError
from core.imaging.boxes import DrawnBox, draw_boxes, draw_lines
from core.imaging.display import to_display
from core.io.phantom_file import write_dicom
from core.manifest import Manifest
from core.records import Finding, ScreeningResult, Study
from core.reports.overlay_png import drawn_boxes, drawn_lines, overlay_png
from core.reports.result_json import to_json
from core.screening import build_auxiliary, check_explanation, explain_all_boxes, load, screen
from core.tasks.chest_lesions import locate
from core.tasks.chest_lesions.prepare import prepare, to_network
from core.tasks.chest_lesions.task import SIDE


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    return chest_model()


@pytest.fixture(scope="module")
def study() -> Study:
    return sample().study()


@pytest.fixture(scope="module")
def result(model: Model, study: Study) -> ScreeningResult:
    return screen(study, model)


@pytest.fixture(scope="module")
def quiet() -> Model:
    """Nothing reaches a threshold."""
    manifest = chest_manifest()
    points = tuple(point.model_copy(update={"threshold": 0.95}) for point in manifest.operating_points)
    return chest_model(manifest.model_copy(update={"operating_points": points}))


def findings_of(result: ScreeningResult) -> tuple[Finding, ...]:
    assert result.prediction is not None
    return result.prediction.findings


def first(result: ScreeningResult, label: str) -> int:
    return next(place for place, finding in enumerate(findings_of(result)) if finding.label == label)


# --- boxes and their explanation -------------------------------------------------------------------------------------


def test_each_finding_is_judged_at_its_own_threshold(result: ScreeningResult) -> None:
    assert {finding.label for finding in findings_of(result)} == {CALLED, NEARLY}
    for finding in findings_of(result):
        assert finding.threshold == THRESHOLDS[finding.label]
        assert finding.positive is (finding.label == CALLED)


def test_the_highest_positive_box_is_explained(model: Model, study: Study, result: ScreeningResult) -> None:
    explanation = result.explanation
    assert explanation is not None
    assert explanation.finding == first(result, CALLED)
    assert explanation.target == result.operating_point == CALLED
    finding = findings_of(result)[explanation.finding]
    done = run(model, prepare(study, result.regions, model.manifest))
    box = tuple(to_network(np.array([finding.box_xyxy]), result.regions[0].box_xyxy)[0].tolist())
    raw = explain_box(model, done, 0, explanation.method, box, LABELS.index(CALLED) + 1)
    np.testing.assert_allclose(explanation.heatmaps[0].values, raw.values, atol=1e-5)


@pytest.mark.parametrize("method", BOX_METHODS)
def test_every_offered_method_explains_a_box(model: Model, study: Study, method: str) -> None:
    explanation = screen(study, model, method=method).explanation
    assert explanation is not None
    assert explanation.method == method
    assert explanation.heatmaps[0].values.shape == (SIDE, SIDE)


def test_an_operating_point_or_a_place_chooses_the_box(model: Model, study: Study, result: ScreeningResult) -> None:
    place = first(result, NEARLY)
    for chosen in (screen(study, model, point=NEARLY), screen(study, model, box=place)):
        assert chosen.explanation is not None
        assert (chosen.explanation.finding, chosen.explanation.target) == (place, NEARLY)
        assert (chosen.operating_point, chosen.threshold) == (NEARLY, THRESHOLDS[NEARLY])


def test_a_box_that_is_not_there_is_refused(model: Model, study: Study) -> None:
    with pytest.raises(UsageError, match="box 51; this image has"):
        screen(study, model, box=50)
    with pytest.raises(UsageError):
        choose_box((), None, -1)


def test_no_box_above_its_threshold_is_an_answer_without_explanation(quiet: Model, study: Study) -> None:
    answered = screen(study, quiet)
    assert answered.explanation is None
    assert not any(finding.positive for finding in findings_of(answered))
    assert drawn_boxes(answered) == []
    assert to_json(answered)["explanation"] is None
    assert explain_all_boxes(answered, quiet, "grad_cam").has_evidence is False


def test_maps_of_all_boxes_stay_inside_them(model: Model, result: ScreeningResult) -> None:
    together = explain_all_boxes(result, model, "grad_cam")
    assert together.raw_max == pytest.approx(1)
    boxes = [finding.box_xyxy for finding in findings_of(result) if finding.positive]
    inside = np.zeros(together.values.shape, bool)
    for box in boxes:
        assert box is not None
        x0, y0, x1, y1 = to_network(np.array([box]), result.regions[0].box_xyxy)[0]
        inside[max(0, int(y0)) : math.ceil(y1), max(0, int(x0)) : math.ceil(x1)] = True
    assert not together.values[~inside].any()


def test_the_map_of_a_box_can_be_checked(model: Model, result: ScreeningResult) -> None:
    check = check_explanation(result, model)
    assert check.by_map[0] == pytest.approx(check.by_chance[0])
    assert np.isfinite(check.random_weights_correlation)


# --- the width of the heart ------------------------------------------------------------------------------------------


def test_without_the_auxiliary_network_there_is_no_ratio(result: ScreeningResult) -> None:
    assert result.prediction is not None
    assert "cardiothoracic_ratio" not in result.prediction.measures
    assert result.prediction.lines == {}


def measured(study: Study, masks: np.ndarray) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, ...]]]:
    found = locate.measure(study, locate.locate(study), {"heart_lung": lambda batch: masks})
    return dict(found.measures), dict(found.lines)


@pytest.mark.parametrize("name", ["normal", "enlarged_heart"])
def test_ratio_of_true_masks_is_that_of_the_phantom(name: str) -> None:
    phantom = sample(name)
    measures, lines = measured(phantom.study(), truth_masks(phantom))
    ratio = float(str(phantom.truth["cardiothoracic_ratio"]))
    assert measures["cardiothoracic_ratio"][0] == pytest.approx(ratio, abs=0.02)
    assert measures["heart_enlarged"] == (float(name == "enlarged_heart"),)
    thorax, heart = lines["thorax"], lines["heart"]
    assert (heart[2] - heart[0]) / (thorax[2] - thorax[0]) == pytest.approx(measures["cardiothoracic_ratio"][0])
    assert (heart[1], thorax[1]) == (heart[3], thorax[3])
    truth = phantom.truth["cardiothoracic_x"]
    assert [thorax[0], heart[0], heart[2], thorax[2]] == pytest.approx(truth, abs=5)


def test_lines_lie_on_a_film_that_is_not_square() -> None:
    phantom = sample("enlarged_heart")
    study = phantom.study()
    frame = replace(study.frame, pixels=np.pad(study.frame.pixels, ((0, 0), (100, 100))))
    wide = np.pad(truth_masks(phantom), ((0, 0), (0, 0), (50, 50), (50, 50)), constant_values=-5.0)
    shrunk = wide[:, :, 50:-50, 50:-50]
    lines = measured(replace(study, frames=(frame,)), shrunk)[1]
    plain = measured(study, truth_masks(phantom))[1]
    scale = 712 / 512
    assert lines["heart"][0] == pytest.approx(plain["heart"][0] * scale)
    assert lines["heart"][1] == pytest.approx(plain["heart"][1] * scale - 100)


def test_on_ap_films_the_ratio_is_measured_and_not_judged() -> None:
    phantom = sample("enlarged_heart")
    study = phantom.study()
    measures, lines = measured(replace(study, tags={**study.tags, "ViewPosition": "AP"}), truth_masks(phantom))
    assert measures["cardiothoracic_ratio"][0] > 0.5
    assert math.isnan(measures["heart_enlarged"][0])
    assert set(lines) == {"heart", "thorax"}


def test_masks_without_a_heart_give_a_ratio_that_is_none(study: Study) -> None:
    measures, lines = measured(study, np.full((1, 3, 256, 256), -1, np.float32))
    assert math.isnan(measures["cardiothoracic_ratio"][0])
    assert math.isnan(measures["heart_enlarged"][0])
    assert lines == {}


@pytest.mark.parametrize(
    ("ratio", "view", "answer"),
    [
        (0.51, "PA", True),
        (0.5, "PA", False),
        (0.6, "AP", None),
        (0.6, "ap", None),
        (0.6, "", True),
        (math.nan, "PA", None),
    ],
)
def test_only_pa_films_are_judged(ratio: float, view: str, answer: bool | None) -> None:
    assert is_enlarged(ratio, view) is answer


def test_the_auxiliary_network_is_loaded_once_from_beside_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "chest_lesions" / "detector"
    own, cache = chest_model(with_auxiliary(folder), folder), ModelCache()
    second = cache.auxiliary(own, "heart_lung", build_auxiliary)
    assert cache.auxiliary(own, "heart_lung", build_auxiliary) is second
    assert cache.loads == 1
    x = torch.rand(1, 3, 256, 256)
    torch.testing.assert_close(second.network(x), heart_lung()(x), atol=1e-4, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in second.network.parameters())


def test_a_changed_auxiliary_network_is_refused(tmp_path: Path, study: Study) -> None:
    folder = tmp_path / "chest_lesions" / "detector"
    own = chest_model(with_auxiliary(folder), folder)
    path = tmp_path / "chest_lesions" / "heart_lung" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError):
        screen(study, own)


def test_a_random_auxiliary_network_gives_a_number_or_none(tmp_path: Path, study: Study) -> None:
    folder = tmp_path / "chest_lesions" / "detector"
    prediction = screen(study, chest_model(with_auxiliary(folder), folder)).prediction
    assert prediction is not None
    assert {"cardiothoracic_ratio", "heart_enlarged"} <= prediction.measures.keys()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_boxes_have_a_line_of_their_colour_and_a_tag() -> None:
    picture = np.full((400, 400, 3), 90, np.uint8)
    drawn = draw_boxes(picture, [DrawnBox((100, 120, 300, 350), "#E69F00", "1: 0.93", is_strong=True)])
    assert tuple(drawn[349, 200]) == (230, 159, 0)
    assert (drawn[120:140, 100:140] == (0, 0, 0)).all(axis=2).any()
    assert (drawn[200, 200] == 90).all()
    assert (picture == 90).all()


def test_tags_of_boxes_at_one_place_do_not_cover_each_other() -> None:
    picture = np.full((400, 400, 3), 90, np.uint8)
    colours = ("#E69F00", "#56B4E9", "#009E73")
    drawn = draw_boxes(picture, [DrawnBox((50, 50, 350, 350), colour, "8: 0.50") for colour in colours])
    for colour in colours:
        rgb = tuple(bytes.fromhex(colour[1:]))
        assert (drawn[52:120, 54:90] == rgb).all(axis=2).sum() > 100


def test_lines_end_in_strokes() -> None:
    drawn = draw_lines(np.zeros((400, 400, 3), np.uint8), [((100, 200, 300, 200), "#FFFFFF")])
    assert (drawn[200, 100:301] == 255).all()
    assert (drawn[197, 100] == 255).all()
    assert not drawn[197, 200].any()


def test_boxes_below_their_threshold_are_drawn_only_when_they_are_explained(
    model: Model, study: Study, result: ScreeningResult
) -> None:
    n_called = sum(finding.positive for finding in findings_of(result))
    assert len(drawn_boxes(result)) == n_called
    place = first(result, NEARLY)
    drawn = drawn_boxes(screen(study, model, box=place), factor=2)
    assert len(drawn) == n_called + 1
    (strong,) = (box for box in drawn if box.is_strong)
    assert strong.text.startswith(f"{place + 1}: 0.")
    box = findings_of(result)[place].box_xyxy
    assert box is not None
    assert strong.box_xyxy == pytest.approx([value / 2 for value in box])


def test_overlay_shows_boxes_and_lines(result: ScreeningResult) -> None:
    assert result.prediction is not None
    lines = {"heart": (100.0, 300.0, 300.0, 300.0)}
    marked = replace(result, prediction=replace(result.prediction, lines=lines))
    assert drawn_lines(marked, 2) == [((50.0, 150.0, 150.0, 150.0), "#FFFFFF")]
    display = to_display(result.study.frame)
    with_line, without = (
        np.asarray(Image.open(io.BytesIO(overlay_png(shown, display, 0.0)))) for shown in (marked, result)
    )
    assert (with_line[300, 105:300] != without[300, 105:300]).any()


# --- JSON and command line -------------------------------------------------------------------------------------------


def test_json_holds_boxes_thresholds_measures_and_lines(result: ScreeningResult) -> None:
    assert result.prediction is not None
    measures = {**result.prediction.measures, "cardiothoracic_ratio": (0.53,), "heart_enlarged": (math.nan,)}
    lines = {"heart": (1.04, 2.0, 3.0, 2.0)}
    record = to_json(replace(result, prediction=replace(result.prediction, measures=measures, lines=lines)))
    assert record["measures"]["cardiothoracic_ratio"] == [0.53]
    assert record["measures"]["heart_enlarged"] == [None]
    assert record["lines"] == {"heart": [1.0, 2.0, 3.0, 2.0]}
    assert record["explanation"]["finding"] == first(result, CALLED)
    assert all(len(finding["box_xyxy"]) == 4 and finding["threshold"] for finding in record["findings"])
    json.dumps(record, allow_nan=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    chest_folder(root)
    return root


def test_command_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from core import screening

    monkeypatch.setattr(screening, "load", lambda task, model=None: load(task, model, weights))
    film = tmp_path / "film.dcm"
    film.write_bytes(write_dicom(sample()))
    assert main(["screen", "chest_lesions", str(film), "--overlay", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"{CALLED} 0." in said
    assert "at or above the operating point 0.200, box " in said
    assert "boxes below their thresholds: " in said
    assert f"{NEARLY} 0." not in said
    assert (tmp_path / "out" / f"film_{CALLED}_overlay.png").is_file()
    assert main(["screen", "chest_lesions", str(film), "--json", "--operating-point", NEARLY]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["explanation"]["target"] == NEARLY
    assert record["operating_point"] == {"id": NEARLY, "threshold": 0.9}
    assert main(["screen", "chest_lesions", str(film), "--box", "500"]) == 2


def test_command_line_says_that_no_box_is_normal(
    quiet: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from core import screening

    monkeypatch.setattr(screening, "load", lambda task, model=None: quiet)
    film = tmp_path / "film.dcm"
    film.write_bytes(write_dicom(sample()))
    assert main(["screen", "chest_lesions", str(film), "--overlay", str(tmp_path / "out")]) == 0
    assert "no box: called normal" in capsys.readouterr().out
    assert (tmp_path / "out" / "film_overlay.png").is_file()


def test_installed_models_do_not_count_the_auxiliary_network(weights: Path) -> None:
    assert [folder.name for folder in registry.model_folders("chest_lesions", weights)] == [
        "fasterrcnn_mobilenet_v3_large_320_fpn"
    ]
    manifest = registry.manifest_of("chest_lesions", root=weights)
    assert isinstance(manifest, Manifest)
    assert set(manifest.auxiliary) == {"heart_lung"}
