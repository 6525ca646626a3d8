"""The page "Evaluation" without a browser: no table, good ones, refused ones, the threshold, models, groups, languages."""

import json
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_pages import open_page, says, words
from sklearn.metrics import classification_report, roc_auc_score
from streamlit.testing.v1 import AppTest

from core.cli.main import main
from core.errors import MESSAGES
from core.evaluation.score_example import example_scores
from core.evaluation.score_report import report_scores
from core.evaluation.scores import FEW
from core.i18n import LANGUAGES, Translator
from core.io.score_table import read_scores
from core.metrics.sample_size import cases_for_auroc
from pages.parts.words import literal

OWN = "Youden's threshold was chosen on these very cases: sensitivity and specificity look better than they are."


def drawn(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3).astype(int)
    score = 1 / (1 + np.exp(-rng.normal(label * 1.5 - 1, 1)))
    return pd.DataFrame({"label": label, "score": score})


def opened(table: pd.DataFrame | bytes, name: str = "scores.csv", language: str = "en") -> AppTest:
    app = open_page("evaluate", language=language, evaluation__mode="scores")
    data = table if isinstance(table, bytes) else table.to_csv(index=False).encode()
    app.file_uploader(key="evaluation.upload").set_value((name, data, "text/csv")).run()
    assert not app.exception
    return app


def measures(app: AppTest) -> pd.DataFrame:
    """The table of the threshold: statistic, value, interval, cases."""
    return next(table.value for table in app.table if "Statistic" in table.value.columns)


def charts(app: AppTest) -> dict[str, str]:
    """Alternative text of every figure by the last part of its key."""
    found = {}
    for element in app.get("plotly_chart"):
        found[element.proto.id.rpartition(".")[2]] = element.proto.alt
    return found


def compared(app: AppTest, language: str = "en") -> list[pd.DataFrame]:
    """The tables of models: AUROCs, calls."""
    head = Translator(language)("First model")
    return [table.value for table in app.table if head in table.value.columns]


def rows_of(app: AppTest, head: str) -> pd.DataFrame:
    """The table with a column of this name."""
    return next(table.value for table in app.table if head in table.value.columns)


# --- before a table --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_table_the_page_says_what_one_looks_like(language: str) -> None:
    app = open_page("evaluate", language=language, evaluation__mode="scores")
    assert says(app, "0 or 1: what the reference says", language)
    assert says(app, "{n} rows drawn at random (seed {seed}): nobody's scores.", language, n=680, seed=20261129)
    assert not app.metric
    assert not app.get("plotly_chart")
    columns = app.table[1].value
    assert list(columns.columns) == ["patient", "label", "score", "group", "model"]


def test_the_example_is_the_same_every_time_and_passes_its_own_door() -> None:
    assert example_scores() == example_scores()
    report = report_scores(read_scores(example_scores()))
    assert list(report.models) == ["model 1", "model 2"]
    assert [own.is_few for own in report.models["model 1"].subgroups] == [False, False, True]
    assert len(report.comparisons) == 1


# --- a table ---------------------------------------------------------------------------------------------------------


def test_a_table_is_measured_and_its_checks_are_shown() -> None:
    table = drawn()
    app = opened(table)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["AUROC"] == f"{roc_auc_score(table.label, table.score):.3f}"
    assert shown["Rows"] == shown["n"] == "400"
    assert shown["Patients"] == shown["Models"] == shown["Groups"] == "–"
    assert shown["Positive rows"].startswith(str(table.label.sum()))
    assert shown["Brier score"] == f"{np.mean((table.score - table.label) ** 2):.3f}"
    assert says(app, "95 % interval of the AUROC: DeLong, every row another patient.")
    assert OWN in words(app)
    assert set(charts(app)) == {"roc", "pr", "scores", "confusion", "calibration", "decision", "recalibration"}


def test_another_table_takes_the_first_away_and_none_all_of_them() -> None:
    app = opened(drawn())
    app.file_uploader(key="evaluation.upload").set_value(("b.csv", drawn(500).to_csv().encode(), "text/csv")).run()
    assert {metric.label: metric.value for metric in app.metric}["n"] == "500"
    app.file_uploader(key="evaluation.upload").set_value(None).run()
    assert not app.metric
    assert "evaluation.read" not in app.session_state


