"""The forest plot shows the computed numbers, marks what is too few, and carries no markup, in both themes and all languages."""

import json

import plotly.graph_objects as go
import pytest

from core.errors import UsageError
from core.figures.forest import ForestRow, forest_alt, forest_figure
from core.figures.style import DARK, FONTS, LIGHT
from core.i18n import LANGUAGES, Translator
from core.metrics.proportions import Interval

OVERALL = Interval(0.84, 0.80, 0.88)
ROWS = [
    ForestRow("North", 40, 120, False, Interval(0.78, 0.70, 0.86)),
    ForestRow("South", 60, 200, False, Interval(0.97, 0.95, 0.99)),
    ForestRow("West", 4, 30, True, Interval(0.6, 0.3, 0.9)),
    ForestRow("East", 1, 9, True, None),
]


def drawn(language: str = "en", dark: bool = False, rows: list[ForestRow] = ROWS) -> go.Figure:
    return forest_figure(rows, OVERALL, Translator(language), dark)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
class TestEveryForest:
    def test_becomes_strict_json_with_the_template(self, language: str, dark: bool) -> None:
        figure = drawn(language, dark)
        json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert figure.layout.template.layout.font.family == FONTS
        assert figure.layout.template.layout.font.color == (DARK if dark else LIGHT).text

    def test_title_carries_the_interval_in_lines_that_fit(self, language: str, dark: bool) -> None:
        lines = drawn(language, dark).layout.title.text.split("<br>")
        assert "0.840" in lines[1]
        assert max(map(len, lines)) <= 52
        assert drawn(language, dark).layout.xaxis.title.text == "AUROC"

    def test_alternative_text_names_every_group(self, language: str, dark: bool) -> None:
        words = forest_alt(ROWS, OVERALL, Translator(language))
        assert all(row.name in words for row in ROWS)
        assert not set("{}<>") & set(words)


def test_points_and_whiskers_are_the_given_estimates() -> None:
    sure, few = drawn().data
    assert (list(sure.x), list(sure.y)) == ([0.78, 0.97], [0, 1])
    assert [x - down for x, down in zip(sure.x, sure.error_x.arrayminus, strict=True)] == pytest.approx([0.70, 0.95])
    assert [x + up for x, up in zip(sure.x, sure.error_x.array, strict=True)] == pytest.approx([0.86, 0.99])
    assert (list(few.x), list(few.y)) == ([0.6], [2])
    assert drawn().layout.shapes[0].x0 == 0.84


def test_few_cases_are_hollow_and_said() -> None:
    sure, few = drawn().data
    assert (sure.marker.symbol, few.marker.symbol) == ("square", "square-open")
    assert few.name == "Too few in a class"
    assert [a.text for a in drawn().layout.annotations] == ["too few in a class"]  # the group without an AUROC
    assert "East: no AUROC, n = 10 (1 positive, 9 negative), too few in a class." in forest_alt(
        ROWS, OVERALL, Translator("en")
    )


def test_every_group_has_its_estimate_and_number_of_cases_beside_its_name() -> None:
    axis = drawn().layout.yaxis
    assert list(axis.tickvals) == [0, 1, 2, 3]
    assert axis.ticktext[0] == "<b>North</b><br>0.78 (0.70\u20130.86)<br>n = 160, 40 pos."
    assert axis.ticktext[3] == "<b>East</b><br>n = 10, 1 pos."
    assert list(axis.range) == [3.5, -0.5]  # the first row on top


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("twenty letters exactl", "twenty letters exac\u2026"),
        ("twenty letters exact", "twenty letters exact"),
        ("臺北市立聯合醫院仁愛院區", "臺北市立聯合醫院仁\u2026"),
        ("臺北院區", "臺北院區"),
    ],
)
def test_a_long_name_is_cut_by_its_width(name: str, shown: str) -> None:
    row = ForestRow(name, 40, 40, False, Interval(0.8, 0.7, 0.9))
    assert drawn(rows=[row]).layout.yaxis.ticktext[0].startswith(f"<b>{shown}</b>")


def test_the_axis_holds_every_whisker_and_chance() -> None:
    assert list(drawn().layout.xaxis.range) == pytest.approx([0.28, 1.02])
    assert list(drawn(rows=ROWS[1:2]).layout.xaxis.range) == pytest.approx([0.48, 1.02])


def test_names_are_cut_on_the_axis_and_cannot_carry_markup() -> None:
    row = ForestRow("<a href='x'>a very long name of a clinic</a>", 40, 40, False, Interval(0.8, 0.7, 0.9))
    figure = drawn(rows=[row])
    assert "\u2026" in figure.layout.yaxis.ticktext[0]
    assert "a very long name of a clinic" in figure.data[0].hovertext[0]
    assert "<a" not in figure.to_json().replace("\\u003c", "<")


def test_no_group_is_refused() -> None:
    with pytest.raises(UsageError, match="without a group"):
        drawn(rows=[])
