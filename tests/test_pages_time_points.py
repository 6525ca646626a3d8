"""The retina's own tab without a browser: five photographs of one eye, and a second network."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from app_pages import SLOW_S, words
from streamlit.testing.v1 import AppTest
from task_manifests import manifest_of
from torch import Tensor
from torch.nn import functional

from core import registry, screening
from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.i18n import LANGUAGES
from core.imaging.overlay import png_bytes
from core.io.phantom_file import write_dicom
from core.manifest import dump_manifest
from core.phantom import Phantom
from core.records import ScreeningResult, Study
from core.tasks.retina_lesions import phantom as phantoms
from core.tasks.retina_lesions.task import FINER

TASK, SIZE, SAMPLE = "retina_lesions", 256, "both"


class ByGreen(SplitNetwork):
    """Dark green is a haemorrhage and bright green an exudate, `limit` spreads away from the middle."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def features(self, x: Tensor) -> Activations:
        return Activations(x)

    def head(self, activations: Activations) -> Tensor:
        green = functional.avg_pool2d(activations.target[:, 1], FINER)
        return torch.stack([-green - self.limit, green - self.limit], dim=1)


LIMITS = {"first": 2.0, "second": 3.0}


@cache
def eye() -> tuple[Phantom, ...]:
    return phantoms.make_time_points(
        np.random.default_rng([2026, phantoms.SAMPLES[SAMPLE][2]]), severity=1.2, size=SIZE
    )


ROAD, SCREENED = screening.screen, {}


def screen_once(study: Study, model: Model, **choices: Any) -> ScreeningResult:
    """The road, walked once for all tests of this file where nothing differs."""
    key = (study.pixel_hash, study.file_sha256, study.is_phantom, dump_manifest(model.manifest), repr(choices))
    if key not in SCREENED:
        SCREENED[key] = ROAD(study, model, **choices)
    return SCREENED[key]


