"""The page "Curation" without a browser: the form of every task, one click on a phantom hospital, what came out."""

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_pages import SLOW_S, open_page, says, words
from streamlit.testing.v1 import AppTest

from core import registry
from core.cli.main import main
from core.curation.report import read_report
from core.curation.usage import files_of
from core.errors import BusyError
from core.i18n import LANGUAGES
from core.manifest import DEMO_STATEMENT
from core.services.curations import STARTED, Curation, Curations
from pages.parts import curating, curating_new
from pages.parts.curating_new import PHANTOMS
from pages.parts.settings import Place, Settings

KNEE, CHEST, HIP, RETINA = "knee_djd", "chest_lesions", "hip_osteoporosis", "retina_lesions"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Curations]:
    """Nothing is really started: a curation that was started has ended without a data set."""
    own = Curations(tmp_path / "curations")
    monkeypatch.setattr(own, "start", lambda curation: (curation.folder / STARTED).write_text("0"))
    curating.curations.clear()
    monkeypatch.setattr(curating, "Curations", lambda root: own)
    yield own
    curating.curations.clear()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the command makes of phantom hospitals, by task."""
    folder = tmp_path_factory.mktemp("results")
    for task, n in ((KNEE, 8), (RETINA, 2), (HIP, 6)):
        assert main(["curate", task, "--phantoms", str(n), "--out", str(folder / task)]) == 0
    return {task: folder / task for task in (KNEE, RETINA, HIP)}


def _page() -> None:
    from pages.parts.curating import show_curating

    show_curating()


def opened(task: str | None = None, token: str = "", language: str = "en") -> AppTest:
    """Without the menu: a rerun of the router would take the click on a button away."""
    app = AppTest.from_function(_page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    if token:
        app.query_params["curation"] = token
    app.run()
    if task:
        app.button_group(key="curating.task").set_value(task).run()
    assert not app.exception
    return app


def result(curation: Curation, language: str = "en") -> AppTest:
    """Through the menu, for links to other pages need it."""
    app = open_page("curate", language=language)
    app.query_params["curation"] = curation.token
    app.run()
    assert not app.exception
    return app


def made(app: AppTest, store: Curations) -> Curation:
    """After a button was pressed."""
    assert not app.exception
    curation = store.find("".join(app.query_params["curation"]))
    assert curation is not None
    return curation


def done(store: Curations, results: dict[str, Path], task: str) -> Curation:
    curation = store.create(task, phantoms=3)
    shutil.copytree(results[task], curation.data)
    store.start(curation)
    return curation


def archive() -> tuple[str, bytes, str]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("1.mat", "none")
    return "images.zip", buffer.getvalue(), "application/zip"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", list(PHANTOMS))
def test_one_click_on_a_phantom_hospital(store: Curations, task: str, language: str) -> None:
    app = opened(task, language=language)
    assert app.button(key="curating.create").disabled  # nothing is given yet
    app.button(key="curating.phantoms").click().run()
    assert made(app, store).plan.phantoms == PHANTOMS[task]
    assert made(app, store).plan.task == task


def test_every_task_can_be_tried() -> None:
    assert set(PHANTOMS) == set(registry.tasks())


def test_a_task_that_needs_a_table_waits_for_it(store: Curations) -> None:
    app = opened(HIP)
    app.file_uploader(key="curating.archive").set_value([archive()]).run()
    assert app.button(key="curating.create").disabled
    table = ("dexa.CSV", b"PatientID,ScanDate,T_score\n", "text/csv")
    app.file_uploader(key=f"curating.table.{HIP}").set_value([table]).run()
    app.number_input(key="curating.year").set_value(2021).run()
    app.button(key="curating.create").click().run()
    plan, folder = made(app, store).plan, made(app, store).folder
    assert (plan.table, plan.test_year, plan.server_folder, plan.phantoms) == ("table.csv", 2021, "", 0)
    assert (folder / "images.zip").read_bytes() == archive()[1]
    assert (folder / "table.csv").read_bytes() == table[1]


def test_marks_need_a_colour_that_means_something(store: Curations) -> None:
    app = opened(CHEST)
    app.file_uploader(key="curating.archive").set_value([archive()]).run()
    app.file_uploader(key="curating.marks").set_value([archive()]).run()
    assert app.button(key="curating.create").disabled
    app.selectbox(key="curating.colour.red").set_value("scoliosis").run()
    app.button(key="curating.create").click().run()
    plan = made(app, store).plan
    assert (plan.has_marks, plan.colours, plan.table) == (True, ["red=scoliosis"], "")


def test_folders_of_the_server_are_offered(store: Curations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root" / "knees").mkdir(parents=True)
    monkeypatch.setattr(
        curating_new, "settings", lambda: Settings(curation=Place(tmp_path / "store", tmp_path / "root"))
    )
    app = opened(KNEE)
    app.segmented_control(key="curating.images").set_value("folder").run()
    app.selectbox(key="curating.folder").set_value("knees").run()
    app.button(key="curating.create").click().run()
    assert made(app, store).plan.server_folder == str(tmp_path / "root" / "knees")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", [KNEE, RETINA, HIP])
def test_what_came_out_is_shown(store: Curations, results: dict[str, Path], task: str, language: str) -> None:
    curation = done(store, results, task)
    app = result(curation, language)
    report = read_report(curation.data)
    assert report is not None
    assert [metric.value for metric in app.metric][: len(report.splits) + 1] == [
        *(f"{share.images:,}" for share in report.splits.values()),
        f"{sum(report.excluded.values()):,}",
    ]
    assert len(app.get("plotly_chart")) == 1 + bool(report.excluded)
    buttons = {button.proto.label for button in app.get("download_button")}
    assert buttons >= {path.name for path in files_of(curation.data) if path.parent == curation.data}
    (shown,) = [code.value for code in app.code]
    assert f"train {task} --data {curation.data}" in shown
    assert not set("{}") & set(words(app))


def test_phantoms_are_called_what_they_are(store: Curations, results: dict[str, Path]) -> None:
    app = result(done(store, results, KNEE))
    assert any(DEMO_STATEMENT in own.value for own in app.markdown)
    assert any("No grade" in own.value.to_csv() for own in app.dataframe)
    assert not any("P0000.mat" in own.value.to_csv() for own in app.dataframe)  # people name files after patients


def test_a_curation_that_ended_without_a_word_can_start_again(store: Curations) -> None:
    curation = store.create(KNEE, phantoms=3)
    store.start(curation)
    app = opened(token=curation.token)
    assert says(app, "The curation ended unexpectedly.")
    app.button(key="curating.start").click().run()
    assert not app.exception
    app.button(key="curating.new").click().run()
    assert "curation" not in app.query_params
    assert app.button(key="curating.phantoms")


def test_a_second_curation_is_told_to_wait(store: Curations, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(curation: Curation) -> None:
        raise BusyError("another job of this kind is running")

    monkeypatch.setattr(store, "start", busy)
    app = opened(KNEE)
    app.button(key="curating.phantoms").click().run()
    assert not app.exception
    assert says(app, "The server is busy.")


def test_deleting_removes_everything(store: Curations) -> None:
    curation = store.create(KNEE, images=archive()[1])
    store.start(curation)
    app = opened(token=curation.token)
    app.button(key="curating.delete").click().run()
    assert store.find(curation.token) is None
    assert not curation.folder.exists()


def test_the_page_is_in_the_menu_and_an_unknown_token_shows_the_form(store: Curations) -> None:
    app = open_page("curate")
    app.query_params["curation"] = "x" * 24
    app.run()
    assert not app.exception
    assert app.button(key="curating.phantoms")
