"""The gate of the CT task: what is accepted, what waits for a person, what is refused and where it belongs."""

import csv
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, read
from PIL import Image
from task_manifests import manifest_of

from core.imaging.display import apply_percentiles, to_bytes, to_grey
from core.imaging.kinds import resembles
from core.io.phantom_file import write_dicom
from core.records import Check, Gate, Study
from core.tasks.ct_osteoporosis.gate import check
from core.tasks.ct_osteoporosis.phantom import SAMPLES, make_phantom, make_sample

TASK = "ct_osteoporosis"


def gate(study: Study, kind: str = "phantom") -> Gate:
    return Gate(tuple(check(study, manifest_of(TASK, kind), None)))


def codes(study: Study) -> set[str]:
    return {reason.code for reason in gate(study).reasons}


@cache
def ordinary() -> Study:
    """A slice at 120 kV, without contrast medium, as its file gives it; cut down to the spine, which is quick to look at."""
    phantom = make_phantom(np.random.default_rng([51, 0]), kernel="standard", contrast=False)
    x, y = (round(float(place)) for place in phantom.truth["body_xy"])
    pixels = phantom.pixels[y - 90 : y + 110, x - 100 : x + 100]
    facts = {"KVP": 120, "SliceThickness": 2.5, "ConvolutionKernel": "STANDARD"}
    return read(write_dicom(replace(phantom, pixels=pixels, meta={**phantom.meta, **facts})))


def tagged(**tags: str) -> Study:
    return replace(ordinary(), tags={**ordinary().tags, **tags})


def passed(found: Gate) -> set[str]:
    return {one.code for one in found.checks} - {one.code for one in found.reasons}


def framed(**changes: object) -> Study:
    return replace(ordinary(), frames=(replace(ordinary().frame, **changes),))


# --- phantoms --------------------------------------------------------------------------------------------------------


def test_ordinary_phantoms_are_accepted() -> None:
    for seed in range(6):
        study = make_phantom(np.random.default_rng([52, seed]), kernel=("soft", "standard")[seed % 2]).study()
        assert gate(study).outcome == "accepted"
    assert passed(gate(ordinary())) == {
        *("population", "kind", "readable", "body", "no_metal", "age"),
        *("kernel", "thickness", "acquisition", "burned_in_none"),
    }


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_samples_are_accepted_but_for_what_their_titles_say(sample_id: str) -> None:
    asked = {"sharp_kernel": {"sharp_kernel"}, "metal": {"implant"}}.get(sample_id, set())
    assert codes(make_sample(sample_id).study()) == asked


def test_screws_wait_for_a_person() -> None:
    for seed in range(3):
        study = make_phantom(np.random.default_rng([53, seed]), kernel="soft", metal=True).study()
        assert codes(study) == {"implant"}


def test_a_model_of_phantoms_asks_before_any_other_image() -> None:
    real = replace(ordinary(), is_phantom=False)
    assert codes(real) == {"never_saw_a_patient"}
    assert gate(real, "real images, synthetic findings").outcome == "accepted"


# --- header ----------------------------------------------------------------------------------------------------------

SHARP = ("LUNG", "BONE", "BONEPLUS", "EDGE", "DETAIL", "Lung", "B70f", "B60s", "I70f", "I70f\\3", "Br64d", "Br64d\\3")
SHARP += ("Bl57", "Bv60f", "Qr69d", "H60s", "U90u", "T80f", "FC30", "FC51", "FC86", "YB", "D", "E")
SOFT = ("STANDARD", "SOFT", "CHEST", "B31f", "B20f", "B45f", "I30f", "I30f\\3", "Br40d", "Br40d\\3", "Bv36", "Qr40d")
SOFT += ("H30s", "FC17", "FC08", "FC13-H", "FC64", "YA", "A", "B", "C")


@pytest.mark.parametrize("kernel", SHARP)
def test_sharp_kernels_wait_for_a_person(kernel: str) -> None:
    assert codes(tagged(ConvolutionKernel=kernel)) == {"sharp_kernel"}


@pytest.mark.parametrize("kernel", SOFT)
def test_soft_and_standard_kernels_pass(kernel: str) -> None:
    assert codes(tagged(ConvolutionKernel=kernel)) == set()


@pytest.mark.parametrize(
    ("thickness", "code"),
    [
        ("0.625", "thickness"),
        ("5", "thickness"),
        ("5.0", "thickness"),
        ("5.01", "thick_slice"),
        ("10", "thick_slice"),
        *((value, "thickness_unknown") for value in ("", "0", "-1", "nan", "inf", "thin")),
    ],
)
def test_slices_of_more_than_five_millimetres_wait_for_a_person(thickness: str, code: str) -> None:
    found = gate(tagged(SliceThickness=thickness))
    assert [one.code for one in found.checks if "thick" in one.code] == [code]
    assert [reason.code for reason in found.reasons] == ([code] if code == "thick_slice" else [])


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({}, "acquisition"),
        ({"KVP": ""}, "acquisition"),
        ({"KVP": "120.0"}, "acquisition"),
        ({"KVP": "100"}, "tube_voltage"),
        ({"KVP": "140.0"}, "tube_voltage"),
        ({"ContrastBolusAgent": "yes"}, "contrast"),
        ({"ContrastBolusAgent": "yes", "KVP": "100"}, "contrast"),
    ],
)
def test_contrast_medium_and_voltage_are_named_but_do_not_stop(tags: dict[str, str], code: str) -> None:
    found = gate(tagged(**tags))
    assert passed(found) & {"acquisition", "tube_voltage", "contrast"} == {code}
    assert found.outcome == "accepted"