def test_rows_of_one_patient_are_said_and_measured_as_such() -> None:
    table = drawn()
    once = opened(table)
    app = opened(pd.concat([table.assign(patient=range(400))] * 4))
    assert says(app, "Some patients have several rows: intervals count patients")
    shown = [{m.label: (m.value, m.delta) for m in own.metric} for own in (app, once)]
    assert shown[0]["AUROC"][1][:4] == shown[1]["AUROC"][1][:4]
    assert (shown[0]["n"][0], shown[0]["Patients"][0]) == ("1,600", "400")
    assert measures(app).iloc[0, 2][:4] == measures(once).iloc[0, 2][:4]
    assert "too narrow" in words(app)


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    table = drawn()
    app = opened(table.assign(score=np.log(table.score / (1 - table.score))))
    assert says(app, "Scores outside 0 to 1 are no probabilities: no Brier score and no calibration")
    assert {metric.label: metric.value for metric in app.metric}["Brier score"] == "–"
    assert says(app, "No decision curve: these scores are no probabilities from 0 to 1.")
    assert set(charts(app)) == {"roc", "pr", "scores", "confusion"}


@pytest.mark.parametrize("scores", [[0.3] * 60, list(np.linspace(-900, 900, 60)), list(np.linspace(0, 1e-7, 60))])
def test_the_slider_fits_any_scale(scores: list[float]) -> None:
    app = opened(pd.DataFrame({"label": [0, 1] * 30, "score": scores}))
    slider = app.slider[0]
    assert slider.min <= min(scores)
    assert slider.max >= max(scores)
    assert slider.step * 10_000 >= slider.max - slider.min


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"\x00\xff\xfe\x81" * 50, "E_TABLE", "cannot be read"),
        (b"label,value\n1,2\n", "E_COLUMN", "no column score"),
        (b"label,score\n1,0.5\n2,0.5\n", "E_ROW", "1 of 2 rows: a label that is neither 0 nor 1; the first is row 2"),
        (b"label,score\n", "E_ROW", "no row"),
        (b"label,score\n1,0.5\n1,0.6\n", "E_CASES", "both classes are needed"),
        (b"label,score\n1,0.5\n0,0.6\n", "E_CASES", "an interval needs two of each"),
    ],
)
def test_a_refused_table_gets_its_reason_and_no_statistics(data: bytes, code: str, reason: str, language: str) -> None:
    app = opened(data, "Doe_John_19500101.csv", language)
    t, message = Translator(language), MESSAGES[code]
    said = words(app)
    for sentence in (message.what, message.wanted, message.next_step):
        assert t(sentence) in said
    assert code in said
    assert reason in said
    assert "Doe" not in said
    assert "Traceback" not in said
    assert not app.metric
    assert says(app, "0 or 1: what the reference says", language)


def test_too_many_groups_are_refused() -> None:
    app = opened(drawn().assign(group=range(400)))
    assert "400 names in the column group, at most 200" in words(app)


# --- the threshold ---------------------------------------------------------------------------------------------------


def test_one_slider_moves_every_number() -> None:
    app = opened(drawn())
    before, drawings = measures(app), charts(app)
    app.slider[0].set_value(0.7).run()
    assert not app.exception
    after = measures(app)
    assert (before.iloc[:, 1] != after.iloc[:, 1]).all()
    assert (before.iloc[:4, 3] != after.iloc[:4, 3]).all()
    moved = {name for name, alt in charts(app).items() if alt != drawings[name]}
    assert moved == set(drawings) - {"calibration", "recalibration"}  # which have no threshold
    assert OWN not in words(app)
    assert says(app, "A threshold set by hand. It counts only if it was fixed before these cases were seen.")


