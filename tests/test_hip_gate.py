"""The gate of the hip task: what is accepted, what waits for a person, what is refused and where it belongs."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.imaging import checks
from core.imaging.display import to_bytes, to_display
from core.imaging.quality import measure
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.manifest import Manifest, read_manifest
from core.records import Check, Frame, Gate, Study
from core.registry import model_folders
from core.tasks.hip_osteoporosis.gate import check
from core.tasks.hip_osteoporosis.phantom import make_phantom


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(model_folders("hip_osteoporosis")[0])


def gate(study: Study, manifest: Manifest) -> Gate:
    return Gate(tuple(check(study, manifest, None)))


def codes(study: Study, manifest: Manifest) -> set[str]:
    return {reason.code for reason in gate(study, manifest).reasons}


def png(pixels: np.ndarray) -> Study:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return shared_reader().read(buffer.getvalue())


def phantom_study(seed: int, **options: object) -> Study:
    return shared_reader().read(write_dicom(make_phantom(np.random.default_rng([31, seed]), **options)))


def test_ordinary_phantoms_are_accepted(manifest: Manifest) -> None:
    outcomes = [gate(phantom_study(seed), manifest).outcome for seed in range(40)]
    assert outcomes.count("accepted") >= 39


def test_pelvis_phantoms_are_accepted(manifest: Manifest) -> None:
    assert [gate(phantom_study(seed, view="pelvis"), manifest).outcome for seed in range(8)] == ["accepted"] * 8


@pytest.mark.parametrize("kind", ["nail", "screws", "plate"])
def test_implants_wait_for_a_person(manifest: Manifest, kind: str) -> None:
    for seed in range(6):
        assert "implant" in codes(phantom_study(seed, implant=kind), manifest)


def test_motion_blur_waits_for_a_person(manifest: Manifest) -> None:
    for seed in range(6):
        assert codes(phantom_study(seed, blurred=True), manifest) == {"blurred"}


def test_a_model_of_phantoms_asks_before_any_other_image(manifest: Manifest) -> None:
    real = replace(phantom_study(0), is_phantom=False)
    assert codes(real, manifest) == {"never_saw_a_patient"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ImageLaterality": ""}, "side_unknown"),
        ({"ViewPosition": ""}, "view_unknown"),
        ({"ViewPosition": "LATERAL"}, "view_other"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"BodyPartExamined": ""}, "kind_unknown"),
    ],
)
def test_what_the_header_leaves_open_is_named(manifest: Manifest, change: dict[str, str], code: str) -> None:
    study = phantom_study(1)
    assert codes(replace(study, tags={**study.tags, **change}), manifest) == {code}


@pytest.mark.parametrize(("age", "code"), [(None, "age_unknown"), (30.0, "age_outside")])
def test_age_is_checked_against_the_card(manifest: Manifest, age: float | None, code: str) -> None:
    assert codes(replace(phantom_study(1), age_years=age), manifest) == {code}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"Modality": "NM"}, "modality"),
        ({"Modality": "MR"}, "modality"),
        ({"BodyPartExamined": "CHEST"}, "body_part"),
        ({"BodyPartExamined": "HAND"}, "body_part"),
    ],
)
def test_another_kind_of_image_is_refused_by_its_header(manifest: Manifest, tags: dict[str, str], code: str) -> None:
    study = phantom_study(1)
    refused = gate(replace(study, tags={**study.tags, **tags}), manifest)
    assert refused.outcome == "refused"
    assert [reason.code for reason in refused.reasons] == [code]


def test_another_kind_of_image_suggests_its_task(manifest: Manifest) -> None:
    study = phantom_study(1)
    assert gate(replace(study, tags={**study.tags, "Modality": "CT"}), manifest).suggested_task == "ct_osteoporosis"
    chest = gate(replace(study, tags={**study.tags, "BodyPartExamined": "Chest"}), manifest)
    assert ([reason.code for reason in chest.reasons], chest.suggested_task) == (["body_part"], "chest_lesions")


def test_matlab_scan_without_a_modality_is_refused_for_its_own_task(manifest: Manifest) -> None:
    scan = bare(container="matlab", unit="counts")
    refused = gate(scan, manifest)
    assert ([reason.code for reason in refused.reasons], refused.suggested_task) == (["modality"], "knee_djd")


# --- checks that all gates share -------------------------------------------------------------------------------------


def bare(container: str = "dicom", unit: str = "relative", **tags: str) -> Study:
    shape = (64, 64, 3) if unit == "rgb" else (64, 64)
    return Study((Frame(np.zeros(shape, np.float32), unit),), "0" * 64, container, tags)


@pytest.mark.parametrize(
    ("study", "task"),
    [
        (bare(Modality="CT"), "ct_osteoporosis"),
        (bare(Modality="ct", BodyPartExamined="CHEST"), "ct_osteoporosis"),
        (bare(Modality="NM"), "knee_djd"),
        (bare(Modality="OP"), "retina_lesions"),
        (bare(Modality="CR", BodyPartExamined="HIP"), "hip_osteoporosis"),
        (bare(Modality="DX", BodyPartExamined="pelvis"), "hip_osteoporosis"),
        (bare(Modality="DX", BodyPartExamined="CHEST"), "chest_lesions"),
        (bare(Modality="RF", BodyPartExamined="THORAX"), "chest_lesions"),
        (bare(Modality="CR", BodyPartExamined="HAND"), None),
        (bare(Modality="CR"), None),
        (bare(Modality="MR", BodyPartExamined="HIP"), None),
        (bare(BodyPartExamined="CHEST"), None),
        (bare(), None),
        (bare(container="raster", unit="rgb"), "retina_lesions"),
        (bare(unit="rgb", Modality="CT"), "retina_lesions"),
        (bare(container="matlab", unit="counts"), "knee_djd"),
        (bare(unit="counts", Modality="CT"), "knee_djd"),
    ],
    ids=lambda value: " ".join(value.tags.values()) or value.container if isinstance(value, Study) else str(value),
)
def test_fitting_task_of_a_header(study: Study, task: str | None) -> None:
    assert checks.fitting_task(study) == task


@pytest.mark.parametrize(
    ("study", "code"),
    [
        (bare(Modality="CR"), None),
        (bare(Modality="cr"), None),
        (bare(Modality="CT"), "modality"),
        (bare(), None),  # a picture tells nothing; the picture itself is looked at later
        (bare(container="raster"), None),
        (bare(container="matlab", unit="counts"), "modality"),
        (bare(container="raster", unit="rgb"), "colour"),
        (bare(unit="rgb", Modality="CR"), "colour"),
    ],
)
def test_wrong_modality_is_refused_in_the_words_of_the_task(study: Study, code: str | None) -> None:
    found = checks.wrong_modality(study, checks.RADIOGRAPHS, "Not one of ours")
    assert (found and found.code) == code
    if found is not None:
        assert found.outcome == "refused"
        assert found.message == ("A colour photograph" if code == "colour" else "Not one of ours")
        assert found.suggested_task == checks.fitting_task(study)


def text_picture() -> np.ndarray:
    image = Image.new("L", (700, 500), 255)
    pen = ImageDraw.Draw(image)
    for row in range(20, 480, 18):
        pen.text((20, row), "a line of a report, not a picture of a hip " * 2, fill=0)
    return np.asarray(image)


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.zeros((300, 300), np.uint8), "blank"),
        (np.full((300, 300), 255, np.uint8), "blank"),
        (np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8), "not_an_image"),
        (np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8), "too_small"),
        (np.linspace(0, 255, 900 * 100).reshape(900, 100).astype(np.uint8), "too_small"),
        (text_picture(), "not_an_image"),
        (np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8), "colour"),
    ],
    ids=["black", "white", "noise", "tiny", "ribbon", "text", "colour"],
)
def test_pictures_that_are_no_radiograph_are_refused(manifest: Manifest, pixels: np.ndarray, code: str) -> None:
    refused = gate(png(pixels), manifest)
    assert refused.outcome == "refused"
    assert refused.reasons[-1].code == code


def test_a_hip_as_png_is_not_refused(manifest: Manifest) -> None:
    """At most 2 % of hips may be taken for something else."""
    outcomes = [
        gate(png(to_bytes(to_display(make_phantom(np.random.default_rng([32, seed])).study().frame))), manifest).outcome
        for seed in range(60)
    ]
    assert outcomes.count("refused") <= 1


def test_the_worst_check_decides() -> None:
    checks = [Check("a", "passed", ""), Check("b", "confirm", "")]
    assert Gate(tuple(checks[:1])).outcome == "accepted"
    assert Gate(tuple(checks[:1])).shows_score
    assert Gate(tuple(checks)).outcome == "needs_confirmation"
    assert not Gate(tuple(checks)).shows_score
    assert Gate(tuple(checks), confirmed=True).shows_score
    refused = Gate((*checks, Check("c", "refused", "")), confirmed=True)
    assert refused.outcome == "refused"
    assert not refused.shows_score


def header_free(study: Study) -> Study:
    """The same picture as a file without a header would give it."""
    return replace(study, tags={}, is_phantom=False, frames=(replace(study.frame, spacing_mm=None),))


@pytest.mark.realdata
def test_real_chests_are_refused_without_a_header(data_dir: Path, manifest: Manifest) -> None:
    files = sorted((data_dir / "chest_nih" / "images").iterdir())[5::40]
    outcomes = [gate(shared_reader().read(path.read_bytes()), manifest) for path in files]
    refused = [found for found in outcomes if found.outcome == "refused"]
    assert len(refused) >= 0.95 * len(files)
    assert {found.suggested_task for found in refused} == {"chest_lesions"}


@pytest.mark.realdata
def test_real_ct_slices_are_refused(data_dir: Path, manifest: Manifest) -> None:
    for path in sorted((data_dir / "ct_vertebra").glob("*/*.dcm"))[::12]:
        study = shared_reader().read(path.read_bytes())
        assert gate(study, manifest).suggested_task == "ct_osteoporosis"
        windowed = Frame(to_display(study.frame, (40.0, 400.0)), "relative")
        assert gate(header_free(replace(study, frames=(windowed,))), manifest).outcome == "refused"


@pytest.mark.realdata
def test_real_fundus_photographs_are_refused(data_dir: Path, manifest: Manifest) -> None:
    files = [
        *sorted((data_dir / "retina_idrid" / "images_1024").iterdir())[::8],
        data_dir / "real_dicom" / "fundus_rgb_j2k.dcm",
    ]
    for path in files:
        found = gate(shared_reader().read(path.read_bytes()), manifest)
        assert (found.outcome, found.suggested_task) == ("refused", "retina_lesions")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["hip_cr_rle.dcm", "hip_cr_j2k.dcm"])
def test_the_real_hip_waits_for_a_person_with_its_reasons(data_dir: Path, manifest: Manifest, name: str) -> None:
    study = shared_reader().read((data_dir / "real_dicom" / name).read_bytes())
    found = gate(study, manifest)
    assert found.outcome == "needs_confirmation"
    assert {"metal_clips", "side_unknown", "view_unknown", "never_saw_a_patient"} <= {r.code for r in found.reasons}
    assert gate(header_free(study), manifest).outcome == "needs_confirmation"


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["chest_cr_j2k.dcm", "chest_cr_jpegls.dcm"])
def test_the_real_chest_is_refused_with_and_without_its_header(data_dir: Path, manifest: Manifest, name: str) -> None:
    study = shared_reader().read((data_dir / "real_dicom" / name).read_bytes())
    for seen in (study, header_free(study)):
        assert gate(seen, manifest).suggested_task == "chest_lesions"


@pytest.mark.parametrize("seed", [14, 16, 20, 56])
def test_dense_bone_is_no_metal(manifest: Manifest, seed: int) -> None:
    study = make_phantom(np.random.default_rng([81, seed]), t_score=1.0).study()
    assert measure(study.frame).brightness_gap > 0.55, "no dense bone that brightness alone would take for metal"
    assert "implant" not in codes(study, manifest)


def test_thin_screws_are_metal(manifest: Manifest) -> None:
    for seed in range(20):
        assert "implant" in codes(make_phantom(np.random.default_rng([77, seed]), implant="screws").study(), manifest)
