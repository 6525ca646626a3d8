"""Figures on paper show the computed numbers, in inches that hold, with every letter of three languages."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pypdf import PdfReader

from core.evaluation.bundle_report import printed_questions
from core.figures.printed.question import FIGURES, Question, draw, question_files
from core.figures.printed.style import TEXT_PT, Panel, cut, printable, sheet, to_png, width_of, wrapped
from core.i18n import LANGUAGES, Translator, catalogue
from tests.bundles import bundle


@cache
def question() -> Question:
    return printed_questions(bundle())["moderate"]


def drawn(name: str, language: str = "en", own: Question | None = None) -> Figure:
    figure = sheet(5.0, 5.0)
    draw(name, own or question(), Panel(figure, Translator(language), 0.1, 0.1, 4.8, 4.8, TEXT_PT))
    return figure


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_title_axes_n_and_interval_inside_its_edges(name: str, language: str) -> None:
    figure = drawn(name, language)
    words = texts(figure)
    assert "\u25a1" not in words
    assert "n = " in words or name == "groups"
    assert "95" in words
    assert figure.axes[-1].get_xlabel()
    canvas = np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("L"))
    assert canvas.shape == (1000, 1000)
    margin = np.concatenate([canvas[:8].ravel(), canvas[-8:].ravel(), canvas[:, :8].ravel(), canvas[:, -8:].ravel()])
    assert margin.min() > 250  # nothing runs over the edge


def test_the_roc_curve_is_the_computed_one() -> None:
    (axes,) = drawn("roc").axes
    curve = max(axes.lines, key=lambda line: len(line.get_xdata()))
    np.testing.assert_array_equal(curve.get_xdata(), question().roc.fpr)
    np.testing.assert_array_equal(curve.get_ydata(), question().roc.tpr)
    point = axes.lines[-1]
    assert point.get_ydata()[0] == question().point.sensitivity.value
    assert point.get_xdata()[0] == 1 - question().point.specificity.value


def test_calibration_and_scores_are_the_computed_ones() -> None:
    report, histogram = question().calibration, question().histogram
    assert report is not None
    upper, lower = drawn("calibration").axes
    np.testing.assert_array_equal(upper.lines[1].get_ydata(), [own.observed.value for own in report.bins])
    assert [bar.get_height() for bar in lower.patches] == [own.n_cases for own in report.bins]
    (axes,) = drawn("scores").axes
    heights = [bar.get_height() for bar in axes.patches]
    expected = [
        *(100 * histogram.negatives / histogram.n_negative),
        *(100 * histogram.positives / histogram.n_positive),
    ]
    assert heights == pytest.approx(expected)


def test_the_counts_are_those_of_the_point() -> None:
    words = [text.get_text() for axes in drawn("confusion").axes for text in axes.texts]
    point = question().point
    counts = (point.n_true_negative, point.n_false_positive, point.n_false_negative, point.n_true_positive)
    assert words[::2] == [str(count) for count in counts]


def test_groups_are_drawn_with_their_intervals() -> None:
    (axes,) = drawn("groups").axes
    spans = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    found = [(own.auroc.low, own.auroc.high) for own in question().groups if own.auroc]
    assert [(span[0], span[1]) for span in spans if span[0] != span[1]] == found


def test_files_are_pictures_and_pages_with_the_same_bytes() -> None:
    own = replace(question(), groups=(), calibration=None)
    made = dict(question_files(own, Translator("en")))
    assert set(made) == {f"{n}.{k}" for n in ("roc", "precision_recall", "scores", "confusion") for k in ("png", "pdf")}
    assert made == dict(question_files(own, Translator("en")))
    picture = Image.open(io.BytesIO(made["roc.png"]))
    assert picture.size == (1000, 940)
    assert [round(dots) for dots in picture.info["dpi"]] == [200, 200]
    assert "AUROC" in PdfReader(io.BytesIO(made["roc.pdf"])).pages[0].extract_text()


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_every_translated_sentence_has_its_letters(language: str) -> None:
    letters = {letter for text in catalogue(language).values() for letter in text if letter.isalpha()}
    assert len(letters) > 300
    assert {letter for letter in letters if "\u25a1" in printable(letter, language)[1]} == set()


@pytest.mark.parametrize(
    "text", ["a", "a long name of a clinic", "臺北市立聯合醫院仁愛院區", "서울대학교병원 본원", "x" * 500]
)
@pytest.mark.parametrize("width", [0.05, 0.6, 1.2, 40])
def test_a_cut_text_fits_and_is_as_long_as_can_be(text: str, width: float) -> None:
    found = cut(text, width, 9, "ko")
    if found == text:
        assert width_of(text, 9, "ko") <= width
        return
    assert found.endswith("\u2026")
    n = len(found) - 1
    assert n == 0 or width_of(found, 9, "ko") <= width
    assert width_of(text[: n + 1].rstrip() + "\u2026", 9, "ko") > width or text[n] == " "


@pytest.mark.parametrize(
    "text",
    [
        "one two three four five six seven",
        "敏感度與特異度會高於實際表現，並非如此。",
        "민감도와 특이도가 실제보다 좋게",
    ],
)
def test_a_wrapped_text_keeps_its_words(text: str) -> None:
    lines = wrapped(text, 1.0, 9, "zh_Hant", 9)
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width_of(line, 9, "zh_Hant") <= 1.0 for line in lines)
    assert not any(line[0] in "，。" for line in lines)
    assert len(wrapped(text, 1.0, 9, "zh_Hant", 1)) == 1


def test_width_grows_with_the_text_and_its_size() -> None:
    assert width_of("", 9, "en") == 0
    assert width_of("mm", 9, "en") == pytest.approx(2 * width_of("m", 9, "en"), rel=0.1)
    assert width_of("m", 18, "en") == pytest.approx(2 * width_of("m", 9, "en"), rel=0.05)
    assert width_of("敏", 9, "zh_Hant") == pytest.approx(9 / 72, rel=0.15)
