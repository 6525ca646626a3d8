"""The page "Box review" without a browser: phantoms in one click, decisions, uploads, a folder of the server, the gallery."""

import csv
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from app_pages import SLOW_S, says, words
from streamlit.testing.v1 import AppTest

from core.curation import box_sources
from core.curation import gallery as galleries
from core.curation.box_sources import write_phantoms
from core.curation.chest_lesions import COCO, coco
from core.curation.reviews import JOURNAL
from core.i18n import LANGUAGES
from core.io.voc import parse_voc
from core.manifest import DEMO_STATEMENT
from core.services.box_folders import BoxFolder
from core.tasks.chest_lesions.task import TASK as CHEST
from pages.parts import gallery, reviewing
from pages.parts.settings import Place, settings

N_HIPS = 3


@pytest.fixture(scope="module")
def hips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few phantoms with proposals, made once."""
    folder = tmp_path_factory.mktemp("hips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_sources, "N_PHANTOMS", N_HIPS)
        write_phantoms(folder)
    return folder


@pytest.fixture
def root(tmp_path: Path, hips: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of the test, and a folder on the server with one curated data set."""
    boxes = tmp_path / "server" / "hips" / "boxes"
    boxes.mkdir(parents=True)
    for path in hips.iterdir():
        (boxes / path.name).write_bytes(path.read_bytes())
    (boxes.parent / "curation.json").write_text('{"is_phantom": true}')
    own = replace(settings(), review=Place(tmp_path / "store", tmp_path / "server"))
    reviewing.box_folders.clear()
    monkeypatch.setattr(reviewing, "settings", lambda: own)
    yield tmp_path / "server"
    reviewing.box_folders.clear()


def _page() -> None:
    from pages.parts.reviewing import show_review

    show_review()


def opened(language: str = "en", **address: str) -> AppTest:
    """Without the menu: a rerun of the router would take the click on a button away."""
    app = AppTest.from_function(_page, default_timeout=SLOW_S)
    app.session_state["language"] = language
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def own_folder(app: AppTest) -> BoxFolder:
    found = reviewing.box_folders().find("".join(app.query_params["boxes"]))
    assert found is not None
    return found


def journal(boxes: Path) -> list[dict[str, str]]:
    with (boxes / JOURNAL).open(newline="") as file:
        return list(csv.DictReader(file))