def test_the_table_is_that_of_the_threshold() -> None:
    table = drawn()
    app = opened(table)
    app.slider[0].set_value(0.5).run()
    called = table.score >= 0.5
    true_positive = int((called & (table.label == 1)).sum())
    row = measures(app).iloc[0]
    assert row.iloc[1] == f"{true_positive / table.label.sum():.3f}"
    assert row.iloc[3] == f"{true_positive} of {table.label.sum()}"


def test_a_stated_prevalence_moves_predictive_values_only() -> None:
    app = opened(drawn())
    before = measures(app)
    app.number_input[0].set_value(1.0).run()
    after = measures(app)
    assert (before.iloc[:, 1] != after.iloc[:, 1]).tolist() == [False, False, True, True, False, False]
    assert float(after.iloc[2, 1]) < 0.1
    assert says(
        app,
        "Predictive values hold at a prevalence of {prevalence} %: where fewer have the finding, fewer alarms are right.",
        prevalence="1.00",
    )


# --- where the threshold comes from ----------------------------------------------------------------------------------


def rule(app: AppTest, name: str) -> AppTest:
    control = next(own for own in app.segmented_control if own.label == "Operating point")
    control.set_value(name).run()
    assert not app.exception
    return app


@pytest.mark.parametrize(("name", "row"), [("sensitivity", 0), ("specificity", 1)])
def test_a_wanted_sensitivity_or_specificity_moves_the_slider_and_says_so(name: str, row: int) -> None:
    app = opened(drawn())
    start = app.slider[0].value
    rule(app, name)
    assert says(
        app, "This threshold was chosen on these very cases: sensitivity and specificity look better than they are."
    )
    assert app.slider[0].value != start
    target = next(own for own in app.number_input if own.label == "At least, %")
    for wanted in (80.0, 99.0):
        target.set_value(wanted).run()
        assert float(measures(app).iloc[row, 1]) >= wanted / 100 - 0.0005
        target = next(own for own in app.number_input if own.label == "At least, %")
    app.slider[0].set_value(0.5).run()
    assert says(app, "A threshold set by hand. It counts only if it was fixed before these cases were seen.")
    rule(app, "youden")
    assert app.slider[0].value == start
    assert OWN in words(app)


def test_a_specificity_out_of_reach_is_said() -> None:
    app = opened(pd.DataFrame({"label": [0, 1] * 60, "score": [0.2, 0.2, 0.7, 0.7] * 30}))
    before = app.slider[0].value
    rule(app, "specificity")
    assert says(app, "No threshold reaches this specificity on these cases.")
    assert app.slider[0].value == before


def with_card() -> None:
    from core.evaluation.score_example import example_scores
    from core.evaluation.score_report import report_scores
    from core.io.score_table import read_scores
    from pages.parts.evaluation_panels import show_panels
    from pages.parts.evaluation_point import show_point

    report = report_scores(read_scores(example_scores()))
    model = report.models["model 1"]
    card = {"ruled *in*": 0.4567, "ruled out": 0.1}
    show_panels(model, show_point(report, model, "own", card), "own", card)


def test_thresholds_of_a_card_come_first_and_are_no_choice_of_these_cases() -> None:
    app = AppTest.from_function(with_card, default_timeout=60).run()
    assert not app.exception
    assert app.slider[0].value == 0.46
    assert says(app, "Threshold of the card, chosen before these cases were seen.")
    assert OWN not in words(app)
    model = report_scores(read_scores(example_scores())).models["model 1"]
    assert measures(app).iloc[0, 1] == f"{model.at(0.4567, None).sensitivity.value:.3f}"
    table = rows_of(app, "Operating point")
    assert table["Operating point"].tolist() == [r"ruled \*in\*", "ruled out", "Youden's on these very cases"]
    assert table["Threshold"].tolist()[:2] == ["0.46", "0.10"]
    assert table.iloc[1, 2].startswith(f"{model.at(0.1, None).sensitivity.value:.2f}")
    rule(app, "card.ruled out")
    assert app.slider[0].value == 0.1
    assert says(app, "Threshold of the card, chosen before these cases were seen.")
    rule(app, "youden")
    assert OWN in words(app)


# --- decisions and recalibration -------------------------------------------------------------------------------------


