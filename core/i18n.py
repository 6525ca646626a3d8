"""Words in three languages.

A message id is the English sentence itself, so code reads as what a person sees. `mark` only tags a sentence for the catalogues;
`Translator.__call__` looks it up and fills its `{placeholders}`. The catalogues are gettext `.po` files in `core/locale/`,
`pages/locale/` and each task's `locale/`, read at start by Babel: no build step and no binary file. English needs no catalogue.
"""

from functools import lru_cache
from pathlib import Path

LANGUAGES: dict[str, str] = {"en": "English", "zh_Hant": "繁體中文", "ko": "한국어"}
_ROOT = Path(__file__).resolve().parents[1]


def mark(message: str) -> str:
    """Tag `message` for the catalogues and return it unchanged."""
    return message


def catalogue_folders() -> list[Path]:
    """Folders that may hold `<language>.po`: the core's, the pages' and every task's."""
    return [_ROOT / "core" / "locale", _ROOT / "pages" / "locale", *sorted(_ROOT.glob("core/tasks/*/locale"))]


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> dict[str, str]:
    """Message id -> translation, merged over all catalogue folders.

    Raises:
        KeyError: `language` is not one of LANGUAGES.
    """
    from babel.messages.pofile import read_po  # a machine that only trains has no catalogues to read

    LANGUAGES[language]
    words: dict[str, str] = {}
    for folder in catalogue_folders():
        path = folder / f"{language}.po"
        if path.is_file():
            with path.open("rb") as file:
                entries = read_po(file, locale=language)
            words.update({str(entry.id): str(entry.string) for entry in entries if entry.id and entry.string})
    return words


class Translator:
    """Translates message ids into one language; English, or an id without a translation, stays as it is."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._words = catalogue(language)

    def __call__(self, message: str, /, **values: object) -> str:
        """The translated sentence with its `{placeholders}` filled from `values`."""
        text = self._words.get(message, message)
        return text.format(**values) if values else text


def choose_language(asked: str | None, browser: str | None) -> str:
    """The interface language: `?lang=` first, then the browser's, then English.

    Args:
        asked: Value of the query parameter, or None.
        browser: BCP 47 tag of the browser ("zh-TW", "ko-KR"), or None.
    """
    if asked in LANGUAGES:
        return asked
    tag = (browser or "").replace("_", "-").lower()
    if tag.startswith("zh"):
        return "zh_Hant"
    return "ko" if tag.startswith("ko") else "en"
