"""Every kind of image on every task's page: scored on its own only, and elsewhere never without a word."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from io_files import picture, read
from PIL import Image
from task_manifests import manifest_of

from core import registry
from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.phantom import Phantom
from core.records import Gate, Study

TASKS = ("hip_osteoporosis", "ct_osteoporosis", "knee_djd", "retina_lesions", "chest_lesions")
WRONG_KIND = {
    "modality",
    "body_part",
    "colour",
    "no_hu",
    "no_counts",
    "other_kind",
    "kind_unknown",
    "no_colour",
    "not_fundus",
    "no_film",
}


def gate(task_id: str, study: Study) -> Gate:
    return Gate(tuple(registry.part(task_id, "gate").check(study, manifest_of(task_id), None)))


@cache
def sample(task_id: str) -> Phantom:
    """The first of the samples on a task's page."""
    phantom = registry.part(task_id, "phantom")
    return phantom.make_sample(next(iter(phantom.SAMPLES)))


@cache
def as_dicom(task_id: str) -> Study:
    return read(write_dicom(sample(task_id)))


def has_page(task_id: str | None) -> bool:
    return task_id in registry.tasks()


def assert_sent_away(found: Gate, own: str) -> None:
    """Refused for its kind, and sent to the page it belongs to where there is one."""
    assert found.outcome == "refused"
    assert {reason.code for reason in found.reasons} <= WRONG_KIND
    assert found.suggested_task == own or not has_page(own)


def test_every_task_with_a_gate_is_in_the_table() -> None:
    assert set(TASKS) == set(registry.tasks())


@pytest.mark.parametrize("page", TASKS)
@pytest.mark.parametrize("own", TASKS)
def test_sample_as_dicom(own: str, page: str) -> None:
    found = gate(page, as_dicom(own))
    if page == own:
        assert found.outcome == "accepted"
    else:
        assert_sent_away(found, own)


@pytest.mark.parametrize("page", TASKS)
def test_bone_scan_as_matlab(page: str) -> None:
    """The file holds no age, which is asked; nothing else is."""
    found = gate(page, read(write_matlab(sample("knee_djd"), "5")))
    if page == "knee_djd":
        assert [reason.code for reason in found.reasons] == ["age_unknown"]
    else:
        assert_sent_away(found, "knee_djd")


@pytest.mark.parametrize("page", TASKS)
@pytest.mark.parametrize("own", TASKS)
def test_sample_as_a_picture_is_never_scored_unasked(own: str, page: str) -> None:
    """Without header and units the pages of radiographs ask; others need HU, counts or colours, which a photograph alone has."""
    pixels = sample(own).pixels if own == "retina_lesions" else to_bytes(to_display(as_dicom(own).frame))
    found = gate(page, read(picture(Image.fromarray(pixels), "PNG")))
    codes = {reason.code for reason in found.reasons}
    if page == own == "retina_lesions":
        assert (found.outcome, codes & WRONG_KIND) == ("needs_confirmation", set())
        return
    asks = page in ("hip_osteoporosis", "chest_lesions") and own != "retina_lesions"
    asks = asks and (own, page) != ("chest_lesions", "hip_osteoporosis")  # a chest is known by its look
    assert found.outcome == ("needs_confirmation" if asks else "refused")
    assert codes & WRONG_KIND
    assert found.suggested_task != page


@pytest.mark.parametrize("page", TASKS)
def test_colour_and_empty_pictures_are_refused_everywhere(page: str) -> None:
    rng = np.random.default_rng(1)
    for pixels in (rng.integers(0, 255, (200, 200, 3)), np.zeros((300, 300)), rng.integers(0, 255, (300, 300))):
        assert gate(page, read(picture(Image.fromarray(pixels.astype(np.uint8)), "PNG"))).outcome == "refused"


# --- real files ------------------------------------------------------------------------------------------------------

REAL = {
    "real_dicom/hip_cr_rle.dcm": "hip_osteoporosis",
    "real_dicom/hip_cr_j2k.dcm": "hip_osteoporosis",
    "real_dicom/whole_body_bone_scan_rle.dcm": "knee_djd",
    "real_dicom/chest_cr_j2k.dcm": "chest_lesions",
    "real_dicom/chest_cr_jpegls.dcm": "chest_lesions",
    "real_dicom/fundus_rgb_j2k.dcm": "retina_lesions",
    "retina_idrid/images_1024/IDRiD_01.jpg": "retina_lesions",
    "chest_nih/images/00000003_001.jpg": "chest_lesions",
    "ct_vertebra/Lung-Fused-CT-Pathology_0001/": "ct_osteoporosis",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_file(data_dir: Path, name: str) -> None:
    path, own = data_dir / name, REAL[name]
    if path.is_dir():
        path = min(path.iterdir())
    study = read(path.read_bytes())
    for page in TASKS:
        found = gate(page, study)
        if page == own:
            assert found.outcome == "needs_confirmation"
            assert "never_saw_a_patient" in {reason.code for reason in found.reasons}
        else:
            assert_sent_away(found, own)
            assert found.suggested_task == own
