"""The gate of the knee task: what is accepted, what waits for a person, what is refused and where it belongs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, read
from PIL import Image
from task_manifests import manifest_of

from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.phantom import Phantom
from core.records import Check, Gate, Study
from core.tasks.knee_djd.gate import check
from core.tasks.knee_djd.locate import locate
from core.tasks.knee_djd.phantom import SAMPLES, make_phantom, make_sample


def gate(study: Study) -> Gate:
    return Gate(tuple(check(study, manifest_of("knee_djd"), None)))


def codes(study: Study) -> set[str]:
    return {reason.code for reason in gate(study).reasons}


@cache
def phantom() -> Phantom:
    return make_phantom(np.random.default_rng([91, 0]), grades=(2, 3))


@cache
def scan() -> Study:
    return read(write_dicom(phantom()))


def tagged(**tags: str) -> Study:
    return replace(scan(), tags={**scan().tags, **tags})


def with_pixels(pixels: np.ndarray) -> Study:
    return replace(scan(), frames=(replace(scan().frame, pixels=pixels.astype(np.float32)),))


def thinned(share: float) -> Study:
    """The scan after a shorter time: every count stays with probability `share`."""
    counts = scan().frame.pixels.astype(int)
    return with_pixels(np.random.default_rng(7).binomial(counts, share))


# --- phantoms and files ----------------------------------------------------------------------------------------------


def test_ordinary_phantoms_are_accepted() -> None:
    for seed in range(6):
        assert gate(make_phantom(np.random.default_rng([92, seed])).study()).outcome == "accepted"
    passed = {one.code for one in gate(scan()).checks}
    assert passed == {"population", "kind", "readable", "view", "counts", "knees", "age", "burned_in_none"}


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_samples_are_accepted(sample_id: str) -> None:
    assert gate(make_sample(sample_id).study()).outcome == "accepted"


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_matlab_file_lacks_the_age_and_nothing_else(version: str) -> None:
    study = read(write_matlab(phantom(), version))
    assert codes(study) == {"age_unknown"}
    assert codes(replace(study, is_phantom=False)) == {"age_unknown", "never_saw_a_patient"}


def test_matlab_file_is_a_scan_even_without_a_modality() -> None:
    study = read(write_matlab(phantom(), "5"))
    assert codes(replace(study, tags={"ViewPosition": "A"})) == {"age_unknown"}


def test_posterior_view_of_either_file_waits_for_a_person() -> None:
    for data in (write_dicom(phantom()), write_matlab(phantom(), "5")):
        assert "view_posterior" in codes(read(data, 1))


# --- header ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "code", "first"),
    [
        ("A", None, "R"),
        ("AP", None, "R"),
        ("ANTERIOR", None, "R"),
        ("P", "view_posterior", "L"),
        ("POST", "view_posterior", "L"),
        ("posterior", "view_posterior", "L"),
        ("", "view_unknown", "R"),
        ("LL", "view_unknown", "R"),
    ],
)
def test_view_is_judged_as_the_locator_takes_it(view: str, code: str | None, first: str) -> None:
    """What is said of the view is what the sides of the regions come from."""
    study = tagged(ViewPosition=view)
    assert codes(study) == {code} - {None}
    at_image_left = min(locate(study), key=lambda region: region.box_xyxy[0])
    assert at_image_left.laterality == first


@pytest.mark.parametrize(
    ("age", "code"), [(None, "age_unknown"), (17.0, "age_outside"), (18.0, None), (101.0, "age_outside")]
)
def test_age_is_checked_against_the_card(age: float | None, code: str | None) -> None:
    assert codes(replace(scan(), age_years=age)) == {code} - {None}


def test_burned_in_text_is_named() -> None:
    assert codes(tagged(BurnedInAnnotation="YES")) == {"burned_in"}


def test_a_model_of_phantoms_asks_before_any_other_image() -> None:
    assert codes(replace(scan(), is_phantom=False)) == {"never_saw_a_patient"}


# --- picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("millions", "asked"), [(1.2, set()), (0.52, set()), (0.48, {"low_counts"}), (0.12, {"low_counts"})]
)
def test_scans_of_less_than_half_a_million_counts_wait_for_a_person(millions: float, asked: set[str]) -> None:
    study = thinned(millions * 1e6 / float(scan().frame.pixels.sum()))
    found = gate(study)
    assert {reason.code for reason in found.reasons} == asked
    (counts,) = (one for one in found.checks if one.code in ("counts", "low_counts"))
    assert counts.values["value"] == pytest.approx(millions, abs=0.011)


def test_scan_of_a_few_counts_is_noise() -> None:
    assert codes(thinned(0.005)) == {"not_an_image"}


def test_knee_at_the_edge_of_the_picture_waits_for_a_person() -> None:
    """The patient lay beside the detector: a quarter of the right knee's square is not in the scan."""
    spacing = float(str(phantom().meta["PixelSpacing"]))
    x, _ = phantom().truth["knee_right_xy"]
    shift = round(x - 0.25 * 150 / spacing)
    pixels = np.zeros_like(scan().frame.pixels)
    pixels[:, :-shift] = scan().frame.pixels[:, shift:]
    study = with_pixels(pixels)
    assert locate(study)[0].box_xyxy[0] < 0
    assert codes(study) == {"knee_outside"}


