"""Figures of graders show the computed numbers, in both themes and all languages."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import pytest
from numpy.typing import ArrayLike

from core.errors import UsageError
from core.figures.agreement import Agreement, agreement_alt, agreement_figure
from core.figures.confusion import confusion_figure, grading_confusion_alt, grading_confusion_figure
from core.figures.curves import epoch_curve_alt, epoch_curve_figure, one_vs_rest_alt, one_vs_rest_figure
from core.figures.grades import (
    class_probabilities_alt,
    class_probabilities_figure,
    class_recall_alt,
    class_recall_figure,
)
from core.figures.style import DARK, LIGHT, class_colours, probability_words
from core.i18n import LANGUAGES, Translator
from core.metrics.correlation import spearman_interval
from core.metrics.grading import grading_report

N = 90
NAMES = ["Normal", "Minimal", "Mild", "Moderate", "Severe"]
RNG = np.random.default_rng(3)
Y_TRUE = np.arange(N) % 5
GRADE = Y_TRUE + RNG.normal(0, 0.8, N)
LIKELIHOOD = np.exp(-((np.arange(5) - GRADE[:, np.newaxis]) ** 2))
PROBABILITIES = LIKELIHOOD / LIKELIHOOD.sum(axis=1, keepdims=True)
REPORT = grading_report(Y_TRUE, PROBABILITIES, np.arange(N) // 2)
ROWS = [("Right knee", [0.02, 0.13, 0.03, 0.57, 0.25]), ("Left knee", [0.998, 0.002, 0, 0, 0])]
ATTENUATION = RNG.normal(140, 35, 24)
SEVERITY = np.clip(2 - (ATTENUATION - 80) / 70 + RNG.normal(0, 0.3, 24), 0, 2)
SUBJECTS = [f"S{i // 3 + 1:02d}" for i in range(24)]
CORRELATION = spearman_interval(ATTENUATION, SEVERITY, SUBJECTS)


def agreement(x: ArrayLike, y: ArrayLike, subjects: list[str], thresholds: list[float]) -> Agreement:
    return Agreement(x, y, subjects, thresholds, CORRELATION, "Expected class against attenuation", "HU")


MEASURED = agreement(ATTENUATION, SEVERITY, SUBJECTS, [110, 160])


def _agreement(t: Translator, dark: bool) -> go.Figure:
    axes = {"x_title": "Attenuation (HU)", "y_title": "Expected class (0 to 2)"}
    return agreement_figure(MEASURED, **axes, t=t, dark=dark)


@dataclass(frozen=True)
class _Drawing:
    figure: Callable[[Translator, bool], go.Figure]
    alt: Callable[[Translator], str]
    n: str | None


DRAWINGS = {
    "probabilities": _Drawing(
        lambda t, dark: class_probabilities_figure(ROWS, NAMES, t, dark),
        lambda t: class_probabilities_alt(ROWS, NAMES, t),
        n=None,
    ),
    "confusion": _Drawing(
        lambda t, dark: grading_confusion_figure(REPORT, NAMES, t, dark),
        lambda t: grading_confusion_alt(REPORT, NAMES, t),
        n="n = 90 (45 patients)",
    ),
    "one_vs_rest": _Drawing(
        lambda t, dark: one_vs_rest_figure(REPORT, NAMES, t, dark),
        lambda t: one_vs_rest_alt(REPORT, NAMES, t),
        n="n = 90 (45 patients)",
    ),
    "recall": _Drawing(
        lambda t, dark: class_recall_figure(REPORT, NAMES, t, dark),
        lambda t: class_recall_alt(REPORT, NAMES, t),
        n="n = 90",
    ),
    "agreement": _Drawing(_agreement, lambda t: agreement_alt(MEASURED, t), n="n = 24, subjects: 8"),
}


@pytest.fixture
def t() -> Translator:
    return Translator("en")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_has_template_titles_and_words(name: str, language: str, dark: bool) -> None:
    drawing, words = DRAWINGS[name], Translator(language)
    figure = drawing.figure(words, dark)
    json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert figure.layout.template.layout.font.color == (DARK if dark else LIGHT).text
    title = figure.layout.title.text.split("<br>")
    assert title[0].startswith("<b>")
    assert max(len(line) for line in title) <= 52  # some 450 pixels
    assert figure.layout.xaxis.title.text
    assert len(drawing.alt(words)) > 30
    assert not set("{}") & set(drawing.alt(words))
    if drawing.n and language == "en":
        assert any(line.endswith(drawing.n) for line in title)


def test_bars_are_the_probabilities_in_the_order_of_the_classes(t: Translator) -> None:
    figure = class_probabilities_figure(ROWS, NAMES, t, False)
    assert [trace.name for trace in figure.data] == NAMES
    for i, trace in enumerate(figure.data):
        assert list(trace.x) == pytest.approx([100 * probabilities[i] for _, probabilities in ROWS])
        assert list(trace.y) == ["Right knee", "Left knee"]
    assert (figure.layout.barmode, figure.layout.yaxis.autorange) == ("stack", "reversed")


def test_name_and_per_cent_stand_where_they_fit(t: Translator) -> None:
    right = [trace.text[0] for trace in class_probabilities_figure(ROWS, NAMES, t, False).data]
    assert right == [
        "",
        "13\u202f%",
        "",
        "<b>Moderate<br>57\u202f%</b>",
        "Severe<br>25\u202f%",
    ]
    left = [trace.text[1] for trace in class_probabilities_figure(ROWS, NAMES, t, False).data]
    assert left == ["<b>Normal<br>&gt;\u202f99\u202f%</b>", "", "", "", ""]
    wide = [("A", [0.2, 0.8])]
    latin, chinese = (
        class_probabilities_figure(wide, [c, "b"], t, False).data[0].text[0] for c in ("abcd", "正常正常正")
    )
    assert (latin, chinese) == ("abcd<br>20\u202f%", "20\u202f%")


def test_names_cannot_carry_markup(t: Translator) -> None:
    figures = [
        class_probabilities_figure([("<a>", [0.5, 0.5])], ["<i>", "b"], t, False),
        one_vs_rest_figure(REPORT, ["<i>", *NAMES[1:]], t, False),
        agreement_figure(agreement([1, 2], [1, 2], ["<i>", "b"], [1]), x_title="", y_title="", t=t, dark=False),
    ]
    for figure in figures:
        text = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<a>" not in text
        assert "<i>" not in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [([], "0 rows"), ([("a", [0.5, 0.5])], "for 5 classes"), ([("a", [0.5, 0.2, 0.1, 0, 0])], "sum to 1")],
)
def test_rows_that_do_not_fit_the_classes_are_refused(
    t: Translator, rows: list[tuple[str, list[float]]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        class_probabilities_figure(rows, NAMES, t, False)
    with pytest.raises(UsageError, match=words):
        class_probabilities_alt(rows, NAMES, t)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.0, "<\u202f1\u202f%"), (0.006, "1\u202f%"), (0.994, "99\u202f%"), (0.996, ">\u202f99\u202f%")],
)
def test_no_class_is_said_to_be_certain(probability: float, words: str) -> None:
    assert probability_words(probability) == words


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize(("dark", "page"), [(False, 1.0), (True, 0.008)])
def test_class_colours_rise_in_lightness_and_never_vanish(n_classes: int, dark: bool, page: float) -> None:
    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    found = [luminance(colour) for colour in class_colours(n_classes, dark)]
    assert found == sorted(found)
    assert min(np.diff(found)) > 0.02
    for value in found:
        light, dim = sorted([value, page], reverse=True)
        assert (light + 0.05) / (dim + 0.05) > 1.7


def test_grading_confusion_carries_counts_row_per_cent_and_clustered_intervals(t: Translator) -> None:
    figure = grading_confusion_figure(REPORT, NAMES, t, False)
    counts = REPORT.confusion.counts
    cells = {(a.y, a.x): a.text for a in figure.layout.annotations}
    assert len(cells) == 25
    assert cells[("Mild", "Moderate")] == f"<b>{counts[2, 3]}</b><br>{100 * counts[2, 3] / 18:.0f}\u202f%"
    lines = figure.layout.title.text.split("<br>")
    accuracy, kappa = REPORT.accuracy, REPORT.weighted_kappa
    assert lines[1] == f"Accuracy {accuracy.value:.2f} (95 % CI {accuracy.low:.2f} to {accuracy.high:.2f})"
    assert kappa is not None
    assert lines[2].startswith(f"Weighted kappa {kappa.value:.2f} (95 % CI")
    assert "share" not in figure.data[0].text[0][0]  # Wilson's interval would take cases for patients
    assert "share" in confusion_figure(REPORT.confusion, NAMES, t, False).data[0].text[0][0]


def test_without_kappa_and_macro_auroc_their_lines_are_left_out(t: Translator) -> None:
    bare = replace(REPORT, weighted_kappa=None, macro_auroc=None)
    assert "kappa" not in grading_confusion_figure(bare, NAMES, t, False).layout.title.text
    assert "kappa" not in grading_confusion_alt(bare, NAMES, t)
    assert "AUROC" not in one_vs_rest_figure(bare, NAMES, t, False).layout.title.text
    assert "Mean" not in one_vs_rest_alt(bare, NAMES, t)


def test_one_vs_rest_draws_every_curve_with_its_auroc(t: Translator) -> None:
    _, *curves = one_vs_rest_figure(REPORT, NAMES, t, False).data
    assert len({(trace.line.color, trace.line.dash) for trace in curves}) == 5
    for trace, metrics, name in zip(curves, REPORT.per_class, NAMES, strict=True):
        assert metrics.curve is not None
        np.testing.assert_array_equal(trace.x, metrics.curve.fpr)
        np.testing.assert_array_equal(trace.y, metrics.curve.tpr)
        area = metrics.curve.auroc
        assert trace.name == f"{name}: AUROC {area.value:.2f} (95 % CI {area.low:.2f} to {area.high:.2f})"


def test_classes_without_cases_are_left_out(t: Translator) -> None:
    report = grading_report([0, 0, 1, 1], [[0.8, 0.2, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.1, 0.9, 0]])
    assert [trace.name.split(":")[0] for trace in one_vs_rest_figure(report, NAMES[:3], t, False).data] == [
        "Chance",
        "Normal",
        "Minimal",
    ]
    assert list(class_recall_figure(report, NAMES[:3], t, False).data[0].y) == ["Normal (n = 2)", "Minimal (n = 2)"]
    assert "Mild" not in one_vs_rest_alt(report, NAMES[:3], t) + class_recall_alt(report, NAMES[:3], t)


def test_recall_bars_are_the_recalls(t: Translator) -> None:
    bars = class_recall_figure(REPORT, NAMES, t, False).data[0]
    assert list(bars.x) == [metrics.recall.value for metrics in REPORT.per_class if metrics.recall]
    assert bars.y[4] == "Severe (n = 18)"


def test_agreement_shows_every_subject_and_the_thresholds(t: Translator) -> None:
    figure = _agreement(t, False)
    assert [trace.name for trace in figure.data] == sorted(set(SUBJECTS))
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 8
    np.testing.assert_array_equal(np.concatenate([trace.x for trace in figure.data]), ATTENUATION)
    np.testing.assert_array_equal(np.concatenate([trace.y for trace in figure.data]), SEVERITY)
    assert [(line.x0, line.line.dash) for line in figure.layout.shapes] == [(110, "dot"), (160, "dot")]
    assert [note.text for note in figure.layout.annotations] == ["110\u202fHU", "160\u202fHU"]
    assert figure.layout.title.text.split("<br>")[1].startswith(
        f"Spearman correlation \u2212{-CORRELATION.value:.2f} (95"
    )
    assert figure.data[0].showlegend


def test_thresholds_beyond_the_points_stay_in_view_and_many_subjects_out_of_the_legend(t: Translator) -> None:
    x = np.linspace(200, 250, 13)
    axes = {"x_title": "a", "y_title": "b"}
    many = [str(i) for i in range(13)]
    figure = agreement_figure(agreement(x, x, many, [110, 300]), **axes, t=t, dark=True)
    assert figure.layout.xaxis.range[0] < 110
    assert figure.layout.xaxis.range[1] > 300
    assert not any(trace.showlegend for trace in figure.data)


def test_agreement_in_words_gives_the_mean_between_the_thresholds(t: Translator) -> None:
    words = agreement_alt(agreement([100, 109, 110, 170], [2, 1.5, 1, 0.25], ["a", "a", "b", "c"], [160, 110]), t)
    assert "n = 4, subjects: 3." in words
    assert "Below 110 HU: mean prediction 1.75, n = 2." in words
    assert "From 110 to below 160 HU: mean prediction 1.00, n = 1." in words
    assert "From 160 HU: mean prediction 0.25, n = 1." in words


@pytest.mark.parametrize(
    ("x", "subjects", "thresholds"), [([1.0], ["a", "b"], [1.0]), ([], [], [1.0]), ([1.0], ["a"], [])]
)
def test_points_that_do_not_match_are_refused(
    t: Translator, x: list[float], subjects: list[str], thresholds: list[float]
) -> None:
    with pytest.raises(UsageError, match="subjects with"):
        agreement_alt(agreement(x, x, subjects, thresholds), t)


# --- a published training log ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_log_shows_every_epoch_and_the_blind_guess(language: str) -> None:
    t, losses = Translator(language), [1.62, 1.55, 1.43]
    figure = epoch_curve_figure(losses, title="Loss", axis_title="Cross-entropy", guess=1.609, t=t, dark=False)
    guess, line = figure.data
    assert list(line.x) == [1, 2, 3]
    assert list(line.y) == losses
    assert set(guess.y) == {1.609}
    assert "1.609" in guess.name
    alt = epoch_curve_alt(losses, title="Loss", guess=1.609, t=t)
    assert all(number in alt for number in ("1.620", "1.430", "1.609"))
