"""The shipped hip model: worse bone gives a higher score, near the ideal observer's; the explanation is its own."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from factory import DEVIATION, FixedNoise
from sklearn.metrics import roc_auc_score

from core import registry, screening
from core.engine.explain import explain
from core.engine.loader import Model
from core.engine.runner import run
from core.manifest import DEMO_STATEMENT
from core.phantom import Phantom
from core.records import Study
from core.tasks.hip_osteoporosis import decode
from core.tasks.hip_osteoporosis.data import phantom_cases
from core.tasks.hip_osteoporosis.locate import locate
from core.tasks.hip_osteoporosis.phantom import make_phantom
from core.tasks.hip_osteoporosis.prepare import prepare

N_PAIRS, N_AGAIN = 60, 24
IDEAL_MARGIN = 0.03


@pytest.fixture(scope="module", autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def model() -> Model:
    return screening.load("hip_osteoporosis")


def folder() -> Path:
    return registry.model_folders("hip_osteoporosis")[0]


def probabilities(model: Model, studies: list[Study]) -> np.ndarray:
    """The road without gate and explanation: one score a hip film."""
    batch = np.concatenate([prepare(study, locate(study), model.manifest) for study in studies])
    return decode.probabilities(np.concatenate([run(model, part).output for part in np.array_split(batch, 8)]))


def evaluation() -> list[dict[str, str]]:
    with (folder() / "evaluation.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- held-out results ------------------------------------------------------------------------------------------------


def test_auroc_reaches_the_ideal_observer_minus_a_margin(model: Model) -> None:
    metrics = {metric.name: metric for metric in model.manifest.metrics}
    found, ideal = metrics["auroc"], metrics["auroc_ideal_observer"]
    assert found.n == ideal.n == 600
    assert found.low < found.value < found.high
    assert found.value >= ideal.value - IDEAL_MARGIN


def test_ideal_observer_comes_back_from_the_held_out_results(model: Model) -> None:
    rows = evaluation()
    y_true = [int(row["label"]) for row in rows]
    area = roc_auc_score(y_true, [float(row["p_ideal_observer"]) for row in rows])
    (ideal,) = (metric for metric in model.manifest.metrics if metric.name == "auroc_ideal_observer")
    assert ideal.value == pytest.approx(area, abs=6e-5)
    assert 0.85 <= area < 1


def test_held_out_scores_come_back_from_the_phantoms(model: Model) -> None:
    """The first held-out phantoms, made and screened again."""
    seed = int(model.manifest.provenance.datasets[-1].name.rpartition("seed ")[2])
    cases = list(phantom_cases(seed, "test", N_AGAIN))
    rows = evaluation()[:N_AGAIN]
    assert [case.case_id for case in cases] == [row["case"] for row in rows]
    assert [int(case.target) for case in cases] == [int(row["label"]) for row in rows]
    again = probabilities(model, [case.study for case in cases])
    assert again == pytest.approx([float(row["p_osteoporosis"]) for row in rows], abs=0.02)


def test_model_says_that_it_saw_no_patient(model: Model) -> None:
    assert model.manifest.data_kind == "phantom"
    assert model.manifest.statement == DEMO_STATEMENT


# --- sign ------------------------------------------------------------------------------------------------------------


def pair(index: int) -> tuple[Phantom, Phantom]:
    """A hip, and the same film of the same person with a T-score lower by one standard deviation."""
    t_score = float(np.random.default_rng([5, index]).normal(-2.35 + DEVIATION / 2, DEVIATION))
    first, second = (make_phantom(FixedNoise([6, index]), t_score=t) for t in (t_score, t_score - DEVIATION))
    return first, second


def test_pairs_differ_in_the_cause_only() -> None:
    for index in range(3):
        first, second = pair(index)
        assert first.truth["hips"] == second.truth["hips"]
        assert first.meta == second.meta
        assert second.truth["t_score"] == pytest.approx(first.truth["t_score"] - DEVIATION)
        assert second.truth["t_score_dxa"] - first.truth["t_score_dxa"] == pytest.approx(-DEVIATION)


def test_lower_t_score_raises_the_probability_in_ninety_five_of_a_hundred_pairs(model: Model) -> None:
    pairs = [pair(index) for index in range(N_PAIRS)]
    healthier = probabilities(model, [first.study() for first, _ in pairs])
    worse = probabilities(model, [second.study() for _, second in pairs])
    assert np.mean(worse > healthier) >= 0.95
    assert np.median(worse - healthier) > 0.05


# --- explanations ----------------------------------------------------------------------------------------------------


def test_randomised_last_layer_changes_the_explanation(model: Model) -> None:
    """Adebayo et al. 2018: an explanation that survives does not come from what was learnt."""
    network = registry.part("hip_osteoporosis", "network").Network(model.manifest.architecture.name)
    network.load_state_dict(model.network.state_dict())
    torch.manual_seed(0)
    network.last_layer().reset_parameters()
    randomised = Model(model.manifest, network.requires_grad_(False).eval(), model.device, model.folder)
    alike = []
    for index in range(8):
        study = make_phantom(np.random.default_rng([9, index]), t_score=-3.5).study()
        batch = prepare(study, locate(study), model.manifest)
        maps = [explain(m, run(m, batch), 0, "grad_cam", lambda out: out[0]).values for m in (model, randomised)]
        alike.append(
            float(np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]) if maps[1].any() and maps[0].any() else 0
        )
    assert np.median(alike) < 0.7
