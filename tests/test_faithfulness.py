"""Measured explanations: each measure on maps with a known answer, the truth of phantoms, the files beside the weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factory import model_of
from scipy.ndimage import binary_dilation
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

from core import registry
from core.cli.main import main
from core.engine.explain_boxes import methods_for
from core.engine.faithfulness import CELLS, STEPS, chance, check_map, deletion, insertion, order_of
from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.engine.runner import run
from core.errors import UsageError
from core.evaluation.faithfulness import Outcome, controls, measure_explanations, right_answers, summarise
from core.io.explanations import CONTROLS, FILE, read_explanations
from core.manifest import DEMO_STATEMENT, file_sha256, read_manifest
from core.metrics.localisation import TOLERANCE, energy_inside, points_inside
from core.phantom import Phantom
from core.screening import load

FOLDERS = [folder for task in registry.tasks() for folder in registry.model_folders(task)]
IDS = [folder.parent.name for folder in FOLDERS]
SIDE = 112
CELL = SIDE // CELLS

truth = np.zeros((60, 100), bool)
truth[20:40, 30:50] = True  # 400 of 6000: a fifteenth


# --- maps with a known answer ----------------------------------------------------------------------------------------


def test_a_map_of_the_truth_is_perfect() -> None:
    assert energy_inside(truth.astype(np.float32), truth) == 1
    assert points_inside(truth.astype(np.float32), truth)


def test_an_even_map_holds_the_share_of_the_area() -> None:
    assert energy_inside(np.full(truth.shape, 0.3, np.float32), truth) == pytest.approx(1 / 15)


def test_a_random_map_holds_about_the_share_of_the_area() -> None:
    rng = np.random.default_rng(0)
    energies = [energy_inside(rng.random(truth.shape, np.float32), truth) for _ in range(50)]
    assert np.mean(energies) == pytest.approx(1 / 15, abs=0.001)


def test_a_map_beside_the_truth_holds_nothing() -> None:
    assert energy_inside((~truth).astype(np.float32), truth) == 0
    assert energy_inside(np.where(truth, -1.0, 0.5).astype(np.float32), truth) == 0  # negative evidence is none


def test_three_quarters_inside() -> None:
    values = np.zeros(truth.shape, np.float32)
    values[30, 40], values[0, 0] = 3, 1
    assert energy_inside(values, truth) == 0.75


@pytest.mark.parametrize(("away", "hit"), [(0, True), (3, True), (4, False), (30, False)])
def test_pointing_forgives_three_per_cent_of_the_longer_side(away: int, hit: bool) -> None:
    assert TOLERANCE * max(truth.shape) == 3
    values = np.zeros(truth.shape, np.float32)
    values[30, 49 + away] = 1
    assert points_inside(values, truth) is hit


def test_a_flat_map_points_at_its_middle() -> None:
    middle, corner = np.zeros((2, 61, 61), bool)
    middle[28:33, 28:33], corner[:5, :5] = True, True
    flat = np.ones((61, 61), np.float32)
    assert points_inside(flat, middle)
    assert not points_inside(flat, corner)


def test_maps_that_cannot_be_measured() -> None:
    with pytest.raises(UsageError, match="without positive values"):
        energy_inside(np.zeros(truth.shape, np.float32), truth)
    with pytest.raises(UsageError, match="empty truth"):
        points_inside(np.ones(truth.shape, np.float32), np.zeros_like(truth))
    with pytest.raises(UsageError, match="shape"):
        energy_inside(np.ones((3, 3), np.float32), truth)


# --- a network whose used pixels are known ---------------------------------------------------------------------------

USED = np.zeros((CELLS, CELLS), bool)
USED[4:8, 4:10] = True  # 24 of 196 cells, as many as one step blanks
PIXELS = np.kron(USED, np.ones((CELL, CELL), bool))


class Patch(SplitNetwork):
    """Six times the mean of the used pixels, less three."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(1, 1)
        self.last.weight.data, self.last.bias.data = torch.tensor([[6.0]]), torch.tensor([-3.0])

    def features(self, x: Tensor) -> Activations:
        return Activations(x.mean(dim=1, keepdim=True) * torch.from_numpy(PIXELS).to(x))

    def head(self, activations: Activations) -> Tensor:
        return self.last(activations.target.sum(dim=(2, 3)) / PIXELS.sum())


def first(row: Tensor) -> Tensor:
    return row[0]


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


@pytest.fixture(scope="module")
def patch() -> tuple[Model, Tensor]:
    picture = np.repeat(PIXELS[None, None].astype(np.float32), 3, axis=1)
    return model_of(Patch()), torch.from_numpy(picture)


