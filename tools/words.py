"""Bring the catalogues up to date with the code: `python tools/words.py` adds new message ids and drops unused ones.

A message id goes to the catalogue of the folder it stands in: a task's own, the pages' or the core's. Existing translations stay;
what still needs a translator is listed at the end.
"""

import ast
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
KEYWORDS = {"mark", "t"}
LANGUAGES = ("ko", "zh_Hant")


def folder_of(path: Path) -> Path:
    """The `locale` folder that holds the words of a source file."""
    parts = path.relative_to(ROOT).parts
    if parts[:2] == ("core", "tasks") and len(parts) > 3:
        return ROOT.joinpath(*parts[:3], "locale")
    return ROOT / ("core" if parts[0] == "core" else "pages") / "locale"


def messages_in(path: Path) -> Iterator[str]:
    """Message ids of one source file: the literal first argument of every `mark(...)` and `t(...)`, inside f-strings too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS and node.args:
            match node.args[0]:
                case ast.Constant(value=str(message)) if message:
                    yield message


def extracted() -> dict[Path, dict[str, list[str]]]:
    """Message ids by locale folder, each with the files it stands in."""
    found: dict[Path, dict[str, list[str]]] = {}
    sources = [ROOT / "app.py", *sorted(ROOT.glob("core/**/*.py")), *sorted(ROOT.glob("pages/**/*.py"))]
    for path in sources:
        for message in messages_in(path):
            found.setdefault(folder_of(path), {}).setdefault(message, []).append(str(path.relative_to(ROOT)))
    return found


def read(path: Path, language: str) -> dict[str, str]:
    """Translations of one file; empty when it does not exist."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return {
            str(entry.id): str(entry.string) for entry in read_po(file, locale=language) if entry.id and entry.string
        }


def update(folder: Path, messages: dict[str, list[str]], language: str) -> list[str]:
    """Rewrite one catalogue; returns the message ids without a translation."""
    path = folder / f"{language}.po"
    old = read(path, language)
    catalogue = Catalog(locale=language, project="Fivefold", fuzzy=False)
    for message, places in sorted(messages.items()):
        catalogue.add(message, old.get(message, ""), locations=[(place, 0) for place in sorted(set(places))])
    text = BytesIO()
    write_po(text, catalogue, width=120, omit_header=False, include_lineno=False, sort_output=True)
    # dates and tool versions in the header would make every run a change
    lines = [
        line
        for line in text.getvalue().splitlines(keepends=True)
        if not line.startswith((b'"POT-Creation-Date', b'"PO-Revision-Date', b'"Generated-By'))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return [message for message in messages if not old.get(message)]


def main() -> int:
    """Update all catalogues and list what is missing."""
    missing = 0
    for folder, messages in extracted().items():
        for language in LANGUAGES:
            todo = update(folder, messages, language)
            missing += len(todo)
            print(
                f"{folder.relative_to(ROOT)}/{language}.po: {len(messages)} messages, {len(todo)} without translation"
            )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
