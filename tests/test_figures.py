"""Figures show the computed numbers: in their traces, titles and alternative texts, in both themes and all languages."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import pytest

from core.errors import UsageError
from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.calibration import calibration_alt, calibration_figure, recalibration_alt, recalibration_figure
from core.figures.confusion import cell_colour, confusion_alt, confusion_figure, ink
from core.figures.curves import precision_recall_alt, precision_recall_figure, roc_alt, roc_figure
from core.figures.decision import decision_alt, decision_figure
from core.figures.scores import score_bar_alt, score_bar_figure, score_distribution_alt, score_distribution_figure
from core.figures.style import DARK, FONTS, LIGHT, number, score_words, template
from core.i18n import LANGUAGES, Translator
from core.metrics.calibration import calibration_report
from core.metrics.confusion import ConfusionMatrix
from core.metrics.decision_curve import decision_curve, net_benefit_at
from core.metrics.histogram import score_histogram
from core.metrics.operating_point import operating_point_metrics
from core.metrics.precision_recall import precision_recall_curve
from core.metrics.proportions import Interval
from core.metrics.recalibration import fit_platt
from core.metrics.roc import roc_curve

RNG = np.random.default_rng(7)
Y_TRUE = np.arange(200) < 80
Y_SCORE = 1 / (1 + np.exp(-(RNG.normal(size=200) + 2 * Y_TRUE - 1)))
ROC = roc_curve(Y_TRUE, Y_SCORE, n_resamples=200)
PRECISION_RECALL = precision_recall_curve(Y_TRUE, Y_SCORE)
POINT = operating_point_metrics(Y_TRUE, Y_SCORE, 0.41)
CALIBRATION = calibration_report(Y_TRUE, Y_SCORE)
MAPPED = calibration_report(Y_TRUE, fit_platt(Y_TRUE, Y_SCORE).apply(Y_SCORE))
DECISION = decision_curve(Y_TRUE, Y_SCORE)
MATRIX = ConfusionMatrix(np.array([[32, 5], [2, 45]]), ("not_osteoporosis", "osteoporosis"))
NAMES = ["No osteoporosis", "Osteoporosis"]
BAND = Interval(0.41, 0.35, 0.47)
MODELS = (["ResNet18", "VGG16"], [0.83, 0.77], [0.74, 0.67], [0.90, 0.85])


@dataclass(frozen=True)
class _Drawing:
    figure: Callable[[Translator, bool], go.Figure]
    alt: Callable[[Translator], str]
    titled: bool = True
    has_interval: bool = True


DRAWINGS = {
    "roc": _Drawing(lambda t, dark: roc_figure(ROC, t, dark, POINT), lambda t: roc_alt(ROC, t, POINT)),
    "precision_recall": _Drawing(
        lambda t, dark: precision_recall_figure(PRECISION_RECALL, t, dark, POINT),
        lambda t: precision_recall_alt(PRECISION_RECALL, t),
    ),
    "confusion": _Drawing(
        lambda t, dark: confusion_figure(MATRIX, NAMES, t, dark), lambda t: confusion_alt(MATRIX, NAMES, t)
    ),
    "calibration": _Drawing(
        lambda t, dark: calibration_figure(CALIBRATION, t, dark), lambda t: calibration_alt(CALIBRATION, t)
    ),
    "recalibration": _Drawing(
        lambda t, dark: recalibration_figure(CALIBRATION, MAPPED, "Platt", t, dark),
        lambda t: recalibration_alt(CALIBRATION, MAPPED, "Platt", t),
    ),
    "decision": _Drawing(
        lambda t, dark: decision_figure(DECISION, t, dark, POINT),
        lambda t: decision_alt(DECISION, t, POINT),
        has_interval=False,
    ),
    "score_bar": _Drawing(
        lambda t, dark: score_bar_figure(0.81, 0.41, BAND, t, dark),
        lambda t: score_bar_alt(0.81, 0.41, BAND, t),
        titled=False,
    ),
    "score_distribution": _Drawing(
        lambda t, dark: score_distribution_figure(Y_TRUE, Y_SCORE, 0.41, t, dark),
        lambda t: score_distribution_alt(Y_TRUE, Y_SCORE, 0.41, t),
    ),
    "bars": _Drawing(
        lambda t, dark: bar_with_intervals_figure(
            *MODELS, title="Accuracy", axis_title="Accuracy", n_cases=84, t=t, dark=dark, reference=0.9
        ),
        lambda t: bar_with_intervals_alt(*MODELS, title="Accuracy", n_cases=84, t=t),
    ),
}


@pytest.fixture
def t() -> Translator:
    return Translator("en")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", DRAWINGS)
class TestEveryFigure:
    def test_becomes_strict_json_with_the_template(self, name: str, language: str, dark: bool) -> None:
        figure = DRAWINGS[name].figure(Translator(language), dark)
        json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert figure.layout.template.layout.font.family == FONTS
        assert figure.layout.template.layout.font.color == (DARK if dark else LIGHT).text
        assert figure.layout.template.layout.paper_bgcolor == "rgba(0, 0, 0, 0)"

    def test_title_carries_n_and_interval_in_lines_that_fit(self, name: str, language: str, dark: bool) -> None:
        drawing = DRAWINGS[name]
        title = drawing.figure(Translator(language), dark).layout.title.text
        assert (title is not None) == drawing.titled
        if title is not None:
            assert ("95 % CI" in title) == drawing.has_interval or language != "en"
            assert "n = " in title or language != "en"
            assert max(len(line) for line in title.split("<br>")) <= 52  # some 450 pixels

    def test_has_axis_titles_and_a_legend_below(self, name: str, language: str, dark: bool) -> None:
        figure = DRAWINGS[name].figure(Translator(language), dark)
        assert figure.layout.template.layout.legend.y < 0
        if DRAWINGS[name].titled:
            assert figure.layout.xaxis.title.text

    def test_alternative_text_is_one_filled_sentence(self, name: str, language: str, dark: bool) -> None:
        words = DRAWINGS[name].alt(Translator(language))
        assert len(words) > 30
        assert not set("{}<>") & set(words)


def test_templates_differ_only_where_the_theme_does() -> None:
    light, dark = template(False).layout.to_plotly_json(), template(True).layout.to_plotly_json()
    assert light["font"]["size"] == dark["font"]["size"]
    assert light["font"]["color"] != dark["font"]["color"]


@pytest.mark.parametrize(("value", "words"), [(-0.001, "0.00"), (-0.5, "\u22120.50"), (0.816, "0.82"), (1.0, "1.00")])
def test_numbers_have_fixed_digits(value: float, words: str) -> None:
    assert number(value) == words


def test_roc_traces_are_the_computed_arrays(t: Translator) -> None:
    band, chance, curve, point = roc_figure(ROC, t, False, POINT).data
    np.testing.assert_array_equal(curve.x, ROC.fpr)
    np.testing.assert_array_equal(curve.y, ROC.tpr)
    np.testing.assert_array_equal(curve.customdata[1:, 0], ROC.thresholds[1:])
    np.testing.assert_array_equal(band.y, np.concatenate([ROC.band_low, ROC.band_high[::-1]]))
    np.testing.assert_array_equal(chance.x, chance.y)
    assert (point.x[0], point.y[0]) == (1 - POINT.specificity.value, POINT.sensitivity.value)
    assert len(roc_figure(ROC, t, False).data) == 3


def test_roc_title_prints_the_interval(t: Translator) -> None:
    auroc = ROC.auroc
    lines = roc_figure(ROC, t, False).layout.title.text.split("<br>")
    assert lines[1] == f"AUROC {auroc.value:.3f} (95 % CI {auroc.low:.3f} to {auroc.high:.3f})"
    assert lines[2] == "n = 200 (80 positive, 120 negative)"


def test_precision_recall_traces_are_the_computed_arrays(t: Translator) -> None:
    chance, curve, point = precision_recall_figure(PRECISION_RECALL, t, False, POINT).data
    np.testing.assert_array_equal(curve.x, PRECISION_RECALL.recall)
    np.testing.assert_array_equal(curve.y, PRECISION_RECALL.precision)
    assert set(chance.y) == {0.4}
    assert POINT.ppv is not None
    assert (point.x[0], point.y[0]) == (POINT.sensitivity.value, POINT.ppv.value)


def test_precision_of_nobody_is_not_drawn(t: Translator) -> None:
    nobody = operating_point_metrics(Y_TRUE, Y_SCORE, 2.0)
    assert len(precision_recall_figure(PRECISION_RECALL, t, False, nobody).data) == 2


def test_confusion_cells_carry_count_and_row_per_cent(t: Translator) -> None:
    figure = confusion_figure(MATRIX, NAMES, t, False)
    cells = {(a.y, a.x): a.text for a in figure.layout.annotations}
    assert cells[(NAMES[0], NAMES[1])] == "<b>5</b><br>14\u202f%"
    assert cells[(NAMES[1], NAMES[1])] == "<b>45</b><br>96\u202f%"
    np.testing.assert_allclose(figure.data[0].z, MATRIX.counts / MATRIX.counts.sum(axis=1, keepdims=True))
    assert "2 of 47 cases" in figure.data[0].text[1][0]
    assert figure.layout.yaxis.autorange == "reversed"


def test_confusion_row_without_cases_is_drawn_empty(t: Translator) -> None:
    matrix = ConfusionMatrix(np.array([[3, 1], [0, 0]]), ("a", "b"))
    np.testing.assert_array_equal(confusion_figure(matrix, ["a", "b"], t, False).data[0].z[1], [0, 0])


def test_label_names_cannot_carry_markup(t: Translator) -> None:
    names = ["<a href='x'>a</a>", "b & c"]
    figure = confusion_figure(MATRIX, names, t, False)
    assert figure.data[0].x[0].startswith("&lt;a")
    assert "<a" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.parametrize("dark", [False, True])
def test_every_cell_has_readable_text(dark: bool) -> None:
    def luminance(colour: tuple[float, float, float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in colour)]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for share in np.linspace(0, 1, 101):
        background = cell_colour(share, dark)
        text = (255.0,) * 3 if ink(background) == "#FFFFFF" else (0.0,) * 3
        light, dim = sorted([luminance(text), luminance(background)], reverse=True)
        assert (light + 0.05) / (dim + 0.05) >= 4.5


def test_calibration_traces_are_the_bins(t: Translator) -> None:
    _, observed, counts = calibration_figure(CALIBRATION, t, False).data
    assert list(observed.x) == [b.mean_probability for b in CALIBRATION.bins]
    assert list(observed.y) == [b.observed.value for b in CALIBRATION.bins]
    tops = [y + up for y, up in zip(observed.y, observed.error_y.array, strict=True)]
    assert tops == pytest.approx([b.observed.high for b in CALIBRATION.bins])
    assert list(counts.y) == [b.n_cases for b in CALIBRATION.bins]


def test_calibration_says_when_there_is_no_slope(t: Translator) -> None:
    report = replace(CALIBRATION, slope=None)
    assert "undefined" in calibration_figure(report, t, False).layout.title.text
    assert "undefined" in calibration_alt(report, t)


def test_recalibration_traces_are_the_bins_of_both(t: Translator) -> None:
    _, before, after = recalibration_figure(CALIBRATION, MAPPED, "Platt", t, False).data
    for trace, report in ((before, CALIBRATION), (after, MAPPED)):
        np.testing.assert_allclose(trace.y, [b.observed.value for b in report.bins])
        np.testing.assert_allclose(trace.x, [b.mean_probability for b in report.bins])
    assert (before.name, after.name) == ("Before", "Platt")
    assert before.marker.symbol != after.marker.symbol  # colour alone tells nobody
    words = recalibration_alt(CALIBRATION, MAPPED, "Platt", t)
    assert f"Brier score {CALIBRATION.brier_score:.3f} and {MAPPED.brier_score:.3f}" in words


def test_decision_traces_are_the_computed_arrays(t: Translator) -> None:
    none, everybody, model, point = decision_figure(DECISION, t, False, POINT).data
    np.testing.assert_array_equal(none.y, 0)
    np.testing.assert_array_equal(everybody.y, DECISION.treat_all)
    np.testing.assert_array_equal(model.y, DECISION.net_benefit)
    assert (point.x[0], point.y[0]) == (0.41, net_benefit_at(POINT))
    assert f"At the operating point 0.41 the net benefit is {point.y[0]:.3f}." in decision_alt(DECISION, t, POINT)
    assert f"is worth more than treating all or none at {100 * DECISION.is_useful.mean():.0f}" in decision_alt(
        DECISION, t, POINT
    )


def test_a_point_without_net_benefit_is_not_drawn(t: Translator) -> None:
    beyond = replace(POINT, threshold=1.5)
    assert len(decision_figure(DECISION, t, False, beyond).data) == 3
    assert "operating point" not in decision_alt(DECISION, t, beyond)


def test_a_useless_model_is_said_to_be_one(t: Translator) -> None:
    useless = decision_curve(Y_TRUE, 1 - Y_SCORE)
    assert not useless.is_useful.all()
    words = decision_alt(replace(useless, net_benefit=useless.treat_all), t, POINT)
    assert "at 0\u202f% of the thresholds" in words
    assert "lowest" not in words


def test_score_bar_marks_score_point_and_band(t: Translator) -> None:
    figure = score_bar_figure(0.81, 0.41, BAND, t, False)
    assert figure.layout.height == 120
    assert list(figure.data[1].x) == [0.81]
    band, line = figure.layout.shapes
    assert (band.x0, band.x1, line.x0) == (0.35, 0.47, 0.41)
    words = [a.text for a in figure.layout.annotations]
    assert words == ["operating point 0.41", "<b>0.81</b>", "0", "1"]
    middle = figure.data[0].colorscale[1]
    assert middle[0] == 0.41
    assert len(score_bar_figure(0.81, 0.41, None, t, False).layout.shapes) == 1


@pytest.mark.parametrize(("score", "anchor"), [(0.0, "left"), (0.5, "center"), (1.0, "right")])
@pytest.mark.parametrize("threshold", [0.0, 0.41, 1.0])
def test_score_label_turns_inwards_at_the_ends(t: Translator, score: float, anchor: str, threshold: float) -> None:
    assert score_bar_figure(score, threshold, None, t, True).layout.annotations[1].xanchor == anchor


@pytest.mark.parametrize(("score", "words"), [(0.41, "at or above"), (0.4099, "below")])
def test_score_on_the_operating_point_is_above(t: Translator, score: float, words: str) -> None:
    assert words in score_bar_alt(score, 0.41, None, t)


def test_score_distribution_shows_per_cent_of_each_class(t: Translator) -> None:
    figure = score_distribution_figure(Y_TRUE, Y_SCORE, 0.41, t, False)
    histogram = score_histogram(Y_TRUE, Y_SCORE)
    negative, positive = figure.data
    np.testing.assert_allclose(negative.y, 100 * histogram.negatives / 120)
    np.testing.assert_allclose(positive.y, 100 * histogram.positives / 80)
    np.testing.assert_array_equal(negative.x, positive.x)
    assert sum(row[2] for row in positive.customdata) == 80
    assert figure.layout.shapes[0].x0 == 0.41
    assert "(n = 80)" in positive.name


def test_bars_are_the_given_estimates(t: Translator) -> None:
    names, values, lows, highs = MODELS
    figure = DRAWINGS["bars"].figure(t, False)
    bars = figure.data[0]
    assert (list(bars.y), list(bars.x)) == (names, values)
    assert [x - down for x, down in zip(bars.x, bars.error_x.arrayminus, strict=True)] == pytest.approx(lows)
    assert [x + up for x, up in zip(bars.x, bars.error_x.array, strict=True)] == pytest.approx(highs)
    assert figure.layout.shapes[0].x0 == 0.9
    assert "ResNet18 0.83 (95 % CI 0.74 to 0.90)" in DRAWINGS["bars"].alt(t)


def test_bars_of_unequal_lengths_are_refused(t: Translator) -> None:
    with pytest.raises(UsageError, match="2 names"):
        bar_with_intervals_figure(["a", "b"], [1.0], [0.5], [1.5], title="", axis_title="", n_cases=1, t=t, dark=False)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.0, "<\u202f0.01"),
        (0.004, "<\u202f0.01"),
        (0.006, "0.01"),
        (0.5, "0.50"),
        (0.994, "0.99"),
        (0.996, ">\u202f0.99"),
    ],
)
def test_no_score_is_said_to_be_certain(score: float, words: str) -> None:
    assert score_words(score) == words