def click(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def states(app: AppTest) -> list[str]:
    return [str(state)[2:] for state in app.dataframe[0].value.iloc[:, 1]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_click_shows_phantoms_that_say_so(root: Path, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    monkeypatch.setattr(box_sources, "N_PHANTOMS", 2)
    app = click(opened(language), "review.phantoms")
    assert says(app, DEMO_STATEMENT, language)
    assert len(app.dataframe[0].value) == 2
    assert len(app.get("plotly_chart")) == 1
    assert app.button(key="review.accept").disabled
    assert app.button(key="review.reject").disabled
    assert not set("{}") & set(words(app))


def test_decisions_are_kept_at_once_and_a_reload_goes_on(root: Path) -> None:
    app = opened(folder="hips")
    boxes = root / "hips" / "boxes"
    names = [path.stem for path in sorted(boxes.glob("*.png"))]
    app.text_input(key="review.reviewer").set_value("Dr. Lin").run()
    click(app, "review.accept")
    edges = [number for number in app.number_input if names[1] in str(number.key)]
    edges[0].set_value(5)
    edges[3].set_value(400).run()
    click(app, "review.accept")
    click(app, "review.reject")
    assert states(app) == ["Accepted", "Redrawn", "Rejected"]
    assert [(row["picture"], row["decision"], row["reviewer"]) for row in journal(boxes)] == [
        (f"{names[0]}.png", "accepted", "Dr. Lin"),
        (f"{names[1]}.png", "redrawn", "Dr. Lin"),
        (f"{names[2]}.png", "rejected", "Dr. Lin"),
    ]
    found = parse_voc((boxes / f"{names[1]}.xml").read_bytes())
    ((_, box),) = found.objects
    assert found.is_verified
    assert box is not None
    assert (box[0], box[3]) == (5, 400)
    again = opened(folder="hips")
    assert states(again) == states(app)
    assert [bar.proto.text for bar in again.get("progress")] == ["3 of 3 reviewed"]


def test_back_next_and_the_filter(root: Path) -> None:
    app = opened(folder="hips")
    names = [path.name for path in sorted((root / "hips" / "boxes").glob("*.png"))]
    assert app.session_state["review.list"]["selection"]["rows"] == [0]
    click(app, "review.next")
    click(app, "review.next")
    click(app, "review.next")
    assert app.session_state["review.at"] == names[2]
    click(app, "review.back")
    assert app.session_state["review.at"] == names[1]
    app.text_input(key="review.reviewer").set_value("A").run()
    click(app, "review.reject")
    app.toggle(key="review.only_open").set_value(True).run()
    assert list(app.dataframe[0].value.iloc[:, 0]) == [names[0], names[2]]
    click(app, "review.back")
    assert app.session_state["review.at"] == names[0]
    click(app, "review.next")
    assert app.session_state["review.at"] == names[2]


def test_a_box_that_is_too_small_is_refused_in_words(root: Path) -> None:
    app = opened(folder="hips")
    app.text_input(key="review.reviewer").set_value("A").run()
    numbers = list(app.number_input)
    numbers[2].set_value(int(numbers[0].value) + 3).run()
    click(app, "review.accept")
    assert "at least 16 pixels" in str(app.error[0].value)
    assert not (root / "hips" / "boxes" / JOURNAL).exists()
    click(app, "review.undo")
    click(app, "review.accept")
    assert [row["decision"] for row in journal(root / "hips" / "boxes")] == ["accepted"]


def test_a_folder_that_cannot_be_written_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(folder="hips")
    app.text_input(key="review.reviewer").set_value("A").run()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.curation.box_review.write_atomically", full)
    click(app, "review.accept")
    assert "not kept" in str(app.error[0].value)
    assert states(app)[0] == "To review"


def test_an_upload_is_reviewed_in_a_folder_of_its_own(root: Path, hips: Path) -> None:
    buffer = BytesIO()
    (first, *_) = sorted(hips.glob("*.png"))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hip [1].png", first.read_bytes())
        archive.writestr("hip_2.png", first.read_bytes())
        archive.writestr("hip_2.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>")
        archive.writestr("hip_3.png", b"no picture")
        archive.writestr("readme.txt", b"x")
    app = opened()
    app.file_uploader(key="review.archive").set_value([("boxes.zip", buffer.getvalue(), "application/zip")]).run()
    click(app, "review.upload")
    assert "XML with a document type" in str(app.warning[0].value)
    assert says(
        app, "Left out of the archive: {n} files that are neither pictures nor XML files, or have unusual names.", n=2
    )
    assert not says(app, DEMO_STATEMENT)
    assert list(app.dataframe[0].value.iloc[:, 0]) == ["hip_2.png", "hip_3.png"]
    app.text_input(key="review.reviewer").set_value("A").run()
    assert app.button(key="review.accept").disabled  # no box yet
    for number, value in zip(list(app.number_input), (10, 20, 200, 210), strict=True):
        number.set_value(value)
    app.run()
    click(app, "review.accept")
    boxes = own_folder(app).boxes
    assert parse_voc((boxes / "hip_2.xml").read_bytes()).objects == (("femoral_neck", (10, 20, 200, 210)),)
    # the next one is no picture: it can only be rejected
    assert "E_NOT_IMAGE" in "".join(str(text.value) for text in app.text)
    assert app.button(key="review.accept").disabled
    click(app, "review.reject")
    assert states(app) == ["Redrawn", "Rejected"]
    click(app, "review.delete")
    assert not boxes.exists()
    assert app.button(key="review.phantoms")


def test_addresses_that_lead_nowhere_show_the_form(root: Path) -> None:
    for address in ({"boxes": "x" * 24}, {"folder": "../server"}, {"folder": ".."}, {"folder": "nothing"}):
        assert opened(**address).button(key="review.phantoms")


# --- gallery ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(galleries, "N_PHANTOMS", 3)
    gallery._phantoms.clear()
    yield
    gallery._phantoms.clear()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_gallery_shows_phantoms_that_say_so(root: Path, few: None, language: str) -> None:
    app = opened(language)
    app.segmented_control(key="review.kind").set_value("chest").run()
    assert not app.exception
    assert says(app, DEMO_STATEMENT, language)
    assert len(app.image) >= 1
    assert all("PHANTOM" in str(caption.value) for caption in app.caption if "test-0" in str(caption.value))


def test_the_gallery_of_a_folder_counts_its_findings(root: Path, hips: Path, few: None) -> None:
    label = CHEST.labels[1].id
    films = sorted(hips.glob("*.png"))
    (root / "labels").mkdir()
    boxes = {path.name: [(label, (10.0, 20.0, 60.0, 90.0))] for path in films} | {
        "gone.png": [(label, (1.0, 1.0, 9.0, 9.0))]
    }
    (root / "labels" / COCO).write_text(json.dumps(coco(boxes, dict.fromkeys(boxes, (380, 440)))))
    app = opened()
    app.segmented_control(key="review.kind").set_value("chest").run()
    app.segmented_control(key="gallery.source").set_value("folder").run()
    app.selectbox(key="gallery.labels").set_value("labels").run()
    app.selectbox(key="gallery.films").set_value("hips").run()
    assert not app.exception
    assert app.warning, "these films lie in the folder below"
    for path in films:
        (root / "hips" / path.name).write_bytes(path.read_bytes())
    app.run()
    app.toggle(key="gallery.crop").set_value(True).run()
    assert not app.exception
    assert len(app.image) == N_HIPS
    assert len(app.warning) == 1
    assert list(app.table[0].value.iloc[1]) == ["2 Aortic atherosclerosis / calcification", "4", "4"]
    assert not says(app, DEMO_STATEMENT)
