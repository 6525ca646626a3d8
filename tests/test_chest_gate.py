"""The gate of the chest task: what is accepted, what waits for a person, what is refused and where it belongs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, read
from PIL import Image
from scipy.ndimage import gaussian_filter
from task_manifests import manifest_of

from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.records import Check, Frame, Gate, Study
from core.tasks.chest_lesions.gate import check
from core.tasks.chest_lesions.phantom import make_phantom

TASK = "chest_lesions"


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
def film() -> Study:
    """A phantom as its file gives it."""
    return read(write_dicom(make_phantom(np.random.default_rng([91, 0]))))


def tagged(**tags: str) -> Study:
    return replace(film(), tags={**film().tags, **tags})


def without(*names: str) -> Study:
    return replace(film(), tags={key: value for key, value in film().tags.items() if key not in names})


def test_ordinary_phantoms_are_accepted() -> None:
    for seed in range(4):
        assert gate(make_phantom(np.random.default_rng([92, seed])).study()).outcome == "accepted"
    assert {one.code for one in gate(film()).checks} == {
        *("population", "kind", "readable", "sharp", "view", "side", "age", "burned_in_none")
    }


def test_a_film_stored_inverted_is_the_same_to_the_gate() -> None:
    inverted = read(write_dicom(make_phantom(np.random.default_rng([91, 0])), monochrome1=True))
    assert gate(inverted) == gate(film())


def test_a_model_of_phantoms_asks_before_any_other_image() -> None:
    real = replace(film(), is_phantom=False)
    assert codes(real) == {"never_saw_a_patient"}
    assert gate(real, "real images, synthetic findings").outcome == "accepted"


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "lat"])
def test_lateral_films_are_refused(view: str) -> None:
    assert only(tagged(ViewPosition=view)).code == "lateral"


def test_views() -> None:
    accepted = gate(tagged(ViewPosition="AP"))
    assert accepted.outcome == "accepted"
    (said,) = [one for one in accepted.checks if one.code == "view_ap"]
    assert "heart looks larger" in said.message
    assert codes(tagged(ViewPosition="LLO")) == {"view_other"}
    assert codes(without("ViewPosition")) == {"view_unknown"}


def test_a_mirrored_film_waits_for_a_person() -> None:
    assert codes(tagged(PatientOrientation="R\\F")) == {"mirrored"}
    assert codes(tagged(PatientOrientation="L\\F")) == set()


@pytest.mark.parametrize(
    ("tags", "code", "suggested"),
    [
        ({"BodyPartExamined": "HIP"}, "body_part", "hip_osteoporosis"),
        ({"BodyPartExamined": "SKULL"}, "body_part", None),
        ({"Modality": "CT"}, "modality", "ct_osteoporosis"),
        ({"Modality": "NM"}, "modality", "knee_djd"),
        ({"Modality": "MR"}, "modality", None),
    ],
)
def test_other_headers_are_refused_and_sent_on(tags: dict[str, str], code: str, suggested: str | None) -> None:
    found = only(tagged(**tags))
    assert (found.code, found.suggested_task) == (code, suggested)


def test_other_pixels_are_refused_and_sent_on() -> None:
    colour = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    found = only(replace(film(), frames=(Frame(colour, "rgb"),)))
    assert (found.code, found.suggested_task) == ("colour", "retina_lesions")
    for unit in ("counts", "HU"):
        assert only(replace(without("Modality"), frames=(replace(film().frame, unit=unit),))).code == "no_film"
    assert only(replace(film(), frames=(Frame(np.zeros((300, 300), np.float32), "relative"),))).code == "blank"
    assert only(replace(film(), frames=(Frame(film().frame.pixels[:50, :50], "relative"),))).code == "too_small"


def test_a_picture_without_header_is_asked_about() -> None:
    seen = read(picture(Image.fromarray(to_bytes(to_display(film().frame))), "PNG"))
    assert codes(seen) == {"never_saw_a_patient", "kind_unknown", "view_unknown", "age_unknown"}


def test_blurred_films_wait_for_a_person() -> None:
    soft = replace(film().frame, pixels=gaussian_filter(film().frame.pixels, 4))
    assert codes(replace(film(), frames=(soft,))) == {"blurred"}


@pytest.mark.parametrize(("age", "code"), [(None, "age_unknown"), (12.0, "age_outside"), (18.0, None)])
def test_age(age: float | None, code: str | None) -> None:
    assert codes(replace(film(), age_years=age)) == ({code} if code else set())


# --- real films ------------------------------------------------------------------------------------------------------


def test_real_films_are_sharp_and_of_their_kind(data_dir: Path) -> None:
    files = sorted((data_dir / "chest_nih/images").glob("*.jpg"))[::150]
    files += sorted((data_dir / "chest_heart_lung/images").glob("*.png"))[::60]
    assert len(files) > 10
    for path in files:
        assert codes(read(path.read_bytes())) == {"never_saw_a_patient", "kind_unknown", "view_unknown", "age_unknown"}


def test_real_dicom_film(data_dir: Path) -> None:
    study = read((data_dir / "real_dicom/chest_cr_j2k.dcm").read_bytes())
    assert codes(study) == {"never_saw_a_patient"}
    assert gate(study, "real images, synthetic findings").outcome == "accepted"


@pytest.mark.parametrize("name", ["real_dicom/hip_cr_rle.dcm", "real_dicom/fundus_rgb_j2k.dcm"])
def test_other_real_files_are_refused(data_dir: Path, name: str) -> None:
    assert gate(read((data_dir / name).read_bytes())).outcome == "refused"
