"""What is drawn of a table of scores: the numbers of the command, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from core.errors import TableError
from core.evaluation.score_comparisons import compare_models
from core.evaluation.score_example import example_scores
from core.evaluation.score_report import confusion_of, report_scores, threshold_scale
from core.evaluation.scores import measure_scores
from core.io.score_table import Names, ScoreTable, read_scores


def drawn(n: int, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    is_positive = rng.random(n) < 0.3
    return is_positive, 1 / (1 + np.exp(-rng.normal(is_positive * 1.5 - 1, 1)))


def table_of(n: int, patients: NDArray[np.int64] | None = None) -> ScoreTable:
    return ScoreTable(*drawn(n), patients, None, None)


def repeated(table: ScoreTable, times: int) -> ScoreTable:
    """Every row several times, as rows of one patient."""
    rows = np.repeat(np.arange(table.score.size), times)
    return ScoreTable(table.is_positive[rows], table.score[rows], rows, None, None)


# --- thresholds ------------------------------------------------------------------------------------------------------


def test_a_point_is_that_of_the_command_whatever_the_patients() -> None:
    table = repeated(table_of(200), 3)
    found = measure_scores(table, threshold=0.4, prevalence=0.1)["operating_points"]["given"]
    model = report_scores(table).models[""]
    point = model.at(0.4, 0.1)
    for name in ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative"):
        own = getattr(point, name)
        assert found[name] == {"value": round(own.value, 6), "ci": [round(own.low, 6), round(own.high, 6)]}
    assert point.accuracy.low == pytest.approx(
        report_scores(table_of(200)).models[""].at(0.4, 0.1).accuracy.low, abs=0.01
    )
    counts = found["counts"]
    matrix = confusion_of(point).counts
    assert matrix.tolist() == [
        [counts["true_negative"], counts["false_positive"]],
        [counts["false_negative"], counts["true_positive"]],
    ]


@pytest.mark.parametrize(
    ("scores", "step"), [([0, 1] * 50, 0.01), ([0, 0.01] * 50, 0.0001), ([-50, 50] * 50, 1.0), ([7.0] * 100, 0.1)]
)
def test_thresholds_have_round_steps_over_all_scores(scores: list[float], step: float) -> None:
    scale = threshold_scale(ScoreTable(np.arange(100) < 50, np.array(scores, float), None, None, None))
    assert scale.step == pytest.approx(step)
    assert scale.low <= min(scores) <= max(scores) <= scale.high
    assert scale.low < scale.high


@pytest.mark.parametrize("target", [0.8, 0.95, 1.0])
def test_a_target_is_met_by_the_last_threshold_that_does(target: float) -> None:
    model = report_scores(table_of(500)).models[""]
    for rule, aside in (("sensitivity", 1e-6), ("specificity", -1e-6)):
        threshold = model.for_target(rule, target)
        if threshold is None:
            assert (rule, target) == ("specificity", 1.0)
            continue
        assert getattr(model.at(threshold, None), rule).value >= target
        scores = np.sort(model.table.score)
        past = scores[scores > threshold][0] + aside if aside > 0 else scores[scores < threshold][-1]
        assert getattr(model.at(float(past), None), rule).value < target


def test_a_specificity_out_of_reach_has_no_threshold() -> None:
    table = ScoreTable(np.arange(100) % 2 == 0, np.repeat([0.2, 0.7], 50), None, None, None)
    model = report_scores(table).models[""]
    assert model.for_target("specificity", 0.9) is None
    assert model.for_target("sensitivity", 0.9) == pytest.approx(0.2)


def test_models_are_compared_at_the_thresholds_of_the_command() -> None:
    report = report_scores(read_scores(example_scores()))
    for threshold in (None, 0.4):
        (own,) = report.compared_at(threshold)
        (told,) = measure_scores(report.table, threshold=threshold)["comparisons"]
        assert list(own.models) == told["models"]
        assert own.calls.positives.p_value == pytest.approx(told["mcnemar_sensitivity"]["p_value"], rel=0.01)
        assert own.calls.specificity is not None
        assert told["specificity_difference"]["ci"] == [
            round(own.calls.specificity.low, 6),
            round(own.calls.specificity.high, 6),
        ]


def test_scores_that_are_no_probabilities_have_neither_net_benefit_nor_maps() -> None:
    table = table_of(300)
    model = report_scores(ScoreTable(table.is_positive, 10 * table.score, None, None, None)).models[""]
    assert model.decision(None) is None
    assert model.recalibration is None


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_measured_is_refused_with_its_code() -> None:
    with pytest.raises(TableError, match="two of each") as caught:
        report_scores(ScoreTable(np.array([True, False]), np.array([0.2, 0.1]), None, None, None))
    assert caught.value.code == "E_CASES"


@pytest.mark.parametrize(("column", "most"), [("group", 200), ("model", 20)])
def test_a_column_with_too_many_names_is_refused(column: str, most: int) -> None:
    n = 10 * (most + 1)
    table = pd.DataFrame({"label": np.arange(n) % 2, "score": 0.5, column: np.arange(n) % (most + 1)})
    with pytest.raises(TableError, match=f"{most + 1} names in the column {column}, at most {most}"):
        read_scores(table.to_csv(index=False).encode())
    assert read_scores(table[table[column] > 0].to_csv(index=False).encode()).score.size == n - 10


def test_an_upload_is_refused_without_a_name() -> None:
    with pytest.raises(TableError, match="the file has no column score"):
        read_scores(b"label\n1\n")


def test_models_with_too_few_patients_in_common_are_not_compared() -> None:
    is_positive, score = drawn(100)
    a = ScoreTable(is_positive, score, np.arange(100), None, None)
    b = ScoreTable(is_positive, score, np.append(0, np.arange(200, 299)), None, None)
    assert compare_models({"a": a, "b": b}) == []


def test_a_group_of_another_model_is_not_shown() -> None:
    is_positive, score = drawn(200)
    halves = Names(("x", "y"), np.arange(200) // 100)
    report = report_scores(ScoreTable(is_positive, score, None, halves, halves))
    assert [[own.name for own in model.subgroups] for model in report.models.values()] == [["x"], ["y"]]
