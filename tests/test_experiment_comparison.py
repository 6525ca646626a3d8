"""Arms on the same unseen patients: the flip test against McNemar's, Holm, and what is read from files of results."""

import csv
from pathlib import Path

import numpy as np
import pytest
from app_pages import open_page, words
from scipy import stats
from test_experiment_results import written

from core.errors import UsageError
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.comparison import compared
from core.experiments.results import installed_results
from core.experiments.summary import UNSEEN, run_name
from core.manifest import DEMO_STATEMENT
from core.metrics.paired import flip_test, mcnemar_test
from pages.parts import laboratory

ARMS = [arm.name for arm in EXPERIMENTS["knee_layers"].arms]


def marks(n: int, chance: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < chance


def with_marks(folder: Path, columns: dict[str, list[str]], patients: list[int]) -> Path:
    with (folder / UNSEEN).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["case", "patient", *columns])
        for case, patient in enumerate(patients):
            table.writerow([case + 1, patient, *(own[case] for own in columns.values())])
    return folder


def test_one_case_a_patient_and_one_answer_is_mcnemars_exact_test() -> None:
    for seed in range(4):
        a, b = marks(30, 0.8, seed), marks(30, 0.55, seed + 100)
        exact = mcnemar_test(a, b)
        assert exact.is_exact
        sampled = flip_test(a.astype(float) - b, np.arange(30))
        assert sampled == pytest.approx(exact.p_value, abs=4 * np.sqrt(exact.p_value / 20_000) + 1e-4)


def test_any_measure_is_tested_as_scipy_does() -> None:
    difference = np.random.default_rng(0).normal(0.3, 1, 12)
    expected = stats.permutation_test(
        (difference, np.zeros(12)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert flip_test(difference, np.arange(12)) == pytest.approx(expected, abs=0.015)


def test_cases_of_one_patient_are_flipped_together() -> None:
    difference = np.repeat([1.0, 1.0, 1.0], 10)
    assert flip_test(difference, np.repeat([1, 2, 3], 10)) == pytest.approx(0.25, abs=0.02)  # 2 of 8 flips
    assert flip_test(difference, np.arange(30)) < 0.001
    assert flip_test(np.zeros(5), np.arange(5)) == 1
    with pytest.raises(UsageError, match="differences"):
        flip_test([0.5, np.nan], [1, 2])


def test_the_best_arm_is_compared_with_each_other_one(tmp_path: Path) -> None:
    right = {ARMS[0]: (0.3, 1), ARMS[1]: (0.9, 2), ARMS[2]: (0.85, 3)}
    columns = {
        run_name(arm, "by_patient", seed, 0): [str(int(one)) for one in marks(60, chance, 10 * own + seed)]
        for arm, (chance, own) in right.items()
        for seed in (0, 1)
    }
    columns[run_name(ARMS[0], "inside", 0, 0)] = ["1"] * 60  # of another protocol
    columns[run_name(ARMS[1], "by_patient", 2, 0)] = [""] * 60  # diverged
    folder = with_marks(tmp_path, columns, [case // 2 for case in range(60)])
    first, second = compared(folder, ARMS, "by_patient")
    means = {
        arm: np.mean([np.array(columns[run_name(arm, "by_patient", s, 0)], float) for s in (0, 1)]) for arm in ARMS
    }
    assert (first.best, first.other, second.other) == (ARMS[1], ARMS[0], ARMS[2])
    assert first.difference.value == pytest.approx(means[ARMS[1]] - means[ARMS[0]])
    assert (first.n_cases, first.n_patients) == (60, 30)
    assert first.are_apart
    assert first.difference.low > 0
    assert first.p_holm == pytest.approx(2 * first.p_value)  # the smaller of two
    assert second.p_holm == pytest.approx(max(second.p_value, first.p_holm))
    assert not second.are_apart
    assert compared(folder, ARMS[:1], "by_patient") == []


def test_a_case_without_a_mark_is_left_out_and_a_spoilt_file_refused(tmp_path: Path) -> None:
    columns = {
        run_name(ARMS[0], "by_patient", 0, 0): ["1", "", "0.5"],
        run_name(ARMS[1], "by_patient", 0, 0): ["0"] * 3,
    }
    (found,) = compared(with_marks(tmp_path, columns, [1, 2, 3]), ARMS, "by_patient")
    assert (found.n_cases, found.difference.value) == (2, 0.75)
    columns[run_name(ARMS[0], "by_patient", 0, 0)][0] = "right"
    with pytest.raises(UsageError, match="run the experiment again"):
        compared(with_marks(tmp_path, columns, [1, 2, 3]), ARMS, "by_patient")
    assert compared(tmp_path / "none", ARMS, "by_patient") == []


@pytest.mark.parametrize("name", [name for name, own in installed_results().items() if (own.folder / UNSEEN).is_file()])
def test_marks_of_committed_results_are_those_of_their_runs(name: str) -> None:
    results = installed_results()[name]
    with (results.folder / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    with (results.folder / UNSEEN).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows[0]) == 3 + len(runs)
    is_simulated = results.summary["data"] == "phantoms"
    assert {row["statement"] for row in rows} == {DEMO_STATEMENT if is_simulated else ""}
    for run in runs:
        own = [row[run_name(run["arm"], run["protocol"], run["seed"], run["fold"])] for row in rows]
        assert len(own) == int(run["unseen_cases"])
        if run.get("unseen_k"):
            assert sum(map(float, own)) == int(run["unseen_k"])


def test_the_page_says_which_arms_cannot_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = dict.fromkeys(ARMS, (0.4, 0.1))
    folder = written(tmp_path, "knee_layers", {"by_patient": arms})
    own = {ARMS[0]: ["0"] * 40, ARMS[1]: ["1"] * 40, ARMS[2]: ["1"] * 39 + ["0"]}
    with_marks(folder, {run_name(arm, "by_patient", 0, 0): cells for arm, cells in own.items()}, list(range(40)))
    monkeypatch.setattr(laboratory, "installed_results", lambda: installed_results(tmp_path))
    app = open_page("experiments")
    assert f"{ARMS[1]} cannot be told apart from: {ARMS[2]}." in words(app)
    table = app.table[1].value
    assert table["p (Holm)"].tolist() == ["< 0.001", "1.000"]
    assert table["Patients"].tolist() == ["40", "40"]
