"""The score of one patient over several screenings."""

from datetime import UTC, datetime

import pytest

from core.figures.course import CoursePoint, score_course_alt, score_course_figure
from core.figures.style import NEGATIVE, POSITIVE
from core.i18n import LANGUAGES, Translator

POINTS = [
    CoursePoint(datetime(2026, 1, 2, 9, 30, tzinfo=UTC), 0.25, 0.4, False),
    CoursePoint(datetime(2026, 3, 4, 9, 30, tzinfo=UTC), 0.75, 0.5, True),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("dark", [False, True])
def test_scores_stand_at_their_times_beside_their_operating_points(language: str, dark: bool) -> None:
    scores, points = score_course_figure(POINTS, "<b>Finding</b>", Translator(language), dark).data
    assert list(scores.x) == [point.time for point in POINTS]
    assert list(scores.y) == [0.25, 0.75]
    assert list(scores.marker.color) == [NEGATIVE, POSITIVE]
    assert list(scores.marker.symbol) == ["circle", "diamond"]  # colour is not the only cue
    assert list(points.y) == [0.4, 0.5]


def test_foreign_text_is_shown_and_not_obeyed() -> None:
    figure = score_course_figure(POINTS, "<b>Finding</b>", Translator("en"), False)
    assert "&lt;b&gt;Finding" in figure.layout.title.text


def test_without_a_threshold_there_is_no_line() -> None:
    point = CoursePoint(POINTS[0].time, 0.25, None, False)
    assert len(score_course_figure([point], "Finding", Translator("en"), False).data) == 1


def test_the_words_hold_every_score() -> None:
    words = score_course_alt(POINTS, "Finding", Translator("en"))
    assert words == "Finding, score at each screening: 2026-01-02 09:30: 0.250, 2026-03-04 09:30: 0.750."
