"""Batches as jobs, and their page without a browser."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_pages import SLOW_S, says, words
from streamlit.testing.v1 import AppTest

from core.cli.main import main
from core.errors import BusyError
from core.i18n import LANGUAGES, Translator
from core.manifest import DEMO_STATEMENT
from core.services.audit import entries
from core.services.batches import IMAGES, RESULTS, STARTED, TABLE, Batch, Batches
from core.services.history import open_history
from pages.parts import batching
from pages.parts.settings import settings

KNEE, MODEL, LIMIT_S = "knee_djd", "simple_cnn_3", 120.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    folder = tmp_path_factory.mktemp("knees")
    assert main(["phantom", KNEE, "--out", str(folder), "--n", "2"]) == 0
    return [*((path.name, path.read_bytes()) for path in sorted(folder.glob("*.dcm"))), ("=words.txt.dcm", b"no image")]


@pytest.fixture(scope="module")
def finished(files: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Batches, Batch]:
    """Really run, after ten people pressed the button at once."""
    store = Batches(tmp_path_factory.mktemp("installation") / "batches")
    found: list[Batch] = []

    def press() -> None:
        batch = store.create(KNEE, MODEL, files)
        store.start(batch)
        found.append(batch)

    threads = [threading.Thread(target=press) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {batch.token for batch in found} == {found[0].token}
    batch, end = found[0], time.monotonic() + LIMIT_S
    while store.stage(batch) == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert store.stage(batch) == "done", (batch.folder / "log.txt").read_text()
    return store, batch


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batches]:
    """Of this test alone, for the page as well; nothing is really started."""
    monkeypatch.setenv("FIVEFOLD_BATCHES", str(tmp_path / "batches"))
    monkeypatch.setenv("FIVEFOLD_HISTORY", f"sqlite:///{tmp_path / 'history.sqlite'}")
    settings.cache_clear()
    batching.batches.clear()
    monkeypatch.setattr(Batches, "start", lambda _self, batch: (batch.folder / STARTED).write_text("0"))
    yield batching.batches()
    settings.cache_clear()
    batching.batches.clear()


def _page() -> None:
    from pages.parts.batching import show_batching

    show_batching()


def opened(language: str = "en", token: str = "") -> AppTest:
    """Without the menu: a rerun of the router would take the click on a button away."""
    app = AppTest.from_function(_page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    if token:
        app.query_params["batch"] = token
    app.run()
    assert not app.exception
    return app


# --- the job ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_a_job_that_ends_with_a_table(
    finished: tuple[Batches, Batch], files: list[tuple[str, bytes]]
) -> None:
    store, batch = finished
    rows = batch.rows()
    assert [row["file"] for row in rows] == ["'=words.txt.dcm", "phantom_0_0000.dcm", "phantom_0_0001.dcm"]
    assert [row["outcome"] for row in rows] == ["error", "accepted", "accepted"]
    assert len(json.loads(batch.file(RESULTS))["cases"]) == 3
    assert not (batch.folder / "images").exists()
    assert store.create(KNEE, MODEL, files).token == batch.token  # the same images and choices
    assert store.create(KNEE, MODEL, files, confirmed=True).token != batch.token
    assert store.create(KNEE, MODEL, files[:2]).token != batch.token


def test_a_row_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    store = Batches(tmp_path)
    batch = store.create(KNEE, MODEL, [("a.dcm", b"a")])
    assert batch.rows() == []
    (batch.folder / TABLE).write_bytes(b"file,outcome\na,accepted\nb,acce")
    assert batch.rows() == [{"file": "a", "outcome": "accepted"}]


def test_uploads_become_one_archive(tmp_path: Path) -> None:
    store = Batches(tmp_path)
    single = store.create(KNEE, MODEL, [("a.dcm", b"one"), ("../b.dcm", b"two")])
    with zipfile.ZipFile(io.BytesIO((single.folder / IMAGES).read_bytes())) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.dcm": b"one", "../b.dcm": b"two"}
    packed = (single.folder / IMAGES).read_bytes()
    assert (store.create(KNEE, MODEL, [("all.zip", packed)]).folder / IMAGES).read_bytes() == packed
    assert not (store.create(KNEE, MODEL, [], str(tmp_path)).folder / IMAGES).exists()


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_leads_to_a_batch(store: Batches, files: list[tuple[str, bytes]], language: str) -> None:
    app = opened(language)
    assert app.button(key="batching.create").disabled
    app.button_group(key="batching.task").set_value(KNEE).run()
    app.file_uploader(key="batching.archive").set_value([(*file, "application/dicom") for file in files]).run()
    app.checkbox(key="batching.confirmed").check().run()
    app.button(key="batching.create").click().run()
    assert not app.exception
    batch = store.find("".join(app.query_params["batch"]))
    assert batch is not None
    plan = batch.plan
    assert (plan.task, plan.model, plan.confirmed, plan.has_history) == (KNEE, MODEL, True, False)
    assert app.button(key="batching.start")  # it stands as stopped
    assert Translator(language)(DEMO_STATEMENT) in words(app)
    assert not set("{}") & set(words(app))


def test_a_finished_batch_shows_its_rows_and_filters_them(
    finished: tuple[Batches, Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, batch = finished
    monkeypatch.setenv("FIVEFOLD_HISTORY", f"sqlite:///{tmp_path / 'history.sqlite'}")
    monkeypatch.setattr(batching, "batches", lambda: done)
    app = opened(token=batch.token)

    def shown() -> list[str]:
        assert not app.exception
        return list(app.dataframe[0].value["File"]) if len(app.dataframe) else []

    assert shown() == [row["file"] for row in batch.rows()]
    assert [metric.value for metric in app.metric] == ["2", "0", "0", "1"]
    assert DEMO_STATEMENT in words(app)
    assert "The file holds no image that this program can show." in list(app.dataframe[0].value["Reason"])
    app.selectbox(key="batching.outcome").set_value("error").run()
    assert shown() == ["'=words.txt.dcm"]
    app.selectbox(key="batching.outcome").set_value(None).run()
    scores = {row["file"]: float(row["score_L"]) for row in batch.rows() if row["score_L"]}
    best = max(scores, key=lambda name: scores[name])
    app.selectbox(key="batching.slot").set_value("_L").run()
    app.slider(key="batching.range").set_value((max(scores.values()) - 0.02, 1.0)).run()
    assert shown() == [name for name in scores if scores[name] >= max(scores.values()) - 0.02]
    assert best in shown()
    app.slider(key="batching.range").set_value((0.0, 1.0)).run()
    app.selectbox(key="batching.side").set_value("false").run()
    assert shown() == [row["file"] for row in batch.rows() if row["positive_L"] == "false"]
    app.download_button(key="batching.save.csv").click().run()
    last = list(entries(open_history().store))[-1]
    assert (last.actor, last.action) == ("test@example.com", "export")
    assert last.object.startswith(f"batch {TABLE}, sha256 ")


def test_a_second_batch_is_told_to_wait(
    store: Batches, files: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_self: Any, _batch: Batch) -> None:
        raise BusyError("another job of this kind is running")

    monkeypatch.setattr(Batches, "start", busy)
    batch = store.create(KNEE, MODEL, files)
    app = opened(token=batch.token)
    app.button(key="batching.start").click().run()
    assert says(app, "The server is busy.")


def test_an_unknown_token_shows_the_form_and_a_deleted_one_is_gone(
    store: Batches, files: list[tuple[str, bytes]]
) -> None:
    assert opened(token="x" * 24).button(key="batching.create")
    batch = store.create(KNEE, MODEL, files)
    app = opened(token=batch.token)
    app.button(key="batching.delete").click().run()
    assert not batch.folder.exists()
    assert "batch" not in app.query_params
