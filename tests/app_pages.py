"""The app without a browser, for tests of pages: open one, read its words, upload to it."""

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from core.i18n import Translator

ROOT = Path(__file__).resolve().parents[1]
SLOW_S = 120


def accept_intended_use(app: AppTest) -> AppTest:
    """Click through the first screen of a session."""
    return app.button(key="intended_use.accept").click().run()


def open_page(page: str | None = None, **state: Any) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW_S)
    app.session_state["language"] = "en"
    for key, value in state.items():
        app.session_state[key.replace("__", ".")] = value
    accept_intended_use(app.run())
    if page:
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = ("title", "header", "subheader", "markdown", "caption", "text", "info", "warning", "table")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def says(app: AppTest, message: str, language: str = "en", **values: object) -> bool:
    return Translator(language)(message, **values) in words(app)


def upload(app: AppTest, task: str, *files: tuple[str, bytes]) -> AppTest:
    app.segmented_control(key=f"{task}.source").set_value("upload").run()
    app.file_uploader(key=f"{task}.upload").set_value(
        [(name, data, "application/octet-stream") for name, data in files]
    )
    app.run()
    assert not app.exception
    return app
