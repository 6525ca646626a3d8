"""Results of experiments read back: the table, curves, and the words about what was published."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_pages import open_page, says, words

from core.errors import UsageError
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.results import installed_results, read_results
from core.figures.arms import ArmPoint, ArmSeries, arms_alt, arms_figure
from core.i18n import LANGUAGES, Translator
from pages.parts import laboratory

CT = "ct_alpha"


def cell(mean: float, half: float) -> dict[str, Any]:
    return {"mean": mean, "sd": half, "low": mean - half, "high": mean + half, "n_seeds": 3}


def written(root: Path, name: str, unseen: dict[str, dict[str, tuple[float, float]]], measured: float = 0.1) -> Path:
    """Results with these numbers by protocol and arm: mean and half width on unseen patients."""
    declared, folder = EXPERIMENTS[name], root / name
    folder.mkdir(parents=True)
    entries = []
    for protocol, arms in unseen.items():
        for arm, (mean, half) in arms.items():
            published = declared.arm(arm).published
            entries.append(
                {
                    "arm": arm,
                    "protocol": protocol,
                    "published": published
                    and {"value": published.value, "unit": published.unit, "source": published.source},
                    "n_runs": 3,
                    "n_diverged": 0,
                    "metrics": {
                        f"unseen_{declared.metric}": cell(mean, half),
                        f"validation_{declared.metric}": cell(mean + measured, half),
                        "seconds": cell(4.0, 1.0),
                    },
                }
            )
    summary = {"experiment": name, "task": declared.task, "fast": True, "data": "phantoms", "metric": declared.metric}
    summary |= {"n_seeds": 3, "n_folds": 1, "input_side": None, "only_in_full": [], "arms": entries}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "recipe": {"epochs": 2}}))
    (folder / "command.txt").write_text(f"python -m core experiment {name} --fast\n")
    (folder / "runs.csv").write_text("experiment\n")
    with (folder / "curves.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["experiment", "arm", "protocol", "seed", "fold", "epoch", "train_loss", "validation_loss"])
        for seed in (0, 1):
            for epoch in (1, 2):
                table.writerow(
                    [name, next(iter(next(iter(unseen.values())))), "by_patient", seed, 0, epoch, seed + epoch, ""]
                )
    return folder


def with_published(n: int) -> tuple[str, list[str]]:
    """An experiment with at least so many published arms, the best first."""
    for own in EXPERIMENTS.values():
        arms = [arm for arm in own.arms if arm.published]
        if len(arms) >= n and "by_patient" in own.protocols:
            ranked = sorted(arms, key=lambda arm: -arm.published.share if arm.published else 0.0)
            return own.id, [arm.name for arm in ranked]
    raise AssertionError("no experiment with published arms")


@pytest.mark.parametrize(
    ("best", "rival", "verdict"), [(0.9, 0.5, "held"), (0.5, 0.9, "not held"), (0.72, 0.7, "open")]
)
def test_the_published_order_is_judged_by_intervals_on_unseen_patients(
    tmp_path: Path, best: float, rival: float, verdict: str
) -> None:
    name, arms = with_published(2)
    numbers = {arms[0]: (best, 0.05), arms[1]: (rival, 0.05)}
    written(tmp_path, name, {"by_patient": numbers})
    (claim,) = read_results(name, tmp_path).claims()
    assert claim.verdict == verdict
    assert (claim.values["best"], claim.values["rival"]) == (arms[0], arms[1])
    assert f"{best:.3f}" in claim.values["own"]


def test_a_leaky_protocol_is_told_by_what_it_measures_too_much(tmp_path: Path) -> None:
    arms = {arm.name: (0.4, 0.1) for arm in EXPERIMENTS["knee_layers"].arms}
    written(tmp_path, "knee_layers", {"inside": arms, "by_patient": arms}, measured=0.25)
    (claim,) = read_results("knee_layers", tmp_path).claims()
    assert claim.values["gap"] == "+0.250"
    assert claim.verdict == "held"
    (tmp_path / "knee_layers" / "summary.json").unlink()
    assert installed_results(tmp_path) == {}


def test_the_careful_protocol_is_found_wherever_it_stands(tmp_path: Path) -> None:
    arms = {arm.name: (0.4, 0.1) for arm in EXPERIMENTS["knee_layers"].arms}
    written(tmp_path, "knee_layers", {"random": arms, "by_patient": arms, "copies": arms})
    assert read_results("knee_layers", tmp_path).careful == "by_patient"
    written(tmp_path / "leaky", "knee_layers", {"random": arms, "inside": arms})
    assert read_results("knee_layers", tmp_path / "leaky").careful == "inside"


def test_curves_are_means_over_seeds(tmp_path: Path) -> None:
    arms = {arm.name: (0.4, 0.1) for arm in EXPERIMENTS["knee_layers"].arms}
    written(tmp_path, "knee_layers", {"by_patient": arms})
    results = read_results("knee_layers", tmp_path)
    assert results.curves("by_patient", "train_loss") == {"1 layer": [1.5, 2.5]}
    assert results.curves("by_patient", "validation_loss") == {}
    assert results.curves("inside", "train_loss") == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"arms": [{}], "metric": "accuracy"}'])
def test_results_of_another_form_are_refused(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, "knee_layers", {"by_patient": {"1 layer": (0.4, 0.1)}})
    (tmp_path / "knee_layers" / "summary.json").write_bytes(content)
    with pytest.raises(UsageError, match="knee_layers"):
        read_results("knee_layers", tmp_path)


def test_figure_has_every_number_in_its_place_and_in_words() -> None:
    series = [
        ArmSeries("Published", (ArmPoint("A", 0.7),), is_published=True),
        ArmSeries("Careful", (ArmPoint("A", 0.5, 0.4, 0.6), ArmPoint("B", 0.6))),
    ]
    figure = arms_figure(["A", "B"], series, title=["Title"], axis="accuracy", t=Translator("en"), dark=False)
    assert [list(trace.x) for trace in figure.data] == [[0.7], [0.5, 0.6]]
    assert np.round(figure.data[1].y).tolist() == [0, 1]
    assert figure.data[1].error_x.array == pytest.approx((0.1, 0.0))
    assert figure.data[1].error_x.arrayminus == pytest.approx((0.1, 0.0))
    told = arms_alt(["A", "B"], series, "Title", Translator("en"))
    assert "A: Published 0.700, Careful 0.500 (0.400–0.600)." in told
    assert "B: Careful 0.600." in told


# --- page ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_question_figure_table_and_what_became_of_it(language: str) -> None:
    app = open_page("experiments", language=language)
    first = next(iter(installed_results().values()))
    assert says(app, first.declared.question, language)
    assert app.get("plotly_chart")
    table = app.table[0].value
    assert len(table) == len(first.lines)
    assert not set("{}") & set(words(app))
    app.toggle(key="laboratory.talk").set_value(True).run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    assert not app.table


def test_the_table_shows_the_numbers_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {arm.name: (0.4 + place / 10, 0.1) for place, arm in enumerate(EXPERIMENTS["knee_layers"].arms)}
    written(tmp_path, "knee_layers", {"by_patient": arms})
    monkeypatch.setattr(laboratory, "installed_results", lambda: installed_results(tmp_path))
    app = open_page("experiments")
    table = app.table[0].value
    assert table["Unseen patients"].tolist() == ["0.400 ± 0.100", "0.500 ± 0.100", "0.600 ± 0.100"]
    assert table["Measured"].tolist() == ["0.500 ± 0.100", "0.600 ± 0.100", "0.700 ± 0.100"]


def test_without_results_the_page_names_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laboratory, "installed_results", dict)
    app = open_page("experiments")
    assert len(app.table[0].value) == len(EXPERIMENTS)


def test_no_interval_of_a_share_leaves_its_bounds() -> None:
    cells = [
        cell
        for results in installed_results().values()
        for line in results.lines
        for cell in (line.measured, line.unseen)
        if cell is not None and cell.low is not None and cell.high is not None
    ]
    assert any(cell.low == 0 for cell in cells), "two seeds give intervals that would leave them"
    assert all(0 <= cell.low <= cell.mean <= cell.high <= 1 for cell in cells)
