"""What a closer look needs: lengths, hidden corners, the network's input, and steps from image to image."""

import math

import numpy as np
import pytest
from app_pages import SLOW_S, open_page, says, upload, words
from streamlit.testing.v1 import AppTest

from core import registry
from core.imaging.corners import hide_corners
from core.imaging.network_input import input_pictures
from core.imaging.ruler import ruler_of
from core.io.phantom_file import write_dicom
from core.manifest import DEMO_STATEMENT
from core.records import Frame
from core.tasks.hip_osteoporosis import phantom
from pages.parts.menu import sections
from pages.parts.tour import TOURS, steps_of

TASK = "hip_osteoporosis"


# --- lengths, corners, input -----------------------------------------------------------------------------------------


def test_a_length_in_mm_knows_that_pixels_need_not_be_square() -> None:
    ruler = ruler_of(Frame(np.zeros((10, 10), np.float32), "relative", spacing_mm=(0.5, 2.0)))  # rows, columns
    assert ruler.length((1, 1, 4, 1)) == pytest.approx(6)  # along a row
    assert ruler.length((1, 1, 1, 9)) == pytest.approx(4)  # along a column
    assert ruler.length((4, 9, 1, 1)) == pytest.approx(math.hypot(6, 4))
    assert ruler.is_metric


def test_a_length_without_spacing_is_in_pixels() -> None:
    ruler = ruler_of(Frame(np.zeros((10, 10), np.float32), "relative"))
    assert (ruler.length((0, 0, 3, 4)), ruler.unit) == (5, "px")


@pytest.mark.parametrize("shape", [(100, 200), (100, 200, 3)])
def test_hidden_corners_leave_the_rest(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 0.7, np.float32)
    hidden = hide_corners(image)
    for row, column in ((0, 0), (0, 199), (99, 0), (99, 199), (15, 63)):
        assert not np.any(hidden[row, column])
    assert np.all(hidden[20:80] == np.float32(0.7))
    assert np.all(hidden[:, 70:130] == np.float32(0.7))
    assert np.all(image == np.float32(0.7))  # the image itself is not touched


def test_a_normalised_grey_input_is_shown_as_grey() -> None:
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    repeated = np.stack([(grey - mean) / spread for mean, spread in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])
    (view,) = input_pictures(repeated)
    assert view.picture.shape == (8, 8)
    assert np.abs(view.picture - 255 * grey).max() <= 1
    assert view.low == pytest.approx(-0.485 / 0.229)


@pytest.mark.parametrize(("channels", "views"), [(1, [(4, 4)]), (2, [(4, 4)] * 2), (6, [(4, 4, 3)] * 2)])
def test_every_channel_of_an_input_is_shown(channels: int, views: list[tuple[int, ...]]) -> None:
    batch = np.random.default_rng(0).normal(size=(channels, 4, 4)).astype(np.float32)
    assert [view.picture.shape for view in input_pictures(batch)] == views
    assert not input_pictures(np.full((1, 4, 4), 3, np.float32))[0].picture.any()


# --- on the page -----------------------------------------------------------------------------------------------------


def test_steps_go_through_the_samples_and_round() -> None:
    samples = list(phantom.SAMPLES)
    app = open_page(TASK)
    seen = []
    for key in ("next", "previous", "previous"):
        app.button(key=f"{TASK}.{key}").click().run()
        assert not app.exception
        seen.append(app.session_state[f"{TASK}.sample"])
    assert seen == [samples[1], samples[0], samples[-1]]


def test_steps_go_through_uploads_and_past_a_bad_one() -> None:
    good = write_dicom(phantom.make_sample("right_hip"))
    app = upload(open_page(TASK), TASK, ("a.dcm", good), ("b.dcm", b"nothing"))
    assert "Next step:" in words(app)
    app.button(key=f"{TASK}.next").click().run()
    assert not app.exception
    assert app.selectbox(key=f"{TASK}.file.2").value == 0
    assert says(app, "Checks before the score")


def test_zoom_input_and_a_typed_length() -> None:
    app = open_page(TASK, hip_osteoporosis__zoom=True, hip_osteoporosis__input=True)
    assert says(app, "Lengths are in mm.")
    assert app.get("image")[1].captions[0].startswith("Left · 224 × 224 px")
    for end, value in (("x0", 10), ("y0", 10), ("x1", 110), ("y1", 10)):
        next(n for n in app.number_input if n.key.endswith(f".{end}") and ".ruler." in n.key).set_value(value)
    app.run()
    assert not app.exception
    assert says(app, "Length: {length} {unit}", length="50.0", unit="mm")  # the sample has pixels of 0.5 mm


def test_a_held_case_stands_beside_the_next() -> None:
    app = open_page(TASK)
    assert not says(app, "Two cases side by side")
    app.button(key=f"{TASK}.hold").click().run()
    assert says(app, "This case is held. Choose another image to see both.")
    app.button(key=f"{TASK}.next").click().run()
    assert not app.exception
    assert f"**{'Two cases side by side'}**" in words(app)
    assert words(app).count(DEMO_STATEMENT) >= 2
    app.button(key=f"{TASK}.let_go").click().run()
    assert not says(app, "Two cases side by side")


def test_hidden_corners_change_the_picture_and_not_the_score() -> None:
    app = open_page(TASK)
    before = [m.value for m in app.markdown if m.value.startswith("Score ")], app.get("image")[0].value
    app.toggle(key="corners_hidden").set_value(True).run()
    assert not app.exception
    after = [m.value for m in app.markdown if m.value.startswith("Score ")], app.get("image")[0].value
    assert before[0] == after[0] != []
    assert before[1] != after[1]


# --- presentation and tour -------------------------------------------------------------------------------------------


def test_a_presentation_has_no_sidebar_and_keeps_its_statement() -> None:
    app = open_page(TASK)
    app.button(key="presentation.start").click().run()
    assert not app.sidebar.children
    assert says(app, "research use, not a medical device")
    assert says(app, DEMO_STATEMENT)
    app.switch_page("pages/manual.py").run()
    assert not app.sidebar.children
    app.button(key="presentation.end").click().run()
    assert app.selectbox(key="language").value == "en"


def test_file_names_are_not_presented() -> None:
    good = write_dicom(phantom.make_sample("right_hip"))
    app = upload(open_page(TASK, presenting=True), TASK, ("NAME_OF_A.dcm", good), ("NAME_OF_B.dcm", good))
    assert app.selectbox(key=f"{TASK}.file.2").options == ["File 1", "File 2"]


def test_every_page_of_the_menu_has_a_tour_of_four_to_six_steps() -> None:
    pages = [entry.file for entries in sections().values() for entry in entries]
    assert set(registry.tasks()) <= set(pages)
    assert {page: len(steps_of(page)) for page in pages if not 4 <= len(steps_of(page)) <= 6} == {}
    assert set(TOURS) <= set(pages)


def tour_page() -> None:
    from pages.parts.tour import show_step, steps_of

    show_step(steps_of("manual"))  # without the dialog around it, which AppTest closes at every run


def test_a_tour_goes_on_and_back() -> None:
    steps = steps_of("manual")
    app = AppTest.from_function(tour_page, default_timeout=SLOW_S).run()
    for press, step in (("", 0), ("next", 1), ("next", 2), ("back", 1), ("next", 2), ("next", 3)):
        if press:
            app.button(key=f"tour.{press}").click().run()
        assert [place for place, told in enumerate(steps) if told in words(app)] == [step]
    assert app.button(key="tour.end").label == "Done"
    assert not app.exception