def test_blanking_the_used_pixels_first_takes_one_step(patch: tuple[Model, Tensor]) -> None:
    order = order_of(PIXELS.astype(np.float32))
    assert set(order[:24]) == set(np.flatnonzero(USED))
    curve = deletion(*patch, order, first)
    assert curve[0] == pytest.approx(sigmoid(3))
    assert curve[1:] == pytest.approx(np.full(STEPS, curve[-1]))
    assert curve[1] < 0.6  # the blur takes most of the patch away
    last = deletion(*patch, order[::-1], first)
    assert last[:STEPS] == pytest.approx(np.full(STEPS, sigmoid(3)))


def test_showing_the_used_pixels_first_takes_one_step(patch: tuple[Model, Tensor]) -> None:
    order = order_of(PIXELS.astype(np.float32))
    curve = insertion(*patch, order, first)
    assert curve[0] == pytest.approx(deletion(*patch, order, first)[-1])
    assert curve[1:] == pytest.approx(np.full(STEPS, sigmoid(3)))


def test_random_orders_lie_between_the_best_and_the_worst(patch: tuple[Model, Tensor]) -> None:
    order = order_of(PIXELS.astype(np.float32))
    best, worst = (deletion(*patch, way, first) for way in (order, order[::-1]))
    by_chance = chance(*patch, first, seed=3)
    assert (by_chance >= best - 1e-6).all()
    assert (by_chance <= worst + 1e-6).all()
    assert (np.diff(by_chance, axis=1) <= 1e-6).all()


def test_a_map_of_the_used_pixels_passes_both_tests(patch: tuple[Model, Tensor]) -> None:
    """The gradient at the pixels is exactly the mask."""
    model, x = patch
    check = check_map(model, run(model, x.numpy()), 0, "saliency", first)
    assert check.is_better_than_chance
    assert check.is_inserted_faster_than_chance
    assert check.gain == pytest.approx(float((check.by_chance - check.by_map).mean()))
    assert check.gain > 0.2
    assert check.insertion_gain > 0.08


# --- the truth of the phantoms ---------------------------------------------------------------------------------------


def made(task: str, seed: int, **options: Any) -> Phantom:
    phantom: Phantom = registry.part(task, "phantom").make_phantom(np.random.default_rng([seed, 9]), **options)
    return phantom


def mask_of(task: str, phantom: Phantom, label: str) -> np.ndarray:
    return registry.part(task, "data").truth_mask(phantom, label)


def test_ct_slices_that_differ_in_density_differ_in_the_trabecular_bone_only() -> None:
    porous, dense = (made("ct_osteoporosis", 3, t_score=t_score) for t_score in (-4.0, 1.0))
    mask = mask_of("ct_osteoporosis", porous, "osteoporosis")
    assert not mask_of("ct_osteoporosis", dense, "osteopenia").any()
    change = np.abs(dense.pixels - porous.pixels)
    assert np.median(change[mask]) > 80  # HU
    assert change[~binary_dilation(mask, iterations=8)].max() < 5
    assert 300 < mask.sum() < 8000


def test_scans_that_differ_in_grade_differ_in_the_joint() -> None:
    normal, severe = (made("knee_djd", 3, grades=(grade, 1)) for grade in (0, 4))
    mask = mask_of("knee_djd", severe, "moderate")
    assert not mask_of("knee_djd", normal, "moderate").any()
    change = severe.pixels - normal.pixels
    assert change[mask].sum() > 0.8 * np.abs(change).sum()
    both = mask_of("knee_djd", made("knee_djd", 3, grades=(4, 4)), "moderate")
    assert both.sum() == pytest.approx(2 * mask.sum(), rel=0.05)


def test_hips_that_differ_in_the_t_score_differ_in_the_femur_only() -> None:
    """Beyond it both films show the same, up to display curve and noise."""
    porous, dense = (made("hip_osteoporosis", 5, t_score=t_score, laterality="L") for t_score in (-4.5, 1.0))
    mask = np.asarray(porous.truth["femur"])
    assert (mask_of("hip_osteoporosis", porous, "osteoporosis") == mask).all()
    assert not mask_of("hip_osteoporosis", dense, "osteoporosis").any()
    outside = ~binary_dilation(mask, iterations=4)
    curve = np.polynomial.Polynomial.fit(porous.pixels[outside], dense.pixels[outside], 5)
    change = np.abs(dense.pixels - curve(porous.pixels))
    assert change[mask].mean() > 3 * change[outside].mean()
    assert 0.1 < mask.mean() < 0.4


