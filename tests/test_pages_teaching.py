"""The page "Training" without a browser, and the choice among installed models on a task page."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from app_pages import SLOW_S, open_page, says, words
from safetensors.torch import load_file
from streamlit.testing.v1 import AppTest

from core import registry
from core.errors import BusyError
from core.i18n import LANGUAGES
from core.manifest import SHIPPED
from core.services import own_weights
from core.services.trainings import RUNS, STARTED, Training, Trainings
from core.training.stated import WITH_PLACES
from pages.parts import teaching
from pages.parts.settings import settings

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


# --- own weights -----------------------------------------------------------------------------------------------------


@pytest.fixture
def file_of_weights() -> bytes:
    """The shipped knee network as a state dict of PyTorch, its names behind a prefix."""
    found = load_file(Path(__file__).parents[1] / "weights" / KNEE / "simple_cnn_3" / "model.safetensors")
    file = io.BytesIO()
    torch.save({f"module.{name}": value for name, value in found.items()}, file)
    return file.getvalue()


def bring(app: AppTest, content: bytes) -> AppTest:
    """Fill in the form for own weights and press the button."""
    app.button_group(key="own.task").set_value(KNEE).run()
    app.selectbox(key=f"own.network.{KNEE}").set_value("simple_cnn_3")
    app.file_uploader(key="own.file").set_value([("weights.pt", content, "application/octet-stream")])
    app.radio(key="own.kind").set_value("phantom")
    for field, value in (("model", "ours"), ("data", "Our *phantoms*"), ("licence", "CC0"), ("by", "The department")):
        app.text_input(key=f"own.{field}").set_value(value)
    return app.button(key="own.add").click().run()


def test_weights_are_brought_and_removed(
    store: Trainings, file_of_weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[str] = []
    monkeypatch.setattr("pages.parts.own_weights.show_link", lambda file, *_: links.append(file))
    app = bring(filled(), file_of_weights)
    assert not app.exception
    found = words(app)
    assert "Installed as ours" in found
    assert "23 tensors fit" in found
    assert links == [KNEE]
    (manifest,) = own_weights.brought(KNEE)
    assert manifest.provenance.datasets[0].name == "Our *phantoms*"
    app.button(key=f"own.{KNEE}.ours.remove").click().run()
    assert not app.exception
    assert own_weights.brought(KNEE) == []
    assert not (registry.WEIGHTS / KNEE / "ours").exists()


def test_a_file_that_does_not_hold_is_told_line_by_line(store: Trainings) -> None:
    app = bring(filled(), b"<html>404</html>")
    assert not app.exception
    assert "refused before it was read" in words(app)
    assert says(app, "Nothing was installed.")
    assert not list(registry.WEIGHTS.rglob("*"))


def test_an_empty_form_names_what_is_missing(store: Trainings) -> None:
    app = filled()
    app.button(key="own.add").click().run()
    assert "Please fill in: File, Name of the model, Trained on" in words(app)


def test_an_installation_may_forbid_own_weights(
    store: Trainings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fivefold.toml"
    file.write_text("[training]\nown_weights = false\n")
    chosen = settings.__wrapped__(file)
    monkeypatch.setattr(teaching, "settings", lambda: chosen)
    app = filled()
    assert not app.exception
    assert not any(own.key == "own.add" for own in app.button)


@pytest.mark.parametrize("task_id", [KNEE, "chest_lesions"])
def test_a_task_page_shows_a_brought_model_without_an_operating_point(
    task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Performance and card too. The weights are the shipped ones under a manifest of brought ones."""
    known = registry.manifest_of(task_id)
    assert known is not None
    is_placed = registry.task(task_id).kind in WITH_PLACES
    points = tuple(
        point.model_copy(
            update={"threshold": 0.5 if is_placed else None, "threshold_low": None, "threshold_high": None}
            | {"sensitivity": None, "specificity": None, "n": 0}
        )
        for point in known.operating_points
    )
    made = known.provenance.model_copy(
        update={"training_cases_sha256": None, "evaluation_sha256": None, "out_of_fold_sha256": None}
        | {"seed": None, "code_revision": None, "datasets": ()}
    )
    own = known.model_copy(update={"operating_points": points, "provenance": made, "metrics": ()})
    for place in ("core.manifest.read_manifest", "core.engine.loader.read_manifest"):
        monkeypatch.setattr(place, lambda folder: own)
    for tab, told in (
        (0, "These weights were brought from outside and came without held-out results."),
        (3, "Held-out results"),
    ):
        app = open_page(task_id, **{f"{task_id}.tab": tab})
        found = words(app)
        assert told in found
        if is_placed:
            assert says(app, "The threshold is the one its maker stated; nobody has measured it here.")
        else:
            assert "Above the operating point" not in found
            assert "Below the operating point" not in found
            assert says(app, "This model has no operating point: a score stands alone until it is measured.")
