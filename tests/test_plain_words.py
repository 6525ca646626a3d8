"""Numbers explain themselves in one plain sentence."""

import pytest
from app_pages import open_page

from core.i18n import LANGUAGES, Translator
from pages.parts.plain import PLAIN


@pytest.mark.parametrize("task", ["hip_osteoporosis", "retina_lesions"])
def test_numbers_of_a_result_explain_themselves(task: str) -> None:
    app = open_page(task)
    assert app.metric
    assert [metric.label for metric in app.metric if not metric.help] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_of_a_number_belongs_to_one_sentence(language: str) -> None:
    """The sentence is found by the translated name."""
    names = [Translator(language)(name) for name in PLAIN]
    assert len(set(names)) == len(names)