@pytest.fixture(scope="module", autouse=True)
def own_cache() -> Iterator[None]:
    """Samples of this file are small: nobody else may find them."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Model]:
    """Models by name; `remove` one to have it not installed."""
    facts, models = manifest_of(TASK), {}
    for name, limit in LIMITS.items():
        weights = facts.weights.model_copy(update={"sha256": f"{len(models):064x}"})
        manifest = facts.model_copy(update={"model": name, "weights": weights})
        folder = tmp_path / TASK / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(dump_manifest(manifest))
        models[name] = Model(manifest, ByGreen(limit), torch.device("cpu"), folder)
    monkeypatch.setattr(registry, "model_folders", lambda task, root=None: [model.folder for model in models.values()])
    monkeypatch.setattr(registry, "manifest_of", lambda task, model=None: models[model or "first"].manifest)
    monkeypatch.setattr(screening, "load", lambda task, name="first": models[name])
    monkeypatch.setattr(phantoms, "make_time_points", partial(phantoms.make_time_points, size=SIZE))
    monkeypatch.setattr(screening, "screen", screen_once)
    return models


def _tab() -> None:
    import streamlit as st

    from pages.parts.retina import show_list

    result = st.session_state["shown"]
    show_list(result.study if result else None, result)


def _open(models: dict[str, Model], language: str = "en", *, has_result: bool = True) -> AppTest:
    app = AppTest.from_function(_tab, default_timeout=SLOW_S)
    app.session_state["language"] = language
    app.session_state[f"{TASK}.sample"] = SAMPLE
    app.session_state["shown"] = screening.screen(eye()[0].study(), models["first"]) if has_result else None
    app.run()
    assert not app.exception
    return app


def _upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader(key=f"{TASK}.times.upload").set_value([(*file, "application/octet-stream") for file in files])
    app.run()
    assert not app.exception
    return app


def _rows(app: AppTest) -> dict[str, tuple[str, ...]]:
    """The last table by its first column."""
    return {row[0]: row[1:] for row in app.table[-1].value.itertuples(index=False, name=None)}


# --- time points -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_five_time_points_of_the_sample(installed: dict[str, Model], language: str) -> None:
    app = _open(installed, language)
    assert not app.get("plotly_chart")
    app.button(key=f"{TASK}.times.use").click().run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    assert len(_rows(app)) == 6
    assert not set("{}") & set(words(app))


def test_areas_and_dice_are_those_of_the_road(installed: dict[str, Model]) -> None:
    app = _open(installed)
    app.button(key=f"{TASK}.times.use").click().run()
    rows = _rows(app)
    results = [screening.screen(point.study(), installed["first"]) for point in eye()]
    for place, result in enumerate(results, start=1):
        assert result.prediction is not None
        for column, finding in enumerate(result.prediction.findings):
            share = result.prediction.measures[f"area_share_{finding.label}"][0]
            assert share > 0
            assert rows[f"Time point {place}"][column] == f"{100 * share:.3f}\u202f% · {len(finding.lesions)}"
    for mean in rows["Dice of two photographs, mean (pairs: 10)"]:
        assert 0 < float(mean) < 1


def test_photographs_are_screened_once(installed: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    app = _open(installed)
    app.button(key=f"{TASK}.times.use").click().run()
    before = _rows(app)
    monkeypatch.setattr(screening, "screen", None)
    app.run()
    assert not app.exception
    assert _rows(app) == before


def test_another_sample_takes_the_comparison_away(installed: dict[str, Model]) -> None:
    app = _open(installed)
    app.button(key=f"{TASK}.times.use").click().run()
    app.session_state[f"{TASK}.sample"] = "few"
    app.run()
    assert app.button(key=f"{TASK}.times.use")
    assert not app.get("plotly_chart")
    assert app.session_state[f"{TASK}.times"] == {}


def test_a_file_at_fault_costs_itself_and_names_give_the_order(installed: dict[str, Model]) -> None:
    first, second = (write_dicom(point) for point in eye()[:2])
    app = _upload(_open(installed), ("c", second), ("b", b"no image at all"), ("a", first))
    assert [element.value for element in app.text if element.value in "abc"] == ["a", "b", "c"]
    assert "The file holds no image that this program can show." in words(app)
    rows = _rows(app)
    assert rows["Time point 2"] == ("not scored", "not scored")
    assert "Dice of two photographs, mean (pairs: 1)" in rows


def test_an_unconfirmed_photograph_is_not_scored(installed: dict[str, Model]) -> None:
    """A model that never saw a patient asks about a file that is no phantom."""
    app = _upload(_open(installed), ("a", write_dicom(eye()[0])), ("b", png_bytes(eye()[1].pixels)))
    assert "never saw a patient" in words(app)
    assert _rows(app)["Time point 2"] == ("not scored", "not scored")
    app.button(key=f"{TASK}.times.confirm.1").click().run()
    assert _rows(app)["Time point 2"] != ("not scored", "not scored")
    assert "never saw a patient" not in words(app)


def test_a_refused_photograph_is_shown_with_its_reason(installed: dict[str, Model]) -> None:
    grey = np.tile(np.linspace(0, 255, 200, dtype=np.uint8), (200, 1))
    app = _upload(_open(installed, has_result=False), ("a", png_bytes(grey)))
    assert "Not a colour photograph" in words(app)
    assert "None of the photographs is scored." in words(app)
    assert not [button for button in app.button if ".times.confirm." in (button.key or "")]


def test_more_than_five_photographs(installed: dict[str, Model]) -> None:
    files = [(f"{number}", b"no image") for number in range(7)]
    app = _upload(_open(installed), *files)
    assert "7 photographs: the first 5 by name are used." in words(app)
    assert [element.value for element in app.text if element.value.isdigit()] == list("01234")


# --- a second network ------------------------------------------------------------------------------------------------


def test_one_network_says_how_to_get_a_second(installed: dict[str, Model]) -> None:
    del installed["second"]
    app = _open(installed)
    assert "A second network can be installed" in words(app)
    assert app.code[0].value.startswith(".venv/bin/python -m core train retina_lesions")
    assert not app.selectbox


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_agreement_of_two_networks(installed: dict[str, Model], language: str) -> None:
    app = _open(installed, language)
    app.selectbox(key=f"{TASK}.second").set_value("second").run()
    assert not app.exception
    first, second = (screening.screen(eye()[0].study(), model).prediction for model in installed.values())
    assert first is not None
    assert second is not None
    for row, mine, other in zip(_rows(app).values(), first.findings, second.findings, strict=True):
        assert mine.mask is not None
        assert other.mask is not None
        both, either = int((mine.mask & other.mask).sum()), int((mine.mask | other.mask).sum())
        assert row[0] == f"{both:,}"
        assert row[4] == f"{both / either:.3f}"
    assert not set("{}") & set(words(app))


def test_the_question_of_the_second_network_is_asked(installed: dict[str, Model]) -> None:
    """The first was trained on patients, the second was not: it asks about a photograph that the first takes."""
    real = installed["first"].manifest
    known = real.provenance.model_copy(update={"labels": dict.fromkeys(real.labels, "real images, real labels")})
    installed["first"] = replace(installed["first"], manifest=real.model_copy(update={"provenance": known}))
    app = AppTest.from_function(_tab, default_timeout=SLOW_S)
    app.session_state["language"] = "en"
    study = replace(eye()[0].study(), is_phantom=False)
    app.session_state["shown"] = screening.screen(study, installed["first"])
    app.run()
    app.selectbox(key=f"{TASK}.second").set_value("second").run()
    assert "never saw a patient" in words(app)
    assert not app.table
    app.button(key=f"{TASK}.second.confirm").click().run()
    assert len(_rows(app)) == 2
