"""The pages without a browser: what they say in every state."""

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from app_pages import ROOT, SLOW_S, accept_intended_use, open_page, says, upload, words
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import registry
from core.i18n import LANGUAGES, Translator
from core.io.phantom_file import write_dicom
from core.manifest import DEMO_STATEMENT
from core.tasks.hip_osteoporosis import phantom

TASK = "hip_osteoporosis"
ABOVE, BELOW = "Above the operating point", "Below the operating point"


def grey_png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# --- intended use, home, manual ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_shown_before_the_intended_use_is_accepted(language: str) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW_S)
    app.query_params["lang"] = language
    app.run()
    for page in ("home", TASK):
        app.switch_page(f"pages/{page}.py").run()
        assert says(app, "Not a diagnosis: decisions belong to a doctor who knows the patient.", language)
        assert says(app, DEMO_STATEMENT, language)
        assert [title.value for title in app.title] == [Translator(language)("Before you begin")]
        assert not app.get("image")
    accept_intended_use(app)
    assert says(app, "Checks before the score", language)
    assert not says(app, "Before you begin", language)
    app.switch_page("pages/home.py").run()  # asked once a session
    assert not app.exception
    assert app.title[0].value == "Fivefold"


@pytest.mark.parametrize("language", LANGUAGES)
def test_home_shows_every_task_that_has_a_page(language: str) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW_S)
    app.query_params["lang"] = language
    accept_intended_use(app.run())
    assert not app.exception
    for task in registry.tasks().values():
        assert says(app, task.title, language)
        assert says(app, task.question, language)
    assert says(app, DEMO_STATEMENT, language)


def test_home_needs_no_torch() -> None:
    program = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=60).run()
app.button(key="intended_use.accept").click().run()
assert not app.exception and app.title[0].value == "Fivefold"
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=SLOW_S, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_manual(language: str) -> None:
    app = open_page("manual", language=language)
    assert says(app, "How to read a result", language)


# --- the task page ---------------------------------------------------------------------------------------------------


def test_first_sample_is_answered_without_a_click() -> None:
    app = open_page(TASK)
    assert ABOVE in words(app) or BELOW in words(app)
    assert says(app, DEMO_STATEMENT)
    assert [metric.label for metric in app.metric][:3] == ["Sensitivity", "Specificity", "Time"]
    assert len(app.get("plotly_chart")) >= 6  # score bar and the curves of the first tab


def test_pelvis_gives_a_result_for_each_hip() -> None:
    app = open_page(TASK, hip_osteoporosis__sample="pelvis")
    headlines = [m.value for m in app.markdown if "operating point" in m.value and m.value.startswith("####")]
    assert len(headlines) == 2
    assert any("Left" in headline for headline in headlines)
    assert any("Right" in headline for headline in headlines)


@pytest.mark.parametrize("sample", ["implant", "blurred"])
def test_a_doubtful_image_hides_its_score_until_confirmed(sample: str) -> None:
    app = open_page(TASK, hip_osteoporosis__sample=sample)
    assert says(app, "Please confirm first")
    assert ABOVE not in words(app)
    assert BELOW not in words(app)
    assert not app.get("download_button")
    app.button(key=f"{TASK}.confirm").click().run()
    assert not app.exception
    assert ABOVE in words(app) or BELOW in words(app)
    assert says(app, "The questions were confirmed by the reader; the saved result says so.")


def test_a_change_of_language_keeps_what_was_chosen() -> None:
    app = open_page(TASK, hip_osteoporosis__sample="right_hip")
    app.selectbox(key=f"{TASK}.method").set_value("eigen_cam").run()
    for language in LANGUAGES:
        app.selectbox(key="language").set_value(language).run()
        assert not app.exception
        assert app.session_state[f"{TASK}.sample"] == "right_hip"
        assert app.selectbox(key=f"{TASK}.method").value == "eigen_cam"
        assert says(app, "Checks before the score", language)


@pytest.mark.parametrize("method", ["hires_cam", "grad_cam_pp", "ablation_cam", "saliency"])
def test_every_method_is_drawn(method: str) -> None:
    app = open_page(TASK)
    app.selectbox(key=f"{TASK}.method").set_value(method).run()
    assert not app.exception
    assert ABOVE in words(app) or BELOW in words(app)


@pytest.mark.parametrize(
    ("tab", "said"),
    [
        (0, "Classification report"),
        (1, "Three tests on this image"),
        (2, "OSTA: age and weight"),
        (3, "Intended use"),
        (4, "Published protocol and ours"),
    ],
)
def test_tabs(tab: int, said: str) -> None:
    assert said in words(open_page(TASK, hip_osteoporosis__tab=tab))