def test_silent_header_is_named() -> None:
    found = gate(replace(ordinary(), tags={"Modality": "CT"}, age_years=None))
    assert [reason.code for reason in found.reasons] == ["age_unknown"]
    assert {"kernel_unknown", "thickness_unknown"} <= passed(found)


@pytest.mark.parametrize(
    ("age", "code"), [(None, "age_unknown"), (17.0, "age_outside"), (18.0, None), (100.0, None), (101.0, "age_outside")]
)
def test_age_is_checked_against_the_card(age: float | None, code: str | None) -> None:
    assert codes(replace(ordinary(), age_years=age)) == {code} - {None}


def test_burned_in_text_is_named() -> None:
    assert codes(tagged(BurnedInAnnotation="YES")) == {"burned_in"}


# --- picture ---------------------------------------------------------------------------------------------------------


def test_slice_without_spacing_waits_for_a_person() -> None:
    assert "spacing_unknown" in codes(framed(spacing_mm=None))


def test_slice_without_a_vertebra_waits_for_a_person() -> None:
    """A water bath with a bone rod: CT, but no spine."""
    y, x = np.mgrid[:256, :256] - 128.0
    pixels = np.where(np.hypot(x, y) < 110, 0, -1000) + np.where(np.hypot(x - 60, y) < 9, 600, 0)
    noisy = pixels + np.random.default_rng(5).normal(0, 12, pixels.shape)
    assert codes(framed(pixels=noisy.astype(np.float32))) == {"no_body"}


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.full((512, 512), -1000), "blank"),
        (np.random.default_rng(6).integers(-1000, 1000, (512, 512)), "not_an_image"),
        (np.random.default_rng(7).integers(0, 9, (40, 40)), "too_small"),
    ],
)
def test_unreadable_slices_are_refused(pixels: np.ndarray, code: str) -> None:
    refused = gate(framed(pixels=pixels.astype(np.float32)))
    assert (refused.outcome, [reason.code for reason in refused.reasons]) == ("refused", [code])


def only(study: Study) -> Check:
    """The one check of a study of a wrong kind."""
    (found,) = gate(study).checks
    assert found.outcome == "refused"
    return found


@pytest.mark.parametrize(
    ("tags", "task"),
    [
        ({"Modality": "CR", "BodyPartExamined": "HIP"}, "hip_osteoporosis"),
        ({"Modality": "DX", "BodyPartExamined": "PELVIS"}, "hip_osteoporosis"),
        ({"Modality": "NM"}, "knee_djd"),
        ({"Modality": "MR"}, None),
        ({"Modality": "PT"}, None),
    ],
)
def test_another_modality_is_refused_and_sent_on(tags: dict[str, str], task: str | None) -> None:
    study = replace(tagged(**tags), frames=(replace(ordinary().frame, unit="relative"),))
    assert (only(study).code, only(study).suggested_task) == ("modality", task)


@pytest.mark.parametrize("image_type", ["ORIGINAL\\PRIMARY\\LOCALIZER", "original\\primary\\localizer\\ct_som5 top"])
def test_scout_view_is_refused(image_type: str) -> None:
    assert only(tagged(ImageType=image_type)).code == "scout"


def test_picture_of_a_slice_holds_no_hu_and_is_not_sent_to_this_page() -> None:
    frame = make_sample("normal").study().frame
    grey = to_bytes(apply_percentiles(to_grey(frame), 0.5, 99.5))
    assert resembles(grey.astype(np.float32)) == TASK
    found = only(read(picture(Image.fromarray(grey), "PNG")))
    assert (found.code, found.suggested_task) == ("no_hu", None)
    coloured = only(read(picture(Image.fromarray(grey).convert("RGB").rotate(3, fillcolor=(200, 0, 0)), "PNG")))
    assert coloured.code == "colour"


# --- real slices -----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_slices_are_never_refused_and_ask_for_their_reasons_only(data_dir: Path) -> None:
    """One slice of every subject and five more: only the lung kernel of one collection asks."""
    folder = data_dir / "ct_vertebra"
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = {row["subject"]: row for row in rows} | {row["file"]: row for row in rows[5::24]}
    asked: Counter[str] = Counter()
    for row in chosen.values():
        study = read((folder / row["file"]).read_bytes())
        found = gate(study)
        assert found.outcome != "refused"
        reasons = {reason.code for reason in found.reasons}
        assert reasons == {"never_saw_a_patient"} | ({"sharp_kernel"} if row["kernel"] == "LUNG" else set())
        asked[row["subject"]] += "sharp_kernel" in reasons
    assert {subject for subject, n in asked.items() if n} == {"CPTAC-PDA_C3L-00189"}
