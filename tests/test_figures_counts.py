"""Bars of counts: what they show, in picture and words."""

import pytest

from core.errors import UsageError
from core.figures.counts import MAX_NAME, counts_alt, counts_figure
from core.i18n import Translator

NAMES = ["Normal", "a reason of so many words that no axis has room for it"]
GROUPS = {"Training": [1200, 3], "Test": [300, 0]}


def test_a_bar_for_every_count_with_its_number() -> None:
    figure = counts_figure(NAMES, GROUPS, title=["Labels"], axis="Films", dark=False)
    assert [(bar.name, list(bar.x), list(bar.text)) for bar in figure.data] == [
        ("Training", [1200, 3], ["1,200", "3"]),
        ("Test", [300, 0], ["300", "0"]),
    ]
    assert all(len(line) <= MAX_NAME for line in figure.data[0].y[1].split("<br>"))
    assert figure.layout.xaxis.dtick is None
    assert figure.data[0].showlegend
    assert figure.data[0].marker.color != figure.data[1].marker.color


def test_few_counts_have_whole_ticks_and_one_group_no_legend() -> None:
    figure = counts_figure(["<b>one</b>"], {"Left out": [2]}, title=["Reasons"], axis="Number", dark=True)
    assert figure.layout.xaxis.dtick == 1
    assert not figure.data[0].showlegend
    assert figure.data[0].y[0] == "&lt;b&gt;one&lt;/b&gt;"


def test_words_say_every_number() -> None:
    words = counts_alt(NAMES, GROUPS, "Labels", Translator("en"))
    assert words.startswith("Labels. Training: Normal 1,200, ")
    assert words.endswith("for it 0.")


@pytest.mark.parametrize(("names", "groups"), [([], {"a": []}), (["x"], {}), (["x"], {"a": [1, 2]})])
def test_numbers_that_do_not_fit_are_refused(names: list[str], groups: dict[str, list[int]]) -> None:
    with pytest.raises(UsageError):
        counts_figure(names, groups, title=["Labels"], axis="Films", dark=False)