def test_threshold_moves_the_numbers() -> None:
    app = open_page(TASK)
    before = {metric.label: metric.value for metric in app.metric}
    app.slider(key=f"{TASK}.performance.threshold.osteoporosis").set_value(0.95).run()
    after = {metric.label: metric.value for metric in app.metric}
    assert after["Positive predictive value"] != before["Positive predictive value"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_uploaded_phantom_is_answered_as_its_sample() -> None:
    sample = open_page(TASK, hip_osteoporosis__sample="right_hip")
    app = upload(open_page(TASK), TASK, ("a", write_dicom(phantom.make_sample("right_hip"))))
    scores = [[m.value for m in page.markdown if m.value.startswith("Score ")] for page in (sample, app)]
    assert scores[0] == scores[1] != []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(range(256)) * 20, id="noise"),
        pytest.param(write_dicom(phantom.make_sample("right_hip"))[:5000], id="truncated"),
    ],
)
def test_a_bad_file_gets_a_plain_sentence(data: bytes) -> None:
    app = upload(open_page(TASK), TASK, ("![x](http://127.0.0.1:9/x.png)", data))
    assert "Next step:" in words(app)
    assert "Traceback" not in words(app)
    assert "x.png" not in words(app)


def test_several_files_are_chosen_from() -> None:
    good = write_dicom(phantom.make_sample("right_hip"))
    app = upload(open_page(TASK), TASK, ("a.dcm", good), ("b.dcm", b"nothing"))
    assert "Next step:" in words(app)  # the last one is shown first
    app.selectbox(key=f"{TASK}.file.2").set_value(0).run()
    assert not app.exception
    assert ABOVE in words(app) or BELOW in words(app)


def test_a_colour_photograph_is_refused() -> None:
    rng = np.random.default_rng(0)
    app = upload(open_page(TASK), TASK, ("photo.png", grey_png(rng.integers(0, 255, (300, 300, 3), np.uint8))))
    assert says(app, "Not examined")
    assert not app.get("download_button")


def test_an_unknown_side_can_be_chosen() -> None:
    picture = (phantom.make_sample("right_hip").pixels * 255).astype(np.uint8)
    app = upload(open_page(TASK), TASK, ("hip.png", grey_png(picture)))
    assert says(app, "Please confirm first")
    app.button(key=f"{TASK}.confirm").click().run()
    next(c for c in app.segmented_control if ".laterality." in c.key).set_value("R").run()
    assert not app.exception
    assert says(app, "Right hip")
    assert ABOVE in words(app) or BELOW in words(app)  # fewer questions than those confirmed


# --- beside the score ------------------------------------------------------------------------------------------------


def test_a_high_risk_form_advises_a_scan_below_the_operating_point() -> None:
    app = open_page(TASK, hip_osteoporosis__sample="likely_negative", hip_osteoporosis__tab=2)
    advice = "The self-assessment alone is a reason"
    assert BELOW in words(app)
    assert advice not in words(app)
    box = next(box for box in app.checkbox if box.key.endswith(".fracture"))
    scores = [m.value for m in app.markdown if m.value.startswith("Score ")]
    box.check().run()
    assert not app.exception
    assert advice in words(app)
    assert [m.value for m in app.markdown if m.value.startswith("Score ")] == scores


def test_form_is_filled_in_from_the_file() -> None:
    app = open_page(TASK, hip_osteoporosis__tab=2)
    meta = phantom.make_sample(next(iter(phantom.SAMPLES))).meta
    age = next(field for field in app.number_input if ".age." in field.key)
    weight = next(field for field in app.number_input if ".weight." in field.key)
    assert (age.value, weight.value) == (meta["PatientAge"], meta["PatientWeight"])


def test_a_redrawn_region_is_examined() -> None:
    app = open_page(TASK, hip_osteoporosis__redraw=True)
    before = [m.value for m in app.markdown if m.value.startswith("Score ")]
    for field in (f for f in app.number_input if ".redraw." in f.key):
        field.set_value(field.value + 30)
    next(b for b in app.button if b.label == "Examine this region").click().run()
    assert not app.exception
    assert says(app, "Region drawn by hand")
    app.button(key=f"{TASK}.redraw.reset").click().run()
    assert not says(app, "Region drawn by hand")
    assert [m.value for m in app.markdown if m.value.startswith("Score ")] == before


def test_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "manifest_of", lambda task_id, model=None: None)
    assert says(open_page(), "No weights installed")
    assert says(open_page(TASK), "No weights are installed for this task")


def test_choices_and_answers_survive_other_tabs_and_pages() -> None:
    app = open_page(TASK, hip_osteoporosis__sample="right_hip", hip_osteoporosis__tab=2)
    next(box for box in app.checkbox if box.key.endswith(".smoking")).check().run()
    app.selectbox(key=f"{TASK}.method").set_value("eigen_cam").run()
    app.switch_page("pages/manual.py").run()
    app.switch_page(f"pages/{TASK}.py").run()
    assert not app.exception
    assert app.session_state[f"{TASK}.sample"] == "right_hip"
    assert app.selectbox(key=f"{TASK}.method").value == "eigen_cam"
    assert "Not specific to the finding" in words(app)
    assert next(box for box in app.checkbox if box.key.endswith(".smoking")).value
