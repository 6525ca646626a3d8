"""Statistics of a table of scores: the door, the figures against scikit-learn, subgroups, paired models, the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from core.cli.main import main
from core.errors import UsageError
from core.evaluation.scores import CLUSTERED, DELONG, FEW, measure_scores
from core.io.score_table import ScoreTable, read_scores
from core.metrics.delong import compare_aurocs


def drawn(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """A fifth of the cases is ill and scores higher; every patient has two rows."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.2).astype(int)
    score = 1 / (1 + np.exp(-rng.normal(label * 1.5 - 1, 1)))
    return pd.DataFrame({"label": label, "score": score, "patient": [f"p{k // 2}" for k in range(n)]})


def read(folder: Path, table: pd.DataFrame | str) -> ScoreTable:
    path = folder / "scores.csv"
    path.write_text(table if isinstance(table, str) else table.to_csv(index=False), encoding="utf-8")
    return read_scores(path)


def plain(label: NDArray[np.int64], score: NDArray[np.float64]) -> ScoreTable:
    return ScoreTable(label == 1, score, None, None, None)


# --- the door --------------------------------------------------------------------------------------------------------


def test_columns_come_back_whatever_their_order_and_company(tmp_path: Path) -> None:
    table = read(tmp_path, "\ufeffmodel,score,name,label,group,patient\na,0.25,Doe,1,x,07\nb,1e-3,Roe,0,y,7\n")
    assert table.is_positive.tolist() == [True, False]
    assert table.score.tolist() == [0.25, 0.001]
    assert table.patient is not None
    assert table.group is not None
    assert table.model is not None
    assert len(set(table.patient.tolist())) == 2
    assert (table.group.known, table.model.known) == (("x", "y"), ("a", "b"))
    assert (table.group.place.tolist(), table.model.place.tolist()) == ([0, 1], [0, 1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label,value\n1,2\n", "no column score"),
        ("score\n1\n", "no column label"),
        ("", "cannot be read"),
        ("label,score\n1,0.5\n2,0.5\nx,0.5\n", "2 of 3 rows: a label that is neither 0 nor 1; the first is row 2"),
        ("label,score\n1,0.5\n0,\n", "1 of 2 rows: a score that is no finite number; the first is row 2"),
        ("label,score\n1,inf\n0,1\n", "a score that is no finite number; the first is row 1"),
        ("label,score,patient\n1,0.5,a\n0,0.5,\n", "a row without a patient; the first is row 2"),
        (
            "label,score\n0,1,0.7\n1,0,0.3\n",
            "a row with more values than the 2 columns of the head; the first is row 1",
        ),
        (
            "label,score,group\n0,0.7,a\n\n1,0.3,b, c\n",
            "more values than the 3 columns of the head; the first is row 2",
        ),
        ("a," * 3_000_000 + "label,score\n", "3000002 columns"),
        ("label\n" + "1," * 3_000_000, "more values than the 1 columns"),
        ("label,score,label\n1,0.5,0\n", "more than one column label"),
        ("label;score\n1;0.5\n", "no column label, score"),
        ('label,score\n"1,0.5\n0,0.4\n', "cannot be read|no column|neither 0 nor 1"),
        ("label,score\n1,0.5\n1,0.6\n", "both classes are needed"),
    ],
)
def test_a_bad_table_is_refused_with_its_first_bad_row(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        measure_scores(read(tmp_path, content))


def test_a_column_that_turns_to_words_late_is_refused_without_a_warning(tmp_path: Path) -> None:
    table = "label,score\n" + "0,0.5\n" * 400_000 + "x,0.5\n" + "1,0.5\n" * 400_000
    with pytest.raises(UsageError, match="1 of 800001 rows: a label that is neither 0 nor 1; the first is row 400001"):
        read(tmp_path, table)


def test_bytes_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UsageError):
        read_scores(tmp_path / "scores.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_scores(tmp_path / "missing.csv")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    table = drawn()
    found = measure_scores(read(tmp_path, table))
    label, score = table.label.to_numpy(), table.score.to_numpy()
    assert (found["n"], found["n_subjects"], found["n_positive"]) == (400, 200, label.sum())
    assert found["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(label, score), abs=1e-6)
    expected = average_precision_score(label, score)
    assert found["metrics"]["average_precision"]["value"] == pytest.approx(expected, abs=1e-6)
    assert found["calibration"]["brier_score"] == pytest.approx(brier_score_loss(label, score), abs=1e-6)
    for value in found["metrics"].values():
        assert value["ci"][0] < value["value"] < value["ci"][1]


def test_rows_of_one_patient_widen_the_interval(tmp_path: Path) -> None:
    """Every row four times: the same AUROC; without patients the interval would be half as wide, with them it is not."""
    table = drawn()
    table["patient"] = [f"p{k}" for k in range(len(table))]
    fourfold = pd.concat([table] * 4)
    once, four, blind = (
        measure_scores(read(tmp_path, own)) for own in (table, fourfold, fourfold.drop(columns="patient"))
    )
    widths = [np.diff(own["metrics"]["auroc"]["ci"])[0] for own in (once, four, blind)]
    assert widths[1] == pytest.approx(widths[0], rel=0.01)
    assert widths[2] == pytest.approx(widths[0] / 2, rel=0.02)
    assert [own["intervals"] for own in (once, four, blind)] == [CLUSTERED, CLUSTERED, DELONG]


def test_bootstrap_on_request_agrees_with_delong(tmp_path: Path) -> None:
    table = read(tmp_path, drawn(2000))
    ours, asked = measure_scores(table), measure_scores(table, n_resamples=1000)
    assert asked["metrics"]["auroc"]["ci"] == pytest.approx(ours["metrics"]["auroc"]["ci"], abs=0.004)
    assert asked["intervals"] == "bootstrap over patients, 1000 resamples"
    assert asked == measure_scores(table, n_resamples=1000)


def test_equal_scores_are_worth_one_half() -> None:
    found = measure_scores(plain(np.arange(40) % 2, np.full(40, 0.3)))
    assert found["metrics"]["auroc"]["value"] == 0.5
    assert found["metrics"]["auroc"]["ci"][0] < 0.4 < 0.6 < found["metrics"]["auroc"]["ci"][1]


def test_a_threshold_counts_and_one_chosen_here_says_so(tmp_path: Path) -> None:
    table = drawn()
    found = measure_scores(read(tmp_path, table), threshold=0.5, prevalence=0.02)["operating_points"]["given"]
    called = table.score >= 0.5
    counts = found["counts"]
    assert counts["true_positive"] == (called & (table.label == 1)).sum()
    assert counts["false_positive"] == (called & (table.label == 0)).sum()
    sensitivity, specificity = called[table.label == 1].mean(), (~called)[table.label == 0].mean()
    assert found["sensitivity"]["value"] == pytest.approx(sensitivity, abs=1e-6)
    assert found["specificity"]["value"] == pytest.approx(specificity, abs=1e-6)
    ppv = sensitivity * 0.02 / (sensitivity * 0.02 + (1 - specificity) * 0.98)
    assert found["ppv"]["value"] == pytest.approx(ppv, abs=1e-6)
    assert "too good" in measure_scores(read(tmp_path, table))["operating_points"]["youden"]["chosen_on"]


def test_net_benefit_weighs_false_alarms_by_the_threshold(tmp_path: Path) -> None:
    table = drawn()
    curve = measure_scores(read(tmp_path, table))["decision_curve"]
    place = curve["thresholds"].index(0.2)
    called = table.score >= 0.2
    true, false = (called & (table.label == 1)).mean(), (called & (table.label == 0)).mean()
    assert curve["net_benefit"][place] == pytest.approx(true - false * 0.2 / 0.8, abs=1e-6)
    share = table.label.mean()
    assert curve["treat_all"][place] == pytest.approx(share - (1 - share) * 0.2 / 0.8, abs=1e-6)


def test_scores_that_are_no_probabilities_have_no_calibration(tmp_path: Path) -> None:
    table = drawn()
    logits = np.log(table.score / (1 - table.score))
    found = measure_scores(read(tmp_path, table.assign(score=logits)))
    assert found["calibration"] is None
    assert found["decision_curve"] is None
    assert found["metrics"] == measure_scores(read(tmp_path, table))["metrics"]


# --- subgroups and models --------------------------------------------------------------------------------------------


def test_subgroups_are_measured_alone_and_small_ones_marked(tmp_path: Path) -> None:
    table = drawn(800)
    table["group"] = np.where(np.arange(800) < 40, "few", np.where(np.arange(800) < 790, "many", "well"))
    table.loc[table.group == "well", "label"] = 0
    groups = measure_scores(read(tmp_path, table))["subgroups"]
    assert {name: own["is_few"] for name, own in groups.items()} == {"few": True, "many": False, "well": True}
    assert groups["well"]["auroc"] is None
    own = table[table.group == "many"]
    assert groups["many"]["n"] == 750
    assert groups["many"]["n_positive"] == own.label.sum() >= FEW
    assert groups["many"]["auroc"]["value"] == pytest.approx(roc_auc_score(own.label, own.score), abs=1e-6)


def two_models(n: int = 300) -> pd.DataFrame:
    a = drawn(n).assign(patient=[f"p{k}" for k in range(n)], model="ours")
    worse = a.score + np.random.default_rng(1).normal(0, 0.3, n)
    return pd.concat([a, a.assign(score=worse, model="theirs").sample(frac=1, random_state=2)])


def test_two_models_are_compared_on_the_same_patients_whatever_the_order(tmp_path: Path) -> None:
    table = two_models()
    found = measure_scores(read(tmp_path, table))
    ours, theirs = (table[table.model == name].sort_values("patient") for name in ("ours", "theirs"))
    expected = compare_aurocs(ours.label, ours.score, theirs.score)
    (compared,) = found["comparisons"]
    assert (compared["models"], compared["n"]) == (["ours", "theirs"], 300)
    assert compared["auroc_difference"]["value"] == pytest.approx(expected.difference.value, abs=1e-6)
    assert compared["auroc_difference"]["ci"] == pytest.approx(
        [expected.difference.low, expected.difference.high], abs=1e-6
    )
    assert compared["p_value"] == pytest.approx(expected.p_value, rel=0.01)
    cuts = [found["operating_points"][name]["youden"]["threshold"] for name in ("ours", "theirs")]
    right = [
        (own.score >= cut).to_numpy() == (own.label == 1).to_numpy()
        for own, cut in zip((ours, theirs), cuts, strict=True)
    ]
    for name, members in (("sensitivity", ours.label == 1), ("specificity", ours.label == 0)):
        only_first = (right[0] & ~right[1])[members.to_numpy()].sum()
        only_second = (right[1] & ~right[0])[members.to_numpy()].sum()
        test = compared[f"mcnemar_{name}"]
        assert (test["only_first_right"], test["only_second_right"]) == (only_first, only_second)
        difference = compared[f"{name}_difference"]
        assert difference["value"] == pytest.approx((only_first - only_second) / members.sum(), abs=1e-6)
        assert difference["ci"][0] <= difference["value"] <= difference["ci"][1]
        if test["is_exact"]:
            expected_p = binomtest(only_first, only_first + only_second).pvalue
            assert test["p_value"] == pytest.approx(expected_p, rel=0.01)
    assert found["metrics"]["theirs"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(theirs.label, theirs.score), abs=1e-6
    )
    assert set(found["operating_points"]) == {"ours", "theirs"}


def test_models_whose_rows_cannot_be_matched_are_not_compared(tmp_path: Path) -> None:
    table = two_models()
    assert measure_scores(read(tmp_path, table.drop(columns="patient")))["comparisons"] == []
    several = table.assign(patient=table.patient.str[:-1])
    assert measure_scores(read(tmp_path, several))["comparisons"] == []
    table.loc[(table.model == "theirs") & (table.patient == "p7"), "label"] ^= 1
    with pytest.raises(UsageError, match="label differs from model to model"):
        measure_scores(read(tmp_path, table))


# --- the command -----------------------------------------------------------------------------------------------------


def test_command_writes_the_same_bytes_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn().to_csv(tmp_path / "scores.csv", index=False)
    command = ["evaluate", "--scores", str(tmp_path / "scores.csv"), "--json", str(tmp_path / "found.json")]
    assert main(command) == 0
    first = (tmp_path / "found.json").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "found.json").read_bytes() == first
    found = json.loads(first)
    said = capsys.readouterr().out
    assert f"auroc: {found['metrics']['auroc']['value']:.3f} (" in said
    assert "400 cases of 200 subjects" in said
    assert CLUSTERED in said


def test_command_takes_scores_or_a_task_with_images(tmp_path: Path) -> None:
    drawn().to_csv(tmp_path / "scores.csv", index=False)
    assert main(["evaluate"]) == 2
    assert main(["evaluate", "hip_osteoporosis"]) == 2
    assert main(["evaluate", "hip_osteoporosis", "--scores", str(tmp_path / "scores.csv")]) == 2
