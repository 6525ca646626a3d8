"""The pages of the graders without a browser: every sample, the own tabs, files of every kind, and a series."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from app_pages import open_page, says, upload, words
from streamlit.testing.v1 import AppTest

from core.i18n import LANGUAGES, Translator
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.registry import manifest_of, task
from core.tasks.ct_osteoporosis import phantom as ct
from core.tasks.knee_djd import phantom as knee

CT, KNEE = "ct_osteoporosis", "knee_djd"
PHANTOMS = {CT: ct, KNEE: knee}


def headlines(app: AppTest) -> list[str]:
    """Headlines of the answer: icon and grade."""
    return [
        m.value for m in app.markdown if m.value.startswith("###") and ("check_circle" in m.value or "error" in m.value)
    ]


def grades(app: AppTest, task_id: str) -> list[int]:
    """Grades named by the headlines."""
    names = [Translator("en")(label.name) for label in task(task_id).labels]
    return [names.index(headline.rpartition(":] ")[2].rpartition(": ")[2]) for headline in headlines(app)]


@pytest.mark.parametrize("task_id", [CT, KNEE])
@pytest.mark.parametrize("language", LANGUAGES)
def test_first_sample_is_graded_without_a_click(task_id: str, language: str) -> None:
    app = open_page(task_id, language=language)
    assert len(headlines(app)) == (2 if task_id == KNEE else 1)
    manifest = manifest_of(task_id)
    assert manifest is not None
    assert says(app, manifest.statement, language)


@pytest.mark.parametrize("task_id", [CT, KNEE])
def test_every_sample_is_answered_or_asked_about(task_id: str) -> None:
    app = open_page(task_id)
    asked = []
    for sample in PHANTOMS[task_id].SAMPLES:
        app.session_state[f"{task_id}.sample"] = sample
        app.run()
        assert not app.exception
        if not headlines(app):
            assert says(app, "Please confirm first")
            asked.append(sample)
    assert asked == (["sharp_kernel", "metal"] if task_id == CT else [])


@pytest.mark.parametrize(
    ("task_id", "tab", "said"),
    [
        (CT, 0, "Real slices"),
        (CT, 0, "this is HU grading, not DXA"),
        (CT, 1, "Three tests on this image"),
        (CT, 2, "Cosine 0: the networks see different things"),
        (CT, 3, "Intended use"),
        (CT, 4, "What was not built, and why"),
        (KNEE, 0, "Within one grade"),
        (KNEE, 1, "Three tests on this image"),
        (KNEE, 2, "the image's left is the patient's right"),
        (KNEE, 3, "Intended use"),
        (KNEE, 4, "What was not built, and why"),
    ],
)
def test_tabs(task_id: str, tab: int, said: str) -> None:
    app = open_page(task_id, **{f"{task_id}__tab": tab})
    said_there = words(app) + " ".join(metric.label for metric in app.metric)
    assert said in said_there


@pytest.mark.parametrize("task_id", [CT, KNEE])
def test_operating_point_changes_the_question_not_the_grade(task_id: str) -> None:
    app = open_page(task_id)
    manifest = manifest_of(task_id)
    assert manifest is not None
    before = grades(app, task_id)
    questions = set()
    for point in manifest.operating_points:
        app.session_state[f"{task_id}.point"] = point.id
        app.run()
        assert grades(app, task_id) == before
        questions.add(next(m.value for m in app.markdown if m.value.startswith("Score for ")))
    assert len(questions) == len(manifest.operating_points) == 2


def test_performance_follows_the_chosen_label() -> None:
    app = open_page(KNEE)
    sensitivities = []
    for label in ("minimal", "moderate"):
        app.segmented_control(key=f"{KNEE}.performance.label").set_value(label).run()
        assert not app.exception
        sensitivities.append([metric.value for metric in app.metric if metric.label == "Negative predictive value"])
    assert sensitivities[0] != sensitivities[1] != []


def test_knees_have_a_row_each_with_their_information() -> None:
    app = open_page(KNEE, knee_djd__sample="moderate_and_normal", knee_djd__tab=2)
    assert "Right knee" in words(app)
    assert "Left knee" in words(app)
    assert [metric.label for metric in app.metric].count("Uptake, times the shafts") == 2


@pytest.mark.parametrize("kind", ["dicom", "mat5", "mat7.3"])
def test_a_bone_scan_in_every_format_is_graded_like_its_sample(kind: str) -> None:
    sample = knee.make_sample("moderate_and_normal")
    data = write_dicom(sample) if kind == "dicom" else write_matlab(sample, kind[3:])
    app = upload(open_page(KNEE), KNEE, ("scan", data))
    if not headlines(app):
        app.button(key=f"{KNEE}.confirm").click().run()
    assert grades(app, KNEE) == grades(open_page(KNEE, knee_djd__sample="moderate_and_normal"), KNEE)


def slices(n: int, metal: bool = False) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(7)
    first = ct.make_phantom(rng, t_score=-3.5)
    for place in range(n):
        phantom = first if place == 0 else ct.make_phantom(rng, like=first, metal=metal and place == 1)
        yield f"names/of/{place}.dcm", write_dicom(phantom)


def zipped(n: int, metal: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in slices(n, metal):
            archive.writestr(name, data)
        archive.writestr("readme.txt", "no image")
    return buffer.getvalue()


def test_a_series_gives_one_answer_for_the_patient() -> None:
    app = upload(open_page(CT), CT, ("series.zip", zipped(5)))
    assert "Slices in the series: 5." in words(app)
    assert "Files left out: 1" in words(app)
    assert "names/of" not in words(app)
    if not headlines(app):
        app.button(key=f"{CT}.confirm").click().run()
    assert says(app, "All chosen slices of this patient")
    assert "Mean of 3 slices" in words(app)
    chooser = next(box for box in app.multiselect if ".slices." in box.key)
    chooser.set_value([0, 4]).run()
    assert not app.exception
    assert "Mean of 2 slices" in words(app)
    chooser = next(box for box in app.multiselect if ".slices." in box.key)
    chooser.set_value([]).run()
    assert not app.exception
    assert says(app, "No image yet")


def test_a_zip_without_slices_gets_a_plain_sentence() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "nothing")
    app = upload(open_page(CT), CT, ("series.zip", buffer.getvalue()))
    assert "Next step:" in words(app)
    assert "Traceback" not in words(app)


@pytest.mark.parametrize(("task_id", "other"), [(CT, KNEE), (KNEE, CT)])
def test_the_sample_of_another_page_is_not_scored(task_id: str, other: str) -> None:
    first = next(iter(PHANTOMS[other].SAMPLES))
    app = upload(open_page(task_id), task_id, ("file", write_dicom(PHANTOMS[other].make_sample(first))))
    assert says(app, "Not examined")
    assert not headlines(app)


def test_a_redrawn_knee_is_examined() -> None:
    app = open_page(KNEE, knee_djd__redraw=True)
    for field in (f for f in app.number_input if ".redraw." in f.key):
        field.set_value(field.value + 6)
    next(b for b in app.button if b.label == "Examine this region").click().run()
    assert not app.exception
    assert says(app, "Region drawn by hand")
    assert len(headlines(app)) == 2
