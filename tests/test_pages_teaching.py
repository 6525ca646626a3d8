"""The page "Training" without a browser, and the choice among installed models on a task page."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_pages import SLOW_S, open_page, says, words
from streamlit.testing.v1 import AppTest

from core import registry
from core.errors import BusyError
from core.i18n import LANGUAGES
from core.manifest import SHIPPED
from core.services.trainings import RUNS, STARTED, Training, Trainings
from pages.parts import teaching

KNEE = "knee_djd"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainings]:
    """Nothing is really started: a training that was started stands as stopped."""
    own = Trainings(tmp_path / "trainings")
    monkeypatch.setattr(own, "start", lambda training: (training.folder / STARTED).write_text("0"))
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path / "weights")
    teaching.trainings.clear()
    monkeypatch.setattr(teaching, "Trainings", lambda root: own)
    yield own
    teaching.trainings.clear()


def _page() -> None:
    from pages.parts.teaching import show_teaching

    show_teaching()


def filled(language: str = "en") -> AppTest:
    """Without the menu: a rerun of the router would take the click on a button away."""
    app = AppTest.from_function(_page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    app.run()
    app.button_group(key="teaching.task").set_value(KNEE).run()
    return app


def made(app: AppTest, store: Trainings) -> Training:
    """After the button was pressed."""
    app.button(key="teaching.create").click().run()
    assert not app.exception
    training = store.find("".join(app.query_params["training"]))
    assert training is not None
    return training


def log_epochs(training: Training, n: int) -> None:
    folder = training.folder / RUNS / KNEE / training.plan.architecture / "fold_0"
    folder.mkdir(parents=True)
    row = {"train_loss": 1.5, "validation_loss": 1.2, "seconds": 3.0}
    (folder / "checkpoint.json").write_text(json.dumps({"history": [row] * n, "kept_epoch": n - 1}))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_leads_to_a_training_that_can_go_on(store: Trainings, language: str) -> None:
    app = filled(language)
    app.number_input(key="teaching.epochs").set_value(7)
    app.text_input(key=f"teaching.name.{KNEE}.simple_cnn_2").set_value("night_shift")
    training = made(app, store)
    plan = training.plan
    assert (plan.task, plan.architecture, plan.name, plan.epochs, plan.folds) == (
        KNEE,
        "simple_cnn_2",
        "night_shift",
        7,
        1,
    )
    assert (plan.phantoms, plan.test_phantoms, plan.server_folder) == (300, 100, "")
    log_epochs(training, 3)
    app.run()
    assert not app.exception
    assert app.button(key="teaching.start")
    assert len(app.get("plotly_chart")) == 1
    assert not set("{}") & set(words(app))


def test_a_name_that_is_none_is_refused_in_words(store: Trainings) -> None:
    app = filled()
    app.text_input(key=f"teaching.name.{KNEE}.simple_cnn_2").set_value("../escape")
    app.button(key="teaching.create").click().run()
    assert not app.exception
    assert "small letters" in words(app)
    assert "training" not in app.query_params


def test_a_second_training_is_told_to_wait(store: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(training: Training) -> None:
        raise BusyError("another job of this kind is running")

    monkeypatch.setattr(store, "start", busy)
    app = filled()
    app.button(key="teaching.create").click().run()
    assert not app.exception
    assert says(app, "The server is busy.")


def test_an_unknown_token_shows_the_form(store: Trainings) -> None:
    app = open_page("train")
    app.query_params["training"] = "x" * 24
    app.run()
    assert not app.exception
    assert app.button(key="teaching.create")


def test_a_finished_training_leads_to_its_task(store: Trainings) -> None:
    training = made(filled(), store)
    training.weights.mkdir(parents=True)
    (training.weights / SHIPPED).write_text("{}")
    app = open_page("train")
    app.query_params["training"] = training.token
    app.run()
    assert any("The model is installed" in own.value for own in app.success)


def test_a_task_page_chooses_among_installed_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = registry.model_folders(KNEE)[0]
    other = tmp_path / KNEE / "another"
    shutil.copytree(shipped, other)
    facts = json.loads((other / SHIPPED).read_text())
    facts["version"] = facts["changelog"][-1]["version"] = "9.9.9"
    (other / SHIPPED).write_text(json.dumps(facts | {"model": "another"}))
    known = registry.model_folders

    def folders(task_id: str, root: Path = registry.WEIGHTS) -> list[Path]:
        return [*known(task_id, root), *([other] if task_id == KNEE else [])]

    monkeypatch.setattr(registry, "model_folders", folders)
    app = open_page(KNEE)
    assert "9.9.9" not in words(app)
    app.selectbox(key=f"{KNEE}.model").set_value("another").run()
    assert not app.exception
    assert "9.9.9" in words(app)