def test_chest_truth_is_the_boxes_of_the_finding() -> None:
    phantom = registry.part("chest_lesions", "phantom").make_single("cardiac_hypertrophy")
    ((_, (x0, y0, x1, y1)),) = phantom.truth["boxes"]
    mask = mask_of("chest_lesions", phantom, "cardiac_hypertrophy")
    assert mask.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.02)
    assert mask[round((y0 + y1) / 2), round((x0 + x1) / 2)]
    assert not mask_of("chest_lesions", phantom, "scoliosis").any()


def test_retina_truth_is_the_lesions_of_the_kind() -> None:
    phantom = registry.part("retina_lesions", "phantom").make_sample("both")
    for label, name in (("haemorrhage", "haemorrhage"), ("exudate", "bright")):
        mask = mask_of("retina_lesions", phantom, label)
        assert mask.any()
        assert (mask == phantom.truth[name]).all()
    assert not mask_of("retina_lesions", made("retina_lesions", 1, severity=-3.0, size=256), "exudate").any()


# --- what is measured ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("grades", "index"), [((4, 0), 0), ((0, 4), 1)])
def test_only_right_answers_are_explained_and_their_truth_lies_where_the_network_sees_it(
    grades: tuple[int, int], index: int
) -> None:
    """A left knee is mirrored before the network sees it, and its truth with it."""
    phantom = made("knee_djd", 12, grades=grades)
    (case,) = right_answers(load("knee_djd"), phantom, 7)
    assert (case.index, case.phantom, case.box) == (index, 7, None)
    rows, columns = np.nonzero(case.truth)
    assert case.truth.shape == (128, 128)
    x0, y0, x1, y1 = registry.part("knee_djd", "locate").locate(phantom.study())[index].box_xyxy
    x, y = phantom.truth["knee_right_xy" if index == 0 else "knee_left_xy"]
    across = 128 * (x + 0.5 - x0) / (x1 - x0)
    assert columns.mean() + 0.5 == pytest.approx(across if index == 0 else 128 - across, abs=1.5)
    assert rows.mean() + 0.5 == pytest.approx(128 * (y + 0.5 - y0) / (y1 - y0), abs=1.5)
    bright = np.asarray(case.done.x[index, 0]) > np.quantile(case.done.x[index, 0], 0.95)
    assert case.truth[bright].mean() > 0.8


def test_controls_know_nothing_of_the_network() -> None:
    (case,) = right_answers(load("knee_djd"), made("knee_djd", 12, grades=(4, 0)))
    found = controls(case, np.random.default_rng(0))
    assert set(found) == {"random", "centre"}
    assert np.unravel_index(found["centre"].argmax(), (128, 128)) == (63, 63)
    maps = [controls(case, np.random.default_rng(seed))["random"] for seed in range(40)]
    assert np.mean([energy_inside(values, case.truth) for values in maps]) == pytest.approx(case.truth.mean(), rel=0.05)


def test_a_row_sums_up_by_phantom() -> None:
    outcomes = [
        Outcome(0, 0.1, 0.5, 1.0, 0.2, 0.1, 0.3),
        Outcome(0, 0.1, 0.5, 1.0, 0.2, 0.1, 0.1),
        Outcome(1, 0.2, 0.8, 0.0, 0.5, 0.4, 0.9),
        Outcome(2, 0.2, np.nan, np.nan),
        Outcome(3, 0.2, 0.6, 1.0),
    ]
    row = summarise("grad_cam", outcomes, has_weights=True)
    assert row is not None
    assert (row.n, row.n_empty, row.n_blanked) == (4, 1, 3)
    assert row.energy.value == pytest.approx(0.6)
    assert row.energy.low == pytest.approx(0.5)  # a resample may hold the first phantom alone
    assert row.energy.high == pytest.approx(0.8)
    assert row.area == pytest.approx(0.15)
    assert row.enrichment == pytest.approx(4)
    assert row.pointing.value == 0.75
    assert row.deletion is not None
    assert row.deletion.value == pytest.approx(0.3)
    assert row.random_weights == pytest.approx(0.3)
    alone = summarise("grad_cam", outcomes[:2], has_weights=True)
    assert alone is None


# --- the files beside the weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_the_file_belongs_to_the_weights_and_names_every_method(folder: Path) -> None:
    found, manifest = read_explanations(folder), read_manifest(folder)
    assert found is not None
    assert (found.task, found.model) == (manifest.task, manifest.model)
    assert found.weights_sha256 == manifest.weights.sha256 == file_sha256(folder / manifest.weights.file)
    assert found.statement == DEMO_STATEMENT
    assert f"explanations {manifest.task}" in found.command
    kind = registry.task(manifest.task).kind
    wanted = {*methods_for(kind), *CONTROLS} - ({"box"} if kind != "detector" else set())
    assert {row.method for row in found.rows} == wanted
    for row in found.rows:
        assert row.n >= 5
        assert row.energy.low <= row.energy.value <= row.energy.high
        assert row.pointing.low <= row.pointing.value <= row.pointing.high
        assert (row.random_weights is None) == (row.method in CONTROLS or row.n_blanked == 0)
        assert (row.deletion is None) == (row.insertion is None) == (row.n_blanked == 0)
    even = found.row("random")
    assert even is not None
    assert 0.7 < even.enrichment < 1.4  # a random map finds nothing


