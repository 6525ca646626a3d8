"""Tabs "Performance" and "Method" of a segmenter, without a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from app_pages import SLOW_S, words
from streamlit.testing.v1 import AppTest
from tiny_masks import N, masks_folder

from core import registry
from core.evaluation.masks import held_out_masks
from core.i18n import LANGUAGES
from core.io.pixel_evidence import FILE
from core.manifest import dump_manifest, read_manifest


def _performance() -> None:
    from core import registry
    from core.manifest import read_manifest
    from pages.parts.segmenting import show_segmenting

    manifest = read_manifest(registry.WEIGHTS / "retina_lesions" / "tiny")
    show_segmenting(registry.task("retina_lesions"), manifest)


def _method() -> None:
    from core import registry
    from core.manifest import read_manifest
    from pages.parts.retina_method import show_method

    manifest = read_manifest(registry.WEIGHTS / "retina_lesions" / "tiny")
    network = manifest.architecture.model_copy(update={"name": "unet_small"})
    show_method(registry.task("retina_lesions"), manifest.model_copy(update={"architecture": network}))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "retina_lesions" / "tiny"
    manifest = masks_folder(folder)
    (folder / "manifest.json").write_text(dump_manifest(manifest))
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    return folder


def _open(page: Callable[[], None], language: str = "en") -> AppTest:
    app = AppTest.from_function(page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize("language", LANGUAGES)
def test_performance(weights: Path, language: str) -> None:
    app = _open(_performance, language)
    assert len(app.get("plotly_chart")) == 4
    assert len(app.metric) == 8
    said = words(app)
    assert f"n = {N}" in said
    assert "0.9681" in said
    assert not set("{}") & set(said)


def test_the_table_holds_the_pixels_at_the_operating_point(weights: Path) -> None:
    (table,) = _open(_performance).table
    rows = {row[0]: row[1:] for row in table.value.itertuples(index=False, name=None)}
    reports = held_out_masks(weights, read_manifest(weights))
    for place, own in enumerate(reports.labels):
        at = own.at_point.at_threshold
        assert at.dice is not None
        assert at.accuracy_all_background is not None
        assert rows["Dice"][place].startswith(f"{at.dice.value:.3f} (95 % CI")
        assert rows["Accuracy of calling nothing"][place].startswith(f"{at.accuracy_all_background.value:.4f}")


def test_changed_evidence_is_said_and_nothing_is_shown(weights: Path) -> None:
    (weights / FILE).write_bytes(b"another")
    st.cache_resource.clear()
    app = _open(_performance)
    assert "missing or was changed" in words(app)
    assert not app.get("plotly_chart")


@pytest.mark.parametrize("language", LANGUAGES)
def test_method(weights: Path, language: str) -> None:
    app = _open(_method, language)
    said = words(app)
    assert len(app.get("plotly_chart")) == 1
    for fact in ("0.9681", "0.9398", "0.6051", "0.73", "0.95", "98.6111"):
        assert fact in said
    assert not set("{}") & set(said)
