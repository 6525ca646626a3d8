"""The road of a grader with branches: what is explained, what is measured, what several slices of a patient amount to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import GRADES, pair_model, shrink, tiny_pair
from torch import Tensor
from torch.nn import functional

from core import screening
from core.engine import explain
from core.engine.loader import Model
from core.engine.networks.split import Activations
from core.engine.runner import Run, run
from core.engine.scores import cumulative_log_odds
from core.records import Frame, Region, ScreeningResult, Study
from core.screening import check_explanation, explain_regions, operating_point, screen, screen_slices
from core.tasks.ct_osteoporosis import gate
from core.tasks.ct_osteoporosis import network as ct_network
from core.tasks.ct_osteoporosis.phantom import make_phantom
from core.tasks.ct_osteoporosis.prepare import prepare
from core.tasks.hip_osteoporosis import network as hip_network
from core.tasks.knee_djd import network as knee_network

BOX = (180.0, 200.0, 287.0, 307.0)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    return pair_model(tiny_pair(), model="pair")


@pytest.fixture(scope="module")
def slices() -> tuple[Study, ...]:
    """Two slices of one phantom patient."""
    rng = np.random.default_rng(7)
    first = make_phantom(rng)
    return first.study(), make_phantom(rng, like=first).study()


@pytest.fixture(scope="module")
def result(model: Model, slices: tuple[Study, ...]) -> ScreeningResult:
    return screen(slices[0], model)


def run_of(model: Model, study: Study, *boxes: tuple[float, float, float, float]) -> tuple[Run, tuple[Region, ...]]:
    regions = tuple(Region(box) for box in boxes or (BOX,))
    return run(model, prepare(study, regions, model.manifest)), regions


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# --- the score that is explained -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(logits=st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=6), data=st.data())
def test_sigmoid_of_what_is_explained_is_the_cumulative_probability(logits: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(logits) - 1))
    expected = softmax(np.array(logits))[cut:].sum()
    assert float(torch.sigmoid(cumulative_log_odds(torch.tensor(logits).double(), cut))) == pytest.approx(
        expected, abs=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(logits=st.lists(st.floats(-20, 20, width=32), min_size=5, max_size=5), cut=st.integers(1, 4))
def test_networks_explain_the_row_that_answers(logits: list[float], cut: int) -> None:
    """Of a pair that is the fused one, whatever the branches say; of one logit it is the logit."""
    answer = torch.tensor(logits)
    ct = torch.stack([answer[:3], -answer[:3], 7 * answer[:3].flip(0)])
    ct_score = float(torch.sigmoid(ct_network.explained(ct, min(cut, 2))))
    assert ct_score == pytest.approx(float(ct_network.scores(ct[None])[0, min(cut, 2) :].sum()), abs=1e-5)
    knee_score = float(torch.sigmoid(knee_network.explained(answer, cut)))
    assert knee_score == pytest.approx(float(knee_network.scores(answer[None])[0, cut:].sum()), abs=1e-5)
    hip_score = torch.sigmoid(hip_network.explained(answer[:1], 1))
    assert float(hip_score) == pytest.approx(float(hip_network.scores(answer[None, :1])[0, 0]), abs=1e-7)


@pytest.mark.parametrize(("point", "cut"), [("below_normal", 1), ("osteoporosis", 2)])
def test_what_is_explained_is_the_score_of_the_operating_point(
    model: Model, slices: tuple[Study, ...], monkeypatch: pytest.MonkeyPatch, point: str, cut: int
) -> None:
    """The target that reaches the engine turns the output into the log odds of the probability on screen."""
    seen: list[explain.Target] = []
    engine = screening.explain

    def spy(model: Model, done: Run, index: int, method: str, target: explain.Target) -> explain.RawMap:
        seen.append(target)
        return engine(model, done, index, method, target)

    monkeypatch.setattr(screening, "explain", spy)
    answered = screen(slices[0], model, point=point)
    assert answered.prediction is not None
    assert answered.explanation is not None
    output = run(model, prepare(slices[0], answered.regions, model.manifest)).output
    assert answered.explanation.target == GRADES[cut]
    assert len(seen) == 3  # the whole and two branches
    for target in seen:
        score = float(torch.sigmoid(target(torch.from_numpy(output[0]))))
        assert score == pytest.approx(answered.prediction.findings[0].probability, abs=1e-6)


# --- branches and facts ----------------------------------------------------------------------------------------------


def test_each_branch_has_its_probabilities_and_its_map(model: Model, result: ScreeningResult) -> None:
    assert result.prediction is not None
    assert result.explanation is not None
    output = run(model, prepare(result.study, result.regions, model.manifest)).output
    for row, name in enumerate("st", start=1):
        (own,) = result.prediction.branches[name]
        assert list(own.values()) == pytest.approx(softmax(output[0, row]).tolist(), abs=1e-9)
        (heatmap,) = result.explanation.branches[name]
        assert heatmap.region == result.regions[0]
        assert heatmap.values.shape == (160, 160)
    assert list(result.explanation.branches) == ["s", "t"]
    first, second = (result.explanation.branches[name][0].values for name in "st")
    assert not np.array_equal(first, second)


def test_facts_of_the_network_stand_beside_the_measures_of_the_task(model: Model, result: ScreeningResult) -> None:
    assert result.prediction is not None
    measures = result.prediction.measures
    assert set(measures) == {"roi_hu", "cosine", "alpha"}
    x = torch.from_numpy(prepare(result.study, result.regions, model.manifest))
    pooled = [
        model.network.branches[name].features(window).target.mean(dim=(2, 3)).numpy()[0]
        for name, window in (("s", x[:, :3]), ("t", x[:, 3:]))
    ]
    cosine = pooled[0] @ pooled[1] / np.linalg.norm(pooled[0]) / np.linalg.norm(pooled[1])
    assert measures["cosine"] == pytest.approx([cosine], abs=1e-5)
    assert measures["alpha"] == (0.5,)


def test_facts_and_maps_come_one_a_region(model: Model, slices: tuple[Study, ...]) -> None:
    boxes = (BOX, (10.0, 10.0, 200.0, 200.0))
    answered = screen(slices[0], model, regions=tuple(Region(box) for box in boxes))
    assert answered.prediction is not None
    assert answered.explanation is not None
    assert {len(values) for values in answered.prediction.measures.values()} == {2}
    assert [heatmap.region.box_xyxy for heatmap in answered.explanation.branches["t"]] == list(boxes)
    alone = screen(slices[0], model, regions=(Region(boxes[1]),))
    assert alone.prediction is not None
    for name, values in answered.prediction.measures.items():
        assert values[1] == pytest.approx(alone.prediction.measures[name][0], abs=1e-5), name


def test_single_branch_has_neither_branches_nor_cosine(slices: tuple[Study, ...]) -> None:
    """Saved results of such a network hold empty mappings, not wrong ones."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        network = ct_network.Network("resnet18", branches="t").requires_grad_(False).eval()
    answered = screen(slices[0], pair_model(network))
    assert answered.prediction is not None
    assert answered.explanation is not None
    assert answered.prediction.branches == {}
    assert answered.explanation.branches == {}
    assert set(answered.prediction.measures) == {"roi_hu"}


