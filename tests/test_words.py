"""Words: every message id is translated, with the same placeholders; nothing is left over."""

import string
from functools import cache
from pathlib import Path

import pytest

from core.i18n import LANGUAGES, Translator, catalogue_folders, choose_language
from tools.words import LANGUAGES as TRANSLATED
from tools.words import extracted, read

catalogue = cache(read)  # parsing takes long, and every message asks
MESSAGES = [(folder, message) for folder, messages in extracted().items() for message in messages]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated(language: str) -> None:
    missing = [
        message for folder, message in MESSAGES if not catalogue(folder / f"{language}.po", language).get(message)
    ]
    assert missing == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_their_placeholders(language: str) -> None:
    wrong = [
        message
        for folder, message in MESSAGES
        if placeholders(message) != placeholders(catalogue(folder / f"{language}.po", language).get(message, message))
    ]
    assert wrong == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_translation_is_left_over(language: str) -> None:
    known = {folder: set(messages) for folder, messages in extracted().items()}
    for folder in catalogue_folders():
        assert set(read(folder / f"{language}.po", language)) <= known.get(folder, set())


def test_catalogue_folders_are_the_ones_the_app_reads() -> None:
    assert set(extracted()) <= set(catalogue_folders())


def test_a_known_term_in_three_languages() -> None:
    shown = {language: Translator(language)("Hip osteoporosis (X-ray)") for language in LANGUAGES}
    assert shown == {
        "en": "Hip osteoporosis (X-ray)",
        "zh_Hant": "髖部 X 光骨質疏鬆篩檢",
        "ko": "고관절 X선 골다공증 선별",
    }


@pytest.mark.parametrize(
    ("asked", "browser", "expected"),
    [
        ("ko", "zh-TW", "ko"),
        (None, "zh-TW", "zh_Hant"),
        (None, "zh-Hant-HK", "zh_Hant"),
        (None, "ko-KR", "ko"),
        (None, "de-DE", "en"),
        ("xx", None, "en"),
        (None, None, "en"),
    ],
)
def test_language_is_asked_then_browser_then_english(asked: str | None, browser: str | None, expected: str) -> None:
    assert choose_language(asked, browser) == expected


def test_every_source_of_words_is_seen() -> None:
    places = {
        Path(place).parts[0] for messages in extracted().values() for found in messages.values() for place in found
    }
    assert {"core", "pages"} <= places