def test_the_classification_report_is_that_of_scikit_learn() -> None:
    table = drawn()
    app = opened(table)
    app.slider[0].set_value(0.5).run()
    expected = classification_report(table.label, (table.score >= 0.5).astype(int), output_dict=True)
    shown = rows_of(app, "Support")
    for row, name in enumerate(("0", "1", "macro avg", "weighted avg")):
        own = expected[name]
        assert shown.iloc[row, 1:4].tolist() == [f"{own[key]:.2f}" for key in ("precision", "recall", "f1-score")]
        assert shown.iloc[row, 4] == f"{own['support']:.0f}"


def test_the_net_benefit_follows_threshold_and_prevalence() -> None:
    table = drawn()
    app = opened(table)
    app.slider[0].set_value(0.5).run()
    called = table.score >= 0.5
    benefit = (called & (table.label == 1)).mean() - (called & (table.label == 0)).mean()  # odds of 1
    assert f"At the operating point 0.50 the net benefit is {benefit:.3f}." in charts(app)["decision"]
    next(own for own in app.number_input if own.label == "Prevalence, %").set_value(5.0).run()
    assert "at a prevalence of 0.050" in charts(app)["decision"]


def test_recalibration_is_measured_on_the_other_half() -> None:
    table = drawn(2000)
    odds = table.score / (1 - table.score)
    table["score"] = odds**2 / (1 + odds**2)  # twice as sure as it should be
    app = opened(table)
    shown = rows_of(app, "Map")
    trial = report_scores(read_scores(table.to_csv(index=False).encode())).models[""].recalibration
    assert trial is not None
    assert says(
        app,
        "Fitted on one random half of the patients (n = {n_fitted}, {n_fitted_positive} positive), shown on the other "
        "(n = {n}, {n_positive} positive).",
        n_fitted="1,000",
        n_fitted_positive=str(trial.n_fitted_positive),
        n="1,000",
        n_positive=str(trial.before.n_positive),
    )
    assert shown["Probabilities"].tolist() == ["As they came", "Temperature", "Platt's line", "Isotonic"]
    briers = shown["Brier score"].astype(float).tolist()
    assert briers[0] == pytest.approx(trial.before.brier_score, abs=0.0005)
    assert briers[2] < briers[0]
    first = charts(app)["recalibration"]
    next(own for own in app.segmented_control if own.label == "Map").set_value("temperature").run()
    assert charts(app)["recalibration"] != first


def test_too_few_rows_are_not_recalibrated() -> None:
    app = opened(drawn(80))
    assert says(
        app,
        "No recalibration: it takes {few} positive and {few} negative rows in each half of the patients.",
        few=FEW,
    )
    assert "recalibration" not in charts(app)


# --- how many cases --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_table", [False, True])
def test_sample_sizes_need_no_table(has_table: bool) -> None:
    app = opened(drawn()) if has_table else open_page("evaluate")
    app.number_input(key="evaluation.plan.half_width").set_value(0.1).run()
    shown = rows_of(app, "All cases").set_index("Statistic")
    plan = cases_for_auroc(0.85, 0.1, 0.2)
    assert shown.loc["AUROC"].tolist() == [str(plan.n_positive), str(plan.n_negative), str(plan.n_cases)]
    assert shown.loc["Sensitivity, Buderer", "Positive cases"] == "35"  # 1.96^2 * 0.9 * 0.1 / 0.1^2 = 34.6
    assert int(shown.loc["Specificity", "Negative cases"]) >= 35


# --- models and groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_shows_models_groups_and_their_comparison(language: str) -> None:
    app = open_page("evaluate", language=language, evaluation__mode="scores")
    app.segmented_control(key="evaluation.source").set_value("example").run()
    assert not app.exception
    assert says(app, "Simulated data only: numbers carry no clinical meaning", language)
    assert says(app, "Models compared", language)
    assert says(
        app, "Lowest first. Fewer than {few} positive or negative rows are too few to tell anything.", language, few=FEW
    )
    assert set(charts(app)) >= {"groups", "decision", "recalibration"}
    aurocs, calls = compared(app, language)
    assert aurocs.iloc[0, -1] == "<\u202f0.001"
    assert calls.shape == (1, 7)