def test_maps_of_a_mirrored_region_are_turned_back(model: Model, slices: tuple[Study, ...]) -> None:
    done, (region,) = run_of(model, slices[0])
    point = operating_point(model.manifest, None)
    plain = explain_regions(model, done, (region,), "grad_cam", point)
    mirrored = explain_regions(model, done, (replace(region, mirrored=True),), "grad_cam", point)
    pairs = [(plain.heatmaps, mirrored.heatmaps), *((plain.branches[n], mirrored.branches[n]) for n in "st")]
    for (first,), (second,) in pairs:
        assert np.array_equal(first.values[:, ::-1], second.values)
        assert first.raw_max == second.raw_max


# --- the joint map and those of the branches -------------------------------------------------------------------------


def signed_map(network: Any, activations: Activations, target: explain.Target) -> np.ndarray:
    """Grad-CAM by its definition, before clipping: maps weighted with the mean gradient."""
    leaf = activations.target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(target(network.head(replace(activations, target=leaf))[0]), leaf)
    return (gradient.mean(dim=(2, 3), keepdim=True) * activations.target).sum(dim=1)[0].numpy()


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_joint_grad_cam_is_the_sum_of_the_branches_and_their_alpha_weighted_mean(
    slices: tuple[Study, ...], alpha: float, cut: int
) -> None:
    """JKSCI 2021: the fused feature is a weighted mean, so its map is the weighted mean of the branches' maps."""
    model = pair_model(tiny_pair(3, alpha=alpha))
    done, _ = run_of(model, slices[0])

    def target(row: Tensor) -> Tensor:
        return ct_network.explained(row, cut)

    joint = explain._library_map(model.network, explain._one(done.activations, 0), "grad_cam", target)
    own = {
        name: explain._library_map(view, explain._one(view.of(done.activations), 0), "grad_cam", target)
        for name, view in model.network.views().items()
    }
    scale = float(np.abs(joint).max())
    assert np.ptp(own["s"]) > 0.01 * scale  # both matter
    assert np.ptp(own["t"]) > 0.01 * scale
    assert joint == pytest.approx(own["s"] + own["t"], abs=1e-5 * scale)
    assert joint == pytest.approx(signed_map(model.network, done.activations, target), abs=1e-5 * scale)
    # by hand: gradient of the score at the fused feature, shared by both branches
    halves = done.activations.target.chunk(2, dim=1)
    g = sum(
        weight * half.mean(dim=(2, 3)) for weight, half in zip((alpha, 1 - alpha), halves, strict=True)
    ).requires_grad_()
    score = cumulative_log_odds(model.network.fused(g)[0], cut)
    (slope,) = torch.autograd.grad(score, g)
    maps = [(slope[0, :, None, None] * half[0]).sum(dim=0).numpy() / half[0, 0].numel() for half in halves]
    assert joint == pytest.approx(alpha * maps[0] + (1 - alpha) * maps[1], abs=1e-5 * scale)
    assert own["s"] == pytest.approx(alpha * maps[0], abs=1e-5 * scale)


