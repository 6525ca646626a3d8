"""The gate of the retina task: what is accepted, what waits for a person, what is refused and where it belongs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, read
from PIL import Image
from scipy.ndimage import gaussian_filter
from task_manifests import manifest_of
from tiny_fundus import disc, photograph

from core import registry
from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.records import Check, Frame, Gate, Study
from core.tasks.retina_lesions.gate import check
from core.tasks.retina_lesions.phantom import SAMPLES, make_phantom

TASK = "retina_lesions"
SIZE = 512


def gate(study: Study, kind: str = "phantom") -> Gate:
    return Gate(tuple(check(study, manifest_of(TASK, kind), None)))


def codes(study: Study) -> set[str]:
    return {reason.code for reason in gate(study).reasons}


def only(study: Study) -> Check:
    """The one check of a study that is refused at once."""
    (found,) = gate(study).checks
    assert found.outcome == "refused"
    return found


@cache
def eye() -> Study:
    """A phantom as its file gives it."""
    return read(write_dicom(make_phantom(np.random.default_rng([82, 0]), severity=1.0, size=SIZE)))


def with_pixels(pixels: np.ndarray) -> Study:
    return replace(eye(), frames=(replace(eye().frame, pixels=np.clip(pixels, 0, 255).astype(np.uint8)),))


def blurred(sd: float) -> Study:
    pixels = eye().frame.pixels.astype(float)
    return with_pixels(gaussian_filter(pixels, (sd, sd, 0)))


# --- phantoms --------------------------------------------------------------------------------------------------------


def test_ordinary_phantoms_are_accepted() -> None:
    for seed in range(4):
        study = make_phantom(np.random.default_rng([83, seed]), size=SIZE, time_point=seed).study()
        assert gate(study).outcome == "accepted"
    assert {one.code for one in gate(eye()).checks} == {
        *("population", "kind", "readable", "gradable", "field", "eye", "age", "burned_in_none")
    }


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_samples_are_accepted(sample_id: str) -> None:
    _, options, seed = SAMPLES[sample_id]
    assert codes(make_phantom(np.random.default_rng([2026, seed]), **options, size=SIZE).study()) == set()


def test_a_model_of_phantoms_asks_before_any_other_image() -> None:
    real = replace(eye(), is_phantom=False)
    assert codes(real) == {"never_saw_a_patient"}
    assert gate(real, "real images, real labels").outcome == "accepted"


# --- header ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "code"), [(None, "age_unknown"), (17.0, "age_outside"), (18.0, None), (100.0, None), (101.0, "age_outside")]
)
def test_age_is_checked_against_the_card(age: float | None, code: str | None) -> None:
    assert codes(replace(eye(), age_years=age)) == {code} - {None}


def test_eye_is_named_and_never_asked() -> None:
    def named(chosen: str | None, **tags: str) -> str:
        found = check(replace(eye(), tags={"Modality": "OP", **tags}), manifest_of(TASK), chosen)
        (own,) = [one for one in found if one.code.startswith("eye")]
        assert own.outcome == "passed"
        return own.message.split(" (")[0] if own.code == "eye" else own.code

    assert named(None, ImageLaterality="R") == "Right eye"
    assert named("L", ImageLaterality="R") == "Left eye"
    assert named(None) == "eye_unknown"


def test_burned_in_text_is_named() -> None:
    assert codes(replace(eye(), tags={**eye().tags, "BurnedInAnnotation": "YES"})) == {"burned_in"}


# --- quality ---------------------------------------------------------------------------------------------------------


def test_dark_photograph_waits_for_a_person() -> None:
    assert codes(with_pixels(0.15 * eye().frame.pixels)) == {"dark"}
    assert codes(with_pixels(0.6 * eye().frame.pixels)) == set()


def test_blurred_photograph_waits_for_a_person() -> None:
    assert codes(blurred(1)) == set()
    assert codes(blurred(8)) == {"blurred"}


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_half_a_field_waits_for_a_person(side: str) -> None:
    half = SIZE // 2
    parts = {
        "left": np.s_[:, :half],
        "right": np.s_[:, half:],
        "top": np.s_[:half],
        "bottom": np.s_[half:],
    }
    found = gate(with_pixels(eye().frame.pixels[parts[side]]))
    (reason,) = found.reasons
    assert reason.code == "cut_field"
    assert reason.values["share"] == pytest.approx(0.5, abs=0.04)


def test_field_that_the_frame_cuts_a_little_passes() -> None:
    """As most cameras do: above, below, or both."""
    assert codes(with_pixels(eye().frame.pixels[50:-50])) == set()
    assert codes(with_pixels(eye().frame.pixels[:, 90:])) == set()


# --- another kind of image -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.zeros((300, 300, 3)), "blank"),
        (np.full((300, 300, 3), (200, 120, 60)), "blank"),
        (np.random.default_rng(1).integers(0, 255, (300, 300, 3)), "not_an_image"),
        (disc((60, 60), (30, 30, 28)), "too_small"),
        (disc((80, 400), (200, 40, 38)), "too_small"),
    ],
)
def test_unreadable_pictures_are_refused(pixels: np.ndarray, code: str) -> None:
    assert only(with_pixels(pixels)).code == code


def landscape() -> np.ndarray:
    """Sky, sun and meadow."""
    pixels = np.zeros((300, 400, 3))
    pixels[:170], pixels[170:] = (120, 170, 230), (60, 130, 40)
    pixels += 60 * gaussian_filter(np.random.default_rng(2).standard_normal((300, 400, 1)), (3, 3, 0))
    y, x = np.mgrid[:300, :400]
    pixels[np.hypot(x - 300, y - 60) < 40] = (255, 240, 150)
    return pixels


def skin() -> np.ndarray:
    """The colours of a retina without its field: a photograph of skin."""
    noise = gaussian_filter(np.random.default_rng(3).standard_normal((300, 400, 1)), (2, 2, 0))
    return np.array([190, 120, 90]) + 80 * noise


@pytest.mark.parametrize(
    "pixels",
    [
        landscape(),
        skin(),
        disc((300, 300), (150, 150, 130))[:, :, ::-1],  # blue: red and blue exchanged
        disc((300, 300), (150, 150, 130))[:, :, [1, 0, 2]],  # green
        np.where(disc((300, 300), (150, 150, 130)) > 0, (0, 190, 0), 0),  # pure green, without any blue
        disc((300, 300), (150, 150, 130))[:, :, [0, 0, 0]] * np.array([1, 0.97, 0.95]),  # the moon
        255 - disc((300, 300), (150, 150, 130)),  # a negative
    ],
    ids=["landscape", "skin", "blue", "green", "pure green", "moon", "negative"],
)
def test_colour_photograph_of_something_else_is_refused(pixels: np.ndarray) -> None:
    found = only(with_pixels(pixels))
    assert (found.code, found.suggested_task) == ("not_fundus", None)


def sample(task_id: str) -> Study:
    phantom = registry.part(task_id, "phantom")
    return read(write_dicom(phantom.make_sample(next(iter(phantom.SAMPLES)))))


@pytest.mark.parametrize("task_id", ["hip_osteoporosis", "ct_osteoporosis", "knee_djd"])
def test_image_of_another_task_is_sent_there_and_its_screenshot_is_refused(task_id: str) -> None:
    study = sample(task_id)
    found = only(study)
    assert (found.code, found.suggested_task) == ("no_colour", task_id)
    grey = Image.fromarray(to_bytes(to_display(study.frame)))
    assert only(read(picture(grey, "PNG"))).code == "no_colour"
    shot = np.pad(np.asarray(grey.convert("RGB")), ((60, 0), (0, 0), (0, 0)))
    shot[10:50, 10:70] = (220, 60, 30)  # a coloured button
    assert only(read(picture(Image.fromarray(shot), "PNG"))).code in ("not_fundus", "too_small")


@pytest.mark.parametrize("modality", ["OP", "OT", ""])
def test_grey_fundus_is_refused_and_not_sent_to_its_own_page(modality: str) -> None:
    """A red-free photograph or an angiogram is of the eye, but not in colour."""
    green = Frame(eye().frame.pixels[:, :, 1].astype(np.float32), "relative")
    found = only(replace(eye(), frames=(green,), tags={"Modality": modality}))
    assert found.code == "no_colour"
    assert found.suggested_task != TASK


# --- real photographs ------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("folder", ["images_1024", "normal_1024"])
def test_real_photographs_lack_the_age_and_nothing_else(data_dir: Path, folder: str) -> None:
    for path in sorted((data_dir / "retina_idrid" / folder).glob("*.jpg"))[::8]:
        found = gate(read(path.read_bytes()), "real images, real labels")
        assert [reason.code for reason in found.reasons] == ["age_unknown"]


@pytest.mark.realdata
def test_real_dicom_of_another_camera_is_not_refused(data_dir: Path) -> None:
    study = read((data_dir / "real_dicom" / "fundus_rgb_j2k.dcm").read_bytes())
    found = gate(study, "real images, real labels")
    assert {"kind", "readable", "field"} <= {one.code for one in found.checks if one.outcome == "passed"}


@pytest.mark.realdata
def test_real_photograph_that_is_blurred_darkened_or_cut_waits_for_a_person(data_dir: Path) -> None:
    study = read((data_dir / "retina_idrid" / "images_1024" / "IDRiD_03.jpg").read_bytes())
    pixels = study.frame.pixels.astype(float)
    worse = {"blurred": gaussian_filter(pixels, (12, 12, 0)), "dark": 0.12 * pixels, "cut_field": pixels[:, 512:]}
    for code, changed in worse.items():
        made = photograph(changed.astype(np.uint8))
        assert {one.code for one in gate(made, "real images, real labels").reasons} == {code, "age_unknown"}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["real_dicom/hip_cr_rle.dcm", "chest_nih/images/00000003_001.jpg"])
def test_real_radiograph_is_refused(data_dir: Path, name: str) -> None:
    assert only(read((data_dir / name).read_bytes())).code == "no_colour"