def test_each_model_has_its_own_figures_and_threshold() -> None:
    app = open_page("evaluate", evaluation__mode="scores")
    app.segmented_control(key="evaluation.source").set_value("example").run()
    app.slider[0].set_value(0.8).run()
    first = {metric.label: metric.value for metric in app.metric}
    next(box for box in app.selectbox if box.label == "Model on show").set_value(1).run()
    assert not app.exception
    second = {metric.label: metric.value for metric in app.metric}
    assert first["AUROC"] > second["AUROC"]
    assert first["Rows"] == second["Rows"]
    assert OWN in words(app)


def test_groups_are_drawn_lowest_first_and_few_last() -> None:
    app = open_page("evaluate", evaluation__mode="scores")
    app.segmented_control(key="evaluation.source").set_value("example").run()
    groups = charts(app)["groups"]
    places = [groups.index(name) for name in ("clinic A", "clinic B", "clinic C")]
    assert places[2] == max(places)
    assert "too few in a class" in groups[places[2] :]
    assert all(a != b for a, b in pairwise(sorted(places)))


def test_models_without_patients_are_not_compared() -> None:
    table = pd.concat([drawn().assign(model=name) for name in "ab"])
    app = opened(table)
    assert says(app, "A comparison needs the column patient, and one row a patient and model.")


def test_calls_are_compared_at_the_threshold_in_force() -> None:
    app = open_page("evaluate", evaluation__mode="scores")
    app.segmented_control(key="evaluation.source").set_value("example").run()
    assert says(app, "Each at its own Youden threshold, which was chosen on these very cases:")
    app.slider[0].set_value(0.5).run()
    assert says(app, "Both at the threshold above:")
    table = pd.read_csv(BytesIO(example_scores()))
    a, b = (own.set_index("patient").sort_index() for _, own in table.groupby("model"))
    is_ill = a.label == 1
    right = [(own.score >= 0.5) == is_ill for own in (a, b)]
    (row,) = compared(app)[1].itertuples(index=False)
    for cells, members in ((row[3:5], is_ill), (row[5:7], ~is_ill)):
        only_a, only_b = ((right[i] & ~right[1 - i])[members].sum() for i in (0, 1))
        assert cells[0].replace("\u2212", "-").startswith(f"{(only_a - only_b) / members.sum():.3f}")
        assert cells[1].endswith(f"({only_a} : {only_b})")


def test_names_from_the_table_are_shown_as_text() -> None:
    name = "![x](http://192.0.2.1/z.png) **b** <b>"
    table = drawn().assign(patient=range(400), group=name)
    app = opened(pd.concat([table.assign(model=name), table.assign(model="plain")]))
    for table in compared(app):
        assert table.iloc[0, 0] == literal(name)
    assert literal(name).startswith(r"\!\[x\]\(http\:\/\/192\.0\.2\.1")
    assert name not in "\n".join(element.value for element in app.markdown)


# --- saved statistics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threshold", "prevalence"), [(None, None), (0.4, None), (0.4, 0.02)])
def test_saved_statistics_are_those_of_the_command(
    tmp_path: Path, threshold: float | None, prevalence: float | None
) -> None:
    (tmp_path / "scores.csv").write_bytes(example_scores())
    command = ["evaluate", "--scores", str(tmp_path / "scores.csv"), "--json", str(tmp_path / "found.json")]
    command += [] if threshold is None else ["--threshold", str(threshold)]
    command += [] if prevalence is None else ["--prevalence", str(prevalence)]
    assert main(command) == 0
    expected = json.loads((tmp_path / "found.json").read_text())
    saved = json.loads(report_scores(read_scores(example_scores())).to_json(threshold, prevalence))
    assert saved.pop("command").startswith("python -m core evaluate --scores scores.csv")
    expected.pop("command")
    assert saved == expected


def test_the_page_offers_the_example_and_the_statistics() -> None:
    app = opened(drawn())
    assert [button.label for button in app.get("download_button")] == ["Example table (CSV)", "Statistics (JSON)"]