def test_the_table_of_the_knee_comes_back() -> None:
    folder = registry.model_folders("knee_djd")[0]
    kept = read_explanations(folder)
    assert kept is not None
    again = measure_explanations(load("knee_djd"), kept.n_phantoms, 0, kept.seed, "")
    assert [row.method for row in again.rows] == [row.method for row in kept.rows]
    for new, old in zip(again.rows, kept.rows, strict=True):
        assert (new.n, new.n_empty) == (old.n, old.n_empty)
        assert new.area == pytest.approx(old.area, abs=1e-4)
        assert new.energy.value == pytest.approx(old.energy.value, abs=2e-3)
        assert new.pointing.value == pytest.approx(old.pointing.value, abs=0.03)


def test_the_command_writes_what_the_app_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / FILE
    assert (
        main(["explanations", "knee_djd", "--phantoms", "2", "--blanked", "2", "--seed", "5", "--json", str(file)]) == 0
    )
    said = capsys.readouterr().out
    assert DEMO_STATEMENT in said
    found = read_explanations(tmp_path)
    assert found is not None
    assert found.n_phantoms == 2
    assert found.command.endswith(f"--seed 5 --json {file}")
    for row in found.rows:
        assert f"{row.method}: energy {row.energy.value:.3f}" in said
        assert row.n_blanked == row.n
        assert row.deletion is not None
        assert row.insertion is not None


def test_fewer_than_two_phantoms_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explanations", "knee_djd", "--phantoms", "1"]) == 2
    assert "--phantoms must be 2 or more" in capsys.readouterr().err


def test_a_file_of_another_form_is_an_error(tmp_path: Path) -> None:
    assert read_explanations(tmp_path) is None
    (tmp_path / FILE).write_text(json.dumps({"format": "fivefold-explanations-1", "rows": []}))
    with pytest.raises(UsageError, match="has another form"):
        read_explanations(tmp_path)


# --- on the page -----------------------------------------------------------------------------------------------------


def measured_page() -> None:
    from core import registry
    from pages.parts.faithfulness import measured_note, show_measured

    manifest = registry.manifest_of("knee_djd")
    assert manifest is not None
    import streamlit as st

    st.caption(measured_note(manifest, "grad_cam"))
    show_measured(registry.task("knee_djd"), manifest)


def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> AppTest:
    manifest = registry.manifest_of("knee_djd")
    monkeypatch.setattr(registry, "WEIGHTS", root)
    monkeypatch.setattr(registry, "manifest_of", lambda task_id: manifest)
    app = AppTest.from_function(measured_page, default_timeout=60).run()
    assert not app.exception
    return app


def knee_file(root: Path, **changes: Any) -> None:
    folder = registry.model_folders("knee_djd")[0]
    place = root / "knee_djd" / folder.name
    place.mkdir(parents=True)
    (place / FILE).write_text(json.dumps(json.loads((folder / FILE).read_text()) | changes))


def test_note_and_table_show_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knee_file(tmp_path)
    kept = read_explanations(tmp_path / "knee_djd" / "simple_cnn_3")
    assert kept is not None
    row = kept.row("grad_cam")
    assert row is not None
    app = opened(monkeypatch, tmp_path)
    note = str(app.caption[0].value)
    assert f"(n = {row.n})" in note
    assert f"put {100 * row.energy.value:.0f}\u202f% of its brightness on the {100 * row.area:.0f}\u202f%" in note
    table = app.dataframe[0].value
    assert len(table) == len(kept.rows)
    assert set(table["Maps"]) == {str(row.n) for row in kept.rows}
    assert "Control: random map" in set(table["Method"])
    assert any(DEMO_STATEMENT in str(element.value) for element in app.markdown)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights_sha256": "0" * 64}, "was measured for other weights, not for these"),
        ({"format": "another"}, "cannot be read"),
        (None, "was not measured for these weights"),
    ],
)
def test_what_cannot_be_shown_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str] | None, said: str
) -> None:
    if changes is not None:
        knee_file(tmp_path, **changes)
    app = opened(monkeypatch, tmp_path)
    assert said in str(app.caption[0].value)
    assert said in str(app.info[0].value)
    assert not app.dataframe
    assert "python -m core explanations knee_djd" in str(app.code[0].value)
