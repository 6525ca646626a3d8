"""The printed summary: a page a question, text to select in three languages, the same bytes, nothing over the edge."""

import io
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pypdf import PdfReader

from core.evaluation.bundle_report import make_bundle, printed_questions
from core.figures.printed.question import Question
from core.figures.printed.style import to_png
from core.figures.style import number
from core.i18n import LANGUAGES, Translator
from core.manifest import DEMO_STATEMENT
from core.reports import evaluation_pdf
from core.reports.evaluation_pdf import summary_pdf
from core.reports.paper import question_words
from tests.bundles import about, bundle, sources

A4 = (595, 842)  # points


@cache
def questions() -> dict[str, Question]:
    return printed_questions(bundle())


def reader(data: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(data))


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_what_was_measured_in_every_language(language: str) -> None:
    t, data = Translator(language), summary_pdf(bundle().about, questions(), language)
    pages = reader(data).pages
    assert len(pages) == 2
    for page, (name, own) in zip(pages, questions().items(), strict=True):
        assert [round(float(side)) for side in page.mediabox[2:]] == list(A4)
        text = flat(page.extract_text())
        for value in (own.roc.auroc, own.point.sensitivity, own.point.specificity, own.point.ppv, own.point.npv):
            assert value is not None
            limits = [number(x, 3) for x in (value.value, value.low, value.high)]
            assert f"{limits[0]}({limits[1]}\u2013{limits[2]})" in text
        for words in (
            DEMO_STATEMENT,
            "research use, not a medical device",
            "Knee bone-scan grading",
            "Sensitivity",
            "ROC curve",
            "Calibration",
            "Confusion matrix",
        ):
            assert flat(t(words)) in text, words
        assert flat(question_words("knee_djd", name, t)) in text
        for words in (
            "2026-11-2908:15UTC",
            "simple_cnn_2",
            "1.2.0",
            "ab" * 6,
            "cd" * 6,
            "seenintraining3",
            "E_TRUNCATED1",
        ):
            assert words in text
        assert "\u25a1" not in text  # a letter that the fonts lack


def test_the_bytes_are_the_same_and_name_no_day() -> None:
    made = [summary_pdf(bundle().about, {"severe": questions()["severe"]}, "zh_Hant") for _ in range(2)]
    assert made[0] == made[1]
    properties = reader(made[0]).metadata
    assert properties is not None
    assert set(properties) == {"/Title"}


def test_real_labels_have_no_statement() -> None:
    text = reader(summary_pdf(bundle().about | {"statement": ""}, questions(), "en")).pages[0].extract_text()
    assert DEMO_STATEMENT not in text


def test_the_letters_of_a_page_are_in_the_file() -> None:
    """Embedded shapes: a reader without Chinese or Korean fonts sees them too."""
    for language in LANGUAGES:
        page = reader(summary_pdf(bundle().about, {"severe": questions()["severe"]}, language)).pages[0]
        fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
        assert fonts
        assert all(font["/Subtype"] == "/Type3" and len(font["/CharProcs"]) for font in fonts)


def test_long_names_never_leave_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ink beside the margins, and no text over the middle of the page, where the second column begins."""
    long = "臺北市立聯合醫院 민감도 very long name of a model $x^2$ \u0e44\u0e17\u0e22 " * 8
    excluded = {f"{long[:150]} {k}": 10**k for k in range(1, 9)}
    own = replace(questions()["severe"], groups=tuple(replace(g, name=long) for g in questions()["severe"].groups))
    pages: list[Figure] = []
    monkeypatch.setattr(evaluation_pdf, "to_pdf", lambda made, title: pages.extend(made) or b"")
    for language in LANGUAGES:
        summary_pdf(bundle().about | {"model": long, "excluded": excluded}, {"severe": own}, language)
    for page in pages:
        canvas = np.asarray(Image.open(io.BytesIO(to_png(page))).convert("L"))
        edge = 90  # 0.45 inches
        for margin in (canvas[:edge], canvas[-edge:], canvas[:, :edge], canvas[:, -edge:]):
            assert margin.min() > 250
        words = [text.get_text() for text in page.texts]
        assert any(text.endswith("\u2026") for text in words)
        assert any("\u25a1" in text for text in words)  # Thai is in neither font, and said so
        middle = canvas[340:500, 810:830]  # the rows of the table, between its columns
        assert middle.min() > 250


def test_scores_of_an_unknown_model_get_a_page_too() -> None:
    unknown = {"task": "", "model": "", "model_version": "", "weights_sha256": "", "statement": "", "excluded": {}}
    text = reader(summary_pdf(bundle().about | unknown, questions(), "en")).pages[0].extract_text()
    assert "Model \u2013" in text
    assert "weights" not in text
    assert "moderate" in text


def test_scores_that_are_no_probabilities_get_another_curve() -> None:
    given = [replace(own, score=10 * own.score) for own in sources()]
    made = make_bundle(about(), given)
    text = reader(summary_pdf(made.about, printed_questions(made), "en")).pages[0].extract_text()
    assert "Precision-recall curve" in text
    assert "Calibration" not in text


@pytest.mark.parametrize(
    ("task", "question", "words"),
    [
        ("knee_djd", "moderate", "Moderate or worse"),
        ("knee_djd", "severe", "Severe"),
        ("hip_osteoporosis", "osteoporosis", "Osteoporosis"),
        ("hip_osteoporosis", "other", "other"),
        ("", "positive", "positive"),
    ],
)
def test_a_question_is_said_in_words(task: str, question: str, words: str) -> None:
    assert question_words(task, question, Translator("en")) == words