def only(study: Study) -> Check:
    """The one check of a study of a wrong kind."""
    (found,) = gate(study).checks
    assert found.outcome == "refused"
    return found


@pytest.mark.parametrize("shape", [(128, 128), (256, 256), (512, 256)])
def test_static_view_is_no_whole_body_scan(shape: tuple[int, int]) -> None:
    pixels = scan().frame.pixels[500 : 500 + shape[0], : shape[1]]
    assert only(with_pixels(pixels)).code == "not_whole_body"


@pytest.mark.parametrize(
    ("level", "code"), [(0, "blank"), (7, "blank")], ids=["no counts at all", "the same everywhere"]
)
def test_empty_scan_is_refused(level: int, code: str) -> None:
    assert only(with_pixels(np.full((1024, 256), level))).code == code


@pytest.mark.parametrize(
    ("tags", "task"),
    [
        ({"Modality": "CT"}, "ct_osteoporosis"),
        ({"Modality": "CR", "BodyPartExamined": "HIP"}, "hip_osteoporosis"),
        ({"Modality": "PT"}, None),
        ({"Modality": "MR"}, None),
    ],
)
def test_another_modality_is_refused_and_sent_on(tags: dict[str, str], task: str | None) -> None:
    study = replace(tagged(**tags), frames=(replace(scan().frame, unit="relative"),))
    assert (only(study).code, only(study).suggested_task) == ("modality", task)


def test_picture_of_a_scan_holds_no_counts() -> None:
    grey = to_bytes(1 - to_display(scan().frame))
    assert only(read(picture(Image.fromarray(grey), "PNG"))).code == "no_counts"


# --- a real scan -----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_scan_waits_for_a_person_with_its_reasons(data_dir: Path) -> None:
    study = read((data_dir / "real_dicom" / "whole_body_bone_scan_rle.dcm").read_bytes())
    found = gate(study)
    assert found.outcome == "needs_confirmation"
    assert {reason.code for reason in found.reasons} == {"never_saw_a_patient", "view_unknown", "age_unknown"}
    assert {"counts", "knees", "readable"} <= {one.code for one in found.checks}
    assert found.suggested_task is None


def test_scan_that_ends_above_the_feet_asks() -> None:
    """Without feet the height of the body is not known, and the knees are sought in the wrong place."""
    assert "cut_off" in codes(with_pixels(scan().frame.pixels[:660]))
    assert all("cut_off" not in codes(make_sample(name).study()) for name in SAMPLES)