def test_shown_maps_are_the_signed_ones_without_what_speaks_against(model: Model, slices: tuple[Study, ...]) -> None:
    done, regions = run_of(model, slices[0])
    point = operating_point(model.manifest, "osteoporosis")
    shown = explain_regions(model, done, regions, "grad_cam", point)
    views = model.network.views()
    for name, (heatmap,) in {"": shown.heatmaps, **shown.branches}.items():
        network: Any = views[name] if name else model.network
        activations = network.of(done.activations) if name else done.activations
        signed = signed_map(network, activations, lambda row: ct_network.explained(row, 2))
        assert heatmap.raw_max == pytest.approx(signed.max(), rel=1e-4)
        positive = torch.from_numpy(np.maximum(signed, 0) / signed.max())[None, None]
        wanted = functional.interpolate(positive, (160, 160), mode="bilinear", align_corners=False)[0, 0].numpy()
        assert heatmap.values == pytest.approx(wanted, abs=1e-4)


def test_saliency_of_a_branch_is_that_of_its_own_window(model: Model, slices: tuple[Study, ...]) -> None:
    """The strongest of six channels is the stronger of the two windows."""
    done, regions = run_of(model, slices[0])
    found = explain_regions(model, done, regions, "saliency", operating_point(model.manifest, None))
    (whole,), own = found.heatmaps, [found.branches[name][0] for name in "st"]
    raw = [heatmap.values * heatmap.raw_max for heatmap in (whole, *own)]
    assert raw[0] == pytest.approx(np.maximum(raw[1], raw[2]), abs=1e-6 * whole.raw_max)
    assert np.abs(raw[1] - raw[2]).max() > 0.01 * whole.raw_max


# --- several slices of a patient -------------------------------------------------------------------------------------


def refused_slice() -> Study:
    return Study((Frame(np.zeros((64, 64), np.float32), "HU"),), "0" * 64, "dicom", {"Modality": "MR"})


def test_patient_is_the_mean_of_the_class_probabilities(model: Model, slices: tuple[Study, ...]) -> None:
    alone = [screen(study, model).prediction for study in slices]
    rows = np.array([list((own.findings[0].probabilities or {}).values()) for own in alone if own is not None])
    assert np.abs(rows[0] - rows[1]).max() > 1e-4
    for name, cut in (("below_normal", 1), ("osteoporosis", 2)):
        patient = screen_slices(slices, model, point=name)
        assert patient.finding is not None
        assert patient.n_answered == len(patient.slices) == 2
        assert list((patient.finding.probabilities or {}).values()) == pytest.approx(rows.mean(axis=0), abs=1e-6)
        assert patient.finding.probability == pytest.approx(rows.mean(axis=0)[cut:].sum(), abs=1e-6)
        point = operating_point(model.manifest, name)
        assert patient.finding.positive == (patient.finding.probability >= point.threshold)
        assert patient.finding.grade == int(rows.mean(axis=0).argmax())


def test_refused_slices_are_shown_and_left_out_of_the_mean(model: Model, slices: tuple[Study, ...]) -> None:
    patient = screen_slices([refused_slice(), slices[1]], model)
    assert [result.gate.outcome for result in patient.slices] == ["refused", "accepted"]
    assert patient.n_answered == 1
    assert patient.slices[1].prediction is not None
    (own,) = patient.slices[1].prediction.findings
    assert patient.finding == replace(own, box_xyxy=None)


def test_nothing_but_refused_slices_gives_no_answer(model: Model) -> None:
    patient = screen_slices([refused_slice(), refused_slice()], model)
    assert (patient.finding, patient.n_answered, len(patient.slices)) == (None, 0, 2)


# --- the check of a map ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "cut"), [(None, 1), ("below_normal", 1), ("osteoporosis", 2)])
def test_map_is_checked_against_the_score_it_was_made_for(
    model: Model, slices: tuple[Study, ...], point: str | None, cut: int
) -> None:
    """Before anything is blanked, the curve of the check starts at the score on screen."""
    answered = screen(slices[0], model, point=point)
    assert answered.prediction is not None
    (finding,) = answered.prediction.findings
    assert sum(list((finding.probabilities or {}).values())[cut:]) == pytest.approx(finding.probability, abs=1e-9)
    check = check_explanation(answered, model)
    assert check.by_map[0] == pytest.approx(finding.probability, abs=1e-5)
    assert check.by_chance[0] == pytest.approx(finding.probability, abs=1e-5)


# --- the gate --------------------------------------------------------------------------------------------------------


def test_suggested_task_counts_only_where_it_is_installed(
    model: Model, slices: tuple[Study, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = Study((Frame(np.zeros((64, 64, 3), np.float32), "rgb"),), "0" * 64, "raster", {})
    counts = replace(slices[0], tags={"Modality": "NM"})
    assert screen(counts, model).gate.suggested_task == "knee_djd"
    assert gate.check(colour, model.manifest, None)[0].suggested_task == "retina_lesions"
    known = screening.registry.tasks()
    without = {name: task for name, task in known.items() if name != "knee_djd"}
    monkeypatch.setattr(screening.registry, "tasks", lambda: without)
    assert screen(counts, model).gate.suggested_task is None
